"""Saying the same thing once: for errors of a background that tries again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

QUIET_SECONDS = 60.0


class Once:
    """Tells a new sentence from one that was said a while ago.

    Sentences that differ in numbers only count as the same: "tile 3" and "tile 4" cannot be read
    for one reason.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._met: dict[str, float] = {}  # a sentence without its numbers, and when it came last

    def is_new(self, sentence: str) -> bool:
        """Tell whether a sentence did not come within the last minute, and note that it came."""
        key, now = re.sub(r"\d+", "#", sentence), self._clock()
        last = self._met.get(key)
        self._met[key] = now
        return last is None or now - last > QUIET_SECONDS

    def forget(self) -> None:
        """Take the next sentence as new, whatever it is: the user asked for something."""
        self._met.clear()
