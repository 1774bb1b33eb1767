"""Quality in reviewed regions; every expected number is counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_xce.evaluation.quality import doubts, measure

LIMITS = {"a": 0.5, "b": 0.5}


def quality(true, found, *, n_regions=1, tested=True):
    """Measure cells given as (y, x, class, region) and (y, x, class, region, score)."""
    return measure(
        [cell[:2] for cell in true],
        [cell[2] for cell in true],
        [cell[3] for cell in true],
        [cell[:2] for cell in found],
        [cell[2] for cell in found],
        [cell[4] for cell in found],
        [cell[3] for cell in found],
        radius=5,
        thresholds=LIMITS,
        n_regions=n_regions,
        tested=tested,
    )


def row_of(n, name="a", region=0):
    return [(0, 100 * i, name, region) for i in range(n)]


def all_found(true, score=0.9):
    return [(*cell, score) for cell in true]


def test_confusions_count_right_wrong_missed_and_false_cells():
    true = [(0, 0, "a", 0), (0, 50, "a", 0), (0, 100, "b", 0), (0, 150, "b", 0)]
    found = [
        (0, 1, "a", 0, 0.9),
        (0, 51, "b", 0, 0.8),  # wrong class
        (0, 101, "b", 0, 0.7),
        (0, 300, "a", 0, 0.6),  # nothing there; the last b is missed
        (0, 400, "a", 0, 0.4),  # below the threshold
    ]
    table = quality(true, found).confusion
    np.testing.assert_array_equal(table, [[1, 1, 0], [0, 1, 1], [1, 0, 0]])


def test_figures_count_only_cells_from_their_threshold_on():
    score = quality([(0, 0, "a", 0)], [(0, 1, "a", 0, 0.5), (0, 90, "a", 0, 0.49)]).scores["a"]
    assert (score.true_positives, score.false_positives) == (1, 0)


def test_calibration_compares_scores_with_the_share_that_is_right():
    true = row_of(3)
    found = [(0, 100 * i, "a", 0, 0.85) for i in range(4)] + [(50, 0, "a", 0, 0.25)]
    low, high = quality(true, found).bins
    assert (low.count, low.score, low.right) == (1, 0.25, 0.0)
    assert (high.count, high.right) == (4, 0.75)
    assert quality(true, found).calibration_error == pytest.approx((0.25 + 4 * 0.1) / 5)


def test_cells_of_different_regions_never_match():
    score = quality([(0, 0, "a", 0)], [(0, 0, "a", 1, 0.9)], n_regions=2).scores["a"]
    assert (score.true_positives, score.false_negatives) == (0, 1)


def test_nothing_at_all_is_unknown_and_not_nought():
    empty = quality([], [])
    assert math.isnan(empty.mean_f1)
    assert math.isnan(empty.calibration_error)
    assert empty.confusion.sum() == 0


def test_mean_leaves_out_classes_without_true_cells():
    assert quality(row_of(2), all_found(row_of(2))).mean_f1 == 1.0


def test_enough_cells_of_two_test_regions_leave_no_doubt():
    true = [cell for region in (0, 1) for name in "ab" for cell in row_of(40, name, region)]
    true = [(y + 500 * (name == "b"), x, name, region) for y, x, name, region in true]
    assert doubts(quality(true, all_found(true), n_regions=2)) == []


def test_doubts_say_what_is_missing():
    true = row_of(40) + [(500, 100 * i, "b", 0) for i in range(12)]
    words = " ".join(doubts(quality(true, all_found(true), tested=False)))
    assert "Too little to judge b (12 of 30 cells)" in words
    assert "one region" in words
    assert "test region" in words


def test_wide_interval_is_told():
    """F1 is 0.4 in one region and 0.67 in the other."""
    true = [cell for region in (0, 1) for cell in row_of(20, region=region)]
    found = all_found([cell for cell in true if cell[1] % 200 == 0])
    false = [(900, 100 * i, "a", 0, 0.9) for i in range(20)]
    words = " ".join(doubts(quality(true, found + false, n_regions=2)))
    assert "interval of a is wide" in words


def test_accepted_predictions_are_said_to_flatter():
    plain = quality(row_of(40), all_found(row_of(40)), n_regions=2)
    plain.scores["a"] = replace(plain.scores["a"], accepted=30)
    assert "30 of the 40 true cells are accepted predictions" in " ".join(doubts(plain))
