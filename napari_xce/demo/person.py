"""A simulated person: clicks a few cells in one window of a slide, then puts some of it right.

It knows the truth of its window and nothing else, clicks near a cell's centre rather than on it,
and every one of its clicks and rejections is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.evaluation.matching import match_points
from napari_xce.predictions.detections import Detections
from napari_xce.slides.synthetic import Region, Truth

Points = NDArray[np.float64]

#: The window's side, as a share of the slide's shorter side.
WINDOW_SHARE = 0.4
#: How far a click lies from the centre, standard deviation, as a share of the cell's diameter.
UNSTEADINESS = 0.12
#: More cells of a class than this make a window no better.
ENOUGH_CELLS = 24


@dataclass(frozen=True, slots=True)
class Said:
    """What the person said in one go.

    Attributes
    ----------
    clicks : dict of str to ndarray, float64, shape (N, 2)
        Points by class, level-0 pixels, (y, x).
    rejections : ndarray, float64, shape (M, 2)
        Points where there is no cell.
    """

    clicks: dict[str, Points]
    rejections: Points

    def __len__(self) -> int:
        return sum(len(points) for points in self.clicks.values()) + len(self.rejections)


class Person:
    """Clicks in the window that shows most kinds of cells.

    Parameters
    ----------
    truth : Truth
        Every cell of the slide.
    shape : (int, int)
        Of the slide, level-0 pixels.
    radius : float
        A detection this near to a cell is meant for it, level-0 pixels.
    seed : int
        The same seed, the same clicks.

    Attributes
    ----------
    window : ((y0, x0), (y1, x1))
        All it looks at, level-0 pixels, half-open.
    """

    def __init__(self, truth: Truth, shape: tuple[int, int], radius: float, seed: int) -> None:
        self.window = best_window(truth, shape)
        inside = in_region(truth.points, self.window)
        self._truth = Truth(truth.points[inside], truth.labels[inside], truth.diameters[inside])
        self._clicked = np.zeros(len(self._truth), bool)
        self._radius = radius
        self._rng = np.random.default_rng(seed)

    def first_clicks(self, per_class: int) -> Said:
        """Click some cells of each class, at most ``per_class`` of each."""
        chosen = [
            self._some(np.flatnonzero(self._truth.labels == name), per_class)
            for name in np.unique(self._truth.labels)
        ]
        return self._say(np.concatenate(chosen), np.empty((0, 2)))

    def corrections(self, cells: Detections, most: int) -> Said:
        """Look at what was predicted in the window and put the worst right.

        Parameters
        ----------
        cells : Detections
            What was predicted, of the whole slide or of a part of it.
        most : int
            At most so many mistakes of a sort: cells of the wrong class and false cells (the
            surest first), cells missed (any).

        Returns
        -------
        Said
            Empty when there is nothing to put right.
        """
        cells = cells[in_region(cells.points, self.window)]
        true, found = match_points(self._truth.points, cells.points, cells.scores, self._radius)
        wrong = self._truth.labels[true] != cells.labels[found]
        surest = np.argsort(-cells.scores[found[wrong]], kind="stable")
        relabelled = true[wrong][surest]
        missed = np.setdiff1d(np.arange(len(self._truth)), true)
        return self._say(
            np.concatenate(
                [
                    relabelled[~self._clicked[relabelled]][:most],
                    self._some(missed[~self._clicked[missed]], most),
                ]
            ),
            self._false_cells(np.delete(np.arange(len(cells)), found), cells)[:most],
        )

    def _false_cells(self, unmatched: NDArray[np.int64], cells: Detections) -> Points:
        """Return detections far from any cell, the surest first."""
        order = unmatched[np.argsort(-cells.scores[unmatched], kind="stable")]
        if not len(self._truth):
            return cells.points[order]
        away = cKDTree(self._truth.points).query(cells.points[order])[0]
        return cells.points[order[away > self._radius]]

    def _some(self, of: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """Choose at random, at most so many."""
        return self._rng.permutation(of)[:most]

    def _say(self, cells: NDArray[np.int64], rejections: Points) -> Said:
        """Click cells, each near its centre."""
        self._clicked[cells] = True
        wobble = self._rng.normal(size=(len(cells), 2)) * UNSTEADINESS
        points = self._truth.points[cells] + wobble * self._truth.diameters[cells, None]
        labels = self._truth.labels[cells]
        return Said({str(n): points[labels == n] for n in np.unique(labels)}, rejections)


def best_window(truth: Truth, shape: tuple[int, int]) -> Region:
    """Return the square window that holds enough cells of most classes.

    Parameters
    ----------
    truth : Truth
        Every cell of the slide.
    shape : (int, int)
        Of the slide, level-0 pixels.

    Returns
    -------
    ((y0, x0), (y1, x1))
        Level-0 pixels; of equally good ones the first in reading order.
    """
    side = round(WINDOW_SHARE * min(shape))
    best: tuple[int, Region] | None = None
    for y in range(0, shape[0] - side + 1, max(1, side // 4)):
        for x in range(0, shape[1] - side + 1, max(1, side // 4)):
            region = ((float(y), float(x)), (float(y + side), float(x + side)))
            labels = truth.labels[in_region(truth.points, region)]
            counts = np.unique(labels, return_counts=True)[1]
            worth = int(np.minimum(counts, ENOUGH_CELLS).sum())
            if best is None or worth > best[0]:
                best = worth, region
    assert best is not None
    return best[1]


def in_region(points: Points, region: Region, margin: float = 0.0) -> NDArray[np.bool_]:
    """Tell which points, shape (N, 2), lie in a region, made wider by a margin on each side."""
    low, high = np.array(region[0]) - margin, np.array(region[1]) + margin
    return np.asarray(((points >= low) & (points < high)).all(axis=1))
