"""Where the cells of a class lie densest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import convolve
from scipy.spatial import cKDTree

RADIUS_UM = 250.0
"""Radius of a hot spot: a disc of 0.196 mm2, about one high-power field."""
_BINS = 8  # bins of the coarse search along a radius


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A disc in which many cells of a class lie.

    Parameters
    ----------
    yx : (float, float)
        Centre, level-0 pixels.
    cells : int
        Cells within the disc.
    radius : (float, float)
        Of the disc, level-0 pixels, (y, x).
    """

    yx: tuple[float, float]
    cells: int
    radius: tuple[float, float]


def hot_spots(
    points: ArrayLike, radius: tuple[float, float], shape: tuple[int, int], count: int = 3
) -> list[HotSpot]:
    """Find the discs with most cells; no two overlap.

    Parameters
    ----------
    points : float, shape (N, 2)
        Centres of the cells, level-0 pixels, (y, x).
    radius : (float, float)
        Of the disc, level-0 pixels, (y, x).
    shape : (int, int)
        Of the slide; centres of discs lie on it.
    count : int
        How many at most.

    Returns
    -------
    list of HotSpot
        Most cells first; fewer than `count` where nothing is left.

    Notes
    -----
    Cells are counted in square bins of an eighth of the radius, and the bins that a disc covers
    are summed; then the cells of the chosen discs are counted exactly.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not len(points):
        return []
    step = np.array(radius) / _BINS
    bins = [max(1, math.ceil(side / size)) for side, size in zip(shape, step, strict=True)]
    index = np.clip(((points + 0.5) / step).astype(np.intp), 0, np.array(bins) - 1)
    table = np.zeros(bins)
    np.add.at(table, tuple(index.T), 1)
    offsets = np.arange(-_BINS, _BINS + 1)
    disc = (np.hypot(*np.meshgrid(offsets, offsets)) <= _BINS).astype(float)
    sums = convolve(table, disc, mode="constant")
    tree = cKDTree(points / radius)
    found: list[HotSpot] = []
    while len(found) < count and sums.max() >= 1:
        row, column = np.unravel_index(np.argmax(sums), sums.shape)
        y, x = (np.array([row, column]) + 0.5) * step - 0.5
        cells = len(tree.query_ball_point(np.array([y, x]) / radius, 1.0))
        found.append(HotSpot((float(y), float(x)), cells, radius))
        rows, columns = np.ogrid[: bins[0], : bins[1]]
        sums[np.hypot(rows - row, columns - column) < 2 * _BINS] = 0
    return sorted(found, key=lambda spot: -spot.cells)
