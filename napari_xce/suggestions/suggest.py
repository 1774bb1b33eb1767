"""Choose the places that teach the model most, each with its reason in words.

One objective for few clicks and for many (uncertainty herding): a place is worth the cells that
are like it and that no click is like yet, each counted by how much there is to learn from it. With
few clicks all cells count alike, so that typical cells of kinds not covered go first; with more,
the cells the model is undecided about, so that doubts shared by many go before odd ones. Cells of
classes with few clicks count more. Always spread over the slide. Pure numpy; any thread.

References
----------
Bae, Oliveira, Sutherland, Uncertainty Herding: One Active Learning Method for All Label Budgets,
2024; Hacohen, Dekel, Weinshall, Active Learning on a Budget (TypiClust), ICML 2022.
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
#: Suggestions of one call are at least this many cell diameters apart.
SPREAD = 4.0
#: How much a candidate next to the view, and one further away, counts against one inside.
NEAR_VIEW, OUTSIDE = 0.4, 0.15
#: A place this many cell diameters (0.22 mm) from anything said or shown is new tissue.
NEW_TISSUE = 28.0
#: How much a place right beside another that was said, shown or chosen counts.
BESIDE = 0.5
#: Cells that stand for all of them, and how many more of the most doubtful may be chosen.
CROWD, DOUBTFUL = 800, 400
#: What is certainly no cell of a class still counts so much.
LEAST_LIKELY = 0.5
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
    """

    points: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    vectors: NDArray[np.float32]

    def __getitem__(self, chosen: NDArray[np.generic]) -> Candidates:
        return Candidates(self.points[chosen], self.probabilities[chosen], self.vectors[chosen])


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
    With w the worth of a cell y and k a Gaussian kernel of vectors, the next place is the x that
    maximises  sum over y of w(y) max(0, k(x, y) - max over clicked and chosen c of k(c, y)).
    w = likely * (e + (1 - e) doubt) * need, where e = FEW_CLICKS / (FEW_CLICKS + clicks). The width
    of the kernel shrinks with the clicks, so that "like" means ever fewer cells.
    """
    open_ = _open(candidates.points, avoid, diameter)
    if not len(open_) or n < 1:
        return []
    clicks = max(len(clicked), sum(counts or ()))
    explore = FEW_CLICKS / (FEW_CLICKS + clicks)
    p = candidates.probabilities[open_]
    doubt, need = _doubt(p), _need(counts, p.shape[1])
    worth = (LEAST_LIKELY + 1.0 - p[:, 0]) * (p @ need) * (explore + (1.0 - explore) * doubt)
    crowd, asked = _crowd_and_asked(worth)
    herd = _Herd(
        candidates.vectors[open_[crowd]],
        candidates.vectors[open_[asked]],
        worth[crowd],
        worth[asked],
        clicked,
        clicks,
    )
    p = p[asked]
    spread = _Spread(candidates.points[open_[asked]], avoid, diameter, n, box)
    novel = herd.novelty()
    untaught = not len(clicked) or not classes
    found: list[Suggestion] = []
    best_score = 0.0
    while len(found) < n:
        score = herd.gain() * spread.factor
        best = int(score.argmax())
        if score[best] <= 0:
            break
        best_score = best_score or float(score[best])
        look = Look(p[best], untaught, bool(novel[best] > 0.5), bool(spread.new[best]), need)
        found.append(
            Suggestion(
                (float(spread.points[best, 0]), float(spread.points[best, 1])),
                reason(look, classes),
                min(float(score[best]) / best_score, 1.0),
                "" if untaught else ["", *classes][int(p[best].argmax())],
            )
        )
        herd.choose(best)
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


def _crowd_and_asked(worth: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which cells stand for all, and which may be chosen: those and the worthiest."""
    crowd = _evenly(len(worth), CROWD)
    most = min(DOUBTFUL, len(worth))
    return crowd, np.union1d(crowd, np.argpartition(worth, len(worth) - most)[-most:])


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


class _Herd:
    """How many cells of the crowd, by worth, each place asked for stands for."""

    def __init__(
        self,
        crowd: NDArray[np.float32],
        asked: NDArray[np.float32],
        crowd_worth: NDArray[np.float64],
        asked_worth: NDArray[np.float64],
        clicked: NDArray[np.float32],
        clicks: int,
    ) -> None:
        spread = crowd.std(0)
        scale = np.maximum(spread, 0.1 * float(spread.mean()) + 1e-6).astype(np.float32)
        self._crowd, self._asked = crowd / scale, asked / scale
        known = (clicked / scale).astype(np.float32)
        self._worth = crowd_worth.astype(np.float32)
        self._own = 1e-3 * asked_worth.astype(np.float32)  # what is left where all is covered
        width = self._width(clicks)
        self._alike = np.exp(_squared(self._asked, self._crowd) / np.float32(-2 * width))
        self._covered = np.zeros(len(crowd), np.float32)
        self._away = np.ones(len(asked))
        if len(known):
            self._covered = np.exp(_squared(self._crowd, known).min(1) / np.float32(-2 * width))
            self._away = _squared(self._asked, known).min(1)

    def _width(self, clicks: int) -> float:
        """Return the squared width within which cells are alike: fewer, the more is clicked."""
        some = _squared(self._crowd[_evenly(len(self._crowd), 100)], self._crowd)
        share = float(np.clip(1.0 / (clicks + 8), 0.02, 0.125))
        rank = min(int(np.ceil(share * some.shape[1])), some.shape[1] - 1)
        return max(float(np.median(np.partition(some, rank, axis=1)[:, rank])), 1e-6)

    def gain(self) -> NDArray[np.float32]:
        """Return the worth of the cells alike each place, as far as they are not covered."""
        return np.maximum(self._alike - self._covered, 0.0) @ self._worth + self._own

    def choose(self, place: int) -> None:
        """Cover the cells that are like a place."""
        self._covered = np.maximum(self._covered, self._alike[place])

    def novelty(self) -> NDArray[np.float64]:
        """Return how unlike the clicked cells each place is, 0..1 by rank among them."""
        return np.searchsorted(np.sort(self._away), self._away) / max(len(self._away), 1)


def _squared(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared distances of all rows, shape (len(a), len(b))."""
    lengths = (a * a).sum(1)[:, None] + (b * b).sum(1)
    return np.maximum(lengths - 2 * (a @ b.T), 0.0)


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
