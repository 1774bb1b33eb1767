"""Precision, recall and F1 of detections, each with a 95 % interval.

Pure numpy; runs on any thread. Undefined figures are NaN and never a silent 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.evaluation.matching import match_points

Interval = tuple[float, float]
UNKNOWN: Interval = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Score:
    """How well predicted cells agree with true ones.

    Parameters
    ----------
    precision : float
        Share of the predicted cells that are right; NaN if nothing was predicted.
    recall : float
        Share of the true cells that were found; NaN if there are no true cells.
    f1 : float
        2 TP / (2 TP + FP + FN); NaN only if there are neither true nor predicted cells.
    true_positives, false_positives, false_negatives : int
        The counts behind them.
    precision_interval, recall_interval, f1_interval : (float, float)
        95 % intervals; (NaN, NaN) where the figure itself is NaN.
    accepted : int
        How many of the true cells are predictions that the user accepted, rather than clicks of
        their own: the more, the more the figures lean to the good side.
    """

    precision: float
    recall: float
    f1: float
    true_positives: int
    false_positives: int
    false_negatives: int
    precision_interval: Interval = UNKNOWN
    recall_interval: Interval = UNKNOWN
    f1_interval: Interval = UNKNOWN
    accepted: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON: None stands for NaN, lists for intervals."""
        return {name: _jsonable(value) for name, value in asdict(self).items()}


def score_detections(
    truth_points: ArrayLike,
    truth_labels: ArrayLike,
    points: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    radius: float,
    classes: Sequence[str],
    *,
    truth_images: ArrayLike | None = None,
    images: ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, Score]:
    """Score detections class by class; a cell found with the wrong class is wrong twice.

    Parameters
    ----------
    truth_points : float, shape (N, 2)
        True centres, (y, x).
    truth_labels : str, shape (N,)
        Their class names.
    points : float, shape (M, 2)
        Predicted centres, same frame and unit.
    labels : str, shape (M,)
        Their class names.
    scores : float, shape (M,)
        Their scores. Apply the threshold before: every cell given counts as predicted.
    radius : float
        Largest distance of a match, in the unit of the points.
    classes : sequence of str
        The classes to score, in the order of the result.
    truth_images, images : int or str, shape (N,) and (M,), optional
        Image of each true and predicted cell; then images are resampled, too.
    seed : int
        Seed of the bootstrap: same data and seed, same intervals.

    Returns
    -------
    dict of str to Score
        One score for each class, also for one that has neither true nor predicted cells.

    Raises
    ------
    ValueError
        If the lengths do not fit or a number is not finite.

    See Also
    --------
    match_points : the rule by which cells are paired, applied within each class.
    bootstrap_score : where the intervals come from.
    """
    truth_points = np.asarray(truth_points, dtype=np.float64).reshape(-1, 2)
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    truth_labels, labels = np.asarray(truth_labels), np.asarray(labels)
    scores = np.asarray(scores, dtype=np.float64)
    if len(truth_labels) != len(truth_points) or not len(labels) == len(points) == len(scores):
        raise ValueError("points, labels and scores must have one entry for each cell")
    one_image = truth_images is None and images is None
    truth_images = np.zeros(len(truth_points), int) if truth_images is None else truth_images
    images = np.zeros(len(points), int) if images is None else images
    truth_images, images = np.asarray(truth_images), np.asarray(images)
    every_image = np.unique(np.concatenate([truth_images, images]))
    result: dict[str, Score] = {}
    for name in classes:
        true, found = truth_labels == name, labels == name
        of_true, of_found = truth_images[true], images[found]
        t, p = match_points(
            truth_points[true],
            points[found],
            scores[found],
            radius,
            truth_images=of_true,
            images=of_found,
        )
        counts = np.stack(
            [
                _per_image(of_true[t], every_image),
                _per_image(np.delete(of_found, p), every_image),
                _per_image(np.delete(of_true, t), every_image),
            ],
            axis=1,
        )  # (images, 3)
        result[name] = bootstrap_score(counts.sum(0, keepdims=True) if one_image else counts, seed)
    return result


def bootstrap_score(counts: ArrayLike, seed: int = 0, resamples: int = 2000) -> Score:
    """Turn counts of right and wrong cells into a score with 95 % percentile intervals.

    Parameters
    ----------
    counts : int, shape (K, 3) or (3,)
        True positives, false positives and false negatives of each image.
    seed : int
        Seed of the resampling.
    resamples : int
        How often to resample.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If a count is negative or the shape does not fit.

    Notes
    -----
    Cells are drawn: (TP, FP, FN) multinomial with probabilities proportional to (TP + 1/2,
    FP + 1/2, FN + 1/2). The half counts (Jeffreys' prior, as in Goutte and Gaussier) keep "3 of 3
    right" from getting the interval 1 to 1. With two images or more, whole images are drawn with
    replacement, too, because the cells of one image err together, and the interval is from the
    lower of both lower ends to the higher of both upper ends: two or three images that happen to be
    alike say nothing of how much images differ. The interval always holds the figure itself;
    resamples for which a figure is undefined are left out.

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
    Goutte, Gaussier, A Probabilistic Interpretation of Precision, Recall and F-Score, ECIR 2005.
    """
    table = np.atleast_2d(np.asarray(counts, dtype=np.int64))
    if table.ndim != 2 or table.shape[1] != 3 or (table < 0).any():
        raise ValueError("counts must be numbers of at least 0, shape (K, 3)")
    total = table.sum(axis=0)
    figures = _figures(total[np.newaxis])[0]
    rng = np.random.default_rng(seed)
    draws = [_draw_cells(total, rng, resamples)]
    if len(table) > 1:
        draws.append(_draw_images(table, rng, resamples))
    drawn = [_figures(counts) for counts in draws]
    intervals = [_interval([d[:, i] for d in drawn], figures[i]) for i in range(3)]
    return Score(*figures.tolist(), *total.tolist(), *intervals)


def _draw_cells(
    total: NDArray[np.int64], rng: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    """Draw as many cells as there are; return the counts of each resample, (resamples, 3)."""
    smoothed = (total + 0.5) / (total.sum() + 1.5)
    return rng.multinomial(total.sum(), smoothed, size=resamples)


def _draw_images(
    table: NDArray[np.int64], rng: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    """Draw as many images as there are; return the summed counts, (resamples, 3)."""
    weights = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
    return np.asarray(weights @ table)


def _figures(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return precision, recall and F1 for rows of (TP, FP, FN); 0 / 0 is NaN."""
    tp, fp, fn = counts.T.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.stack([tp / (tp + fp), tp / (tp + fn), 2 * tp / (2 * tp + fp + fn)], axis=1)


def _interval(drawn: Sequence[NDArray[np.float64]], figure: float) -> Interval:
    """Return the outermost 2.5 and 97.5 percentiles of what was drawn, and of the figure."""
    if math.isnan(figure):
        return UNKNOWN
    known = [values[~np.isnan(values)] for values in drawn]
    ends = [np.percentile(values, [2.5, 97.5]) for values in known if len(values)]
    return (
        float(min(figure, *(low for low, _ in ends))),
        float(max(figure, *(high for _, high in ends))),
    )


def _per_image(images: NDArray[Any], every_image: NDArray[Any]) -> NDArray[np.int64]:
    """Count the cells of each image."""
    return np.bincount(np.searchsorted(every_image, images), minlength=len(every_image))


def _jsonable(value: Any) -> Any:
    """Return the value with NaN as None and tuples as lists."""
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
