"""How far the cells of one class lie from the nearest cell of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.predictions.detections import Detections


@dataclass(frozen=True, slots=True)
class Distance:
    """Distances from each cell of a class to the nearest of another, centre to centre.

    Parameters
    ----------
    source, target : str
        From the cells of which class, to those of which.
    cells : int
        How many cells were measured from.
    median_um, lower_um, upper_um : float
        Median and quartiles, micrometres.
    """

    source: str
    target: str
    cells: int
    median_um: float
    lower_um: float
    upper_um: float


def nearest_distances(
    cells: Detections,
    inside: NDArray[np.bool_],
    classes: Sequence[str],
    mpp: tuple[float, float],
) -> tuple[Distance, ...]:
    """Measure from every class to every other class.

    Parameters
    ----------
    cells : Detections
        All cells of the slide.
    inside : bool, shape (N,)
        Those to measure from. The nearest cell may lie outside, so that the border of a place
        makes no distance longer.
    classes : sequence of str
    mpp : (float, float)
        Micrometres per level-0 pixel, (y, x).

    Returns
    -------
    tuple of Distance
        In the order of the classes; a pair of which one class has no cell is left out.
    """
    places = cells.points * np.array(mpp)
    of_class = {name: cells.labels == name for name in classes}
    trees = {name: cKDTree(places[mine]) for name, mine in of_class.items() if mine.any()}
    found = []
    for source in classes:
        start = places[of_class[source] & inside]
        for target, tree in trees.items():
            if target != source and len(start):
                distance, _ = tree.query(start)
                low, middle, high = np.percentile(distance, [25, 50, 75]).tolist()
                found.append(Distance(source, target, len(start), middle, low, high))
    return tuple(found)
