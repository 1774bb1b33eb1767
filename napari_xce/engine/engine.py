"""The engine as the GUI sees it, and the loop of its thread.

The GUI leaves a command and returns at once; the thread ``xce-engine`` takes the commands, lets
the worker do one short piece of work, and yields. What happened is told by messages, which the GUI
fetches with ``poll``; a callback says that there are some.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from napari_xce.engine.messages import (
    CancelPredict,
    Command,
    Message,
    ModelReady,
    PausePredict,
    PredictSlide,
    Segmented,
    SetHead,
    SetPaused,
    SetViewport,
    Status,
    Suggest,
    TakeUp,
    UndoPromotion,
    WakeUp,
)
from napari_xce.engine.worker import Worker
from napari_xce.learning.devices import leave_a_core_free
from napari_xce.learning.model import Head
from napari_xce.predictions.detections import Box
from napari_xce.session import Session

log = logging.getLogger(__name__)

#: Seconds the thread sleeps after each piece, so that the GUI's thread gets its turn.
YIELD_SECONDS = 0.001
#: Seconds to wait for a command when there is nothing to do.
IDLE_SECONDS = 0.2
#: Seconds between two messages about the state.
STATUS_SECONDS = 0.25
#: Messages kept for a GUI that does not poll; the oldest are dropped beyond.
MOST_MESSAGES = 10_000


class Engine:
    """Learn and predict in the background; see the module. Call all methods from one thread.

    Parameters
    ----------
    session : Session
        Shared with the GUI; whoever uses its model takes ``session.lock``. The engine ends by
        itself when the session is closed.
    wake : callable, optional
        Called when there is something to fetch and nobody was told since the last ``poll``. It
        runs on the engine's thread and must return at once. A `Status` is not worth it, nor is a
        `ModelReady`, which is soon followed by what the model says of the view.
    """

    def __init__(self, session: Session, wake: Callable[[], None] | None = None) -> None:
        self._session = session
        self._wake = wake
        self._woken = False  # and not polled yet
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._outbox: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self._latest: dict[type, Message] = {}  # of these only the last one counts
        self._stop = threading.Event()
        self._rest_until = 0.0  # `time.monotonic`
        self._rested = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xce-engine", daemon=True)
        self._worker = Worker(session, self._tell)  # belongs to the thread

    # ---- for the GUI

    def start(self) -> None:
        """Start the thread; nothing happens if it was started or shut down before."""
        if self._thread.ident is None and not self._stop.is_set():
            leave_a_core_free()
            self._thread.start()

    def shutdown(self, timeout: float = 10.0) -> None:
        """Stop after the piece at hand, answer what is open, save, and end the thread.

        May be called twice, and before ``start``.

        Parameters
        ----------
        timeout : float
            Seconds to wait for the thread.
        """
        self._stop.set()
        self._inbox.put(WakeUp())
        self.rest(0.0)
        if self._thread.is_alive():
            self._thread.join(timeout)
            if self._thread.is_alive():
                log.warning("the engine is still at work after %.0f s; it ends by itself", timeout)

    def poll(self) -> list[Message]:
        """Return what has happened since the last call; never blocks.

        Of `Status` and `Segmented` only the latest is told.
        """
        self._woken = False  # before the messages are taken: one too many is better than none
        messages: list[Message] = []
        while self._outbox:
            messages.append(self._outbox.popleft())
        for kind in (Segmented, Status):
            latest = self._latest.pop(kind, None)
            if latest is not None:
                messages.append(latest)
        return messages

    def set_viewport(self, slide_id: str, box: Box) -> None:
        """Say what is on screen, level-0 pixels; it is painted first from now on."""
        self._inbox.put(SetViewport(slide_id, box))

    def annotations_changed(self) -> None:
        """Say that something was said: it is learnt from at once."""
        self._inbox.put(TakeUp())

    def rest(self, seconds: float) -> None:
        """Do nothing for so long at most, as the GUI needs all cores now; with 0, go on."""
        self._rest_until = time.monotonic() + seconds
        if seconds > 0:
            self._rested.clear()
        else:
            self._rested.set()

    def pause(self) -> None:
        """Stop learning; what is in view is still painted with what was learnt."""
        self._inbox.put(SetPaused(True))

    def resume(self) -> None:
        """Learn again."""
        self._inbox.put(SetPaused(False))

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on."""
        self._inbox.put(SetHead(head))

    def undo_promotion(self) -> None:
        """Go on with the model before the last promotion; answered by ``ModelReady``."""
        self._inbox.put(UndoPromotion())

    def suggest(self, slide_id: str, n: int = 1, box: Box | None = None) -> None:
        """Ask for places to click next; answered by one ``SuggestionsReady``."""
        self._inbox.put(Suggest(slide_id, n, box))

    def predict_slide(self, slide_id: str) -> None:
        """Predict a whole slide, glass left out; ``Progress`` tells how far it is."""
        self._inbox.put(PredictSlide(slide_id))

    def cancel_predict(self) -> None:
        """End the whole-slide run; what was predicted stays."""
        self._inbox.put(CancelPredict())

    def pause_predict(self, paused: bool = True) -> None:
        """Let the whole-slide run wait, or go on where it was."""
        self._inbox.put(PausePredict(paused))

    # ---- the thread

    def _run(self) -> None:
        """Take commands, do a piece of work, tell how it goes; until told to stop."""
        last_status = 0.0
        while not self._stop.is_set() and not self._session.closed:
            self._rested.wait(max(0.0, self._rest_until - time.monotonic()))
            while not self._inbox.empty():
                self._worker.obey(self._inbox.get())
            worked = self._worker.work()
            if time.monotonic() - last_status > STATUS_SECONDS:
                last_status = time.monotonic()
                self._tell(self._worker.status())
            if worked:
                time.sleep(YIELD_SECONDS)
            else:
                self._wait_for_command()
        self._worker.finish()

    def _wait_for_command(self) -> None:
        try:
            command = self._inbox.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        self._worker.obey(command)

    def _tell(self, message: Message) -> None:
        if isinstance(message, (Status, Segmented)):
            self._latest[type(message)] = message
        else:
            self._outbox.append(message)
        can_wait = isinstance(message, (Status, ModelReady))
        if self._wake is not None and not self._woken and not can_wait:
            self._woken = True
            self._wake()
