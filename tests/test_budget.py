"""All that is held for speed alone stays within one number of bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_xce import budget
from napari_xce.budget import Held, bytes_for, give_back_freed
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


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries see to it themselves")
def test_memory_freed_between_things_that_stay_is_given_back() -> None:
    process = psutil.Process()
    blocks = [np.ones(60_000, np.uint8) for _ in range(4000)]  # too small to be mapped one by one
    full = process.memory_info().rss
    stay = blocks[::100]
    del blocks
    give_back_freed()
    assert full - process.memory_info().rss > 150 * 2**20
    assert all(block.all() for block in stay)
