"""Masks of single cells: watershed of the foreground, flooded from the detections.

Worked out for any rectangle, so that a mask of a whole slide need never be in memory; a cell has
the same number in every rectangle. Source of the flooding: scikit-image's watershed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from napari_xce.learning.trunk import MASK_STRIDE
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.tiles import Tile, TileGrid

#: Probability from which a pixel belongs to a cell.
FOREGROUND = 0.5
#: Every cell holds at least a disc of this share of its diameter.
CORE_SHARE = 0.35
#: Working pixels around a rectangle in which seeds are looked for.
MARGIN = 64

Foreground = Callable[[Tile], NDArray[np.floating]]


def label_instances(
    grid: TileGrid,
    foreground: Foreground,
    cells: Detections,
    box: tuple[int, int, int, int],
) -> NDArray[np.int32]:
    """Label the cells in a rectangle of the mask grid (stride 2 of the working grid).

    Parameters
    ----------
    grid : TileGrid
        Of the slide.
    foreground : callable
        Tile to the probability of any class on its core, at stride 2.
    cells : Detections
        Of the slide; cell i gets the label i + 1.
    box : (y, x, height, width)
        Mask pixels (2 working pixels each).

    Returns
    -------
    ndarray, int32, shape (height, width)
        0 = no cell.
    """
    y, x, height, width = box
    margin = MARGIN // MASK_STRIDE
    outer = (y - margin, x - margin, height + 2 * margin, width + 2 * margin)
    seeds = _seeds(grid, cells, outer)
    if not seeds.any():  # spares the network on glass
        return np.zeros((height, width), np.int32)
    probability = _stitch(grid, foreground, outer)
    inside = (probability >= FOREGROUND) | (seeds > 0)
    labels = watershed(-probability, seeds, mask=inside)
    inner = labels[margin : margin + height, margin : margin + width]
    return np.ascontiguousarray(inner, np.int32)


def _stitch(
    grid: TileGrid, foreground: Foreground, box: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Put the foreground of the tiles that a rectangle touches together; 0 off the slide."""
    y, x, height, width = box
    out = np.zeros((height, width), np.float32)
    side = grid.core_size // MASK_STRIDE
    for row in range(max(0, y // side), min(grid.rows, -(-(y + height) // side))):
        for column in range(max(0, x // side), min(grid.cols, -(-(x + width) // side))):
            block = foreground((row, column))
            top, left = row * side - y, column * side - x
            y0, x0 = max(0, top), max(0, left)
            y1, x1 = min(height, top + block.shape[0]), min(width, left + block.shape[1])
            if y0 < y1 and x0 < x1:
                out[y0:y1, x0:x1] = block[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def _seeds(grid: TileGrid, cells: Detections, box: tuple[int, int, int, int]) -> NDArray[np.int32]:
    """Draw a small disc for each cell, numbered; discs never overwrite each other."""
    y, x, height, width = box
    seeds = np.zeros((height, width), np.int32)
    scale = MASK_STRIDE * float(np.sqrt(grid.factor[0] * grid.factor[1]))
    centres = (grid.to_working(cells.points) + 0.5) / MASK_STRIDE - 0.5 - (y, x)
    radii = np.nan_to_num(cells.diameters, nan=16.0) * CORE_SHARE / 2 / scale
    near = ((centres > -8) & (centres < (height + 8, width + 8))).all(1)
    for i in np.flatnonzero(near):
        (cy, cx), r = centres[i], max(float(radii[i]), 0.75)
        y0, x0 = max(0, int(np.ceil(cy - r))), max(0, int(np.ceil(cx - r)))
        y1, x1 = min(height, int(cy + r) + 1), min(width, int(cx + r) + 1)
        if y0 < y1 and x0 < x1:
            yy, xx = np.ogrid[y0:y1, x0:x1]
            patch = seeds[y0:y1, x0:x1]
            patch[((yy - cy) ** 2 + (xx - cx) ** 2 <= r * r) & (patch == 0)] = i + 1
    return seeds


def enlarge(
    labels: NDArray[np.int32],
    corner: tuple[int, int],
    grid: TileGrid,
    region: tuple[int, int, int, int],
) -> NDArray[np.int32]:
    """Repeat mask pixels so that they lie on level-0 pixels.

    Parameters
    ----------
    labels : ndarray, int32, shape (h, w)
        On the mask grid.
    corner : (y, x)
        Its first mask pixel.
    grid : TileGrid
    region : (y, x, height, width)
        Level-0 pixels wanted.

    Returns
    -------
    ndarray, int32, shape (height, width)
    """
    index = []
    for axis in (0, 1):
        level0 = region[axis] + np.arange(region[axis + 2])
        mask = np.floor((level0 + 0.5) / (grid.factor[axis] * MASK_STRIDE)).astype(int)
        index.append(np.clip(mask - corner[axis], 0, labels.shape[axis] - 1))
    return labels[np.ix_(*index)]


def mask_box(grid: TileGrid, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the rectangle (y, x, height, width) of mask pixels that covers level-0 pixels."""
    low, high = [], []
    for axis in (0, 1):
        step = grid.factor[axis] * MASK_STRIDE
        low.append(int(np.floor((region[axis] + 0.5) / step)))
        high.append(int(np.floor((region[axis] + region[axis + 2] - 0.5) / step)) + 1)
    return low[0], low[1], high[0] - low[0], high[1] - low[1]
