"""A whole-slide run: begun, paused and ended by the user. Belongs to the engine's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from napari_xce.engine.failures import Failures
from napari_xce.engine.messages import Message, Painted, Progress
from napari_xce.errors import XceError
from napari_xce.predictions.block_reader import BlockReader
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.session import Session

#: Share by which the newest piece moves the estimate of the pace.
_NEWEST = 0.1


@dataclass(slots=True)
class SlideRun:
    """The tiles of a slide that are still to do, and how far it is.

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


class SlideRunner:
    """Predict a slide as a whole, in pieces; one slide at a time.

    Parameters
    ----------
    session : Session
    tell : callable
        Takes each message.
    failures : Failures
    """

    def __init__(
        self, session: Session, tell: Callable[[Message], None], failures: Failures
    ) -> None:
        self._session = session
        self._tell = tell
        self._failures = failures
        self._run: SlideRun | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is a run that does not wait."""
        return self._run is not None and not self._run.paused

    def begin(self, slide_id: str) -> None:
        """Begin to predict a whole slide; if that fails, the run ends here."""
        if not self._failures.guarded(lambda: self._lay_out(slide_id)):
            self._tell(Progress(slide_id, 0, 0, 0.0))

    def _lay_out(self, slide_id: str) -> None:
        session = self._session
        with session.lock:
            if not session.live.has_learnt:
                raise XceError("Nothing has been learnt yet: click a few cells first.")
            tiles = session.stale_tiles(slide_id, skip_glass=True)
            reader = session.read_ahead(slide_id, tiles)
            run = SlideRun(slide_id, session.predictions[slide_id], reader, len(tiles))
        if tiles:
            self._run = run
            # cells that are saved later are of a model that was saved
            self._failures.guarded(session.save)
        else:
            reader.close()
        self._tell(run.progress())

    def go_on(self) -> bool:
        """Predict the next tiles of a run."""
        run = self._run
        if run is None or run.paused:
            return False
        if self._session.predictions.get(run.slide_id) is not run.predictions:
            self._drop()
            self.begin(run.slide_id)  # its scale has changed, and so have its tiles
            return True
        left = run.reader.tiles_left
        self._failures.guarded(lambda: self._predict_next(run))
        run.note_done(left - run.reader.tiles_left)
        self._tell(run.progress())
        if not run.reader.tiles_left:
            self._drop()
            self._failures.guarded(self._session.save)
        return True

    def _predict_next(self, run: SlideRun) -> None:
        """Predict the tiles of a run that come next, and say so."""
        for tile in self._session.predict_next(run.slide_id, run.reader):
            box = run.predictions.grid.core_box(tile)
            self._tell(Painted(run.slide_id, box, self._session.model_revision))

    def pause(self, paused: bool) -> None:
        """Let the run wait, with what it found on the disk, or go on."""
        run = self._run
        if run is not None and run.paused != paused:
            run.pause(paused)
            self._failures.guarded(self._session.save)
            self._tell(run.progress())

    def _drop(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.reader.close()

    def end(self) -> None:
        run = self._run
        if run is not None:
            self._drop()
            self._tell(Progress(run.slide_id, 0, 0, 0.0))
