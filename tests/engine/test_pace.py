"""The pace of training, at times set by hand."""

from __future__ import annotations

import math

import pytest

from napari_xce.engine.pace import Pace


def _step(pace: Pace, began: float, ended: float, loss: float) -> None:
    pace.begin_step(began)
    pace.end_step(ended, loss)


def test_nothing_trained_has_no_speed_and_no_loss() -> None:
    pace = Pace()
    assert pace.steps_per_second(10.0) == 0
    assert math.isnan(pace.loss())


def test_first_step_is_as_fast_as_it_was() -> None:
    pace = Pace()
    _step(pace, 100.0, 100.5, 0.7)
    assert pace.steps_per_second(100.5) == pytest.approx(2.0)


def test_step_in_pieces_began_with_the_first_of_them() -> None:
    pace = Pace()
    for piece in (100.0, 100.5, 101.5):
        pace.begin_step(piece)
    pace.end_step(102.0, 0.7)
    assert pace.steps_per_second(102.0) == pytest.approx(0.5)


def test_speed_is_that_of_the_last_five_seconds() -> None:
    pace = Pace()
    for second in range(10):
        _step(pace, second, second + 1.0, 0.5)
    assert pace.steps_per_second(10.5) == pytest.approx(1.0)  # ends at 6, 7, 8, 9, 10
    assert pace.steps_per_second(12.5) == pytest.approx(0.6)
    assert pace.steps_per_second(60.0) == 0
    assert pace.steps == 10


def test_pause_before_a_step_counts_as_time() -> None:
    pace = Pace()
    _step(pace, 0.0, 1.0, 0.5)
    _step(pace, 20.0, 21.0, 0.5)
    assert pace.steps_per_second(21.0) == pytest.approx(0.2)


def test_loss_is_a_mean_of_the_last_ten_without_those_not_taken() -> None:
    pace = Pace()
    _step(pace, 0.0, 1.0, 100.0)
    for loss in [1.0, 3.0] * 5:
        _step(pace, 0.0, 1.0, loss)
    _step(pace, 0.0, 1.0, math.nan)
    assert pace.loss() == pytest.approx(2.0)


def test_new_training_begins_anew_but_steps_go_on() -> None:
    pace = Pace()
    _step(pace, 0.0, 1.0, 0.5)
    pace.begin_anew()
    assert pace.steps_per_second(1.0) == 0
    assert math.isnan(pace.loss())
    _step(pace, 30.0, 30.5, 0.25)
    assert pace.steps_per_second(30.5) == pytest.approx(2.0)
    assert (pace.steps, pace.loss()) == (2, 0.25)
