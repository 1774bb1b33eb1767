"""Where on a slide there is tissue, coarsely: so that predicting spares the glass.

Optical density against the slide's own white, the threshold by Otsu (1979) between a floor and a
ceiling; on dark slides (fluorescence rendered as RGB) brightness takes its place. Errs towards
tissue: a missed cell costs more than an empty tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_objects

from napari_xce.slides.slide import Slide
from napari_xce.slides.source import Rgb

LONGEST_SIDE = 1024
"""Pixels of the mask's longer side."""
_STANDS_OUT = 0.04
"""Least difference from the background: optical density (log10), or brightness above black."""
_CERTAIN = 0.07
"""A difference that is tissue in any case: Otsu's threshold is not let above it."""
_DARK = 80
"""Median grey level below which a slide is taken to have a dark background."""
_WHITEST = (200, 255)
_GAP_UM = 15.0
"""Gaps between cells up to about twice this are filled."""
_ASSUMED_MPP = 0.5
_SMALLEST_PX = 30
_NOTHING = 0.0005
"""A smaller share of tissue than this means that none was found."""


@dataclass(frozen=True, slots=True)
class TissueMask:
    """A coarse mask of tissue.

    Attributes
    ----------
    mask
        bool, shape (h, w), True where there is tissue.
    factor
        Level-0 pixels per mask pixel, (y, x); mask pixel (0, 0) begins at the slide's corner.
    shape
        The slide's (height, width) in level-0 pixels.
    """

    mask: NDArray[np.bool_]
    factor: tuple[float, float]
    shape: tuple[int, int]

    @property
    def area_px(self) -> float:
        """Area of tissue in level-0 pixels."""
        return float(self.mask.mean()) * self.shape[0] * self.shape[1]

    def fraction(self, y0: float, x0: float, y1: float, x1: float) -> float:
        """Return the share [0, 1] of tissue among the mask pixels that a level-0 box touches.

        The box is half-open; what lies outside the slide does not count. 0.0 for a box wholly
        outside.
        """
        rows = slice(
            max(0, math.floor(y0 / self.factor[0])), max(0, math.ceil(y1 / self.factor[0]))
        )
        columns = slice(
            max(0, math.floor(x0 / self.factor[1])), max(0, math.ceil(x1 / self.factor[1]))
        )
        part = self.mask[rows, columns]
        return float(part.mean()) if part.size else 0.0


def tissue_mask(slide: Slide) -> TissueMask:
    """Find the tissue of a slide, of any stain.

    Parameters
    ----------
    slide
        Any slide; it is read once, at about 1024 pixels on its longer side.

    Returns
    -------
    The mask. Where no tissue stands out at all (an empty or evenly coloured slide), everything
    counts as tissue.

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    step = max(1.0, max(slide.shape) / LONGEST_SIDE)
    height, width = (math.ceil(side / step) for side in slide.shape)
    factor = (slide.shape[0] / height, slide.shape[1] / width)
    pixels = slide.read_scaled(0, 0, height, width, factor)
    um_per_px = max(slide.mpp or (_ASSUMED_MPP,)) * step
    mask = _tidy(_stands_out(pixels), round(float(np.clip(_GAP_UM / um_per_px, 1, 16))))
    if mask.mean() < _NOTHING:
        mask = np.ones_like(mask)
    return TissueMask(mask, factor, slide.shape)


def _stands_out(pixels: Rgb) -> NDArray[np.bool_]:
    """Return where pixels differ from the background: darker than white, or brighter than black."""
    smooth = ndimage.uniform_filter(pixels, size=(5, 5, 1)).astype(np.float32)
    if np.median(pixels.max(2)) < _DARK:
        return _above_otsu(smooth.max(2) / 255)
    white = np.clip(np.percentile(pixels[::4, ::4].reshape(-1, 3), 99, axis=0), *_WHITEST)
    density = -np.log10(((smooth + 1) / (white.astype(np.float32) + 1)).min(2))  # (h, w)
    return _above_otsu(density)


def _above_otsu(difference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a difference exceeds Otsu's threshold, which is kept within limits."""
    if np.ptp(difference) < 1e-6:
        return np.full(difference.shape, bool(difference.flat[0] > _CERTAIN))
    return np.asarray(difference > np.clip(threshold_otsu(difference), _STANDS_OUT, _CERTAIN))


def _tidy(mask: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Drop specks, close gaps of twice ``gap`` pixels, and grow by a pixel for the borders."""
    if min(mask.shape) >= 32:
        mask = remove_small_objects(mask, max_size=_SMALLEST_PX)
    padded = np.pad(mask, gap, mode="edge")
    size = 2 * gap + 1
    closed = ndimage.minimum_filter(ndimage.maximum_filter(padded, size=size), size=size - 2)
    return np.asarray(closed[gap:-gap, gap:-gap])
