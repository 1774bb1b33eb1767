"""The stages of a click add up to the time until it was answered."""

from __future__ import annotations

import time
from typing import cast

import pytest

from napari_xce.bench.stages import STAGES, Stages
from napari_xce.engine import Engine, Message, ModelReady, Painted

TILE = Painted("slide", (0.0, 0.0, 1.0, 1.0), 1)


class Door:
    """The two methods of an engine that are watched."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []

    def annotations_changed(self) -> None:
        self.waiting += [TILE, ModelReady(2, {}), TILE]  # the first one is of the model before

    def poll(self) -> list[Message]:
        told, self.waiting = self.waiting, []
        return told


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def stages(door: Door) -> Stages:
    return Stages(cast(Engine, door))


def test_stages_of_a_click_add_up(door: Door, stages: Stages) -> None:
    stages.begin()
    due = time.perf_counter()
    door.annotations_changed()
    assert len(door.poll()) == 3
    drawn = time.perf_counter()
    found = stages.since(due, drawn)
    assert tuple(found) == STAGES
    assert min(found.values()) >= 0
    assert sum(found.values()) == pytest.approx(1000 * (drawn - due))


def test_answer_drawn_before_it_was_fetched_has_no_stages(door: Door, stages: Stages) -> None:
    due = drawn = time.perf_counter()
    door.annotations_changed()
    door.poll()
    assert stages.since(due, drawn) == {}


def test_click_without_an_answer_has_no_stages(door: Door, stages: Stages) -> None:
    door.annotations_changed()
    stages.begin()
    door.poll()
    assert stages.since(0.0, time.perf_counter()) == {}


def test_engine_is_as_before_in_the_end(door: Door, stages: Stages) -> None:
    stages.close()
    assert set(vars(door)) == {"waiting"}
