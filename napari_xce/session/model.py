"""The model of a session: made at first need, kept in line with the classes, saved.

One model serves scripts and the engine's thread; whoever uses it holds the session's lock, and
lets go of it after each short piece of work.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from napari_xce.annotations import Store
from napari_xce.errors import ModelError, SessionError, XceWarning
from napari_xce.learning.calibration import DEFAULT
from napari_xce.learning.model import Head
from napari_xce.predictions.cell_cache import follow_classes
from napari_xce.predictions.live import Former, LiveModel
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.session.slides import WORKING_MPP, SessionSlides

log = logging.getLogger(__name__)


class SessionModel(SessionSlides):
    """The part of a session that holds its model."""

    def __init__(self, path: Path, store: Store) -> None:
        super().__init__(path, store)
        self._head: Head = store.get_setting("head", "yollo")
        self._live: LiveModel | None = None
        self._former_saved: Former | None = None  # the model before the last promotion
        self._known_classes = self._names_by_id()  # as model and predictions have them

    @property
    def live(self) -> LiveModel:
        """The model at work; made at first need. Hold ``lock`` while using it."""
        with self.lock:
            self._refuse_closed()
            if self._live is None:
                self._live = self._make_live()
            return self._live

    def _make_live(self) -> LiveModel:
        """Make the model: the one that was saved, else one that has learnt nothing."""
        live = LiveModel(list(self._known_classes.values()), self._head)
        if self._model_path.exists():
            try:
                self._load_own(live)
            except ModelError as error:
                aside = self._model_path.with_suffix(".unreadable")
                self._model_path.replace(aside)
                words = f"{error} It was set aside as {aside.name}."
                warnings.warn(words, XceWarning, stacklevel=4)
        for id, slide in self.slides.items():
            live.set_slide(SlideAtWork(id, slide, self.predictions[id].grid))
        return live

    def _load_own(self, live: LiveModel) -> None:
        """Read the session's own model, whose classes may have changed since it was saved."""
        card = live.load(self._model_path)
        if self._former_path.exists():
            try:
                live.load_former(self._former_path)
            except ModelError as error:
                log.warning("the last promotion cannot be taken back: %s", error)
        self._former_saved = live.former
        numbers = card.get("class_numbers", [])
        sources = [numbers.index(id) if id in numbers else None for id in self._known_classes]
        live.set_classes(list(self._known_classes.values()), sources)
        live.set_head(self._head)

    def _lay_grid(self, id: str) -> None:
        super()._lay_grid(id)
        if self._live is not None:
            grid = self.predictions[id].grid
            self._live.set_slide(SlideAtWork(id, self.slides[id], grid))

    # ---- classes

    def follow_classes(self) -> None:
        """Bring model and predictions in line with the classes that stand.

        Classes are known by their number: one that was renamed keeps what was learnt and found of
        it, one that was deleted is forgotten. Whoever changes classes, or undoes such a change,
        calls this; nothing is done where they are as before.
        """
        if self._names_by_id() == self._known_classes:
            return
        with self.lock:
            before, now = self._known_classes, self._names_by_id()
            for predictions in self.predictions.values():
                follow_classes(predictions, before, now)
            if self._live is not None:
                numbers = list(before)
                sources = [numbers.index(id) if id in numbers else None for id in now]
                self._live.set_classes(list(now.values()), sources)
            self._known_classes = now

    # ---- thresholds

    @property
    def own_thresholds(self) -> dict[str, float]:
        """Thresholds the user has set, by class."""
        kept = self.store.get_setting("thresholds", {})  # by number, as classes may be renamed
        names = self._names_by_id()
        return {names[int(id)]: float(t) for id, t in kept.items() if int(id) in names}

    @property
    def thresholds(self) -> dict[str, float]:
        """Score from which a cell of each class counts: the user's, else the calibrated one."""
        known = {**self._calibrated(), **self.own_thresholds}
        return {name: known.get(name, DEFAULT) for name in self.class_names}

    def _calibrated(self) -> Mapping[str, float]:
        """Return the model's thresholds; those it was saved with while it is not yet in use."""
        if self._live is not None:
            return self._live.thresholds
        kept = self.store.get_setting("calibrated", {})
        names = self._names_by_id()
        return {names[int(id)]: float(t) for id, t in kept.items() if int(id) in names}

    def set_threshold(self, name: str, threshold: float | None) -> None:
        """Set the threshold of a class, [0, 1]; None goes back to the calibrated one.

        Raises
        ------
        SessionError
            There is no such class, or the threshold is not in [0, 1].
        """
        numbers = {own: id for id, own in self._names_by_id().items()}
        if name not in numbers:
            raise SessionError(f"There is no class {name!r} to set a threshold for.")
        if threshold is not None and not 0 <= threshold <= 1:
            raise SessionError(f"A threshold must be between 0 and 1, not {threshold!r}.")
        kept = dict(self.store.get_setting("thresholds", {}))
        kept.pop(str(numbers[name]), None)
        if threshold is not None:
            kept[str(numbers[name])] = float(threshold)
        self.store.set_setting("thresholds", kept)

    # ---- what answers

    @property
    def head(self) -> Head:
        """Which head answers: "yollo" (detection) or "unet" (segmentation)."""
        return self._head

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on.

        Raises
        ------
        SessionError
            There is no such head.
        """
        check_head(head)
        with self.lock:
            self.store.set_setting("head", head)
            self._head = head
            if self._live is not None:
                self._live.set_head(head)

    @property
    def device(self) -> str:
        """Where the model computes: "cpu", "cuda" or "mps"."""
        return self.live.device.name

    @property
    def model_revision(self) -> int:
        """Revision of the model that answers now; 0 before it was first used."""
        return self._live.revision if self._live is not None else 0

    @property
    def has_learnt(self) -> bool:
        """Whether the model can answer; False, too, before it was first used."""
        return self._live is not None and self._live.has_learnt

    def _require_learnt(self) -> None:
        with self.lock:
            self.follow_classes()
            if not self.live.has_learnt:
                raise SessionError("The model has learnt nothing yet: annotate, then call fit().")

    # ---- files

    @property
    def _former_path(self) -> Path:
        return self.path / "models" / "before_promotion.safetensors"

    @property
    def _model_path(self) -> Path:
        return self.path / "models" / "model.safetensors"

    def load_model(self, path: str | Path) -> dict[str, Any]:
        """Answer with a model from a file, as ``export`` wrote it, until something else is learnt.

        Its classes are added where the session has none of the same name. Clicks that stand here
        are learnt from at the next ``fit``, which then replaces what the model knew of the classes.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors``.

        Returns
        -------
        dict
            The model's card.

        Raises
        ------
        ModelError
            The file is missing, damaged, or not a model; the present model stays.
        """
        with self.lock:
            live = self.live
            card = live.load(Path(path))
            theirs = [name.casefold() for name in live.model.classes]
            known = [name.casefold() for name in self.class_names]
            with self.store.together(f"Add the classes of {Path(path).name}"):
                for name in live.model.classes:
                    if name.casefold() not in known:
                        self.store.add_class(name)
            now = self._names_by_id()
            sources = [
                theirs.index(name.casefold()) if name.casefold() in theirs else None
                for name in now.values()
            ]
            live.set_classes(list(now.values()), sources)
            live.set_head(self._head)
            self._known_classes = now
            return card

    def _save_model(self) -> None:
        """Write the model, if there is one; a model that knows nothing any more leaves no file."""
        if self._live is None:
            return
        numbers = {name: str(id) for id, name in self._known_classes.items()}
        calibrated = {numbers[n]: t for n, t in self._live.thresholds.items() if n in numbers}
        self.store.set_setting("calibrated", calibrated)
        if self._live.has_learnt:
            self._model_path.parent.mkdir(exist_ok=True)
            self._live.save(self._model_path, self._card())
            if self._live.former is not self._former_saved:
                self._live.save_former(self._former_path)
                self._former_saved = self._live.former
        else:
            self._model_path.unlink(missing_ok=True)

    def _card(self) -> dict[str, Any]:
        """Say of the model where it comes from."""
        said = self.store.annotations()
        names, counts = np.unique(said.labels, return_counts=True)
        return {
            "working_mpp": WORKING_MPP,
            "class_numbers": list(self._known_classes),
            "slides": [r.name for r in self.store.slides().values()],
            "annotations": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
            "thresholds": self.thresholds,
            "saved": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def check_head(head: str) -> None:
    """Refuse what is not a head."""
    if head not in get_args(Head):
        raise SessionError(f'The head must be "yollo" or "unet", not {head!r}.')
