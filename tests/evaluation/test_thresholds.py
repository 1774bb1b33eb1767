from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xce.evaluation.scores import score_detections
from napari_xce.evaluation.thresholds import best_threshold, f1_curve

TRUTH = [[0, 0], [0, 50]]


def test_curve_by_hand() -> None:
    curve = f1_curve(TRUTH, [[0, 1], [0, 20], [0, 50]], [0.9, 0.6, 0.3], radius=5)
    assert curve.thresholds.tolist() == [0.9, 0.6, 0.3]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall == pytest.approx([1 / 2, 1 / 2, 1])
    assert curve.f1 == pytest.approx([2 / 3, 2 / 4, 4 / 5])


def test_best_threshold_has_the_highest_f1() -> None:
    curve = f1_curve(TRUTH, [[0, 1], [0, 20], [0, 50]], [0.9, 0.6, 0.3], radius=5)
    assert best_threshold(curve) == (0.3, pytest.approx(0.8))


def test_equal_scores_come_in_together() -> None:
    curve = f1_curve(TRUTH, [[0, 0], [0, 50], [9, 9]], [0.5, 0.5, 0.5], radius=5)
    assert curve.thresholds.tolist() == [0.5]
    assert curve.f1 == pytest.approx([4 / 5])


def test_no_predictions_give_an_empty_curve() -> None:
    curve = f1_curve(TRUTH, [], [], radius=5)
    assert len(curve.f1) == 0
    assert all(math.isnan(value) for value in best_threshold(curve))


def test_no_truth_gives_zero_f1_and_unknown_recall() -> None:
    curve = f1_curve([], [[0, 0]], [0.5], radius=5)
    assert curve.f1.tolist() == [0.0]
    assert np.isnan(curve.recall).all()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_curve_agrees_with_scoring_at_each_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = rng.uniform(0, 20, (8, 2)), rng.uniform(0, 20, (10, 2))
    scores = rng.integers(1, 6, 10) / 5
    curve = f1_curve(truth, found, scores, radius=4)
    for threshold, f1 in zip(curve.thresholds, curve.f1, strict=True):
        kept = scores >= threshold
        labels = np.full(kept.sum(), "a")
        score = score_detections(truth, ["a"] * 8, found[kept], labels, scores[kept], 4, ["a"])
        assert score["a"].f1 == pytest.approx(f1)
