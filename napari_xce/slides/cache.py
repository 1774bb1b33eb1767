"""One cache of decoded tiles for all that reads slides: viewer and learner look at the same places.

Least recently used tiles go first; the limit is in bytes. Any thread may call.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import numpy as np

from napari_xce.budget import Held, bytes_for

TileKey = tuple[int, int, int, int]
"""(owner, level, row, column); the owner is a number from :func:`new_owner`."""

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

    def __init__(self, max_bytes: int) -> None:
        self._held: Held[TileKey, np.ndarray] = Held(max_bytes)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held now."""
        return self._held.nbytes

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: TileKey, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the tile under ``key``, read-only; on a miss ``decode`` it and keep it.

        The lock is not held while decoding, so two threads may decode the same tile; both get the
        same pixels.
        """
        with self._lock:
            tile = self._held.get(key)
        if tile is not None:
            return tile
        tile = decode()
        tile.flags.writeable = False
        with self._lock:
            self._held.put(key, tile, tile.nbytes)
        return tile

    def forget(self, owner: int) -> None:
        """Let go of all tiles of one owner."""
        with self._lock:
            for key in self._held:
                if key[0] == owner:
                    self._held.drop(key)

    def clear(self) -> None:
        """Drop every tile, as for a measurement that begins cold."""
        with self._lock:
            self._held.clear()


shared = TileCache(bytes_for("pixels"))
"""The cache that all slides of this process use."""
