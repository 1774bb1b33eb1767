"""Random crops that look like other slides: turned, scaled, restained, blurred, compressed.

Colour is changed in optical density along haematoxylin, eosin and residual (Tellez et al.,
Medical Image Analysis 58:101544, 2019: the augmentation that carries best between laboratories).
"""

from __future__ import annotations

from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import hed_from_rgb, rgb_from_hed

from napari_xce.learning.datasets import LabelledImage

#: Standard deviation of the logarithm of the scale: pixel sizes are known, but not to the percent,
#: and nuclei of other tissues are smaller or larger.
SCALE_SPREAD = 0.13


@dataclass(frozen=True, slots=True)
class Crop:
    """A square cut out of a labelled image; the fields are those of ``LabelledImage``."""

    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    diameters: NDArray[np.float64]
    mask: NDArray[np.uint16] | None


def random_crop(image: LabelledImage, size: int, rng: np.random.Generator) -> Crop:
    """Cut a turned, scaled and mirrored square out of an image.

    Parameters
    ----------
    image : LabelledImage
        Where to cut.
    size : int
        Side of the square, pixels.
    rng : Generator
        Source of chance.

    Returns
    -------
    Crop
        Corners that reach beyond the image show its mirror image, nuclei and all.
    """
    angle = rng.uniform(0, 2 * np.pi)
    scale = np.exp(np.clip(rng.normal(0, SCALE_SPREAD), -0.4, 0.4))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        turn = turn @ np.diag([1.0, -1.0])
    to_image = turn / scale
    shape = np.array(image.pixels.shape[:2])
    reach = size / (2 * scale)
    low, high = np.minimum(reach, shape / 2), np.maximum(shape - reach, shape / 2)
    centre = rng.uniform(low, high)
    shift = centre - to_image @ np.full(2, (size - 1) / 2)
    pixels = _warp(image.pixels, to_image, shift, size)
    mask = None
    if image.mask is not None:
        mask = ndimage.affine_transform(
            image.mask, to_image, shift, (size, size), order=0, mode="mirror"
        )
    mirrored, source = _mirror_points(image.points, image.pixels.shape, size / scale)
    points = (mirrored - shift) @ np.linalg.inv(to_image).T
    inside = ((points > -0.5) & (points < size - 0.5)).all(1)
    source = source[inside]
    return Crop(pixels, points[inside], image.labels[source], image.diameters[source] * scale, mask)


def _mirror_points(
    points: NDArray[np.float64], shape: tuple[int, ...], reach: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the points and their mirror images, and whose image each is.

    They lie up to ``reach`` beyond the edges; a smaller image is mirrored again and again, with
    period 2 (n - 1).
    """
    axes = []
    for axis in (0, 1):
        period = 2.0 * max(shape[axis] - 1, 1)
        turns = np.arange(-np.ceil(reach / period), np.ceil(reach / period) + 1) * period
        here = points[:, axis]
        axes.append([sign * here + turn for turn in turns for sign in (1.0, -1.0)])
    copies = [np.column_stack([y, x]) for y in axes[0] for x in axes[1]]
    mirrored = np.concatenate(copies)
    near = ((mirrored > -reach) & (mirrored < np.array(shape[:2]) + reach)).all(1)
    return mirrored[near], np.tile(np.arange(len(points)), len(copies))[near]


def _warp(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], shift: NDArray[np.float64], size: int
) -> NDArray[np.uint8]:
    """Resample RGB pixels bilinearly; beyond the image lies its mirror image."""
    out = np.empty((size, size, 3), np.uint8)
    for c in range(3):
        ndimage.affine_transform(
            pixels[..., c], matrix, shift, output=out[..., c], order=1, mode="mirror"
        )
    return out


def restain(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change amount and hue of the stains, in optical density."""
    stains = np.log(256.0 / (pixels.astype(np.float32) + 1.0)) @ hed_from_rgb.astype(np.float32)
    mean = stains.mean((0, 1))
    stains = stains * rng.uniform(0.65, 1.4, 3) + rng.uniform(-0.04, 0.04, 3)
    stains[..., 2] += rng.normal(0, 0.3) * (stains[..., 0] - mean[0])  # towards brown or blue
    stainers = rgb_from_hed + rng.normal(0, 0.06, (3, 3))
    restained = 256.0 * np.exp(-(stains @ stainers.astype(np.float32))) - 1.0
    return np.clip(restained, 0, 255).astype(np.uint8)


def relight(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change contrast, brightness and gamma of each channel a little."""
    x = pixels.astype(np.float32) / 255.0
    x = x ** np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    x = (x - 0.5) * rng.uniform(0.85, 1.15) + 0.5 + rng.uniform(-0.06, 0.06)
    return np.clip(255.0 * x, 0, 255).astype(np.uint8)


def degrade(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, add sensor noise, compress: what scanners do."""
    if rng.random() < 0.3:
        sigma = rng.uniform(0.3, 1.3)
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(1, 7), pixels.shape)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        level = int(rng.integers(40, 92))
        pixels = imagecodecs.jpeg8_decode(
            imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=level)
        )
    return pixels


def augment(crop: Crop, rng: np.random.Generator) -> Crop:
    """Restain, relight and degrade a crop; what is known of its nuclei stays."""
    pixels = crop.pixels
    if rng.random() < 0.85:
        pixels = restain(pixels, rng)
    if rng.random() < 0.5:
        pixels = relight(pixels, rng)
    if rng.random() < 0.05:
        pixels = pixels[..., rng.permutation(3)]
    pixels = degrade(pixels, rng)
    return Crop(pixels, crop.points, crop.labels, crop.diameters, crop.mask)
