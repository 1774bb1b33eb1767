from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.detections import Detections


@pytest.fixture
def three() -> Detections:
    return Detections(
        points=np.array([[0.0, 0.0], [5.5, 9.0], [10.0, 10.0]]),
        labels=np.array(["a", "b", "a"]),
        scores=np.array([0.2, 0.7, 0.9]),
        diameters=np.array([8.0, np.nan, 12.0]),
        revision=4,
    )


def test_arrays_take_the_documented_dtypes(three: Detections) -> None:
    assert three.points.dtype == np.float64
    assert three.labels.dtype.kind == "U"
    assert three.scores.dtype == three.diameters.dtype == np.float32


def test_plain_lists_are_accepted() -> None:
    cells = Detections([[1, 2]], ["a"], [0.5], [10])
    assert cells.points.tolist() == [[1.0, 2.0]]


def test_empty_has_no_cells_and_right_shapes() -> None:
    empty = Detections.empty(revision=3)
    assert len(empty) == 0
    assert empty.points.shape == (0, 2)
    assert empty.labels.dtype.kind == "U"
    assert empty.revision == 3


def test_arrays_cannot_be_written_but_callers_array_can() -> None:
    mine = np.zeros((1, 2))
    cells = Detections(mine, ["a"], [0.5], [10])
    with pytest.raises(ValueError, match="read-only"):
        cells.points[0, 0] = 1
    mine[0, 0] = 1


@pytest.mark.parametrize(
    ("points", "labels", "match"),
    [
        (np.zeros((2, 3)), ["a", "b"], r"shape \(N, 2\)"),
        (np.zeros((2, 2)), ["a"], r"labels must have the shape \(2,\)"),
    ],
)
def test_mismatched_arrays_are_refused(points: np.ndarray, labels: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Detections(points, labels, [0.5, 0.5], [1, 1])


def test_concatenate_keeps_order_and_highest_revision(three: Detections) -> None:
    other = Detections([[1, 1]], ["a longer name"], [0.1], [1], revision=2)
    joined = Detections.concatenate([other, three])
    assert joined.labels.tolist() == ["a longer name", "a", "b", "a"]
    assert joined.revision == 4
    assert len(Detections.concatenate([])) == 0


def test_above_takes_one_threshold_inclusively(three: Detections) -> None:
    assert three.above(0.7).points.tolist() == [[5.5, 9.0], [10.0, 10.0]]
    assert three.above(0.7).revision == 4


def test_above_takes_thresholds_by_class_and_keeps_others(three: Detections) -> None:
    assert three.above({"a": 0.5}).labels.tolist() == ["b", "a"]


def test_inside_is_half_open(three: Detections) -> None:
    assert three.inside((0, 0, 10, 10)).points.tolist() == [[0.0, 0.0], [5.5, 9.0]]


@pytest.mark.parametrize(
    "index", [-1, 2, [2], slice(2, 3), np.array([False, False, True]), np.array([2])]
)
def test_indexing_picks_cells(three: Detections, index: object) -> None:
    picked = three[index]
    assert picked.points.tolist() == [[10.0, 10.0]]
    assert picked.diameters.tolist() == [12.0]


def test_indexing_with_nothing_gives_nothing(three: Detections) -> None:
    assert len(three[[]]) == 0
    assert len(three[np.zeros(3, dtype=bool)]) == 0


def test_index_past_the_end_raises(three: Detections) -> None:
    with pytest.raises(IndexError, match="detection 3 of 3"):
        three[3]
    assert [cell.labels[0] for cell in three] == ["a", "b", "a"]
