from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_xce.evaluation.scores import bootstrap_score, score_detections


def test_scores_by_hand() -> None:
    truth = [[0, 0], [0, 50], [0, 100], [0, 150]]
    found = [[0, 2], [0, 52], [50, 50]]
    score = score_detections(truth, ["a"] * 4, found, ["a"] * 3, [0.9, 0.8, 0.7], 5, ["a"])["a"]
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 1, 2)
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(1 / 2)
    assert score.f1 == pytest.approx(4 / 7)


def test_wrong_class_counts_twice() -> None:
    scores = score_detections([[0, 0]], ["a"], [[0, 0]], ["b"], [1.0], 5, ["a", "b"])
    assert (scores["a"].false_negatives, scores["a"].f1) == (1, 0.0)
    assert (scores["b"].false_positives, scores["b"].f1) == (1, 0.0)


def test_no_truth_and_no_predictions_is_undefined() -> None:
    score = score_detections([], [], [], [], [], 5, ["a"])["a"]
    assert all(math.isnan(figure) for figure in (score.precision, score.recall, score.f1))
    assert all(math.isnan(end) for end in score.f1_interval)


def test_no_predictions_leave_precision_undefined() -> None:
    score = score_detections([[0, 0]], ["a"], [], [], [], 5, ["a"])["a"]
    assert math.isnan(score.precision)
    assert (score.recall, score.f1) == (0.0, 0.0)


def test_no_truth_leaves_recall_undefined() -> None:
    score = score_detections([], [], [[0, 0]], ["a"], [1.0], 5, ["a"])["a"]
    assert math.isnan(score.recall)
    assert (score.precision, score.f1) == (0.0, 0.0)


def test_as_dict_is_plain_json_with_none_for_unknown() -> None:
    score = score_detections([[0, 0]], ["a"], [], [], [], 5, ["a"])["a"].as_dict()
    text = json.dumps(score, allow_nan=False)
    assert json.loads(text)["precision"] is None
    assert score["precision_interval"] == [None, None]
    assert score["recall"] == 0.0


def test_same_seed_gives_same_intervals() -> None:
    assert bootstrap_score([80, 10, 20], seed=3) == bootstrap_score([80, 10, 20], seed=3)


def test_interval_narrows_with_more_cells() -> None:
    def width(counts: list[int]) -> float:
        low, high = bootstrap_score(counts).f1_interval
        return high - low

    assert width([800, 100, 200]) < width([80, 10, 20]) < width([8, 1, 2])


def test_interval_of_cells_agrees_with_theory() -> None:
    # precision 0.9 of 1,000 predictions: normal approximation 0.9 +- 1.96 sqrt(0.09 / 1000)
    low, high = bootstrap_score([900, 100, 0]).precision_interval
    assert low == pytest.approx(0.9 - 0.0186, abs=0.003)
    assert high == pytest.approx(0.9 + 0.0186, abs=0.003)


def test_three_of_three_is_not_certainty() -> None:
    score = bootstrap_score([3, 0, 0])
    assert score.f1 == 1.0
    assert score.f1_interval[0] < 0.8
    assert score.f1_interval[1] == 1.0


def test_images_that_differ_widen_the_interval() -> None:
    even = [[45, 5, 5]] * 10
    uneven = [[90, 0, 0], [0, 10, 10]] * 5
    assert bootstrap_score(even).f1 == bootstrap_score(uneven).f1
    assert bootstrap_score(even).f1_interval == bootstrap_score([450, 50, 50]).f1_interval
    low, high = bootstrap_score(uneven).f1_interval
    assert high - low > 0.1


def test_few_images_that_are_alike_are_no_certainty() -> None:
    """Drawing both of two like images gives the same figure each time, however few their cells."""
    low, high = bootstrap_score([[2, 1, 1], [2, 1, 1]]).f1_interval
    # 4 of 6 found and right: the normal approximation alone is 0.67 +- 0.3
    assert high - low > 0.4


def test_images_are_matched_and_resampled_apart() -> None:
    truth = [[0, 0], [0, 0]]
    scores = score_detections(
        truth, ["a", "a"], [[0, 0]], ["a"], [0.9], 5, ["a"], truth_images=[0, 1], images=[1]
    )
    assert (scores["a"].true_positives, scores["a"].false_negatives) == (1, 1)


def test_mismatched_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry for each cell"):
        score_detections([[0, 0]], ["a"], [[0, 0]], ["a", "b"], [1.0], 5, ["a"])


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        bootstrap_score(np.array([1, -1, 0]))
