"""Small periodic textures that the synthetic slide is papered with: collagen fibres and grain.

Each repeats every `PERIOD` pixels; the renderer bends and shifts them, and the repeat is not seen.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from napari_xce.slides.synthetic_noise import GridArray

PERIOD = 1024


@lru_cache(maxsize=16)
def fibres(level: int) -> GridArray:
    """Return how dense collagen is, fibres along x: 0 = cleft, mean about 1.

    float32, shape (PERIOD / 2**level,) * 2; levels above 0 are coarser, level -1 is twice as fine.
    """
    if level < 0:
        return ndimage.zoom(fibres(level + 1), 2, order=1, mode="grid-wrap", grid_mode=True)
    if level > 0:
        finer = fibres(level - 1)
        half = finer.shape[0] // 2
        # averaged as light, not as density: that is what a coarser scan does
        light = 10 ** (-0.3 * finer.reshape(half, 2, half, 2))
        return (-np.log10(light.mean(axis=(1, 3))) / 0.3).astype(np.float32)
    bundles = _streaks(1, 6.0, 70.0)
    strands = _streaks(2, 1.4, 26.0)
    looseness = np.clip(0.5 + 0.4 * _streaks(5, 26.0, 90.0), 0.0, 1.0)
    ridges = np.abs(_streaks(3, 4.4, 50.0)) + 0.2 * np.abs(_streaks(4, 2.0, 14.0))
    cleft = np.clip(1.35 - ridges / (0.09 + 0.34 * looseness), 0.0, 1.0)
    body = 1.1 + 0.24 * bundles + 0.2 * strands
    return np.clip(body * (1 - 0.85 * cleft), 0.03, 2.2).astype(np.float32)


@lru_cache(maxsize=8)
def grain(smooth: float, more: int) -> GridArray:
    """Return noise of mean 0 and standard deviation 1, blurred by ``smooth`` pixels.

    float32; ``more`` pixels of the repeat are appended, so that slices need no wrapping.
    """
    noise = np.random.default_rng(97).standard_normal((PERIOD, PERIOD), dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, smooth, mode="wrap")
    return np.pad(noise / noise.std(), ((0, more), (0, more)), mode="wrap")


def _streaks(seed: int, across: float, along: float) -> GridArray:
    """Return periodic noise of unit variance, smoothed ``across`` and ``along`` rows."""
    noise = np.random.default_rng(seed).standard_normal((PERIOD, PERIOD), dtype=np.float32)
    frequency = np.fft.fftfreq(PERIOD).astype(np.float32) * (2 * np.pi)
    blur_y = np.exp(-0.5 * (across * frequency[:, None]) ** 2)
    blur_x = np.exp(-0.5 * (along * frequency[None, : PERIOD // 2 + 1]) ** 2)
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * blur_y * blur_x, s=noise.shape)
    return (smooth / smooth.std()).astype(np.float32)
