"""Slides with a huge coarsest level get computed ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_xce.slides import Slide
from napari_xce.slides.pyramid import COARSEST_PX, with_coarser_levels
from napari_xce.slides.source import TiledSource


class CountingSource(TiledSource):
    """A huge slide of one level whose grey is its place; counts the tiles it has decoded."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.level_shapes, self.level_downsamples = [shape], [(1.0, 1.0)]
        self.tile_shapes = [(512, 512)]
        self.decoded = 0
        self.closed = False

    def decode_tile(self, level: int, row: int, column: int) -> np.ndarray:
        self.decoded += 1
        grey = (np.arange(512) + 512 * row) // 64 % 256
        return np.broadcast_to(grey[:, None, None], (512, 512, 3)).astype(np.uint8)

    def close(self) -> None:
        super().close()
        self.closed = True


def test_huge_levels_get_coarser_ones() -> None:
    slide = Slide(CountingSource((9001, 5003)), "huge")
    assert slide.level_shapes == [(9001, 5003), (4501, 2502), (2251, 1251), (1126, 626), (563, 313)]
    assert slide.level_downsamples == [(2.0**k, 2.0**k) for k in range(5)]
    assert max(slide.level_shapes[-1]) <= COARSEST_PX
    assert [level.shape[:2] for level in slide.levels] == slide.level_shapes


def test_small_slides_stay_as_they_are() -> None:
    source = CountingSource((4000, 3000))
    assert with_coarser_levels(source) is source


def test_computed_levels_are_means_of_the_level_below(picture: np.ndarray) -> None:
    tall = np.tile(picture, (5, 1, 1))[:5003]
    slide = Slide.from_array(tall)
    half = slide.read_level(1, 2300, 300, 201, 200).astype(float)
    blocks = tall[4600:5002, 600:1000].reshape(201, 2, 200, 2, 3).mean((1, 3))
    assert np.abs(half - blocks).max() <= 0.5
    last = slide.read_level(1, 2501, 0, 1, 551)  # the odd last row stands alone
    pairs = tall[5002, :1102].reshape(551, 2, 3).mean(1)
    assert np.abs(last[0] - pairs).max() <= 0.5


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    source = CountingSource((9000, 9000))
    slide = Slide(source, "huge")
    assert source.decoded == 0
    slide.read_level(1, 0, 0, 256, 256)
    assert source.decoded == 1


def test_overview_is_computed_once(monkeypatch: Any) -> None:
    source = CountingSource((9000, 5000))
    slide = Slide(source, "huge")
    first = np.asarray(slide.levels[-1])
    assert source.decoded == 18 * 10
    from napari_xce.slides import cache

    monkeypatch.setattr(cache, "shared", cache.TileCache(0))  # as if the cache had been flooded
    assert np.array_equal(np.asarray(slide.levels[-1]), first)
    assert source.decoded == 18 * 10


def test_close_reaches_the_source() -> None:
    source = CountingSource((9000, 9000))
    Slide(source, "huge").close()
    assert source.closed
