from __future__ import annotations

import numpy as np
import pytest

from napari_xce.learning.calibration import DEFAULT, HIGHEST, LOWEST, calibrate
from napari_xce.learning.click_learner import UNANNOTATED, fit_clicks
from napari_xce.learning.memory import Rows


def clicks_among_unknowns(apart, n_clicks=10, weight=1.0, n_classes=1, seed=0):
    """Return rows whose clicks of class k lie ``apart`` from the unknowns along axis k."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes + 1), [100, *[n_clicks] * n_classes])
    vectors = rng.normal(size=(len(labels), n_classes + 3)).astype(np.float32)
    for k in range(1, n_classes + 1):
        vectors[labels == k, k] += apart
    weights = np.where(labels > 0, weight, 1.0)
    return Rows(vectors, np.where(labels > 0, labels, UNANNOTATED), weights)


def thresholds_of(rows, n_classes=1):
    return calibrate(
        rows, fit_clicks(rows.vectors, rows.labels, rows.weights, n_classes), n_classes
    )


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 30.0])
def test_thresholds_lie_within_their_bounds(apart):
    thresholds = thresholds_of(clicks_among_unknowns(apart, n_classes=3), 3)
    assert len(thresholds) == 3
    assert all(LOWEST <= t <= HIGHEST for t in thresholds)


def test_single_click_gets_the_default():
    assert thresholds_of(clicks_among_unknowns(5.0, n_clicks=1)) == [DEFAULT]


def test_class_of_one_click_beside_one_of_many_gets_the_default():
    rows = clicks_among_unknowns(5.0, n_classes=2)
    only = np.flatnonzero(rows.labels == 2)[1:]
    keep = np.setdiff1d(np.arange(len(rows.labels)), only)
    few = Rows(rows.vectors[keep], rows.labels[keep], rows.weights[keep])
    first, second = thresholds_of(few, 2)
    assert second == DEFAULT
    assert first != DEFAULT


def test_well_separated_clicks_get_a_higher_threshold():
    assert thresholds_of(clicks_among_unknowns(8.0)) > thresholds_of(clicks_among_unknowns(0.3))


def test_clicks_on_doubtful_objects_get_a_lower_threshold():
    sure = thresholds_of(clicks_among_unknowns(4.0, weight=1.0))
    doubtful = thresholds_of(clicks_among_unknowns(4.0, weight=0.4))
    assert doubtful < sure


def test_threshold_is_half_the_median_left_out_score():
    rows = clicks_among_unknowns(4.0, n_clicks=3)  # as many folds as clicks: each left out alone
    scores = []
    for click in np.flatnonzero(rows.labels == 1):
        keep = np.arange(len(rows.labels)) != click
        fit = fit_clicks(rows.vectors[keep], rows.labels[keep], rows.weights[keep], 1)
        scores.append(fit.probabilities(rows.vectors[[click]])[0, 1])
    assert thresholds_of(rows) == pytest.approx([np.median(scores) / 2], abs=2e-3)
