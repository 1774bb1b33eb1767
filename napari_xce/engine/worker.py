"""What the engine's thread does: one short piece of work after the other, the most urgent first.

Order of work: learn from new clicks - answer a request for suggestions - paint what is in view,
where the last click was first - calibrate thresholds - masks of the view - a whole-slide run - look
again where the clicks are, after a promotion - paint around the view - look here and there on the
slides - fine-tune, which also gets a turn when painting has kept it waiting. Nothing is queued:
what is most urgent is asked anew before each piece, so that work for a view that has gone, or for a
model that has been replaced, is never done. Each piece holds the session's lock, so that what it
relies on (model, grids, classes) does not change under it. A piece that fails says so once and
rests until something changes. Only the engine's thread calls the worker; tests call it directly.
The pieces themselves: `learning`, `painting`, `slide_run`; what fails in them: `failures`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from napari_xce.budget import Freed
from napari_xce.engine.failures import Failures
from napari_xce.engine.learning import Learning
from napari_xce.engine.messages import (
    CancelPredict,
    Command,
    Message,
    PausePredict,
    PredictSlide,
    SetHead,
    SetPaused,
    SetViewport,
    Status,
    Suggest,
    SuggestionsReady,
    TakeUp,
    UndoPromotion,
    WakeUp,
)
from napari_xce.engine.painting import Painting
from napari_xce.engine.slide_run import SlideRunner
from napari_xce.session import Session
from napari_xce.suggestions import Suggestion

#: Seconds between two automatic saves.
SAVE_SECONDS = 60.0
#: While there is much to learn from, one piece in so many goes to the view.
TURN = 4
#: Seconds that fine-tuning waits for painting, before it gets a turn in between.
PATIENCE = 0.25
NOTHING_MORE = "nothing more to gain from these clicks"

Piece = Callable[[], bool]


class Worker:
    """Do the engine's work; see the module.

    Parameters
    ----------
    session : Session
    tell : callable
        Takes each message.
    """

    def __init__(self, session: Session, tell: Callable[[Message], None]) -> None:
        self._session = session
        self._tell = tell
        self._failures = Failures(session, tell)
        self._painting = Painting(session, tell, self._failures)
        self._learning = Learning(session, tell, self._failures, self._painting)
        self._runner = SlideRunner(session, tell, self._failures)
        self._seen_revision = -1  # of the store
        self._requests: deque[Suggest] = deque()
        self._resting: set[Piece] = set()
        self._pieces = 0
        self._last_save = time.monotonic()
        self._save_took = 0.0
        self._freed = Freed()

    # ---- for the loop

    def obey(self, command: Command) -> None:
        """Take note of a command; long work is left for later pieces."""
        match command:
            case SetViewport(slide_id, box):
                self._painting.look_at(slide_id, box)
            case TakeUp():
                self._something_changed()
            case SetPaused(paused):
                self._learning.paused = paused
                self._failures.tell_again()
                self._something_changed()
            case SetHead(head):
                self._failures.tell_again()
                self._failures.guarded(lambda: self._session.set_head(head))
                self._something_changed()
            case Suggest():
                self._failures.tell_again()
                self._requests.append(command)
            case PredictSlide(slide_id):
                self._failures.tell_again()
                self._runner.end()
                self._runner.begin(slide_id)
            case CancelPredict():
                self._runner.end()
            case PausePredict(paused):
                self._runner.pause(paused)
            case UndoPromotion():
                self._failures.tell_again()
                self._failures.guarded(self._learning.undo_promotion)
                self._something_changed()
            case WakeUp():
                pass

    def work(self) -> bool:
        """Do the most urgent piece of work; False when there is none."""
        self._pieces += 1
        self._freed.look()
        if self._session.store.revision != self._seen_revision:  # by the GUI or by a script
            self._seen_revision = self._session.store.revision
            self._something_changed()
        return any(self._done(piece) for piece in self._order())

    def finish(self) -> None:
        """Answer what is still open, and save."""
        for request in self._requests:
            self._tell(SuggestionsReady(request.slide_id, ()))
        self._requests.clear()
        self._runner.end()
        if not self._session.closed:
            self._failures.guarded(self._session.save)

    def status(self) -> Status:
        """Say how it goes."""
        state, learning = self._state(), self._learning
        return Status(
            state,
            self._session.model_revision,
            learning.pace.steps,
            learning.pace.steps_per_second(time.monotonic()),
            learning.pace.loss(),
            NOTHING_MORE if state == "learnt" else learning.note,
        )

    def _state(self) -> str:
        if self._runner.goes_on:
            return "predicting the slide"
        if self._learning.paused:
            return "paused"
        if not self._session.has_learnt:
            return "waiting for clicks"
        settled = self._learning.has_settled and not self._painting.is_due
        return "learnt" if settled else "learning"

    def _order(self) -> list[Piece]:
        """Return what to try, the most urgent first."""
        learning, painting = self._learning, self._painting
        turn = self._pieces % TURN == 0
        # where many tiles are to be learnt from, as in a session just opened, the view gets a turn
        early = [painting.paint_view] if turn and learning.is_due else []
        starved = time.monotonic() - learning.trained > PATIENCE
        train = [] if self._runner.goes_on else [learning.train]
        late = train if starved and not learning.to_take_up else []
        return [
            self._save_sometimes,
            *early,
            learning.learn,
            self._answer_request,
            *late,
            painting.recall_heat,
            painting.paint_view,
            learning.calibrate,
            painting.show_masks,
            self._runner.go_on,
            learning.look_again,
            painting.paint_around,
            learning.survey,
            *train,
            learning.warm_up,
        ]

    # ---- pieces

    def _done(self, piece: Piece) -> bool:
        """Try a piece of work; one that failed rests until something changes."""
        if piece in self._resting:
            return False
        worked = False

        def run() -> None:
            nonlocal worked
            with self._session.lock:
                worked = not self._session.closed and piece()

        if self._failures.guarded(run):
            return worked
        self._resting.add(piece)
        return True

    def _something_changed(self) -> None:
        """Look at what stands, and try everything anew."""
        self._learning.begin_anew()
        self._resting.clear()
        self._failures.forget_tiles()

    def _save_sometimes(self) -> bool:
        """Save once a minute; never the reason to leave other work."""
        # millions of cells take seconds to write: at most a twentieth of the time goes there
        if time.monotonic() - self._last_save > max(SAVE_SECONDS, 20 * self._save_took):
            started = time.monotonic()
            self._session.save()
            self._last_save = time.monotonic()
            self._save_took = self._last_save - started
        return False

    def _answer_request(self) -> bool:
        """Answer one request for suggestions, even if there is only to say that it failed."""
        if not self._requests:
            return False
        request = self._requests.popleft()
        found: list[Suggestion] = []

        def look() -> None:
            found.extend(self._session.suggest(request.n, request.slide_id, request.box))

        self._failures.guarded(look)
        self._tell(SuggestionsReady(request.slide_id, tuple(found)))
        return True
