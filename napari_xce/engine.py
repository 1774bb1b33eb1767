"""The background thread that learns and predicts while the user clicks.

The GUI calls methods that leave a command and return at once; the thread ``xce-engine`` does one
short piece of work after the other (a fit, a tile, a training step), always what the user waits
for first, and yields after each. What comes of it is published in the session's predictions and
told by messages, which the GUI fetches with ``poll``. The engine knows no viewer, layer or widget.

Order of work: learn from new clicks - answer a request for suggestions - paint what is in view -
masks of the view - a whole-slide run - fine-tune - paint around the view.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import XceError
from napari_xce.learning.devices import leave_a_core_free
from napari_xce.learning.model import Head
from napari_xce.learning.trunk import MASK_STRIDE
from napari_xce.predictions.detections import Box
from napari_xce.predictions.instances import mask_box
from napari_xce.predictions.scheduler import next_tile
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session
from napari_xce.suggestions import Suggestion

log = logging.getLogger(__name__)

#: Seconds the thread sleeps after each piece, so that the GUI's thread gets its turn.
YIELD_SECONDS = 0.001
#: Seconds between two messages about the state, and between two automatic saves.
STATUS_SECONDS, SAVE_SECONDS = 0.25, 60.0
#: One piece in so many goes to fine-tuning even while the view is being painted.
TRAINING_SHARE = 4
#: Larger views get no masks: nobody could tell cells apart there.
MOST_MASK_PIXELS = 2_000_000


@dataclass(frozen=True, slots=True)
class Painted:
    """A part of a slide (level-0 ``box``) has new predictions."""

    slide_id: str
    box: Box
    revision: int


@dataclass(frozen=True, slots=True)
class Segmented:
    """Masks of the view are ready.

    ``labels`` is int32; ``factor`` are level-0 pixels per label pixel, ``origin`` the level-0
    place of the middle of its first pixel.
    """

    slide_id: str
    labels: NDArray[np.int32]
    factor: tuple[float, float]
    origin: tuple[float, float]
    revision: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the engine is doing; ``loss`` is NaN before the first step."""

    state: str
    revision: int
    steps: int
    steps_per_second: float
    loss: float
    message: str


@dataclass(frozen=True, slots=True)
class ModelReady:
    """A new revision answers."""

    revision: int
    thresholds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Promoted:
    """A fine-tuned copy was compared and has taken over."""

    revision: int
    message: str


@dataclass(frozen=True, slots=True)
class SuggestionsReady:
    """Answer to ``suggest``; empty when there is nothing to suggest."""

    slide_id: str
    suggestions: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a whole-slide run is; ``done == total`` ends it (0 of 0: cancelled)."""

    slide_id: str
    done: int
    total: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong; a sentence for the user."""

    message: str


Message = (
    Painted | Segmented | Status | ModelReady | Promoted | SuggestionsReady | Progress | Failed
)


@dataclass(slots=True)
class _Run:
    """A whole-slide run: the tiles still to do."""

    slide_id: str
    tiles: list[Tile]
    total: int
    started: float = field(default_factory=time.monotonic)


class Engine:
    """Learn and predict in the background; see the module. Call all methods from one thread.

    Parameters
    ----------
    session : Session
        Shared with the GUI; whoever uses its model takes ``session.lock``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outbox: deque[Message] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xce-engine", daemon=True)
        # the rest belongs to the thread
        self._paused = False
        self._dirty = True
        self._to_learn = False
        self._view: tuple[str, Box] | None = None
        self._requests: deque[tuple[str, int, Box | None]] = deque()
        self._slide_run: _Run | None = None
        self._masks_shown: object = None
        self._broken: set[tuple[str, Tile, int]] = set()
        self._pieces = 0
        self._steps = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=40)  # time, loss
        self._note = ""
        self._last_status = self._last_save = 0.0

    # ---- for the GUI

    def start(self) -> None:
        """Start the thread."""
        leave_a_core_free()
        self._thread.start()

    def shutdown(self, timeout: float = 10.0) -> None:
        """Stop after the piece at hand, save, and end the thread. May be called twice.

        Parameters
        ----------
        timeout : float
            Seconds to wait for the thread.
        """
        self._stop.set()
        self._inbox.put(lambda: None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def poll(self) -> list[Message]:
        """Return what has happened since the last call; never blocks."""
        messages: list[Message] = []
        while self._outbox:
            messages.append(self._outbox.popleft())
        return messages

    def set_viewport(self, slide_id: str, box: Box) -> None:
        """Say what is on screen, level-0 pixels; it is painted first from now on."""
        self._inbox.put(lambda: setattr(self, "_view", (slide_id, box)))

    def annotations_changed(self) -> None:
        """Say that something was said: it is learnt from at once."""
        self._inbox.put(lambda: setattr(self, "_dirty", True))

    def pause(self) -> None:
        """Stop learning; what is in view is still painted with what was learnt."""
        self._inbox.put(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Learn again."""
        self._inbox.put(lambda: setattr(self, "_paused", False))

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on."""
        self._inbox.put(lambda: self._change_head(head))

    def suggest(self, slide_id: str, n: int = 1, box: Box | None = None) -> None:
        """Ask for places to click next; answered by one ``SuggestionsReady``."""
        self._inbox.put(lambda: self._requests.append((slide_id, n, box)))

    def predict_slide(self, slide_id: str) -> None:
        """Predict a whole slide, glass left out; ``Progress`` tells how far it is."""
        self._inbox.put(lambda: self._begin_run(slide_id))

    def cancel_predict(self) -> None:
        """End the whole-slide run; what was predicted stays."""
        self._inbox.put(self._end_run)

    # ---- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take_commands()
            worked = self._guarded(self._next_piece)
            self._tell_status()
            if worked:
                time.sleep(YIELD_SECONDS)
            else:
                self._wait_for_command(0.2)
        self._guarded(self._save)

    def _take_commands(self) -> None:
        while not self._inbox.empty():
            command = self._inbox.get()
            self._guarded(lambda run=command: bool(run()))  # type: ignore[misc]

    def _wait_for_command(self, seconds: float) -> None:
        try:
            command = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return
        self._guarded(lambda: bool(command()))

    def _guarded(self, piece: Callable[[], bool]) -> bool:
        """Do a piece of work; a failure is told in words and ends nothing but that piece."""
        try:
            return piece()
        except XceError as error:
            self._outbox.append(Failed(str(error)))
        except Exception as error:
            log.exception("the engine met an unexpected error")
            self._outbox.append(
                Failed(
                    f"Unexpected error: {error}. Your annotations are safe; details are in the log."
                )
            )
        return False

    def _next_piece(self) -> bool:
        """Do the most urgent piece of work; False when there is none."""
        self._pieces += 1
        if not self._paused and self._learn():
            return True
        if self._requests:
            return self._answer_request()
        training_turn = self._pieces % TRAINING_SHARE == 0
        if training_turn and self._train():
            return True
        return (
            self._paint(around=False)
            or self._show_masks()
            or self._continue_run()
            or self._train()
            or self._paint(around=True)
            or self._save_sometimes()
        )

    # ---- learning

    def _learn(self) -> bool:
        """Take up what was said; look at one tile of it, or fit."""
        with self._session.lock:
            live = self._session.live
            if self._dirty:
                self._dirty = False
                self._session.take_up_annotations()
                self._to_learn = True
            if not self._to_learn:
                return False
            unseen = live.unseen_tiles()
            if unseen:
                live.observe(unseen[0])
                if len(unseen) > 1:
                    return True
            self._to_learn = False
            self._note = "" if live.learn() else "click a few cells to begin"
            self._recent.clear()
            if live.has_learnt:
                self._outbox.append(ModelReady(live.revision, self._session.thresholds))
            return True

    def _train(self) -> bool:
        """Take one fine-tuning step; judge the copy when it is due."""
        if self._paused or self._slide_run is not None:
            return False
        with self._session.lock:
            live = self._session.live
            loss = live.train_step() if live.has_learnt else None
            if loss is None:
                return False
            self._steps += 1
            self._recent.append((time.monotonic(), loss))
            if live.trial_is_due:
                trial = live.try_promotion()
                self._note = trial.words
                if trial.promoted:
                    self._session.relearn()
                    self._session.save()
                    self._outbox.append(Promoted(live.revision, trial.words))
                    self._outbox.append(ModelReady(live.revision, self._session.thresholds))
            return True

    def _change_head(self, head: Head) -> None:
        self._session.set_head(head)
        self._masks_shown = None
        self._dirty = True

    # ---- painting

    def _paint(self, around: bool) -> bool:
        """Predict one tile of the view, or around it."""
        if self._view is None or not self._has_learnt():
            return False
        slide_id, box = self._view
        predictions = self._session.predictions.get(slide_id)
        if predictions is None:
            return False
        revision = self._session.model_revision
        revisions = dict(predictions.revisions)
        revisions.update(
            {t: revision for s, t, r in self._broken if (s, r) == (slide_id, revision)}
        )
        tile = next_tile(box, predictions.grid, revisions, revision)
        visible = tile is not None and tile in predictions.grid.tiles_in(box)
        if tile is None or (not visible and not around):
            return False
        return self._predict(slide_id, tile)

    def _predict(self, slide_id: str, tile: Tile) -> bool:
        """Predict a tile and say so; a tile that cannot be read is not tried again."""
        revision = self._session.model_revision
        try:
            self._session.predict_tile(slide_id, tile)
        except XceError:
            self._broken.add((slide_id, tile, revision))
            raise
        box = self._session.predictions[slide_id].grid.core_box(tile)
        self._outbox.append(Painted(slide_id, box, revision))
        return True

    def _has_learnt(self) -> bool:
        with self._session.lock:
            return self._session.live.has_learnt

    def _show_masks(self) -> bool:
        """Segment what is in view, once for each view and revision, when the head is "unet"."""
        if self._session.head != "unet" or self._view is None or not self._has_learnt():
            return False
        slide_id, box = self._view
        wanted = (slide_id, box, self._session.model_revision)
        if wanted == self._masks_shown:
            return False
        self._masks_shown = wanted
        predictions = self._session.predictions[slide_id]
        height, width = predictions.grid.shape
        y0, x0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
        y1, x1 = min(height, math.ceil(box[2])), min(width, math.ceil(box[3]))
        factor = tuple(MASK_STRIDE * f for f in predictions.grid.factor)
        if y1 <= y0 or x1 <= x0 or (y1 - y0) * (x1 - x0) > MOST_MASK_PIXELS * factor[0] * factor[1]:
            return False
        mask = mask_box(predictions.grid, (y0, x0, y1 - y0, x1 - x0))
        cells = predictions.detections.query(None, thresholds=self._session.thresholds)
        labels = self._session.mask_labels(slide_id, mask, cells)
        origin = ((mask[0] + 0.5) * factor[0] - 0.5, (mask[1] + 0.5) * factor[1] - 0.5)
        self._outbox.append(Segmented(slide_id, labels, (factor[0], factor[1]), origin, wanted[2]))
        return True

    # ---- requests

    def _answer_request(self) -> bool:
        slide_id, n, box = self._requests.popleft()
        found: tuple[Suggestion, ...] = ()
        try:
            found = tuple(self._session.suggest(n, slide_id, box))
        finally:  # every request ends in exactly one answer
            self._outbox.append(SuggestionsReady(slide_id, found))
        return True

    def _begin_run(self, slide_id: str) -> None:
        height, width = self._session.slides[slide_id].shape
        whole = (-0.5, -0.5, height - 0.5, width - 0.5)
        if not self._has_learnt():
            self._outbox.append(Failed("Nothing has been learnt yet: click a few cells first."))
            self._outbox.append(Progress(slide_id, 0, 0, 0.0))
            return
        tiles = self._session.stale_tiles(slide_id, whole, skip_glass=True)
        self._slide_run = _Run(slide_id, tiles[::-1], len(tiles))
        self._tell_progress()

    def _continue_run(self) -> bool:
        run = self._slide_run
        if run is None:
            return False
        if not run.tiles:
            self._slide_run = None
            return True
        tile = run.tiles.pop()
        try:
            return self._predict(run.slide_id, tile)
        finally:
            self._tell_progress()

    def _end_run(self) -> None:
        run, self._slide_run = self._slide_run, None
        if run is not None:
            self._outbox.append(Progress(run.slide_id, 0, 0, 0.0))

    def _tell_progress(self) -> None:
        run = self._slide_run
        if run is not None:
            done = run.total - len(run.tiles)
            each = (time.monotonic() - run.started) / max(done, 1)
            self._outbox.append(Progress(run.slide_id, done, run.total, each * len(run.tiles)))

    # ---- state

    def _tell_status(self) -> None:
        now = time.monotonic()
        if now - self._last_status < STATUS_SECONDS:
            return
        self._last_status = now
        losses = [loss for _, loss in self._recent if math.isfinite(loss)]
        since = now - self._recent[0][0] if self._recent else math.inf
        self._outbox.append(
            Status(
                self._state(),
                self._session.model_revision,
                self._steps,
                len(self._recent) / max(since, 1e-3),
                float(np.mean(losses[-10:])) if losses else math.nan,
                self._note,
            )
        )

    def _state(self) -> str:
        if self._slide_run is not None:
            return "predicting the slide"
        if self._paused:
            return "paused"
        return "learning" if self._has_learnt() else "waiting for clicks"

    def _save_sometimes(self) -> bool:
        if time.monotonic() - self._last_save > SAVE_SECONDS:
            self._save()
        return False

    def _save(self) -> bool:
        self._last_save = time.monotonic()
        self._session.save()
        return False
