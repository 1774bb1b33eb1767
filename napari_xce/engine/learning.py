"""What the engine learns: from clicks at once, by fine-tuning in between. Its thread owns it."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_xce.engine.failures import Failures
from napari_xce.engine.messages import Message, ModelReady, Promoted
from napari_xce.engine.pace import Pace
from napari_xce.engine.painting import Painting
from napari_xce.learning.devices import load_optimizer
from napari_xce.session import Session


class Learning:
    """Learn from what was said.

    Each method that returns a bool does a short piece of work, and returns False if there is none.

    Parameters
    ----------
    session : Session
    tell : callable
        Takes each message.
    failures : Failures
    painting : Painting
        Told where the latest click is, and to take all away where nothing was learnt.

    Attributes
    ----------
    paused : bool
        Whether nothing is to be learnt now.
    to_take_up : bool
        Whether something may have been said that was not looked at yet.
    is_due : bool
        Whether something was said that was not learnt yet.
    trained : float
        When fine-tuning had its last turn, `time.monotonic`.
    has_settled : bool
        Whether fine-tuning has nothing more to gain from what stands.
    pace : Pace
        Of fine-tuning.
    note : str
        How it goes, in words.
    """

    def __init__(
        self,
        session: Session,
        tell: Callable[[Message], None],
        failures: Failures,
        painting: Painting,
    ) -> None:
        self._session = session
        self._tell = tell
        self._failures = failures
        self._painting = painting
        self.paused = False
        self.to_take_up = True
        self.is_due = False
        self.trained = time.monotonic()
        self.has_settled = False
        self.pace = Pace()
        self.note = ""
        self._model_told = 0  # revision
        self._calibrated = False  # anew, and not told yet
        self._judging = False
        self._look_again_due = False  # features changed: the clicks have to be looked at again
        self._warm = False

    def begin_anew(self) -> None:
        """Look at what stands: something may have changed."""
        self.to_take_up = True
        self.has_settled = False

    def learn(self) -> bool:
        """Take up what was said; look at one tile of it, or fit."""
        if self.paused:
            return False
        live = self._session.live
        if self.to_take_up:
            self.to_take_up = False
            self._session.take_up_annotations()
            self._painting.begin_at_latest()
            self.is_due = not live.is_current
            self._tell_model()
        if not self.is_due:
            return False
        unseen = [key for key in live.unseen_tiles() if key not in self._failures.broken]
        if unseen:
            self._failures.on_tile(unseen[0], lambda: live.observe(unseen[0]))
            if len(unseen) > 1:
                return True
        self.is_due = False
        had_learnt = live.has_learnt
        live.fit_classes()
        self._look_again_due = False
        self.note = "" if live.has_learnt else "click a few cells to begin"
        self.pace.begin_anew()
        self.trained = time.monotonic()
        if had_learnt and not live.has_learnt:  # else the cells came from a file
            self._painting.clear()
        self._tell_model()
        return True

    def calibrate(self) -> bool:
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

    def look_again(self) -> bool:
        """Look at one tile with clicks, so that the next click need not wait for all of them."""
        if not self._look_again_due or self.paused:
            return False
        live = self._session.live
        unseen = [key for key in live.unseen_tiles() if key not in self._failures.broken]
        if not unseen:
            self._look_again_due = False
            return False
        self._failures.on_tile(unseen[0], lambda: live.observe(unseen[0]))
        return True

    def survey(self) -> bool:
        """Look at one of a few tiles from all over the slides, where nobody may click.

        Also while learning is paused, as in a window just opened: the first click finds it done.
        """
        return self._session.survey_some()

    def warm_up(self) -> bool:
        """Load what the first training step would wait for, while there is nothing to do."""
        if not self._warm:
            self._warm = True
            load_optimizer()
        return False

    def train(self) -> bool:
        """Do a piece of fine-tuning: prepare, take a step, or judge the copy when it is due."""
        live = self._session.live
        if self.paused or self.is_due or not live.has_learnt:
            return False
        self.trained = time.monotonic()
        if self.calibrate():
            return True
        if self._judging and live.trial_is_due:
            return live.judge_some() or self._conclude()
        self._judging = False
        if live.prepare_training():
            return True
        self.pace.begin_step(self.trained)
        if live.train_some():
            return True
        loss = live.train_step()
        self.trained = time.monotonic()
        self.has_settled = loss is None
        if loss is None:
            return False
        self.pace.end_step(self.trained, loss)
        self._judging = live.trial_is_due
        return True

    def _conclude(self) -> bool:
        """Let the copy take the model's place if it is better."""
        self._judging = False
        live = self._session.live
        trial = live.try_promotion()
        self.note = trial.words
        if trial.promoted:
            self._look_again_due = True
            self._tell(Promoted(live.revision, trial.words))
            self._tell_model()
            self._failures.guarded(self._session.save)
        return True

    def undo_promotion(self) -> None:
        """Go on with the model before the last promotion, also after a restart."""
        self._session.undo_promotion()
        self.note = "the fine-tuned model was taken back"
        self._tell_model()
        self._session.save()

    def _tell_model(self) -> None:
        """Tell of a new revision, once."""
        revision = self._session.model_revision
        if self._session.has_learnt and revision != self._model_told:
            self._model_told = revision
            self._tell(ModelReady(revision, self._session.thresholds))
