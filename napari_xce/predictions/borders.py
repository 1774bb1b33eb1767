"""Cells found twice: by two tiles on either side of their border.

A cell on a border is seen by both tiles, and small differences in where they put its centre can
leave it in both cores. Pure functions, any thread.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

SAME_CELL = 0.35  # of the mean diameter: nearer centres than this are one cell


class Cells(Protocol):
    """What `find_doubles` asks of cells; `Detections` and `Columns` have it."""

    @property
    def points(self) -> NDArray[np.float64]: ...  # (N, 2)

    @property
    def scores(self) -> NDArray[np.float32]: ...  # (N,)

    @property
    def diameters(self) -> NDArray[np.float32]: ...  # (N,)


def find_doubles(
    first: Cells, second: Cells, merge_radius: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the cells of two tiles that are the other tile's cells, found with a lower score.

    Parameters
    ----------
    first, second : Detections or Columns
        The cells of two tiles. Where scores are equal, those of `first` stand.
    merge_radius : float, optional
        Greatest distance between the two centres of one cell, level-0 pixels. By default 0.35 times
        the mean of the two diameters, or the one that is known; nothing where neither is.

    Returns
    -------
    doubled_first, doubled_second : intp, shape (K,), (L,)
        Indices of the cells that should not be shown.

    Notes
    -----
    Two cells are one when each is the other's nearest cell in the other tile, and near enough,
    whatever their classes. So cells are matched one to one: of two real cells that touch, the other
    tile's double hides at most one.
    """
    nothing = np.empty(0, dtype=np.intp)
    reach = _reach(first, second, merge_radius)
    near_first = _near_the_other(first, second, reach)
    near_second = _near_the_other(second, first, reach)
    if not (near_first.size and near_second.size):
        return nothing, nothing
    one, two = _mutual_nearest(first.points[near_first], second.points[near_second], reach)
    one, two = near_first[one], near_second[two]
    if merge_radius is None:
        distance = np.linalg.norm(first.points[one] - second.points[two], axis=1)
        same = distance <= SAME_CELL * _mean_known(first.diameters[one], second.diameters[two])
        one, two = one[same], two[same]
    first_stands = first.scores[one] >= second.scores[two]
    return one[~first_stands], two[first_stands]


def _reach(first: Cells, second: Cells, merge_radius: float | None) -> float:
    """Return the greatest distance at which any two cells could be one, level-0 pixels."""
    if merge_radius is not None:
        return merge_radius
    known = [np.fmax.reduce(cells.diameters, initial=0.0) for cells in (first, second)]
    return SAME_CELL * float(max(known))


def _near_the_other(cells: Cells, other: Cells, reach: float) -> NDArray[np.intp]:
    """Return the indices of cells within reach of the rectangle around the other tile's cells."""
    if not (len(cells.points) and len(other.points)):
        return np.empty(0, dtype=np.intp)
    low, high = other.points.min(axis=0) - reach, other.points.max(axis=0) + reach
    return np.flatnonzero(((cells.points >= low) & (cells.points <= high)).all(axis=1))


def _mutual_nearest(
    first: NDArray[np.float64], second: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of points that are each other's nearest and within reach."""
    distance, nearest = cKDTree(second).query(first)
    back = cKDTree(first).query(second)[1]
    one = np.flatnonzero((back[nearest] == np.arange(len(first))) & (distance <= reach))
    return one, nearest[one]


def _mean_known(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the mean of two diameters, the known one where one is NaN, else NaN."""
    return (np.fmin(a, b) + np.fmax(a, b)) / 2
