"""The tile cache keeps to its bytes and hands out what is asked for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_xce.slides.cache import TileCache


def tile(value: int, side: int = 10) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def never() -> np.ndarray:
    raise AssertionError("decoded although cached")


def test_cached_tile_is_not_decoded_again() -> None:
    cache = TileCache(1000)
    cache.get((1, 0, 0, 0), lambda: tile(5))
    assert cache.get((1, 0, 0, 0), never)[0, 0, 0] == 5


def test_least_recently_used_goes_first() -> None:
    cache = TileCache(650)  # two tiles of 300 bytes
    cache.get((1, 0, 0, 0), lambda: tile(0))
    cache.get((1, 0, 0, 1), lambda: tile(1))
    cache.get((1, 0, 0, 0), never)
    cache.get((1, 0, 0, 2), lambda: tile(2))
    cache.get((1, 0, 0, 0), never)
    assert cache.nbytes == 600
    with pytest.raises(AssertionError):
        cache.get((1, 0, 0, 1), never)


def test_tile_larger_than_the_cache_is_handed_out() -> None:
    cache = TileCache(100)
    assert cache.get((1, 0, 0, 0), lambda: tile(9))[0, 0, 0] == 9
    assert (len(cache), cache.nbytes) == (0, 0)


def test_tiles_of_one_owner_are_forgotten() -> None:
    cache = TileCache(10_000)
    for owner in (1, 2):
        cache.get((owner, 0, 0, 0), lambda: tile(0))
    cache.forget(1)
    assert (len(cache), cache.nbytes) == (1, 300)
    cache.get((2, 0, 0, 0), never)


def test_cached_tiles_cannot_be_written_to() -> None:
    cached = TileCache(1000).get((1, 0, 0, 0), lambda: tile(5))
    with pytest.raises(ValueError, match="read-only"):
        cached[0] = 1


def test_bytes_stay_right_under_threads() -> None:
    cache = TileCache(3000)

    def work(seed: int) -> None:
        for key in np.random.default_rng(seed).integers(0, 30, 400):
            got = cache.get((1, 0, 0, int(key)), lambda key=key: tile(int(key)))
            assert got[0, 0, 0] == key

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.nbytes == 300 * len(cache) <= 3000
