"""Resample a rectangle of pixels: area averaging when shrinking, linear when enlarging.

Geometry is exact: a linear ramp comes out as the same ramp, whatever the offset and the factor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.slides.source import Rgb

_EXACT = 1e-3
"""Pixels by which a grid may miss the pixel borders and still count as lying on them."""


def footprint(start: float, step: float, count: int) -> tuple[int, int]:
    """Return the half-open range of input pixels that ``count`` output pixels look at.

    Parameters
    ----------
    start
        Where the first output pixel begins, in input pixels; input pixel ``p`` spans ``[p, p +
        1)``.
    step
        Input pixels per output pixel.
    count
        Number of output pixels.
    """
    if _on_grid(start, step, count):
        return round(start), round(start) + round(step) * count
    margin = _blocks(step)
    return math.floor(start - margin), math.ceil(start + step * count + margin)


def resample(
    pixels: Rgb, start: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]
) -> Rgb:
    """Return ``pixels`` seen through another grid.

    Parameters
    ----------
    pixels
        uint8, shape (h, w, 3); must hold the :func:`footprint` of both axes from its first pixel
        on.
    start
        (y, x) where the first output pixel begins, relative to the border of ``pixels[0, 0]``.
    step
        (y, x) input pixels per output pixel.
    shape
        (height, width) of the result.

    Returns
    -------
    uint8, shape (height, width, 3). Output pixel ``i`` spans ``[start + i * step, start + (i + 1) *
    step)``.

    Notes
    -----
    Each output value is the mean over the span of the output pixel, its weights tilted so that
    their centre of mass is the middle of the span; steps of 4 and more are first brought below 4 by
    whole-block means. At step 1 this is linear interpolation; for steps that lie on the pixel grid
    it is the block mean.
    """
    out: NDArray[Any] = pixels
    for axis in (0, 1):
        out = _resample_axis(out, axis, start[axis], step[axis], shape[axis])
    if out.dtype == np.uint8:
        return np.ascontiguousarray(out, dtype=np.uint8)
    out += np.float32(0.5)
    return np.clip(out, 0, 255, out=out).astype(np.uint8)


def _on_grid(start: float, step: float, count: int) -> bool:
    """Say whether output pixels are whole blocks of input pixels all along the axis."""
    drift = abs(step - round(step)) * count
    return round(step) >= 1 and abs(start - round(start)) + drift < _EXACT


def _blocks(step: float) -> int:
    """Return the size of the block means that bring a step below 4."""
    return max(1, int(step // 2)) if step >= 4 else 1


def _resample_axis(
    pixels: NDArray[Any], axis: int, start: float, step: float, count: int
) -> NDArray[Any]:
    """Resample one axis; uint8 stays uint8 where pixels are only picked, all else is float32."""
    if _on_grid(start, step, count):
        first, block = round(start), round(step)
        used = _slice(pixels, axis, first, first + block * count)
        return used if block == 1 else _block_mean(used, axis, block)
    block = _blocks(step)
    if block > 1:
        whole = pixels.shape[axis] // block * block
        pixels = _block_mean(_slice(pixels, axis, 0, whole), axis, block)
    return _weighted(pixels, axis, *_taps(start / block, step / block, count, pixels.shape[axis]))


def _slice(pixels: NDArray[Any], axis: int, first: int, last: int) -> NDArray[Any]:
    """Cut along one of the first two axes."""
    return pixels[first:last] if axis == 0 else pixels[:, first:last]


def _block_mean(pixels: NDArray[Any], axis: int, block: int) -> NDArray[np.float32]:
    """Average whole blocks along an axis by adding strided views: faster than reshape and mean."""
    views = [pixels[k::block] if axis == 0 else pixels[:, k::block] for k in range(block)]
    small = pixels.dtype == np.uint8 and block <= 256  # 256 * 255 fits uint16
    total: NDArray[Any] = views[0].astype(np.uint16 if small else np.float32)
    for view in views[1:]:
        total += view
    return np.multiply(total, np.float32(1 / block), dtype=np.float32)


def _taps(
    start: float, step: float, count: int, available: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return input indices and weights, both of shape (taps, count), of each output pixel."""
    middle = start + (np.arange(count) + 0.5) * step
    width = max(step, 1.0)  # below step 1 a span of one pixel is linear interpolation
    low, high = middle - width / 2, middle + width / 2
    first = np.floor(low + 1e-9).astype(np.intp)
    index = first + np.arange(math.ceil(width) + 1)[:, None]
    weight = np.clip(np.minimum(high, index + 1) - np.maximum(low, index), 0, None) / width
    position = index + 0.5
    centre = (weight * position).sum(0)
    spread = (weight * (position - centre) ** 2).sum(0)
    tilt = np.where(spread > 1e-9, (middle - centre) / np.maximum(spread, 1e-9), 0)
    weight *= 1 + tilt * (position - centre)
    return np.clip(index, 0, available - 1), weight.astype(np.float32)


def _weighted(
    pixels: NDArray[Any], axis: int, index: NDArray[np.intp], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Add up weighted rows (axis 0) or columns (axis 1).

    The colours of a row are handled as one long row: numpy is slow where the last axis is 3 long.
    """
    total: NDArray[np.float32] | None = None
    for taps, weights in zip(index, weight, strict=True):
        if not weights.any():
            continue
        part = pixels.take(taps, axis=axis).astype(np.float32, copy=False)
        flat = part.reshape(part.shape[0], -1)  # (rows, columns * 3)
        flat *= weights[:, None] if axis == 0 else np.repeat(weights, 3)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None  # the weights of each output pixel add up to one
    return total
