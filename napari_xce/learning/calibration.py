"""From which score on a cell counts: a threshold for each class, found by leaving clicks out.

Plain cross-entropy collapses under missing labels largely because 0.5 is the wrong threshold. Here
each click is scored by a fit that never saw it; half the median of those scores is the threshold.
Found on brca_m2c by trying quantiles and multiples: ``docs/method.md``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.click_learner import ClickModel, fit_clicks
from napari_xce.learning.memory import Rows

#: Share of the median left-out score from which a cell counts.
SHARE_OF_MEDIAN = 0.5
#: Where the threshold may lie; with fewer than two clicks it is the default.
LOWEST, HIGHEST, DEFAULT = 0.1, 0.6, 0.4
FOLDS = 5


def calibrate(rows: Rows, fit: ClickModel, n_classes: int) -> list[float]:
    """Return the threshold of each class.

    Parameters
    ----------
    rows : Rows
        What ``fit`` was fitted to; the weight of a click is the probability that there is an
        object, by which its score is multiplied.
    fit : ClickModel
        Where the fits without some clicks start from.
    n_classes : int
        Number of classes, without "other".

    Returns
    -------
    list of float
        In [0.1, 0.6], by class.
    """
    clicks = np.flatnonzero(rows.labels > 0)
    folds = _folds(rows.labels[clicks])
    scores = np.full(len(clicks), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        out = clicks[folds == fold]
        scores[folds == fold] = _left_out_scores(rows, fit, n_classes, out)
    thresholds = []
    for label in range(1, n_classes + 1):
        thresholds.append(threshold_of(scores[(rows.labels[clicks] == label)]))
    return thresholds


def threshold_of(scores: NDArray[np.float64]) -> float:
    """Return the threshold that scores of left-out clicks of one class call for.

    Parameters
    ----------
    scores : ndarray, float64, shape (N,)
        NaN where a click could not be left out.
    """
    scores = scores[np.isfinite(scores)]
    value = SHARE_OF_MEDIAN * float(np.median(scores)) if len(scores) else DEFAULT
    return float(np.clip(value, LOWEST, HIGHEST))


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal the clicks of each class out to the folds in turn; a class's only click to none (-1)."""
    folds = np.full(len(labels), -1)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        if len(mine) > 1:
            folds[mine] = np.arange(len(mine)) % min(FOLDS, len(mine))
    return folds


def _left_out_scores(
    rows: Rows, fit: ClickModel, n_classes: int, out: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score some clicks by a fit without them."""
    keep = np.ones(len(rows.labels), bool)
    keep[out] = False
    without = fit_clicks(
        rows.vectors[keep], rows.labels[keep], rows.weights[keep], n_classes, start=fit
    )
    p = without.probabilities(rows.vectors[out])
    return p[np.arange(len(out)), rows.labels[out]] * rows.weights[out]
