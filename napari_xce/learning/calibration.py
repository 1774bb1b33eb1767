"""Fit the click learner with what its own left-out clicks say: which numbers to trust, how much of
the unknown is of no class, and from which score on a cell counts.

Plain cross-entropy collapses under missing labels largely because 0.5 is the wrong threshold, and
because the unknown is taken for "other" whatever it is. Here each click is scored by a fit that
never saw it, and three choices follow from these scores. What was tried: ``docs/method.md``. Pure
numpy; any thread.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.click_learner import OTHER, RIDGE, UNANNOTATED, ClickModel, fit_clicks
from napari_xce.learning.memory import Rows

#: Share of the median left-out score from which a cell counts: where the clicks of a class have
#: others of it elsewhere, and where all lie in one place and so look alike.
SHARE_OF_MEDIAN, SHARE_IN_ONE_PLACE = 0.6, 0.45
#: Share of its own score for a single click, which cannot be left out.
SHARE_OF_OWN = 0.2
#: A class that is alone counts from above this share of what was rejected, but never from above its
#: own median: who rejects has seen the worst, and who clicks then what was missed. Beside other
#: classes, whose clicks speak against it, it does not need that.
SHARE_REJECTED = 0.75
#: Where the threshold may lie; the default is that of a class that has not been learnt.
LOWEST, HIGHEST, DEFAULT = 0.1, 0.6, 0.4
FOLDS = 5
#: The unknown weighs as much as a class while this share of it is estimated to be of none; less of
#: it weighs less, down to the floor.
#: (Pairs: of one class, of several.)
FULL_SHARES, LEAST_WEIGHT = (0.7, 0.35), 0.1
#: The first clicks count beside so many that tell a share known before.
PRIOR_CLICKS, PRIOR_SHARES = 2.0, (0.5, 0.1)
#: Another emphasis is chosen for a gain in rank over the first one of this over sqrt(places):
#: clicks side by side look alike for their place, so left out they test less what tells kinds.
LEAST_GAIN = 0.1
#: The weight of the unknown stays as it was while it would change by less than this, in logs.
LEAST_CHANGE = 0.25

Emphasis = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fit and what its left-out clicks say of it.

    Attributes
    ----------
    fit : ClickModel
    thresholds : list of float
        In [0.1, 0.6], by class.
    emphasis : ndarray, float64, shape (D,)
        The one chosen among those offered.
    unknown_weight : float
        That of the unannotated rows in ``fit``, in [0.1, 1].
    """

    fit: ClickModel
    thresholds: list[float]
    emphasis: Emphasis
    unknown_weight: float

    def refit(self, rows: Rows, n_classes: int, ridge: float = RIDGE) -> ClickModel:
        """Fit other rows of as many classes under the same settings, from this fit on."""
        return fit_clicks(
            rows.vectors,
            rows.labels,
            rows.weights,
            n_classes,
            ridge,
            self.fit,
            self.emphasis,
            self.unknown_weight,
            standard=rows.standard,
        )


def calibrate(
    rows: Rows,
    n_classes: int,
    emphases: Sequence[Emphasis],
    ridge: float = RIDGE,
    former: Calibrated | None = None,
    places: int | None = None,
) -> Calibrated:
    """Fit the classes and choose emphasis, weight of the unknown and thresholds.

    Parameters
    ----------
    rows : Rows
        Scores are multiplied by the probability that there is an object.
    n_classes : int
        Number of classes, without "other".
    emphases : sequence of ndarray, float64, shape (D,)
        Emphases to choose from, at least one. Another than the first must rank left-out clicks
        higher by ``LEAST_GAIN`` / sqrt(places); the former choice has half of that in its favour.
    ridge : float
        As in ``fit_clicks``.
    former : Calibrated, optional
        Of nearly the same rows: the fits start from it, and its choices stay where others are
        hardly better, so that not every click paints everything anew.
    places : int, optional
        In how many places the clicks lie; by default each in one of its own.

    Returns
    -------
    Calibrated

    Notes
    -----
    *Emphasis.* The rank of a left-out click is the share of the unannotated rows that score lower
    for its class; a class counts by the mean of its clicks. As the unannotated hold cells of the
    class, ranks stay below 1 for every emphasis alike, and only differences count.

    *The unknown.* While classes are still missing, "other" must be learnt from the unknown; when
    the classes cover all there is, the unknown speaks against them wrongly. See ``share_of_none``.

    *Thresholds.* 0.6 of the median left-out score, by class; 0.45 of it where there are no more
    places than classes, as a click is found too easily among others beside it; 0.2 of the score
    of a single click. With one class it rises to the score below which three quarters of what was
    rejected lie, up to the median left-out score.
    """
    steps = calibrating(rows, n_classes, emphases, ridge, former, places)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Calibrated = done.value
            return found


def calibrating(
    rows: Rows,
    n_classes: int,
    emphases: Sequence[Emphasis],
    ridge: float = RIDGE,
    former: Calibrated | None = None,
    places: int | None = None,
) -> Generator[None, None, Calibrated]:
    """Do as `calibrate`, with a pause after each fit, so that nobody has to wait for all of them.

    Arguments and what is returned in the end are those of `calibrate`.
    """
    start = former.fit if former is not None else None
    trials = []
    for emphasis in emphases:
        trials.append((yield from _Trial.of(rows, n_classes, emphasis, ridge, 1.0, start)))
    clicks = len(trials[0].clicks)
    places = clicks if places is None else min(places, clicks)
    weight = trials[0].unknown_weight()  # the chosen one may tell clicks from unknown too well
    needed = LEAST_GAIN / np.sqrt(max(places, 1))
    ranks = [trial.rank for trial in trials]
    if former is not None:
        stays = [np.array_equal(trial.emphasis, former.emphasis) for trial in trials].index(True)
        ranks[stays] += needed / 2
        if abs(np.log(weight / former.unknown_weight)) < LEAST_CHANGE:
            weight = former.unknown_weight
    ranks[0] += needed
    trial = trials[int(np.argmax(ranks))]
    if weight < 1.0:
        trial = yield from _Trial.of(rows, n_classes, trial.emphasis, ridge, weight, trial.fit)
    of_median = SHARE_OF_MEDIAN if places > n_classes else SHARE_IN_ONE_PLACE
    thresholds = [trial.threshold(label, of_median) for label in range(1, n_classes + 1)]
    return Calibrated(trial.fit, thresholds, trial.emphasis, trial.unknown)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A fit under some settings, and the probabilities of its clicks when left out."""

    rows: Rows
    emphasis: Emphasis
    unknown: float
    fit: ClickModel
    clicks: NDArray[np.int64]
    left_out: NDArray[np.float64]  # (clicks, C + 1), NaN where a click could not be left out

    @classmethod
    def of(
        cls,
        rows: Rows,
        n_classes: int,
        emphasis: Emphasis,
        ridge: float,
        unknown: float,
        start: ClickModel | None,
    ) -> Generator[None, None, _Trial]:
        """Fit, and fit without the clicks of each fold; a pause after each."""

        settings = (emphasis, unknown)

        def fitted(rows: Rows, start: ClickModel | None, like: ClickModel | None) -> ClickModel:
            of = (rows.vectors, rows.labels, rows.weights)
            return fit_clicks(*of, n_classes, ridge, start, *settings, like, rows.standard)

        fit = fitted(rows, start, None)
        clicks = np.flatnonzero(rows.labels > OTHER)
        folds = _folds(rows.labels[clicks])
        left_out = np.full((len(clicks), n_classes + 1), np.nan)
        for fold in np.unique(folds[folds >= 0]):
            out = clicks[folds == fold]
            keep = np.ones(len(rows.labels), bool)
            keep[out] = False
            yield
            without = fitted(rows.taken(keep), None, fit)
            left_out[folds == fold] = without.probabilities(rows.vectors[out])
        return cls(rows, emphasis, unknown, fit, clicks, left_out)

    def _of_class(self, label: int) -> NDArray[np.bool_]:
        """Tell which clicks are of a class and could be left out."""
        return (self.rows.labels[self.clicks] == label) & np.isfinite(self.left_out[:, 0])

    def threshold(self, label: int, of_median: float) -> float:
        """Return the threshold that the left-out clicks of a class, or its only one, call for."""
        mine = self._of_class(label)
        if mine.any():
            objects = self.rows.objects[self.clicks[mine]]
            alone = self.left_out.shape[1] == 2
            other = np.flatnonzero(self.rows.labels == OTHER)
            rejected = self._scores(label, other) if alone else None
            return threshold_of(self.left_out[mine, label] * objects, of_median, rejected)
        own = self.clicks[self.rows.labels[self.clicks] == label]
        if not len(own):
            return DEFAULT
        value = SHARE_OF_OWN * self._scores(label, own).mean()
        return float(np.clip(value, LOWEST, HIGHEST))

    def _scores(self, label: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the fit of all clicks scores some rows for a class."""
        p = self.fit.probabilities(self.rows.vectors[rows])[:, label]
        return p * self.rows.objects[rows]

    @property
    def rank(self) -> float:
        """Mean rank of left-out clicks among the unannotated; 0.5 with nothing to rank."""
        unknown = self.rows.labels == UNANNOTATED
        if not unknown.any():
            return 0.5
        p = np.sort(self.fit.probabilities(self.rows.vectors[unknown]), axis=0)
        ranks = [
            np.searchsorted(p[:, label], self.left_out[mine, label]).mean() / len(p)
            for label in range(1, p.shape[1])
            if (mine := self._of_class(label)).any()
        ]
        return float(np.mean(ranks)) if ranks else 0.5

    def unknown_weight(self) -> float:
        """Return how much the unannotated should weigh."""
        unknown = self.rows.labels == UNANNOTATED
        of_classes = [
            self.left_out[mine, OTHER].mean()
            for label in range(1, self.left_out.shape[1])
            if (mine := self._of_class(label)).any()
        ]
        if not unknown.any() or not of_classes:
            return 1.0
        p = self.fit.probabilities(self.rows.vectors[unknown])[:, OTHER]
        share = share_of_none(p, self.rows.weights[unknown], float(np.mean(of_classes)))
        n_classes = self.left_out.shape[1] - 1
        mean_clicks, prior = len(self.clicks) / n_classes, PRIOR_SHARES[n_classes > 1]
        share = (mean_clicks * share + PRIOR_CLICKS * prior) / (mean_clicks + PRIOR_CLICKS)
        return float(np.clip(share / FULL_SHARES[n_classes > 1], LEAST_WEIGHT, 1.0))


def share_of_none(
    p_other: NDArray[np.float64], weights: NDArray[np.float64], at_clicks: float
) -> float:
    """Estimate which share of the unannotated cells is of none of the classes.

    Parameters
    ----------
    p_other : ndarray, float64, shape (N,)
        Probability of "other" of each unannotated cell.
    weights : ndarray, float64, shape (N,)
        Probability that each is a cell.
    at_clicks : float
        Mean probability of "other" of left-out clicks, the classes counting alike.

    Returns
    -------
    float
        In [0, 1].

    Notes
    -----
    The unknown is a mixture of cells of the classes, which look like left-out clicks, and of none.
    With means m_u of all, m_k of the clicks and m_o of those with p > 1/2 for the pure rest, the
    share is (m_u - m_k) / (m_o - m_k): mixture proportion estimation by one moment.
    """
    mean = float(np.average(p_other, weights=weights)) if weights.sum() > 0 else at_clicks
    rest = (p_other > 0.5) & (weights > 0)
    of_rest = float(np.average(p_other[rest], weights=weights[rest])) if rest.any() else 1.0
    return float(np.clip((mean - at_clicks) / max(of_rest - at_clicks, 0.05), 0.0, 1.0))


def threshold_of(
    scores: NDArray[np.float64],
    of_median: float = SHARE_OF_MEDIAN,
    rejected: NDArray[np.float64] | None = None,
) -> float:
    """Return the threshold that scores of left-out clicks of one class call for.

    Parameters
    ----------
    scores : ndarray, float64, shape (N,)
    of_median : float
        Share of their median that it is.
    rejected : ndarray, float64, shape (M,), optional
        Scores of what is explicitly none of the classes.
    """
    if not len(scores):
        return DEFAULT
    median = float(np.median(scores))
    value = of_median * median
    if rejected is not None and len(rejected):
        value = max(value, min(float(np.quantile(rejected, SHARE_REJECTED)), median))
    return float(np.clip(value, LOWEST, HIGHEST))


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal the clicks of each class out to the folds in turn; a class's only click to none (-1)."""
    folds = np.full(len(labels), -1)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        if len(mine) > 1:
            folds[mine] = np.arange(len(mine)) % min(FOLDS, len(mine))
    return folds
