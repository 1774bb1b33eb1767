"""How good a model is in reviewed regions: figures, confusions, calibration, and whether there is
enough to judge by.

Pure numpy; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.evaluation.matching import match_points
from napari_xce.evaluation.scores import Score, score_detections

#: Fewer true cells of a class than this are too few to judge it by.
ENOUGH_CELLS = 30
#: An interval of F1 wider than this says little.
WIDEST_INTERVAL = 0.2
#: Bins of the scores, [0, 1] in equal parts.
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Predicted cells whose scores are alike: how many, their mean score, which share is right."""

    count: int
    score: float
    right: float


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How good a model is.

    Attributes
    ----------
    scores : dict of str to Score
        Precision, recall, F1 of each class with 95 % intervals.
    confusion : ndarray, int64, shape (C + 1, C + 1)
        Rows: what is there, columns: what was found; classes in order, and last "nothing".
    bins : tuple of Bin
        From low scores to high; without empty ones.
    regions : int
        How many regions it was measured in.
    tested : bool
        Whether they are set aside, so that learning has never seen them.
    """

    scores: dict[str, Score]
    confusion: NDArray[np.int64]
    bins: tuple[Bin, ...]
    regions: int
    tested: bool

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the confusions."""
        return list(self.scores)

    @property
    def calibration_error(self) -> float:
        """Mean distance of score and share of right cells, weighted by cells; NaN without any."""
        counts = np.array([b.count for b in self.bins])
        away = np.array([abs(b.score - b.right) for b in self.bins])
        return float(counts @ away / counts.sum()) if len(counts) else float("nan")

    @property
    def mean_f1(self) -> float:
        """Mean F1 of the classes that have true cells; NaN where there is none."""
        known = [s.f1 for s in self.scores.values() if s.true_positives + s.false_negatives]
        return float(np.mean(known)) if known else float("nan")


def measure(
    truth_points: ArrayLike,
    truth_labels: ArrayLike,
    truth_regions: ArrayLike,
    points: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    regions: ArrayLike,
    radius: float,
    thresholds: dict[str, float],
    *,
    n_regions: int,
    tested: bool,
) -> Quality:
    """Compare what was found in regions with what is there.

    Parameters
    ----------
    truth_points, points : float, shape (N, 2) and (M, 2)
        True and predicted centres, (y, x), one frame and unit.
    truth_labels, labels : str, shape (N,) and (M,)
        Their class names.
    truth_regions, regions : int, shape (N,) and (M,)
        The region each lies in; cells of different regions never match.
    scores : float, shape (M,)
        Scores of the predictions, low ones too: they tell of calibration.
    radius : float
        Largest distance of a match.
    thresholds : dict of str to float
        From which score a cell counts; its keys are the classes, in order.
    n_regions : int
        Regions in all, empty ones too.
    tested : bool
        Whether the regions were set aside.

    Returns
    -------
    Quality

    Notes
    -----
    Intervals resample regions where there are two or more with cells, else cells; see
    `bootstrap_score`. Confusions pair cells whatever their class. For the bins a predicted cell is
    right when it pairs with a true cell of its own class.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    labels, scores, regions = np.asarray(labels, np.str_), np.asarray(scores), np.asarray(regions)
    truth_labels, truth_regions = np.asarray(truth_labels, np.str_), np.asarray(truth_regions)
    # float32, as scores are, so that an equal one counts
    limits = np.array([thresholds.get(n, 2.0) for n in labels.tolist()], np.float32)
    counts = scores.astype(np.float32) >= limits
    classes = list(thresholds)
    several = len(np.unique(np.concatenate([truth_regions, regions[counts]]))) > 1
    figures = score_detections(
        truth_points,
        truth_labels,
        points[counts],
        labels[counts],
        scores[counts],
        radius,
        classes,
        truth_images=truth_regions if several else None,
        images=regions[counts] if several else None,
    )
    true = (truth_points, truth_labels, truth_regions)
    return Quality(
        figures,
        _confusion(
            true,
            (points[counts], labels[counts], regions[counts]),
            scores[counts],
            radius,
            classes,
        ),
        _bins(
            (truth_points, truth_labels, truth_regions), (points, labels, regions), scores, radius
        ),
        n_regions,
        tested,
    )


Cells = tuple[ArrayLike, NDArray[np.str_], NDArray[np.generic]]  # points, labels, regions


def _confusion(
    true: Cells, found: Cells, scores: NDArray[np.floating], radius: float, classes: list[str]
) -> NDArray[np.int64]:
    """Count pairs of any classes, missed cells (last column) and false ones (last row)."""
    t, p = match_points(true[0], found[0], scores, radius, truth_images=true[2], images=found[2])
    number = {name: k for k, name in enumerate(classes)}
    row = np.array([number.get(n, -1) for n in true[1].tolist()], int)
    column = np.array([number.get(n, -1) for n in found[1].tolist()], int)
    nothing = len(classes)
    missed, false = np.delete(row, t), np.delete(column, p)
    rows = np.concatenate([row[t], missed, np.full(len(false), nothing)])
    columns = np.concatenate([column[p], np.full(len(missed), nothing), false])
    table = np.zeros((nothing + 1, nothing + 1), np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def _bins(
    true: Cells, found: Cells, scores: NDArray[np.floating], radius: float
) -> tuple[Bin, ...]:
    """Compare scores with the share of cells that are right."""
    right = np.zeros(len(scores), bool)
    for name in np.unique(found[1]):
        mine, theirs = np.flatnonzero(found[1] == name), true[1] == name
        _, p = match_points(
            np.asarray(true[0]).reshape(-1, 2)[theirs],
            np.asarray(found[0])[mine],
            scores[mine],
            radius,
            truth_images=true[2][theirs],
            images=found[2][mine],
        )
        right[mine[p]] = True
    which = np.clip((np.asarray(scores) * BINS).astype(int), 0, BINS - 1)
    chosen = [which == b for b in range(BINS)]
    return tuple(
        Bin(int(c.sum()), float(scores[c].mean()), float(right[c].mean()))
        for c in chosen
        if c.any()
    )


def doubts(quality: Quality) -> list[str]:
    """Say why the figures are not to be relied on yet, and what to do.

    Parameters
    ----------
    quality : Quality

    Returns
    -------
    list of str
        Empty where they can be.

    Notes
    -----
    The rule: a class can be judged from 30 true cells on (`ENOUGH_CELLS`; with fewer, one cell
    moves the recall by more than 3 points) and where the interval of its F1 is at most 0.2 wide
    (`WIDEST_INTERVAL`); all of it from two regions on, since one place says nothing of another;
    and only regions that are set aside are unseen by learning.
    """
    words = []
    few, wide = [], []
    for name, score in quality.scores.items():
        cells = score.true_positives + score.false_negatives
        if cells < ENOUGH_CELLS:
            few.append(f"{name} ({cells} of {ENOUGH_CELLS} cells)")
        elif score.f1_interval[1] - score.f1_interval[0] > WIDEST_INTERVAL:
            wide.append(name)
    if few:
        words.append(f"Too little to judge {_and(few)}: review another region.")
    if wide:
        words.append(f"The interval of {_and(wide)} is wide: review another region.")
    if quality.regions < 2:
        words.append("All is from one region: review a second one elsewhere on the slide.")
    if not quality.tested:
        words.append(
            "The model has learnt from these regions, so the figures lean to the good side: "
            "review a test region, which it never sees."
        )
    accepted = sum(score.accepted for score in quality.scores.values())
    if accepted:
        true = sum(s.true_positives + s.false_negatives for s in quality.scores.values())
        words.append(
            f"{accepted} of the {true} true cells are accepted predictions: that flatters it."
        )
    return words


def _and(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
