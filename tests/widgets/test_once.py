"""Saying the same thing once."""

from __future__ import annotations

import pytest

from napari_xce.widgets.once import QUIET_SECONDS, Once


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_stream_of_one_sentence_is_new_only_at_first(clock: Clock) -> None:
    once = Once(clock)
    said = 0
    for _ in range(5000):
        said += once.is_new("The disk is gone.")
        clock.now += 0.1
    assert said == 1


def test_sentences_that_differ_in_numbers_are_one(clock: Clock) -> None:
    once = Once(clock)
    said = [once.is_new(f"Tile ({row}, 3) cannot be read.") for row in range(9)]
    assert said == [True] + [False] * 8


def test_other_sentence_is_new(clock: Clock) -> None:
    once = Once(clock)
    assert once.is_new("The disk is full.")
    assert once.is_new("The slide is gone.")


def test_sentence_is_new_again_after_a_quiet_while(clock: Clock) -> None:
    once = Once(clock)
    assert once.is_new("The disk is full.")
    clock.now += QUIET_SECONDS + 1
    assert once.is_new("The disk is full.")


def test_what_the_user_asked_for_again_is_told_again(clock: Clock) -> None:
    once = Once(clock)
    assert once.is_new("The disk is full.")
    once.forget()
    assert once.is_new("The disk is full.")
