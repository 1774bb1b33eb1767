"""Pair predicted cells with true cells, one to one.

Pure numpy and scipy; runs on any thread. Everything that counts right and wrong cells starts here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.float64]
Indices = NDArray[np.intp]


def match_points(
    truth: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike,
    radius: float,
    *,
    truth_images: ArrayLike | None = None,
    images: ArrayLike | None = None,
) -> tuple[Indices, Indices]:
    """Pair predictions with true cells, one to one, the surest prediction first.

    Parameters
    ----------
    truth : float, shape (N, 2)
        True centres, (y, x), in any one unit.
    predicted : float, shape (M, 2)
        Predicted centres in the same frame and unit.
    scores : float, shape (M,)
        Scores of the predictions; higher goes first.
    radius : float
        Largest distance of a pair, same unit, inclusive.
    truth_images, images : int or str, shape (N,) and (M,), optional
        The image of each true and of each predicted cell. Cells of different images never pair.

    Returns
    -------
    truth_index, predicted_index : int, shape (K,) each
        The pairs, in the order in which they were made. Whoever is not in them is a miss or a
        false alarm.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or the radius is negative.

    Notes
    -----
    The rule: predictions are taken from the highest score to the lowest (equal scores: in the
    order given), and each takes the nearest true cell within the radius that is still free
    (equal distances: the first one given). This is the usual rule of detection challenges
    (PASCAL VOC, Everingham et al. 2010, section 4.2, with distance in place of overlap). It has a
    useful property: dropping the predictions below a threshold does not change the pairs of those
    above it, so one matching serves every threshold (see :func:`.f1_curve`).

    Examples
    --------
    The prediction at x = 4 is nearer to the true cell, but the other one is surer:

    >>> match_points([[0, 5]], [[0, 4], [0, 7]], [0.6, 0.9], radius=3)
    (array([0]), array([1]))
    """
    truth, predicted = as_points(truth, "truth"), as_points(predicted, "predicted")
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(predicted),):
        raise ValueError(f"scores must have the shape ({len(predicted)},), not {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if not radius >= 0 or not np.isfinite(radius):
        raise ValueError(f"radius must be a finite number of at least 0, not {radius}")
    if (truth_images is None) != (images is None):
        raise ValueError("give truth_images and images together, or neither")
    if truth_images is not None and images is not None:
        truth, predicted = _apart(truth, predicted, truth_images, images, radius)
    t, p = _pairs_by_rank(truth, predicted, scores, radius)
    return _first_come(t, p, len(truth), len(predicted))


def as_points(points: ArrayLike, name: str) -> Points:
    """Return finite points as float64, shape (N, 2), or raise ValueError naming the argument."""
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} must have the shape (N, 2), not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite coordinates only")
    return array


def _apart(
    truth: Points, predicted: Points, truth_images: ArrayLike, images: ArrayLike, radius: float
) -> tuple[Points, Points]:
    """Lift each image to its own plane of a third axis, further apart than the radius."""
    both = np.concatenate([np.asarray(truth_images), np.asarray(images)])
    if len(both) != len(truth) + len(predicted):
        raise ValueError("truth_images and images must name one image for each point")
    planes = np.unique(both, return_inverse=True)[1] * (2.0 * radius + 1.0)
    lifted = np.column_stack([np.concatenate([truth, predicted]), planes])  # (N + M, 3)
    return lifted[: len(truth)], lifted[len(truth) :]


def _pairs_by_rank(
    truth: Points, predicted: Points, scores: NDArray[np.float64], radius: float
) -> tuple[Indices, Indices]:
    """Return all pairs within the radius, ordered by score, then distance, then truth index."""
    if len(truth) == 0 or len(predicted) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    near = cKDTree(predicted).query_ball_point(truth, np.nextafter(radius, np.inf))
    counts = np.fromiter((len(indices) for indices in near), dtype=np.intp, count=len(truth))
    t = np.repeat(np.arange(len(truth)), counts)
    p = np.concatenate([np.asarray(indices, dtype=np.intp) for indices in near])
    distance = np.linalg.norm(truth[t] - predicted[p], axis=1)
    rank = np.empty(len(predicted), dtype=np.intp)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(predicted))
    order = np.lexsort((t, distance, rank[p]))
    return t[order], p[order]


def _first_come(t: Indices, p: Indices, n: int, m: int) -> tuple[Indices, Indices]:
    """Keep each pair whose two ends are both still free when its turn comes."""
    truth_free, predicted_free = [True] * n, [True] * m
    kept: list[tuple[int, int]] = []
    for i, j in zip(t.tolist(), p.tolist(), strict=True):
        if truth_free[i] and predicted_free[j]:
            truth_free[i] = predicted_free[j] = False
            kept.append((i, j))
    pairs = np.array(kept, dtype=np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
