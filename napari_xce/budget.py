"""How many bytes may be held for speed alone, and by whom: the one place that says so.

All of it can be read or computed anew. Not in it: what the user said, the cells found (about 30
bytes each), and the network itself. Large heat maps are files (``predictions/heat.py``), which the
system takes out of memory by itself.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Generic, Literal, TypeVar

import psutil

Holder = Literal["pixels", "features", "learner", "pool", "heat"]
#: Decoded tiles of slides; what the network says of tiles looked at lately; the cells that the
#: click learner compares with; a few cells of every tile; small heat maps.
SHARES: dict[Holder, float] = {
    "pixels": 0.4,
    "features": 0.3,
    "learner": 0.12,
    "pool": 0.08,
    "heat": 0.1,
}
#: Bytes for all of them together, and the part of the machine's memory that it may be.
MOST_BYTES, PART_OF_MACHINE = 1280 * 2**20, 1 / 6

#: Freed memory is given back when the process has grown by so many bytes since it last was; that is
#: asked every so many seconds.
MOST_FREED, LOOK_SECONDS = 64 * 2**20, 5.0

K = TypeVar("K")
V = TypeVar("V")


@cache
def total_bytes() -> int:
    """Return how many bytes all holders may hold together."""
    return min(MOST_BYTES, int(PART_OF_MACHINE * psutil.virtual_memory().total))


def bytes_for(holder: Holder) -> int:
    """Return how many bytes one of them may hold."""
    return int(SHARES[holder] * total_bytes())


def give_back_freed() -> None:
    """Give memory that was freed back to the system, where the C library keeps it: glibc.

    Each thread frees into an arena of its own, between things that stay; what lies between is not
    used by other threads and not given back, some 200 MB after a few minutes of use. Takes about
    20 ms.
    """
    if _TRIM is not None:
        _TRIM(0)


def _find_trim() -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``; None with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


_TRIM = _find_trim()


class Freed:
    """Gives memory that was freed back before it is much, and leaves the rest to be used again.

    What was given back has to be taken, and zeroed by the system, when it is needed again, which
    costs the next tiles some time: hence not by the clock.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._least = self._process.memory_info().rss  # since it was last given back
        self._looked = time.monotonic()

    def look(self) -> None:
        """Give memory back if the process has grown enough; called as often as one likes."""
        now = time.monotonic()
        if _TRIM is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        held = self._process.memory_info().rss
        if held - self._least > MOST_FREED:
            give_back_freed()
            self._least = self._process.memory_info().rss
        else:
            self._least = min(self._least, held)


class Held(Generic[K, V]):
    """Values by key up to a number of bytes, least recently used out first. One thread at a time.

    Parameters
    ----------
    max_bytes : int
        A value that is larger is not held at all.

    Attributes
    ----------
    nbytes : int
        Held now.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        """Go through the keys, the least recently used first."""
        return iter(list(self._values))

    def get(self, key: K) -> V | None:
        """Return a value, which is used by that, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, nbytes: int) -> None:
        """Hold a value of so many bytes; the oldest make room."""
        self.drop(key)
        if nbytes > self.max_bytes:
            return
        self._values[key] = (value, nbytes)
        self.nbytes += nbytes
        while self.nbytes > self.max_bytes:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Let go of a value, if it is held."""
        if key in self._values:
            self.nbytes -= self._values.pop(key)[1]

    def clear(self) -> None:
        """Let go of everything."""
        self._values.clear()
        self.nbytes = 0
