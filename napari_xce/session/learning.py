"""How a session learns: from what was said, by fine-tuning, and from a look around its slides."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_xce.annotations import Store
from napari_xce.errors import SessionError, SlideError, XceWarning
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.session.model import SessionModel
from napari_xce.session.survey import shares, spread, tiles_with_tissue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitReport:
    """What ``Session.fit`` did.

    Attributes
    ----------
    seconds, seconds_to_first_answer : float
        In all, and until the first fit on the clicks.
    steps : int
        Fine-tuning steps.
    loss : float
        Mean of the last steps; NaN without any.
    revision : int
        Of the model that answers now.
    promoted : int
        How often a fine-tuned copy took over.
    words : str
        What came of the last comparison.
    """

    seconds: float
    seconds_to_first_answer: float
    steps: int
    loss: float
    revision: int
    promoted: int
    words: str


class SessionLearning(SessionModel):
    """The part of a session that learns."""

    def __init__(self, path: Path, store: Store) -> None:
        super().__init__(path, store)
        self._to_survey: dict[str, tuple[TileGrid, list[Tile]]] = {}

    def take_up_annotations(self) -> None:
        """Hand what stands to the model. The engine calls it when something was said."""
        with self.lock:
            self.follow_classes()
            self.live.set_said(self.store.annotations(), self.class_names)

    def fit(self, seconds: float = 10.0) -> FitReport:
        """Learn from everything said so far, with the engine's own learner; blocks.

        Parameters
        ----------
        seconds : float
            How long at most (the piece of work at hand is finished). The first answer, from the
            clicks alone, is given in any case; the rest of the time goes to fine-tuning.

        Raises
        ------
        SessionError
            Nothing is annotated yet, or none of the slides annotated is open.

        Notes
        -----
        Clicks on slides that are not open, or where a slide cannot be read, are left out with a
        warning. An engine may go on meanwhile: they take turns with the same model.
        """
        started = time.perf_counter()
        self._learn_clicks()
        answered = time.perf_counter() - started
        losses: list[float] = []
        promoted, words = 0, "not compared yet"
        while time.perf_counter() - started < seconds:
            with self.lock:
                loss = self.live.train_step()
                if loss is None:
                    break
                losses.append(loss)
                if self.live.trial_is_due:
                    trial = self.live.try_promotion()
                    promoted, words = promoted + trial.promoted, trial.words
        recent = [x for x in losses[-20:] if np.isfinite(x)]
        return FitReport(
            seconds=time.perf_counter() - started,
            seconds_to_first_answer=answered,
            steps=len(losses),
            loss=float(np.mean(recent)) if recent else float("nan"),
            revision=self.model_revision,
            promoted=promoted,
            words=words,
        )

    def _learn_clicks(self) -> None:
        """Look at what was annotated and fit the classes to it."""
        said = self.store.annotations()
        for id, record in self.store.slides().items():
            if not np.any(said.slides == id):
                continue
            if id in self.slides:
                self._warn_of_unknown_size(id, 4)
            else:
                words = f"The clicks on {record.name} are left out: the slide is not open."
                warnings.warn(words, XceWarning, stacklevel=3)
        with self.lock:
            self.take_up_annotations()
            if not self.live.is_current:
                while self.survey_some():
                    pass
                for key in self.live.unseen_tiles():
                    try:
                        self.live.observe(key)
                    except SlideError as error:
                        words = f"Some clicks are left out: {error}"
                        warnings.warn(words, XceWarning, stacklevel=3)
                self.live.learn()
            if not self.live.has_learnt:
                raise SessionError("There is nothing to learn from: annotate a cell or two first.")

    # ---- a look around

    def survey_some(self) -> bool:
        """Look at one of a few tiles from all over the slides; False if all were looked at.

        They tell the learner how cells vary, also where nobody clicks.
        """
        with self.lock:
            for id, n in shares(list(self.slides)).items():
                for tile in self._survey_of(id, n):
                    if not self.live.has_seen((id, tile)):
                        try:
                            self.live.survey((id, tile))
                        except SlideError as error:
                            log.warning("a tile is left out of the survey: %s", error)
                            self._survey_of(id, n).remove(tile)
                        return True
            return False

    def _survey_of(self, id: str, n: int) -> list[Tile]:
        """Return up to n tiles that stand for a slide; none where it cannot be read."""
        grid = self.predictions[id].grid
        if self._to_survey.get(id, (None, []))[0] != grid:
            try:
                tiles = spread(tiles_with_tissue(grid, self.tissue(id)), n)
            except SlideError as error:
                log.warning("a slide is left out of the survey: %s", error)
                tiles = []
            self._to_survey[id] = grid, tiles
        return self._to_survey[id][1]

    # ---- promotions

    @property
    def can_undo_promotion(self) -> bool:
        """Whether a fine-tuned model has taken over, and the one before it is still kept."""
        return self._live is not None and self._live.former is not None

    def undo_promotion(self) -> None:
        """Take back the last promotion: go on with the model before the fine-tuned one.

        The clicks since then are learnt anew by the next ``fit``, or by the engine. There is no
        fine-tuning until something more is said.

        Raises
        ------
        SessionError
            No fine-tuned model has taken over, or the last promotion was taken back already.
        """
        with self.lock:
            if not self.live.undo_promotion():
                raise SessionError("There is no fine-tuned model to take back.")
