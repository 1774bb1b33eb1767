"""A whole-slide run: the tiles still to do, and how far it is. Belongs to the engine's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

from napari_xce.engine.messages import Progress
from napari_xce.predictions.block_reader import BlockReader
from napari_xce.predictions.slide_predictions import SlidePredictions

#: Share by which the newest piece moves the estimate of the pace.
_NEWEST = 0.1


@dataclass(slots=True)
class SlideRun:
    """Predict these tiles of a slide.

    Attributes
    ----------
    slide_id : str
    predictions : SlidePredictions
        Whose grid the tiles are of.
    reader : BlockReader
        Hands out the tiles still to do.
    total : int
        How many there were.
    paused : bool
        Whether it waits.
    """

    slide_id: str
    predictions: SlidePredictions
    reader: BlockReader
    total: int
    paused: bool = False
    _seconds_each: float = 0.0
    _last: float | None = None  # when the piece before ended, if nothing came between

    def pause(self, paused: bool) -> None:
        """Wait, or go on; the time in between does not count."""
        self.paused, self._last = paused, None

    def note_done(self, tiles: int) -> None:
        """Take note of a piece: so many tiles since the one before."""
        now = time.monotonic()
        if self._last is not None and tiles:
            each = (now - self._last) / tiles
            known = self._seconds_each or each
            self._seconds_each = known + _NEWEST * (each - known)
        self._last = now

    def progress(self) -> Progress:
        """Say how far it is, and how long it will take at the pace of late."""
        left = self.reader.tiles_left
        return Progress(
            self.slide_id, self.total - left, self.total, self._seconds_each * left, self.paused
        )
