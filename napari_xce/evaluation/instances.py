"""Agreement of masks: Dice of foregrounds, F1 of instances.

Pure numpy; runs on any thread.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.evaluation.scores import Score, bootstrap_score


def dice(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the Dice coefficient of two foregrounds.

    Parameters
    ----------
    truth, predicted : bool or int, same shape
        Non-zero is foreground.

    Returns
    -------
    float
        2 |A and B| / (|A| + |B|), in [0, 1]; NaN if both are empty.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Dice, Measures of the Amount of Ecologic Association Between Species, Ecology 1945.
    """
    a, b = _same_shape(truth, predicted)
    a, b = a != 0, b != 0
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else math.nan


def instance_score(
    truth: ArrayLike, predicted: ArrayLike, iou: float = 0.5, seed: int = 0
) -> Score:
    """Score instance masks: a predicted instance is right if it overlaps a true one enough.

    Parameters
    ----------
    truth, predicted : int, same shape
        Label masks; 0 is background, each other number one instance.
    iou : float
        Intersection over union that a pair must exceed, in [0.5, 1).
    seed : int
        Seed of the intervals' bootstrap.

    Returns
    -------
    Score
        With counts of instances.

    Raises
    ------
    ValueError
        If the shapes differ, a label is negative or `iou` is outside [0.5, 1).

    Notes
    -----
    Above one half no instance can pair with two others, so no assignment is needed; hence
    "exceed" and the lower limit.

    References
    ----------
    Kirillov et al., Panoptic Segmentation, CVPR 2019, section 4.1 (unique matching).
    """
    if not 0.5 <= iou < 1:
        raise ValueError(f"iou must be in [0.5, 1), not {iou}")
    a, b = _same_shape(truth, predicted)
    if min(a.min(initial=0), b.min(initial=0)) < 0:
        raise ValueError("labels must be at least 0")
    ids_a, inverse_a, size_a = np.unique(a, return_inverse=True, return_counts=True)
    ids_b, inverse_b, size_b = np.unique(b, return_inverse=True, return_counts=True)
    pair, overlap = np.unique(
        inverse_a.ravel().astype(np.int64) * len(ids_b) + inverse_b.ravel(), return_counts=True
    )
    i, j = np.divmod(pair, max(len(ids_b), 1))
    ratio = overlap / (size_a[i] + size_b[j] - overlap)
    true_positives = int(((ratio > iou) & (ids_a[i] != 0) & (ids_b[j] != 0)).sum())
    instances_a, instances_b = int((ids_a != 0).sum()), int((ids_b != 0).sum())
    return bootstrap_score(
        [true_positives, instances_b - true_positives, instances_a - true_positives], seed
    )


def _same_shape(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return both as arrays, or raise ValueError if their shapes differ."""
    a, b = np.asarray(truth), np.asarray(predicted)
    if a.shape != b.shape:
        raise ValueError(f"the masks must have one shape, not {a.shape} and {b.shape}")
    return a, b
