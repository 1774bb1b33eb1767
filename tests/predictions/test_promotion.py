from __future__ import annotations

import numpy as np
import pytest

from napari_xce.learning.calibration import LOWEST
from napari_xce.predictions.promotion import moved_thresholds, thresholds_of


def test_as_many_places_count_after_a_promotion_as_before() -> None:
    before = np.array([[0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.3, 0.9]])
    after = before[:, ::-1] / 2  # half as sure, and of other places
    moved = moved_thresholds({"a": 0.5, "b": 0.3}, ["a", "b"], before, after)
    assert [(now >= moved[name]).sum() for name, now in zip("ab", after, strict=True)] == [2, 2]


@pytest.mark.parametrize("places", [np.zeros((1, 0)), np.zeros((1, 5))])
def test_moved_threshold_stays_within_its_bounds(places: np.ndarray) -> None:
    """With no place to compare it stays; where nothing scores it does not fall to nothing."""
    moved = moved_thresholds({"a": 0.5}, ["a"], places, places)
    assert moved == {"a": 0.5 if not places.shape[1] else LOWEST}


def test_class_without_threshold_gets_none() -> None:
    assert moved_thresholds({}, ["a"], np.ones((1, 3)), np.ones((1, 3))) == {}


def test_thresholds_follow_their_classes() -> None:
    kept = thresholds_of({"a": 0.4, "b": 0.6}, ["a", "b", "c"], ["B", "new", "C"], [1, None, 2])
    assert kept == {"B": 0.6}
