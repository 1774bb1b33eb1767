"""The schedules, against a sigmoid worked by hand."""

from __future__ import annotations

import math

import pytest

from napari_xce.learning.annealing import Annealing, value_at


@pytest.mark.parametrize(
    ("progress", "share"),
    [(50, 0.5), (60, 1 / (1 + math.exp(-1))), (40, 1 / (1 + math.exp(1))), (1e9, 1), (-1e9, 0)],
)
def test_annealing_follows_the_sigmoid(progress: float, share: float) -> None:
    rising = Annealing(limit=0.4, midpoint=50, temperature=10)
    assert rising(progress) == pytest.approx(0.4 * share)


def test_constant_ignores_progress() -> None:
    assert value_at(0.3, 0) == value_at(0.3, 1000) == 0.3


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((1.5, 50, 10), "limit .* in \\[0, 1\\], got 1.5"),
        ((0.5, math.nan, 10), "midpoint .* finite"),
        ((0.5, 50, 0), "temperature .* above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Annealing(*numbers)
