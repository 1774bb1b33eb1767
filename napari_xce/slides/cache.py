"""One cache of decoded tiles for all that reads slides: viewer and learner look at the same places.

Least recently used tiles go first; the limit is in bytes. Any thread may call.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

TileKey = tuple[int, int, int, int]
"""(owner, level, row, column); the owner is a number from :func:`new_owner`."""

DEFAULT_MAX_BYTES = 512 * 1024**2

_owners = itertools.count(1)


def new_owner() -> int:
    """Return a number that no other source in this process has as its cache owner."""
    return next(_owners)


class TileCache:
    """Hold decoded tiles up to a number of bytes, least recently used out first.

    Parameters
    ----------
    max_bytes
        Upper bound of the pixels held. A tile that is larger than this is handed out, but not held.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._tiles: OrderedDict[TileKey, np.ndarray] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held now."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._tiles)

    def get(self, key: TileKey, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the tile under ``key``, read-only; on a miss ``decode`` it and keep it.

        The lock is not held while decoding, so two threads may decode the same tile; both get the
        same pixels.
        """
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
        tile = decode()
        tile.flags.writeable = False
        with self._lock:
            self._insert(key, tile)
        return tile

    def _insert(self, key: TileKey, tile: np.ndarray) -> None:
        """Hold a tile and let the oldest go until the limit is kept; the caller has the lock."""
        old = self._tiles.pop(key, None)
        if old is not None:
            self._nbytes -= old.nbytes
        if tile.nbytes > self.max_bytes:
            return
        self._tiles[key] = tile
        self._nbytes += tile.nbytes
        while self._nbytes > self.max_bytes:
            _, oldest = self._tiles.popitem(last=False)
            self._nbytes -= oldest.nbytes

    def forget(self, owner: int) -> None:
        """Let go of all tiles of one owner."""
        with self._lock:
            for key in [key for key in self._tiles if key[0] == owner]:
                self._nbytes -= self._tiles.pop(key).nbytes

    def clear(self) -> None:
        """Drop every tile, as for a measurement that begins cold."""
        with self._lock:
            self._tiles.clear()
            self._nbytes = 0


shared = TileCache()
"""The cache that all slides of this process use."""
