from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_xce.evaluation.matching import match_points


def pairs(*arguments: object, **options: object) -> list[tuple[int, int]]:
    t, p = match_points(*arguments, **options)
    return list(zip(t.tolist(), p.tolist(), strict=True))


def test_surest_prediction_takes_the_cell() -> None:
    assert pairs([[0, 5]], [[0, 4], [0, 7]], [0.6, 0.9], 3) == [(0, 1)]


def test_prediction_takes_its_nearest_free_cell() -> None:
    truth = [[0, 0], [0, 4]]
    predicted = [[0, 3], [0, 5]]
    # 0.9 takes the nearer cell at 4; 0.8 would like it too and must do without
    assert pairs(truth, predicted, [0.9, 0.8], 4) == [(1, 0)]
    assert pairs(truth, predicted, [0.9, 0.8], 5) == [(1, 0), (0, 1)]


def test_radius_is_inclusive() -> None:
    assert pairs([[0, 0]], [[3, 4]], [1], 5) == [(0, 0)]
    assert pairs([[0, 0]], [[3, 4.001]], [1], 5) == []
    assert pairs([[2, 2]], [[2, 2]], [1], 0) == [(0, 0)]


def test_ties_go_to_the_first_given() -> None:
    assert pairs([[0, -1], [0, 1]], [[0, 0], [0, 0]], [0.5, 0.5], 2) == [(0, 0), (1, 1)]


def test_cells_of_different_images_never_pair() -> None:
    truth, predicted = [[0, 0], [0, 0]], [[0, 0], [0, 0]]
    found = pairs(truth, predicted, [0.9, 0.8], 5, truth_images=["a", "b"], images=["b", "c"])
    assert found == [(1, 0)]


def test_nothing_on_either_side_pairs_nothing() -> None:
    assert pairs([], [[1, 1]], [1], 5) == []
    assert pairs([[1, 1]], np.empty((0, 2)), [], 5) == []


@pytest.mark.parametrize(
    ("truth", "predicted", "scores", "radius", "match"),
    [
        ([[0, 0, 0]], [[0, 0]], [1], 1, r"truth must have the shape \(N, 2\)"),
        ([[0, np.nan]], [[0, 0]], [1], 1, "truth must hold finite"),
        ([[0, 0]], [[0, 0]], [1, 2], 1, r"scores must have the shape \(1,\)"),
        ([[0, 0]], [[0, 0]], [np.nan], 1, "scores must be finite"),
        ([[0, 0]], [[0, 0]], [1], -1, "radius"),
        ([[0, 0]], [[0, 0]], [1], np.nan, "radius"),
    ],
)
def test_bad_arguments_are_refused(
    truth: object, predicted: object, scores: object, radius: float, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        match_points(truth, predicted, scores, radius)


def slow_match(truth: np.ndarray, predicted: np.ndarray, scores: np.ndarray, radius: float) -> list:
    """The rule as the docstring says it, word by word."""
    free = list(range(len(truth)))
    made = []
    for j in sorted(range(len(predicted)), key=lambda j: (-scores[j], j)):
        distance = {i: float(np.hypot(*(truth[i] - predicted[j]))) for i in free}
        near = [i for i in free if distance[i] <= radius]
        if near:
            best = min(near, key=lambda i: (distance[i], i))
            free.remove(best)
            made.append((best, j))
    return made


coordinates = st.integers(0, 12).map(float)


@given(
    arrays(float, st.tuples(st.integers(0, 12), st.just(2)), elements=coordinates),
    arrays(float, st.tuples(st.integers(0, 12), st.just(2)), elements=coordinates),
    st.randoms(use_true_random=False),
    st.integers(0, 6),
)
def test_matching_follows_the_stated_rule(
    truth: np.ndarray, predicted: np.ndarray, random: object, radius: int
) -> None:
    scores = np.array([random.choice([0.1, 0.5, 0.9]) for _ in predicted])
    assert pairs(truth, predicted, scores, radius) == slow_match(truth, predicted, scores, radius)
