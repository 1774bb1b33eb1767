"""F1 at each score threshold, and the threshold where it is best.

Pure numpy; one matching serves all thresholds, see the notes of :func:`.match_points`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.evaluation.matching import match_points


@dataclass(frozen=True, slots=True, eq=False)
class F1Curve:
    """Precision, recall and F1 against the score threshold.

    Parameters
    ----------
    thresholds : float64, shape (T,)
        The distinct scores, from high to low; a prediction counts if its score reaches it.
    precision, recall, f1 : float64, shape (T,)
        The figures at each threshold; recall and F1 are NaN and 0 where there is no true cell.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def f1_curve(
    truth: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike,
    radius: float,
    *,
    truth_images: ArrayLike | None = None,
    images: ArrayLike | None = None,
) -> F1Curve:
    """Compute precision, recall and F1 at every threshold that changes anything.

    Parameters
    ----------
    truth, predicted, scores, radius, truth_images, images
        As for :func:`.match_points`; give the predictions with low scores too.

    Returns
    -------
    F1Curve
        Empty if there are no predictions.

    Raises
    ------
    ValueError
        As :func:`.match_points`.

    Examples
    --------
    >>> curve = f1_curve([[0, 0], [0, 50]], [[0, 1], [0, 20], [0, 50]], [0.9, 0.6, 0.3], radius=5)
    >>> curve.thresholds.tolist(), curve.precision.round(2).tolist(), curve.recall.tolist()
    ([0.9, 0.6, 0.3], [1.0, 0.5, 0.67], [0.5, 0.5, 1.0])
    """
    scores = np.asarray(scores, dtype=np.float64)
    _, matched = match_points(
        truth, predicted, scores, radius, truth_images=truth_images, images=images
    )
    right = np.zeros(len(scores), dtype=bool)
    right[matched] = True
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])
    true_positives = np.cumsum(right[order])[last].astype(np.float64)
    called = last + 1.0
    true_cells = float(len(np.asarray(truth)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return F1Curve(
            ordered[last],
            true_positives / called,
            true_positives / true_cells if true_cells else np.full(len(last), np.nan),
            2 * true_positives / (called + true_cells),
        )


def best_threshold(curve: F1Curve) -> tuple[float, float]:
    """Return the threshold with the highest F1, and that F1.

    Parameters
    ----------
    curve : F1Curve
        As :func:`f1_curve` gives it.

    Returns
    -------
    threshold, f1 : float
        (NaN, NaN) if there are no predictions. Of equally good thresholds the highest is
        returned, since it asks the user to look at the fewest cells.
    """
    if not len(curve.f1):
        return math.nan, math.nan
    best = int(np.argmax(curve.f1))  # the first of equals; thresholds fall
    return float(curve.thresholds[best]), float(curve.f1[best])
