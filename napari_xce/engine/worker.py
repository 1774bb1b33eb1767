"""What the engine's thread does: one short piece of work after the other, the most urgent first.

Order of work: learn from new clicks - answer a request for suggestions - paint what is in view,
where the last click was first - calibrate thresholds - masks of the view - a whole-slide run - look
again where the clicks are, after a promotion - paint around the view - fine-tune, which also gets
a turn when painting has kept it waiting. Nothing is queued: what is most urgent is asked anew
before each piece, so that work for a view that has gone, or for a model that has been replaced, is
never done. Each piece holds the session's lock, so that what it
relies on (model, grids, classes) does not change under it. A piece that fails says so once and
rests until something changes. Only the engine's thread calls the worker; tests call it directly.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable

from napari_xce.budget import give_back_freed
from napari_xce.engine.messages import (
    CancelPredict,
    Command,
    Failed,
    Message,
    ModelReady,
    Painted,
    PausePredict,
    PredictSlide,
    Progress,
    Promoted,
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
from napari_xce.engine.pace import Pace
from napari_xce.engine.slide_run import SlideRun
from napari_xce.engine.view_masks import segment_view
from napari_xce.errors import XceError
from napari_xce.learning.devices import load_optimizer
from napari_xce.learning.memory import TileKey
from napari_xce.predictions.detections import Box
from napari_xce.predictions.scheduler import next_tiles
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session
from napari_xce.suggestions import Suggestion

log = logging.getLogger(__name__)

#: Seconds between two automatic saves.
SAVE_SECONDS = 60.0
#: While there is much to learn from, one piece in so many goes to the view.
TURN = 4
#: Tiles on a side of the view that are painted: far out the view's middle, not half a slide.
MOST_TILES = 64
#: Tiles of the view that are looked at at once, a core for each.
AT_ONCE = os.cpu_count() or 1
#: Seconds that fine-tuning waits for painting, before it gets a turn in between.
PATIENCE = 0.25
NOTHING_MORE = "nothing more to gain from these clicks"

Piece = Callable[[], bool]
Point = tuple[float, float]


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
        self._paused = False
        self._seen_revision = -1  # of the store
        self._to_take_up = True
        self._to_learn = False
        self._model_told = 0  # revision
        self._view: tuple[str, Box] | None = None
        self._requests: deque[Suggest] = deque()
        self._slide_run: SlideRun | None = None
        self._masks_shown: object = None
        self._resting: set[Piece] = set()
        self._broken: dict[TileKey, int] = {}  # tiles that could not be done, and the revision
        self._told: set[str] = set()
        self._pieces = 0
        self._focus: tuple[str, Point] | None = None  # slide and place of the latest click
        self._calibrated = False  # anew, and not told yet
        self._judging = False
        self._look_again_due = False  # features changed: the clicks have to be looked at again
        self._warm = False
        self._trained = time.monotonic()  # when fine-tuning had its last turn
        self._pace = Pace()
        self._settled = False  # training has nothing more to gain from what stands
        self._view_is_due = False  # a tile of the view was painted in this round
        self._note = ""
        self._last_save = time.monotonic()
        self._save_took = 0.0

    # ---- for the loop

    def obey(self, command: Command) -> None:
        """Take note of a command; long work is left for later pieces."""
        match command:
            case SetViewport(slide_id, box):
                self._view = (slide_id, box)
                self._focus = None
            case TakeUp():
                self._something_changed()
            case SetPaused(paused):
                self._paused = paused
                self._told.clear()
                self._something_changed()
            case SetHead(head):
                self._told.clear()
                self._guarded(lambda: self._session.set_head(head))
                self._something_changed()
            case Suggest():
                self._told.clear()
                self._requests.append(command)
            case PredictSlide(slide_id):
                self._told.clear()
                self._end_run()
                self._begin_run(slide_id)
            case CancelPredict():
                self._end_run()
            case PausePredict(paused):
                self._pause_run(paused)
            case UndoPromotion():
                self._told.clear()
                self._guarded(self._undo_promotion)
                self._something_changed()
            case WakeUp():
                pass

    def work(self) -> bool:
        """Do the most urgent piece of work; False when there is none."""
        self._pieces += 1
        if self._session.store.revision != self._seen_revision:  # by the GUI or by a script
            self._seen_revision = self._session.store.revision
            self._something_changed()
        return any(self._done(piece) for piece in self._order())

    def finish(self) -> None:
        """Answer what is still open, and save."""
        for request in self._requests:
            self._tell(SuggestionsReady(request.slide_id, ()))
        self._requests.clear()
        self._end_run()
        if not self._session.closed:
            self._guarded(self._session.save)

    def status(self) -> Status:
        """Say how it goes."""
        state = self._state()
        return Status(
            state,
            self._session.model_revision,
            self._pace.steps,
            self._pace.steps_per_second(time.monotonic()),
            self._pace.loss(),
            NOTHING_MORE if state == "learnt" else self._note,
        )

    @property
    def _run_goes_on(self) -> bool:
        return self._slide_run is not None and not self._slide_run.paused

    def _state(self) -> str:
        if self._run_goes_on:
            return "predicting the slide"
        if self._paused:
            return "paused"
        if not self._session.has_learnt:
            return "waiting for clicks"
        return "learnt" if self._settled and not self._view_is_due else "learning"

    def _order(self) -> list[Piece]:
        """Return what to try, the most urgent first."""
        turn = self._pieces % TURN == 0
        # where many tiles are to be learnt from, as in a session just opened, the view gets a turn
        early = [self._paint_view] if turn and self._to_learn else []
        starved = time.monotonic() - self._trained > PATIENCE
        late = [self._train] if starved and not self._to_take_up else []
        return [
            self._save_sometimes,
            *early,
            self._learn,
            self._answer_request,
            *late,
            self._recall_heat,
            self._paint_view,
            self._calibrate,
            self._show_masks,
            self._continue_run,
            self._look_again,
            self._paint_around,
            self._train,
            self._warm_up,
        ]

    # ---- failures

    def _done(self, piece: Piece) -> bool:
        """Try a piece of work; one that failed rests until something changes."""
        if piece in self._resting:
            return False
        worked = False

        def run() -> None:
            nonlocal worked
            with self._session.lock:
                worked = not self._session.closed and piece()

        if self._guarded(run):
            return worked
        self._resting.add(piece)
        return True

    def _guarded(self, work: Callable[[], object]) -> bool:
        """Do something; a failure is told in words and ends nothing but that."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the edge of the thread
            self._tell_failure(error)
            return False
        return True

    def _tell_failure(self, error: Exception) -> None:
        """Tell the user; the same sentence once, until the user asks for something."""
        words = str(error)
        if not isinstance(error, XceError):
            log.error("the engine met an unexpected error", exc_info=error)
            words = f"Unexpected error: {error}. Your annotations are safe; details are in the log."
        if words not in self._told and not self._session.closed:
            self._told.add(words)
            self._tell(Failed(words))

    def _something_changed(self) -> None:
        """Look at what stands, and try everything anew."""
        self._to_take_up = True
        self._settled = False
        self._resting.clear()
        self._broken.clear()

    # ---- learning

    def _learn(self) -> bool:
        """Take up what was said; look at one tile of it, or fit."""
        if self._paused:
            return False
        live = self._session.live
        if self._to_take_up:
            self._to_take_up = False
            self._session.take_up_annotations()
            self._focus = _latest_place(self._session)
            self._to_learn = not live.is_current
            self._tell_model()
        if not self._to_learn:
            return False
        unseen = [key for key in live.unseen_tiles() if key not in self._broken]
        if unseen:
            self._on_tile(unseen[0], lambda: live.observe(unseen[0]))
            if len(unseen) > 1:
                return True
        self._to_learn = False
        live.fit_classes()
        self._look_again_due = False
        self._note = "" if live.has_learnt else "click a few cells to begin"
        self._pace.begin_anew()
        self._trained = time.monotonic()
        if not live.has_learnt:
            self._clear_predictions()
        self._tell_model()
        return True

    def _calibrate(self) -> bool:
        """Do a piece of the calibration; what came of it is told when it is done."""
        if not self._session.has_learnt:
            return False
        if self._session.live.calibrate_some():
            self._calibrated = True
            return True
        if self._calibrated:
            self._calibrated = False
            self._model_told = 0
            self._tell_model()
        return False

    def _look_again(self) -> bool:
        """Look at one tile with clicks, so that the next click need not wait for all of them."""
        if not self._look_again_due or self._paused:
            return False
        live = self._session.live
        unseen = [key for key in live.unseen_tiles() if key not in self._broken]
        if not unseen:
            self._look_again_due = False
            return False
        self._on_tile(unseen[0], lambda: live.observe(unseen[0]))
        return True

    def _warm_up(self) -> bool:
        """Load what the first training step would wait for, while there is nothing to do."""
        if not self._warm:
            self._warm = True
            load_optimizer()
        return False

    def _clear_predictions(self) -> None:
        """Take what was predicted away, because all it was learnt from was taken back."""
        for id, predictions in list(self._session.predictions.items()):
            if predictions.detections.tiles():
                predictions.clear()
                height, width = predictions.grid.shape
                whole = (-0.5, -0.5, height - 0.5, width - 0.5)
                self._tell(Painted(id, whole, self._session.model_revision))

    def _train(self) -> bool:
        """Do a piece of fine-tuning: prepare, take a step, or judge the copy when it is due."""
        live = self._session.live
        if self._paused or self._to_learn or self._run_goes_on or not live.has_learnt:
            return False
        self._trained = time.monotonic()
        if self._calibrate():
            return True
        if self._judging and live.trial_is_due:
            return live.judge_some() or self._conclude()
        self._judging = False
        if live.prepare_training():
            return True
        self._pace.begin_step(self._trained)
        if live.train_some():
            return True
        loss = live.train_step()
        self._trained = time.monotonic()
        self._settled = loss is None
        if loss is None:
            return False
        self._pace.end_step(self._trained, loss)
        self._judging = live.trial_is_due
        return True

    def _conclude(self) -> bool:
        """Let the copy take the model's place if it is better."""
        self._judging = False
        live = self._session.live
        trial = live.try_promotion()
        self._note = trial.words
        if trial.promoted:
            self._look_again_due = True
            self._tell(Promoted(live.revision, trial.words))
            self._tell_model()
            self._guarded(self._session.save)
        return True

    def _undo_promotion(self) -> None:
        """Go on with the model before the last promotion, also after a restart."""
        self._session.undo_promotion()
        self._note = "the fine-tuned model was taken back"
        self._tell_model()
        self._session.save()

    def _tell_model(self) -> None:
        """Tell of a new revision, once."""
        revision = self._session.model_revision
        if self._session.has_learnt and revision != self._model_told:
            self._model_told = revision
            self._tell(ModelReady(revision, self._session.thresholds))

    def _save_sometimes(self) -> bool:
        """Save once a minute; never the reason to leave other work."""
        # millions of cells take seconds to write: at most a twentieth of the time goes there
        if time.monotonic() - self._last_save > max(SAVE_SECONDS, 20 * self._save_took):
            started = time.monotonic()
            self._session.save()
            self._last_save = time.monotonic()
            self._save_took = self._last_save - started
            give_back_freed()
        return False

    # ---- painting

    def _paint_view(self) -> bool:
        """Predict the next tiles of the view, one for each core."""
        self._view_is_due = self._paint(AT_ONCE, around=False)
        return self._view_is_due

    def _recall_heat(self) -> bool:
        """Draw the cells of an earlier session far out, where nothing else is shown."""
        view = self._view_predictions()
        if view is None or view[2].heat_is_recalled:
            return False
        slide_id, _, predictions = view
        predictions.recall_heat()
        height, width = predictions.grid.shape
        whole = (-0.5, -0.5, height - 0.5, width - 0.5)
        self._tell(Painted(slide_id, whole, self._session.model_revision))
        return True

    def _paint_around(self) -> bool:
        """Predict one tile next to the view."""
        return self._paint(1, around=True)

    def _paint(self, most: int, around: bool) -> bool:
        view = self._view_predictions()
        if view is None:
            return False
        slide_id, box, predictions = view
        box = predictions.grid.middle_of(box, MOST_TILES)
        revision = self._session.model_revision
        revisions = dict(predictions.revisions)
        for (id, broken), failed_at in self._broken.items():
            if id == slide_id and failed_at == revision:
                revisions[broken] = revision
        tissue = self._session.tissue(slide_id) if around else None
        focus = self._focus[1] if self._focus is not None and self._focus[0] == slide_id else None
        tiles = next_tiles(box, predictions.grid, revisions, revision, tissue, focus, most)
        if not tiles or not (around or tiles[0] in predictions.grid.tiles_in(box)):
            return False
        self._guarded(lambda: self._session.look_ahead(slide_id, tiles))
        for tile in tiles:
            self._predict(slide_id, tile)
        return True

    def _view_predictions(self) -> tuple[str, Box, SlidePredictions] | None:
        """Return the view and what is predicted there, if anything can be."""
        if self._view is None or not self._session.live.has_learnt:
            return None
        predictions = self._session.predictions.get(self._view[0])
        return None if predictions is None else (*self._view, predictions)

    def _predict(self, slide_id: str, tile: Tile) -> None:
        """Predict a tile and say so."""
        if self._on_tile((slide_id, tile), lambda: self._session.predict_tile(slide_id, tile)):
            box = self._session.predictions[slide_id].grid.core_box(tile)
            self._tell(Painted(slide_id, box, self._session.model_revision))

    def _on_tile(self, key: TileKey, work: Callable[[], object]) -> bool:
        """Do something with a tile; one that fails is not tried again by this revision."""
        if self._guarded(work):
            return True
        self._broken[key] = self._session.model_revision
        return False

    def _show_masks(self) -> bool:
        """Segment what is in view, once for each view and model, when the head is "unet"."""
        view = self._view_predictions() if self._session.head == "unet" else None
        if view is None:
            return False
        slide_id, box, predictions = view
        model = (self._session.model_revision, self._session.thresholds)
        wanted = (slide_id, box, predictions, model)
        if wanted == self._masks_shown:
            return False
        self._masks_shown = wanted
        masks = segment_view(self._session, slide_id, box)
        if masks is not None:
            self._tell(masks)
        return True

    # ---- requests

    def _answer_request(self) -> bool:
        """Answer one request for suggestions, even if there is only to say that it failed."""
        if not self._requests:
            return False
        request = self._requests.popleft()
        found: list[Suggestion] = []

        def look() -> None:
            found.extend(self._session.suggest(request.n, request.slide_id, request.box))

        self._guarded(look)
        self._tell(SuggestionsReady(request.slide_id, tuple(found)))
        return True

    def _begin_run(self, slide_id: str) -> None:
        """Begin to predict a whole slide; if that fails, the run ends here."""
        if not self._guarded(lambda: self._lay_out_run(slide_id)):
            self._tell(Progress(slide_id, 0, 0, 0.0))

    def _lay_out_run(self, slide_id: str) -> None:
        session = self._session
        with session.lock:
            if not session.live.has_learnt:
                raise XceError("Nothing has been learnt yet: click a few cells first.")
            tiles = session.stale_tiles(slide_id, skip_glass=True)
            reader = session.read_ahead(slide_id, tiles)
            run = SlideRun(slide_id, session.predictions[slide_id], reader, len(tiles))
        if tiles:
            self._slide_run = run
            self._guarded(session.save)  # cells that are saved later are of a model that was saved
        else:
            reader.close()
        self._tell(run.progress())

    def _continue_run(self) -> bool:
        """Predict the next tiles of a run."""
        run = self._slide_run
        if run is None or run.paused:
            return False
        if self._session.predictions.get(run.slide_id) is not run.predictions:
            self._drop_run()
            self._begin_run(run.slide_id)  # its scale has changed, and so have its tiles
            return True
        left = run.reader.tiles_left
        self._guarded(lambda: self._predict_next(run))
        run.note_done(left - run.reader.tiles_left)
        self._tell(run.progress())
        if not run.reader.tiles_left:
            self._drop_run()
            self._guarded(self._session.save)
        return True

    def _predict_next(self, run: SlideRun) -> None:
        """Predict the tiles of a run that come next, and say so."""
        for tile in self._session.predict_next(run.slide_id, run.reader):
            box = run.predictions.grid.core_box(tile)
            self._tell(Painted(run.slide_id, box, self._session.model_revision))

    def _pause_run(self, paused: bool) -> None:
        """Let the run wait, with what it found on the disk, or go on."""
        run = self._slide_run
        if run is not None and run.paused != paused:
            run.pause(paused)
            self._guarded(self._session.save)
            self._tell(run.progress())

    def _drop_run(self) -> None:
        run, self._slide_run = self._slide_run, None
        if run is not None:
            run.reader.close()

    def _end_run(self) -> None:
        run = self._slide_run
        if run is not None:
            self._drop_run()
            self._tell(Progress(run.slide_id, 0, 0, 0.0))


def _latest_place(session: Session) -> tuple[str, Point] | None:
    """Return where the latest annotation is that stands."""
    said = session.annotations()
    if not len(said):
        return None
    y, x = said.points[-1].tolist()
    return str(said.slides[-1]), (y, x)
