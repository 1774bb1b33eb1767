"""How good the demo's predictions are, measured against the exact truth of its slide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.evaluation.scores import Score, bootstrap_score, score_detections
from napari_xce.predictions.detections import Detections
from napari_xce.slides.synthetic import Truth


def score_cells(
    truth: Truth,
    cells: Detections,
    radius: float,
    true_here: NDArray[np.bool_],
    found_here: NDArray[np.bool_],
) -> dict[str, Any]:
    """Score the cells of a part of a slide.

    Parameters
    ----------
    truth, cells : Truth, Detections
        Of the whole slide, level-0 pixels.
    radius : float
        Largest distance of a match, level-0 pixels.
    true_here, found_here : ndarray, bool, shapes (N,) and (M,)
        Which cells lie in the part.

    Returns
    -------
    dict
        ``f1``, ``precision``, ``recall`` of cells found with the right class, all classes
        together, with ``f1_interval`` (95 %); ``cells``, how many there are; ``detection``, the
        same regardless of class; ``classes``, the same for each class. Fit for JSON.
    """
    points, labels = truth.points[true_here], truth.labels[true_here]
    found = cells[found_here]
    names = sorted({str(name) for name in np.unique(truth.labels)})
    by_class = score_detections(
        points, labels, found.points, found.labels, found.scores, radius, names
    )
    anything = score_detections(
        points,
        np.full(len(points), "cell"),
        found.points,
        np.full(len(found), "cell"),
        found.scores,
        radius,
        ["cell"],
    )["cell"]
    together = bootstrap_score(
        np.sum(
            [(s.true_positives, s.false_positives, s.false_negatives) for s in by_class.values()],
            axis=0,
        )
    )
    return {
        **_figures(together),
        "detection": _figures(anything),
        "classes": {name: _figures(score) for name, score in by_class.items()},
    }


def _figures(score: Score) -> dict[str, Any]:
    """Return what a reader wants of a score, NaN as None."""
    plain = score.as_dict()
    return {
        "f1": plain["f1"],
        "precision": plain["precision"],
        "recall": plain["recall"],
        "f1_interval": plain["f1_interval"],
        "cells": score.true_positives + score.false_negatives,
    }
