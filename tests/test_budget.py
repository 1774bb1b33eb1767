"""All that is held for speed alone stays within one number of bytes."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from napari_xce import budget
from napari_xce.budget import Freed, Held, bytes_for, give_back_freed
from napari_xce.learning.heads import CELL_SIZE
from napari_xce.learning.memory import Memory, Observation
from napari_xce.predictions.heat import LARGEST_IN_MEMORY
from napari_xce.session import Session
from napari_xce.slides import Slide
from napari_xce.slides.cache import shared
from napari_xce.slides.synthetic import SyntheticSlide


def test_the_shares_of_all_are_the_whole() -> None:
    assert sum(budget.SHARES.values()) == pytest.approx(1)
    whole = sum(bytes_for(holder) for holder in budget.SHARES)
    assert whole <= budget.total_bytes() <= psutil.virtual_memory().total / 6
    assert budget.total_bytes() <= 1280 * 2**20


def test_what_was_used_least_recently_goes_first() -> None:
    held: Held[str, int] = Held(10)
    for key, nbytes in (("a", 4), ("b", 4)):
        held.put(key, 0, nbytes)
    held.get("a")
    held.put("c", 0, 4)
    assert list(held) == ["a", "c"]
    assert held.nbytes == 8


def test_a_value_put_again_counts_once() -> None:
    held: Held[str, int] = Held(10)
    held.put("a", 1, 6)
    held.put("a", 2, 8)
    assert (held.get("a"), held.nbytes) == (2, 8)


def test_what_is_larger_than_all_is_not_held() -> None:
    held: Held[str, int] = Held(10)
    held.put("small", 0, 3)
    held.put("large", 0, 11)
    assert list(held) == ["small"]


def test_a_session_at_work_stays_within_its_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "total_bytes", lambda: 80 * 2**20)  # features of two or three tiles
    tissue = SyntheticSlide((448, 896), seed=3)
    points = tissue.truth().points[:4]
    slide = Slide.from_array(np.tile(tissue.read_level(0, 0, 0, 448, 896), (1, 3, 1)), mpp=0.5)
    with Session.create(tmp_path / "held.xce", classes=["cell"]) as session:
        id = session.add_slide(slide)
        session.annotate("cell", points, id)
        session.fit(seconds=0)
        seen, memory = session.live.predictor.seen, session.live.memory
        counts = []
        for tile in session.stale_tiles(id):
            session.predict_tile(id, tile)
            assert seen.nbytes <= bytes_for("features")
            assert memory.nbytes <= bytes_for("learner")
            counts.append(len(seen))
    assert len(counts) == 6
    assert 2 <= max(counts) <= 3


def test_learner_lets_go_of_tiles_for_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "total_bytes", lambda: 2**20)
    memory = Memory()
    vectors = np.zeros((100, CELL_SIZE), np.float32)
    ones, places = np.ones(100, np.float32), np.zeros((100, 2))
    for column in range(10):  # of 50 kB each, where 126 kB may be held
        seen = Observation(places, ones, ones, vectors, places[:0], vectors[:0], 16.0)
        memory.observe(("slide", (0, column)), seen)
        assert memory.nbytes <= bytes_for("learner")
    assert list(memory.tiles) == [("slide", (0, 8)), ("slide", (0, 9))]


def test_small_heat_maps_of_eight_classes_fit_into_their_share() -> None:
    assert bytes_for("heat") >= 8 * LARGEST_IN_MEMORY
    assert shared._held.max_bytes == bytes_for("pixels")


on_glibc = pytest.mark.skipif(sys.platform != "linux", reason="others see to it themselves")


def _free_between_things_that_stay() -> list[np.ndarray]:
    """Fill and free some 230 MB; return what stays."""
    blocks = [np.ones(60_000, np.uint8) for _ in range(4000)]  # too small to be mapped one by one
    return blocks[::100]


@on_glibc
def test_memory_freed_between_things_that_stay_is_given_back() -> None:
    stay = _free_between_things_that_stay()
    full = psutil.Process().memory_info().rss
    give_back_freed()
    assert full - psutil.Process().memory_info().rss > 150 * 2**20
    assert all(block.all() for block in stay)


@on_glibc
def test_freed_memory_goes_back_once_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "LOOK_SECONDS", 0.0)
    freed = Freed()
    stay = _free_between_things_that_stay()
    full = psutil.Process().memory_info().rss
    freed.look()
    assert full - psutil.Process().memory_info().rss > 150 * 2**20
    assert all(block.all() for block in stay)


def _times_given_back(monkeypatch: pytest.MonkeyPatch, held_mib: list[int], seconds: float) -> int:
    """Look so often, that many seconds apart, at a process that holds so much each time."""
    calls = iter(held_mib)
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=next(calls) * 2**20))
    clock = count(0.0, seconds)
    given: list[int] = []
    monkeypatch.setattr(budget, "_TRIM", given.append)
    monkeypatch.setattr(budget.psutil, "Process", lambda: process)
    monkeypatch.setattr(budget.time, "monotonic", lambda: next(clock))
    freed = Freed()
    while True:
        try:
            freed.look()
        except StopIteration:  # it asked once more than the process answers
            return len(given)


def test_freed_memory_is_left_to_be_used_again_while_it_is_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _times_given_back(monkeypatch, [1000, 1050, 1060, 1050, 1060], seconds=6.0) == 0


def test_growth_counts_from_the_least_that_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    # 90 above the least of all: given back; 1020 is the least then, and 1080 not much more
    held = [1000, 990, 1080, 1020, 1080, 1030]
    assert _times_given_back(monkeypatch, held, seconds=6.0) == 1


def test_nothing_is_asked_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    process = SimpleNamespace(memory_info=lambda: asked.append(1) or SimpleNamespace(rss=0))
    monkeypatch.setattr(budget.psutil, "Process", lambda: process)
    monkeypatch.setattr(budget.time, "monotonic", count(0.0, 1.0).__next__)
    freed = Freed()
    for _ in range(10):
        freed.look()
    assert len(asked) == 1 + 2
