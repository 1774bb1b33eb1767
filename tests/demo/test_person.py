"""The simulated person: sees its window, clicks near cells, and puts right what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.demo.person import Person, best_window, in_region
from napari_xce.predictions.detections import Detections
from napari_xce.slides.synthetic import Truth

SHAPE = (1000, 1000)
# A window's side is 400: the first one, (0, 0) to (400, 400), holds all of these.
CELLS = {"a": [(100, 100), (100, 200), (100, 300)], "b": [(300, 100), (300, 200)]}


@pytest.fixture
def truth() -> Truth:
    points = np.array([p for points in CELLS.values() for p in points], float)
    labels = np.array([name for name, points in CELLS.items() for _ in points])
    return Truth(points, labels, np.full(len(points), 16, np.float32))


@pytest.fixture
def person(truth: Truth) -> Person:
    return Person(truth, SHAPE, radius=12.0, seed=0)


def detections(*cells: tuple[float, float, str, float]) -> Detections:
    """Return cells from (y, x, label, score)."""
    y, x, labels, scores = zip(*cells, strict=True)
    points = np.stack([y, x], 1).astype(float)
    sizes = np.full(len(points), 16, np.float32)
    return Detections(points, np.array(labels), np.array(scores, np.float32), sizes)


def found_well() -> list[tuple[float, float, str, float]]:
    """Return a right detection of each cell."""
    return [(y, x, name, 0.9) for name, points in CELLS.items() for y, x in points]


def test_first_clicks_are_near_cells_of_their_class(person: Person) -> None:
    said = person.first_clicks(2)
    assert {name: len(points) for name, points in said.clicks.items()} == {"a": 2, "b": 2}
    for name, points in said.clicks.items():
        away = np.linalg.norm(points[:, None] - np.array(CELLS[name], float), axis=2).min(1)
        assert (away < 8).all()
        assert (away > 0).all()


def test_rare_class_is_clicked_as_often_as_it_occurs(person: Person) -> None:
    assert len(person.first_clicks(10)) == 5


def test_same_seed_makes_the_same_clicks(truth: Truth) -> None:
    one, other = (Person(truth, SHAPE, 12.0, seed=3).first_clicks(2) for _ in range(2))
    np.testing.assert_array_equal(one.clicks["a"], other.clicks["a"])


def test_nothing_is_corrected_when_all_is_right(person: Person) -> None:
    assert len(person.corrections(detections(*found_well()), 5)) == 0


def test_false_cells_are_rejected_the_surest_first(person: Person) -> None:
    cells = detections(*found_well(), (200, 50, "a", 0.5), (200, 350, "b", 0.8))
    said = person.corrections(cells, 1)
    assert not said.clicks
    np.testing.assert_array_equal(said.rejections, [[200, 350]])


def test_second_detection_on_a_cell_is_not_rejected(person: Person) -> None:
    cells = detections(*found_well(), (104, 104, "a", 0.5))
    assert len(person.corrections(cells, 5)) == 0


def test_cell_of_the_wrong_class_is_clicked_with_the_right_one(person: Person) -> None:
    cells = found_well()
    cells[0] = (*cells[0][:2], "b", 0.9)
    said = person.corrections(detections(*cells), 5)
    assert list(said.clicks) == ["a"]
    np.testing.assert_allclose(said.clicks["a"], [CELLS["a"][0]], atol=8)


def test_missed_cell_is_clicked(person: Person) -> None:
    said = person.corrections(detections(*found_well()[1:]), 5)
    np.testing.assert_allclose(said.clicks["a"], [CELLS["a"][0]], atol=8)


def test_cell_that_was_clicked_is_not_clicked_again(person: Person) -> None:
    person.first_clicks(10)
    assert len(person.corrections(detections(*found_well()[1:]), 5)) == 0


def test_what_lies_outside_the_window_is_not_seen(person: Person) -> None:
    cells = detections(*found_well(), (800, 800, "a", 0.99))
    assert len(person.corrections(cells, 5)) == 0


def test_window_goes_where_most_kinds_of_cells_are() -> None:
    # 30 cells of one class top left; 24 and 20 of two classes bottom right
    rng = np.random.default_rng(0)
    parts = [(30, "a", 0, 399), (24, "a", 610, 990), (20, "b", 610, 990)]
    points = np.concatenate([rng.uniform(low, high, (n, 2)) for n, _, low, high in parts])
    labels = np.concatenate([np.full(n, name) for n, name, _, _ in parts])
    window = best_window(Truth(points, labels, np.full(len(points), 16, np.float32)), SHAPE)
    assert window == ((600.0, 600.0), (1000.0, 1000.0))


def test_regions_are_half_open() -> None:
    region = ((0.0, 0.0), (10.0, 10.0))
    points = np.array([[0.0, 0.0], [10.0, 5.0], [5.0, 9.9]])
    assert in_region(points, region).tolist() == [True, False, True]
    assert in_region(points, region, margin=1).all()
