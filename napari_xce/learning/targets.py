"""From what the user said to what the network should say: targets on the grid and on pixels.

-1 unannotated, 0 background, k + 1 class k. Unannotated stays unannotated: only exclusive
cross-entropy may use it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.draw import polygon2mask

from napari_xce.learning.losses import BACKGROUND, UNANNOTATED
from napari_xce.learning.trunk import GRID_STRIDE, MASK_STRIDE

Points = NDArray[np.float64]
#: A click's disc on pixels and, for a dense class, on the grid, and the ring around it that is
#: safely not the middle of another cell (the ring of Qu et al., IEEE TMI 2020), as shares of the
#: cell's diameter.
DISC, GRID_DISC, RING_INNER, RING_OUTER = 0.3, 0.2, 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Said:
    """What the user said inside one square crop, in working pixels of the crop.

    Attributes
    ----------
    points : ndarray, float64, shape (N, 2)
        Clicks and rejections.
    labels : ndarray, int64, shape (N,)
        0 = rejected, k + 1 = class k, -1 = there is a cell, but it is kept from learning.
    ringed : ndarray, bool, shape (N,)
        Whether the class is dense: no proposal separates its cells, so a ring must.
    masks : list of (polygon (M, 2), label)
        Filled areas.
    regions : list of polygon (M, 2)
        Reviewed: what is not annotated there is background.
    diameter : float
        Of a cell, working pixels.
    """

    points: Points
    labels: NDArray[np.int64]
    ringed: NDArray[np.bool_]
    masks: list[tuple[Points, int]]
    regions: list[Points]
    diameter: float


def grid_target(said: Said, size: int) -> NDArray[np.int64]:
    """Return the target of each grid cell, int64, shape (size / 4, size / 4)."""
    side = size // GRID_STRIDE
    target, distance, nearest = _canvas(said, side, GRID_STRIDE)
    if len(said.points):
        label = said.labels[nearest]
        target[(label == BACKGROUND) & (distance <= DISC * said.diameter)] = BACKGROUND
        _draw_rings(target, said, distance, nearest)
        blob = said.ringed[nearest] & (distance <= GRID_DISC * said.diameter)
        target[blob] = label[blob]
        cells = np.floor((said.points + 0.5) / GRID_STRIDE).astype(int)
        inside = ((cells >= 0) & (cells < side)).all(1)
        rows, columns = cells[inside].T
        target[rows, columns] = said.labels[inside]
    return target


def pixel_target(said: Said, size: int) -> NDArray[np.int64]:
    """Return the target of each pixel at stride 2, int64, shape (size / 2, size / 2)."""
    side = size // MASK_STRIDE
    target, distance, nearest = _canvas(said, side, MASK_STRIDE)
    if len(said.points):
        _draw_rings(target, said, distance, nearest)
    for polygon, label in said.masks:
        scaled = (polygon + 0.5) / MASK_STRIDE - 0.5
        target[polygon2mask((side, side), scaled)] = label
    if len(said.points):
        disc = distance <= DISC * said.diameter
        target[disc] = said.labels[nearest[disc]]
    return target


def _canvas(
    said: Said, side: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Fill reviewed regions with background; measure the way to the nearest click."""
    target = np.full((side, side), UNANNOTATED)
    middle = (np.arange(side) + 0.5) * stride - 0.5
    where = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1)
    if len(said.points):
        distance, nearest = cKDTree(said.points).query(where)
    else:
        distance, nearest = np.full((side, side), np.inf), np.zeros((side, side), int)
    free = distance > RING_INNER * said.diameter
    if len(said.points):
        free |= said.labels[nearest] == BACKGROUND  # nothing is spared around a rejection
    for polygon in said.regions:
        inside = polygon2mask((side, side), (polygon + 0.5) / stride - 0.5)
        target[inside & free] = BACKGROUND
    return target, distance, nearest


def _draw_rings(
    target: NDArray[np.int64],
    said: Said,
    distance: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> None:
    """Put background around clicks of dense classes, between cell and cell."""
    ring = (distance >= RING_INNER * said.diameter) & (distance <= RING_OUTER * said.diameter)
    target[ring & said.ringed[nearest]] = BACKGROUND
