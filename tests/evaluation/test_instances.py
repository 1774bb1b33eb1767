from __future__ import annotations

import math

import numpy as np
import pytest

from napari_xce.evaluation.instances import dice, instance_score


def test_dice_by_hand() -> None:
    assert dice([[1, 1], [0, 0]], [[1, 0], [0, 0]]) == pytest.approx(2 / 3)
    assert dice([[7, 7]], [[1, 2]]) == 1.0


def test_dice_of_two_empty_masks_is_undefined() -> None:
    assert math.isnan(dice(np.zeros((2, 2)), np.zeros((2, 2))))


def test_overlap_above_half_is_a_match() -> None:
    truth = np.array([[1, 1, 1, 0, 2, 2]])
    found = np.array([[5, 5, 0, 0, 0, 3]])  # IoU 2/3 and 1/2
    score = instance_score(truth, found)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 1, 1)
    assert score.f1 == pytest.approx(0.5)
    assert instance_score(truth, found, iou=0.7).true_positives == 0


def test_one_blob_over_two_cells_matches_neither() -> None:
    score = instance_score(np.array([[1, 1, 2, 2]]), np.array([[9, 9, 9, 9]]))
    assert (score.true_positives, score.false_positives, score.false_negatives) == (0, 1, 2)


def test_masks_without_background_are_counted_right() -> None:
    score = instance_score(np.array([[3, 3]]), np.array([[1, 1]]))
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 0, 0)


def test_empty_masks_are_undefined() -> None:
    assert math.isnan(instance_score(np.zeros((0, 4), int), np.zeros((0, 4), int)).f1)
    assert math.isnan(instance_score(np.zeros((4, 4), int), np.zeros((4, 4), int)).f1)


def test_bad_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dice(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="at least 0"):
        instance_score(np.array([[-1]]), np.array([[0]]))
    with pytest.raises(ValueError, match="iou"):
        instance_score(np.array([[1]]), np.array([[1]]), iou=0.3)
