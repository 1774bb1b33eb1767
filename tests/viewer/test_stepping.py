"""Stepping through a queue of cells that does not change."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.detections import Detections
from napari_xce.viewer.stepping import Walk

PLACES = [(10.0, 10.0), (50.0, 10.0), (90.0, 10.0)]


@pytest.fixture
def settled() -> set[tuple[float, float]]:
    return set()


@pytest.fixture
def walk(settled: set[tuple[float, float]]) -> Walk:
    cells = Detections(PLACES, ["tumour"] * 3, [0.5] * 3, [16.0] * 3)
    return Walk(cells, lambda place: place in settled)


def test_walk_goes_forward_to_the_end_and_stays(walk: Walk) -> None:
    assert (walk.counter, walk.place) == ("1 of 3", PLACES[0])
    assert walk.forward()
    assert walk.forward()
    assert not walk.forward()
    assert (walk.counter, walk.place) == ("3 of 3", PLACES[2])


def test_cells_spoken_of_meanwhile_are_passed_over_but_not_going_back(
    walk: Walk, settled: set[tuple[float, float]]
) -> None:
    settled.add(PLACES[1])
    walk.forward()
    assert walk.place == PLACES[2]
    walk.back()
    assert walk.place == PLACES[1]
    walk.back()
    walk.back()
    assert walk.place == PLACES[0]


def test_walk_returns_to_a_cell_by_its_place_and_to_no_other(walk: Walk) -> None:
    walk.forward()
    walk.go_to(np.array([[300.0, 300.0], [12.0, 10.0]]), radius=8.0)
    assert walk.place == PLACES[0]
    walk.go_to(np.array([[300.0, 300.0]]), radius=8.0)
    assert walk.place == PLACES[0]
