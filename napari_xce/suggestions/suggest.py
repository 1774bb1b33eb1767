"""Choose the places that teach the model most, each with its reason in words.

One objective for few clicks and for many: a place is worth how much its answer would narrow what a
linear model of the cells leaves open, on average over the cells of the slide (transductive
experimental design). Without clicks these are cells far along the ways in which most cells differ;
a click settles all that is like it, so that the next place is of another kind. Cells of classes
with few clicks count more, and, the more is clicked, those the model is undecided about: a doubt
shared by many goes before an odd one. Always spread over the slide. Pure numpy; any thread.

References
----------
Yu, Bi, Tresp, Active Learning via Transductive Experimental Design, ICML 2006. What it was
measured beside, and what lost: ``docs/method.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.predictions.detections import Box
from napari_xce.suggestions.reasons import Look, reason

#: With so many clicks, doubt counts as much as discovery.
FEW_CLICKS = 60
#: Variance of an answer, as a share of the mean squared length of a vector.
NOISE = 0.5
#: Cells longer than so many times the median are drawn in: an odd one is no more than a cell.
LONGEST = 1.5
#: Suggestions of one call are at least this many cell diameters apart.
SPREAD = 4.0
#: How much a candidate next to the view, and one further away, counts against one inside.
NEAR_VIEW, OUTSIDE = 0.4, 0.15
#: A place this many cell diameters (0.22 mm) from anything said or shown is new tissue.
NEW_TISSUE = 28.0
#: How much a place right beside another that was said, shown or chosen counts.
BESIDE = 0.5
#: Cells looked at in one call, of more, some; and those that tell how unlike clicks a cell is.
MOST_CELLS, SOME = 10_000, 200
#: A class with few clicks counts at most so many times as much as another.
MOST_NEED = 3.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A place to look at next.

    Attributes
    ----------
    yx : tuple of float
        Level-0 pixels.
    reason : str
        Why, in words for the user.
    score : float
        How much it should teach, 0..1; only the order means something.
    guess : str
        The class the model would say, "" for none of them.
    """

    yx: tuple[float, float]
    reason: str
    score: float
    guess: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cells that may be suggested.

    Attributes
    ----------
    points : ndarray, float64, shape (N, 2)
        Centres, level-0 pixels.
    probabilities : ndarray, float64, shape (N, C + 1)
        Of "other" and of each class.
    vectors : ndarray, float32, shape (N, D)
        Descriptions by which likeness is measured.
    objects : ndarray, float32, shape (N,)
        Probability that each is a cell at all.
    """

    points: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    vectors: NDArray[np.float32]
    objects: NDArray[np.float32]

    def __getitem__(self, chosen: NDArray[np.generic]) -> Candidates:
        return Candidates(
            self.points[chosen],
            self.probabilities[chosen],
            self.vectors[chosen],
            self.objects[chosen],
        )


def suggest(
    candidates: Candidates,
    classes: list[str],
    clicked: NDArray[np.float32],
    n: int,
    *,
    avoid: NDArray[np.float64],
    diameter: float,
    counts: Sequence[int] | None = None,
    box: Box | None = None,
) -> list[Suggestion]:
    """Choose up to ``n`` places.

    Parameters
    ----------
    candidates : Candidates
        Where to choose from.
    classes : list of str
        Names, without background.
    clicked : ndarray, float32, shape (M, D)
        Vectors of the cells the user has named so far.
    n : int
        How many at most.
    avoid : ndarray, float64, shape (K, 2)
        Places already annotated or suggested, level-0 pixels.
    diameter : float
        Usual diameter of a cell, level-0 pixels.
    counts : sequence of int, optional
        Clicks of each class so far; without them no class counts as rare.
    box : (y0, x0, y1, x1), optional
        The present view, which goes first, then what lies around it; level-0 pixels.

    Returns
    -------
    list of Suggestion
        Best first; fewer than ``n`` when there are not enough places.

    Notes
    -----
    Let S be the covariance of a linear model's weights, given the cells c that were clicked:
    S = (I + sum of c c' / noise)^-1 on standardised vectors. An answer at x narrows what is open
    about the cells y, each counted by its worth w, by

        sum over y of w(y) (x' S y)^2 / (x' S x + noise / tells(x)).

    The next place is the x that maximises this; then S is brought up to date as if it had been
    answered. tells = objects * (e + (1 - e) doubt), for an answer that is foreseen tells little;
    e = FEW_CLICKS / (FEW_CLICKS + clicks). w = tells * need, where need is the mean of what each
    class needs, by the probabilities.
    """
    open_ = _open(candidates.points, avoid, diameter)
    if not len(open_) or n < 1:
        return []
    cells = candidates[open_[_evenly(len(open_), MOST_CELLS)]]
    p, clicks = cells.probabilities, max(len(clicked), sum(counts or ()))
    explore, need = FEW_CLICKS / (FEW_CLICKS + clicks), _need(counts, p.shape[1])
    tells = cells.objects * (explore + (1.0 - explore) * _doubt(p))
    design = _Design(cells.vectors, tells, tells * (p @ need), clicked)
    spread = _Spread(cells.points, avoid, diameter, n, box)
    untaught = not len(clicked) or not classes
    found: list[Suggestion] = []
    best_score = 0.0
    while len(found) < n:
        score = design.gain() * spread.factor
        best = int(score.argmax())
        if score[best] <= 0:
            break
        best_score = best_score or float(score[best])
        look = Look(p[best], untaught, design.is_novel(best), bool(spread.new[best]), need)
        found.append(
            Suggestion(
                (float(spread.points[best, 0]), float(spread.points[best, 1])),
                reason(look, classes),
                min(float(score[best]) / best_score, 1.0),
                "" if untaught else ["", *classes][int(p[best].argmax())],
            )
        )
        design.choose(best)
        spread.choose(best)
    return found


def _open(
    points: NDArray[np.float64], avoid: NDArray[np.float64], diameter: float
) -> NDArray[np.int64]:
    """Return the indices of the cells that are not settled."""
    open_ = np.ones(len(points), bool)
    if len(avoid) and len(points):
        near = cKDTree(points).query_ball_point(avoid, diameter)
        open_[np.concatenate([np.asarray(i, int) for i in near])] = False
    return np.flatnonzero(open_)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return up to so many indices, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _doubt(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the two likeliest answers are equally likely, 0 where one is certain."""
    if p.shape[1] < 2:
        return np.zeros(len(p))  # there are no classes yet
    two = np.partition(p, p.shape[1] - 2, axis=1)[:, -2:]
    return 1.0 - (two[:, 1] - two[:, 0])


def _need(counts: Sequence[int] | None, columns: int) -> NDArray[np.float64]:
    """Return by how much "other" and each class count: more, the fewer clicks it has."""
    need = np.ones(columns)
    if counts is not None and len(counts) and sum(counts):
        mean = sum(counts) / len(counts)
        need[1:] = np.clip(np.sqrt(mean / (np.asarray(counts) + 1.0)), 0.5, MOST_NEED)
    return need


class _Design:
    """How much an answer at each cell would narrow what is open about all of them."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        tells: NDArray[np.float64],
        worth: NDArray[np.float64],
        clicked: NDArray[np.float32],
    ) -> None:
        self._x, self._known = _standardised(vectors, clicked)
        mean_length = float((self._x * self._x).sum(1).mean())
        noise = NOISE * max(mean_length, 1e-6)
        self._noise = noise / np.maximum(tells, 0.05)
        open_ = np.linalg.inv(
            np.eye(self._x.shape[1]) + self._known.T @ self._known / noise
        )  # S, (D, D)
        self._left = self._x @ open_.astype(np.float32)  # S x of each cell, (N, D)
        weighed = (self._x * worth[:, None].astype(np.float32)).T
        self._all = weighed @ self._x / max(float(worth.sum()), 1e-9)  # mean of w y y', (D, D)
        self._variance = (self._x * self._left).sum(1)
        self._narrowed = ((self._left @ self._all) * self._left).sum(1)
        self._own = 1e-6 * (1.0 + worth)  # what is left where all is settled

    def gain(self) -> NDArray[np.float64]:
        """Return what an answer at each cell narrows."""
        gain = np.maximum(self._narrowed, 0.0) / (self._variance + self._noise)
        return np.asarray(gain + self._own, np.float64)

    def choose(self, place: int) -> None:
        """Take a cell for answered."""
        s = self._left[place].copy()
        along = self._x @ s  # x' S c of each cell
        total = self._variance[place] + self._noise[place]
        after = self._all @ s
        self._narrowed += along * (along * (s @ after) / total - 2.0 * (self._left @ after)) / total
        self._left -= np.outer(along / total, s)
        self._variance -= along * along / total

    def is_novel(self, place: int) -> bool:
        """Tell whether a cell is less like any that was clicked than most cells are."""
        if not len(self._known):
            return True
        some = self._x[_evenly(len(self._x), SOME)]
        away = _nearest_squared(np.concatenate([self._x[place][None], some]), self._known)
        return bool(away[0] > np.median(away[1:]))


def _nearest_squared(x: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared distance of each vector to the nearest of others."""
    lengths = (x * x).sum(1)[:, None] + (known * known).sum(1)
    return np.asarray((lengths - 2 * (x @ known.T)).min(1))


def _standardised(
    cells: NDArray[np.float32], clicked: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cells and clicks around the mean cell, each number by its spread, none too long."""
    mean, spread = cells.mean(0), cells.std(0)
    scale = np.maximum(spread, 0.1 * float(spread.mean()) + 1e-6)
    x, known = (cells - mean) / scale, (clicked - mean) / scale
    most = LONGEST * float(np.median(np.linalg.norm(x, axis=1)))
    return _drawn_in(x, most), _drawn_in(known, most)


def _drawn_in(x: NDArray[np.float32], most: float) -> NDArray[np.float32]:
    """Shorten the vectors that are longer than this."""
    lengths = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return np.asarray(x * np.minimum(1.0, most / lengths), np.float32)


class _Spread:
    """Where the places lie: the view goes first, what lies beside others counts less."""

    def __init__(
        self,
        points: NDArray[np.float64],
        avoid: NDArray[np.float64],
        diameter: float,
        n: int,
        box: Box | None,
    ) -> None:
        self.points = points
        self._apart = SPREAD * diameter
        inside = _in_view(points, box, 0.0)
        field = points[inside] if inside.any() else points
        self._reach = max(float(np.linalg.norm(np.ptp(field, axis=0))) / (2 * np.sqrt(n)), 1.0)
        self.factor = np.where(
            inside, 1.0, np.where(_in_view(points, box, 1.0), NEAR_VIEW, OUTSIDE)
        )
        self.new = np.zeros(len(points), bool)
        if len(avoid):
            away = cKDTree(avoid).query(points)[0]
            self.new = away > NEW_TISSUE * diameter
            self.factor *= self._beside(away)

    def _beside(self, away: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much a place counts that is so far from another."""
        return 1.0 - (1.0 - BESIDE) * np.exp(-((away / self._reach) ** 2))

    def choose(self, place: int) -> None:
        """Keep away from a place."""
        away = np.linalg.norm(self.points - self.points[place], axis=1)
        self.factor = np.where(away < self._apart, 0.0, self.factor * self._beside(away))


def _in_view(points: NDArray[np.float64], box: Box | None, around: float) -> NDArray[np.bool_]:
    """Tell which points lie in a view, made wider by a share of its size on each side."""
    if box is None:
        return np.ones(len(points), bool)
    low, high = np.array(box[:2]), np.array(box[2:])
    margin = around * (high - low)
    return np.asarray(((points >= low - margin) & (points < high + margin)).all(axis=1))
