"""Choose the places that teach the model most, each with its reason in words.

With few clicks, typical cells unlike those clicked (TypiClust, Hacohen et al., ICML 2022: at a low
budget typical samples beat uncertain ones); later, cells the model is undecided about. Always
spread over vectors and over the slide. Pure numpy; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from napari_xce.predictions.detections import Box

#: Below so many clicks of all classes, discovery goes before doubt.
FEW_CLICKS = 12
#: Suggestions of one call are at least this many cell diameters apart.
SPREAD = 4.0
#: How much a candidate outside the view counts against one inside.
OUTSIDE = 0.3
_NEIGHBOURS = 8
_MOST_CANDIDATES = 5000


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
    """

    yx: tuple[float, float]
    reason: str
    score: float


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
    box : (y0, x0, y1, x1), optional
        The present view, which goes first; level-0 pixels.

    Returns
    -------
    list of Suggestion
        Best first; fewer than ``n`` when there are not enough places.
    """
    candidates = _without(candidates, avoid, diameter)
    if not len(candidates.points):
        return []
    novelty = _novelty(candidates.vectors, clicked)
    doubt, likely = _doubt(candidates.probabilities), 1.0 - candidates.probabilities[:, 0]
    typical = _typicality(candidates.vectors)
    if len(clicked) < FEW_CLICKS:
        score = typical * (0.2 + likely) * (0.2 + novelty)
    else:
        score = (0.1 + doubt) * (0.3 + typical)
    if box is not None:
        score = score * np.where(_inside(candidates.points, box), 1.0, OUTSIDE)
    score = score / max(float(score.max()), 1e-9)
    untaught = not len(clicked) or not classes
    return [
        Suggestion(
            (float(candidates.points[i, 0]), float(candidates.points[i, 1])),
            "A typical cell: which class is it?"
            if untaught
            else _reason(candidates.probabilities[i], classes, bool(novelty[i] > 0.5)),
            value,
        )
        for i, value in _spread(candidates, score, n, SPREAD * diameter)
    ]


def _without(candidates: Candidates, avoid: NDArray[np.float64], diameter: float) -> Candidates:
    """Leave out what is settled; of very many keep an even share."""
    if len(avoid) and len(candidates.points):
        near = cKDTree(avoid).query(candidates.points, distance_upper_bound=diameter)[0]
        candidates = candidates[~np.isfinite(near)]
    step = -(-len(candidates.points) // _MOST_CANDIDATES)
    return candidates[np.arange(0, len(candidates.points), max(step, 1))]


def _doubt(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the two likeliest answers are equally likely, 0 where one is certain."""
    if p.shape[1] < 2:
        return np.zeros(len(p))  # there are no classes yet
    ordered = np.sort(p, axis=1)
    return 1.0 - (ordered[:, -1] - ordered[:, -2])


def _typicality(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how close each vector lies to its neighbours, 0..1 by rank."""
    if len(vectors) <= _NEIGHBOURS:
        return np.ones(len(vectors))
    away = cKDTree(vectors).query(vectors, k=_NEIGHBOURS + 1)[0][:, -1]
    return _ranks(-away)


def _novelty(vectors: NDArray[np.float32], clicked: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how unlike the clicked cells each vector is, 0..1 by rank."""
    if not len(clicked):
        return np.ones(len(vectors))
    return _ranks(cKDTree(clicked).query(vectors)[0])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks of values, scaled to 0..1; equal values share the middle of their ranks."""
    return (rankdata(values) - 1.0) / max(len(values) - 1, 1)


def _inside(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Tell which points lie in a box."""
    inside = (points >= box[:2]) & (points < box[2:])
    return np.logical_and(inside[:, 0], inside[:, 1])


def _spread(
    candidates: Candidates, score: NDArray[np.float64], n: int, apart: float
) -> list[tuple[int, float]]:
    """Take the best, then the best that is neither near nor alike, and so on; each with its score.

    What is like a place already taken teaches less, so that its score is lowered.
    """
    chosen: list[tuple[int, float]] = []
    score = score.copy()
    scale = float(candidates.vectors.std()) * np.sqrt(candidates.vectors.shape[1]) + 1e-9
    while len(chosen) < n and score.max() > 0:
        best = int(score.argmax())
        chosen.append((best, float(score[best])))
        near = np.linalg.norm(candidates.points - candidates.points[best], axis=1) < apart
        unlike = np.linalg.norm(candidates.vectors - candidates.vectors[best], axis=1) / scale
        score = np.where(near, 0.0, score * np.clip(unlike, 0.05, 1.0))
    return chosen


def _reason(p: NDArray[np.float64], classes: list[str], novel: bool) -> str:
    """Say in words why a cell is worth a look."""
    names = ["something else", *classes]
    first, second = np.argsort(-p, kind="stable")[:2]
    if p[first] - p[second] < 0.4:
        return f"Undecided between {names[first]} and {names[second]}"
    if first == 0:
        return (
            "Unlike the cells you clicked: is it one you are looking for?"
            if novel
            else (f"Probably not {names[second]}: is that right?")
        )
    if novel:
        return f"Looks like {names[first]}, but unlike those you clicked"
    return f"Probably {names[first]}: is that right?"
