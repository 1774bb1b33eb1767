"""The model at work on the slides of a session: it learns from what was said and predicts tiles.

The same object serves ``Session.fit`` and the engine's thread. It decides nothing about time: each
method is a short piece of work (at most one tile, one fit, one training step), so that a caller
can do first what the user waits for. One thread at a time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_xce.annotations.records import Annotations
from napari_xce.learning.devices import Device, best_device
from napari_xce.learning.heads import KIND_SIZE
from napari_xce.learning.inference import Inference
from napari_xce.learning.memory import TileKey
from napari_xce.learning.model import CellModel, Head
from napari_xce.learning.reclassing import with_classes
from napari_xce.learning.trainer import CropExample
from napari_xce.predictions.block_reader import Batch, BlockReader
from napari_xce.predictions.candidates import candidates
from napari_xce.predictions.class_fits import ClassFits
from napari_xce.predictions.crops import cut_crops, held_out_clicks, label_indices
from napari_xce.predictions.fine_tuning import FineTuning
from napari_xce.predictions.looking import Looking
from napari_xce.predictions.predictor import Predictor, SlideAtWork, TilePrediction, grid_scores
from napari_xce.predictions.promotion import Former, Trial, moved_thresholds, thresholds_of
from napari_xce.predictions.tiles import Tile

log = logging.getLogger(__name__)

#: Tiles looked at last, on which a promoted copy is to call as much as the model before it.
TILES_COMPARED = 8


class LiveModel:
    """Learn and predict, piece by piece.

    Parameters
    ----------
    classes : list of str
        Names, without background.
    head : {"yollo", "unet"}
    device : Device, optional
        By default the best one there is.

    Attributes
    ----------
    model : CellModel
        What answers now.
    revision : int
        Grows whenever the answer may have changed.
    former : Former or None
        What answered before the last promotion, while that can be taken back.
    predictor : Predictor
        Runs the model.
    memory : Memory
        What the click learner has seen.
    """

    def __init__(
        self, classes: list[str], head: Head = "yollo", device: Device | None = None
    ) -> None:
        self.device = device or best_device()
        self.model = self._to_device(CellModel.from_shipped(classes, head))
        self.revision = 0
        self._fits = ClassFits()
        self.predictor = Predictor(self.device)
        self._looking = Looking(self.predictor)
        self.memory = self._looking.memory
        self._said: Annotations | None = None
        self._learnt_from = "nothing"
        self._tuning = FineTuning(self.device)
        self.former: Former | None = None
        self._rng = np.random.default_rng(0)

    @property
    def thresholds(self) -> dict[str, float]:
        """Calibrated score from which a cell of each class counts."""
        return self._fits.thresholds

    def _to_device(self, model: CellModel) -> CellModel:
        model.to(self.device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.eval()

    # ---- what there is to work on

    def set_slide(self, work: SlideAtWork) -> None:
        """Add a slide, or take note that its pixel size has changed."""
        known = self._looking.slides.get(work.id)
        if known is not None and known.grid != work.grid:
            self.predictor.forget_slide(work.id)
            self._looking.forget()
            self._tuning.begin_anew()
            self._learnt_from = "another scale"
        self._looking.slides[work.id] = work

    def set_said(self, said: Annotations, classes: list[str]) -> None:
        """Take over what the user said; training goes on from the new state.

        Parameters
        ----------
        said : Annotations
            All that stands; of what lies in regions set aside nothing is learnt.
        classes : list of str
            Names, without background, in their order.
        """
        if classes != self.model.classes:
            old = self.model.classes
            self.set_classes(classes, [old.index(n) if n in old else None for n in classes])
        before, self._said = self._digest(), said.for_learning()
        if self._digest() != before:
            self._tuning.begin_anew()
        self.memory.keep_clicks(self._said.ids.tolist())

    def set_classes(self, classes: list[str], sources: Sequence[int | None]) -> None:
        """Answer with other classes; those that stay keep what was learnt of them.

        Parameters
        ----------
        classes : list of str
            Names, without background.
        sources : sequence of int or None
            For each its number (from 0) among the present classes; None for a new one.
        """
        old = self.model.classes
        self.calibrate()
        self._fits.thresholds = thresholds_of(self.thresholds, old, classes, sources)
        if self.former is not None:
            self.former = self.former.of_classes(classes, sources)
        self.model = self._to_device(with_classes(self.model, classes, sources))
        self._tuning.begin_anew()
        if not set(range(len(old))) <= set(sources):  # without them the others score otherwise
            self._fits.forget()
            self.revision += 1

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on."""
        if head != self.model.head:
            self.model.head = head
            self._tuning.begin_anew()
            self.revision += 1

    # ---- speeds 1 and 2: the click learner

    def unseen_tiles(self) -> list[TileKey]:
        """Return the tiles with annotations that the network has not looked at, newest first."""
        return self._looking.unseen_tiles(self._said) if self._said is not None else []

    def observe(self, key: TileKey) -> None:
        """Look at a tile and remember its proposals and the vectors of its clicks."""
        self._looking.see(self.model, key)
        if self._said is not None:
            self._looking.see_clicks(self.model, key, self._said)

    def survey(self, key: TileKey) -> None:
        """Look at a tile only for how cells vary, whatever is clicked where."""
        self._looking.sample(self.model, key)

    def learn(self) -> bool:
        """Fit the classes to everything observed, and calibrate them; the heads begin anew.

        Returns
        -------
        bool
            False when there is no click of any class to learn from. What was learnt from clicks
            that were taken back is forgotten then; a model that came from a file stays.
        """
        learnt = self.fit_classes()
        self.calibrate()
        return learnt

    def fit_classes(self) -> bool:
        """Fit the classes to everything observed, under the settings of the last calibration.

        That is the quick answer to a click; `calibrate_some` then looks for better settings. Where
        there is no calibration of the same classes yet, it is done now: the first answer is no
        guess.

        Returns
        -------
        bool
            As `learn`.
        """
        if self._said is None:
            return False
        rows = self._looking.training_rows(self._said, self.model.classes, self._rng)
        if not (rows.proposed or rows.dense or self._fits):
            return False
        self.model.reset_heads()
        learnt = self._fits.fit(self.model, rows)
        self._tuning.cut_anew()
        self.revision += 1
        self._learnt_from = self._digest()
        return learnt

    def calibrate(self) -> None:
        """Calibrate to the end."""
        while self.calibrate_some():
            pass

    def calibrate_some(self) -> bool:
        """Do a piece (one fit) of the calibration that is due; False if nothing is left to do."""
        changed = self._fits.calibrate_some(self.model)
        self.revision += bool(changed)
        return changed is not None

    @property
    def is_current(self) -> bool:
        """Whether the classes were fitted to just what stands now."""
        return self._learnt_from == self._digest()

    def _digest(self) -> str:
        """Return a hash of what is learnt from; equal hashes mean an equal fit."""
        if self._said is None:
            return ""
        said = self._said
        digest = hashlib.sha256()
        labels = label_indices(said.labels, self.model.classes)  # a class may get another name
        aside = np.flatnonzero(said.set_aside)
        for part in (said.slides, said.kinds, labels, said.points, aside):
            digest.update(np.ascontiguousarray(part).tobytes())
        for polygon in said.polygons:
            if polygon is not None:
                digest.update(np.ascontiguousarray(polygon).tobytes())
        return digest.hexdigest()

    # ---- speed 3: fine-tuning

    def train_step(self) -> float | None:
        """Take one fine-tuning step; None when there is nothing (more) to gain."""
        self.calibrate()
        while self.prepare_training():
            pass
        return self._tuning.step()

    def train_some(self) -> bool:
        """Do a piece of the next step ahead of `train_step`; False if only its last is left."""
        return self._tuning.step_some()

    def prepare_training(self) -> bool:
        """Do a piece of what training begins with: one crop, or the copy; False if none is left."""
        if self._tuning.has_begun or self._said is None or not self.has_learnt:
            return False
        if self._tuning.rests_at == self._digest():
            return False
        return self._tuning.prepare(self._crops, self._blind, self.revision)

    def _crops(self) -> Iterator[CropExample]:
        """Return the crops to fine-tune on."""
        assert self._said is not None
        dense = self.model.layers.dense
        return cut_crops(self._said, list(self._looking.slides.values()), self.model.classes, dense)

    def _blind(self) -> CellModel:
        """Return the model as it would answer had it never seen the held-out clicks.

        Training starts from it and is judged against it, so that neither knows the answers.
        """
        assert self._said is not None
        said = self._said
        held_out = np.zeros(len(said), bool)
        for id in self._looking.slides:
            on_slide = np.flatnonzero(said.slides == id)
            held_out[on_slide[sorted(held_out_clicks(said.of_slide(id)))]] = True
        rows = self._looking.training_rows(said.where(~held_out), self.model.classes, self._rng)
        # the model itself: promoted before, so blind already, or too few clicks to tell
        return self._fits.fitted_to(self.model, rows)

    @property
    def trial_is_due(self) -> bool:
        """Whether the copy has trained long enough to be judged."""
        return self._tuning.trial_is_due

    def judge_some(self) -> bool:
        """Judge the copy at one more crop, ahead of `try_promotion`; False if none is left."""
        return self._tuning.judge_some()

    def try_promotion(self) -> Trial:
        """Let the fine-tuned copy take the model's place if it is better."""
        found = self._tuning.compare()
        if found.better:
            self._promote()
        said = "promoted" if found.better else "not promoted"
        log.info("fine-tuned copy %s: %s", said, found.words)
        return Trial(found.better, found.words)

    def _promote(self) -> None:
        """Answer with the fine-tuned copy, which calls as many cells as the model did."""
        tiles = list(self.predictor.seen)[-TILES_COMPARED:]
        before = self._scores_on(tiles)
        self.former = Former(self.model, self.thresholds)
        self._answer_with(self._tuning.release(self.model.layers))
        self._fits.stop_calibrating()
        # last, as a slide may be out of reach by now
        after = self._scores_on(tiles)
        moved = moved_thresholds(self.thresholds, self.model.classes, before, after)
        self._fits.thresholds = moved

    def _answer_with(self, model: CellModel) -> None:
        """Put another model in the place of the present one."""
        self.model = self._to_device(model)
        self.predictor.forget()
        self._looking.forget()
        self.revision += 1

    def _scores_on(self, tiles: list[TileKey]) -> NDArray[np.float64]:
        """Return the score of each class at the places of some tiles, shape (C, N)."""
        parts = [np.empty((len(self.model.classes), 0))]
        for slide, tile in tiles:
            looked = self.predictor.look(self.model, self._looking.slides[slide], tile)
            parts.append(grid_scores(self.model, looked).flatten(1).cpu().numpy())
        return np.concatenate(parts, 1)

    def undo_promotion(self) -> bool:
        """Answer with the model before the last promotion again; False where there is none.

        The clicks since then are still to be learnt. There is no fine-tuning until something more
        is said, as it would come to the same.
        """
        if self.former is None:
            return False
        self.former.model.head = self.model.head
        self._answer_with(self.former.model)
        self._fits.thresholds = self.former.thresholds
        self._fits.forget()
        self.former = None
        self._tuning.begin_anew()
        self._tuning.rests_at = self._digest()
        self._learnt_from = "a promotion that was taken back"
        return True

    # ---- answers

    @property
    def has_learnt(self) -> bool:
        """Whether any class can be predicted."""
        return bool(self.model.layers.proposed or self.model.layers.dense)

    def predict_tile(self, slide: str, tile: Tile) -> TilePrediction:
        """Predict one tile with the present revision; its proposals are remembered."""
        self._looking.see(self.model, (slide, tile))
        return self.predictor.predict(self.model, self._looking.slides[slide], tile, self.revision)

    def read_ahead(self, slide: str, tiles: Iterable[Tile]) -> BlockReader:
        """Return a reader of many tiles, for ``predict_next``; close it."""
        return BlockReader(self._looking.slides[slide], tiles, self.device)

    def predict_next(self, reader: BlockReader) -> dict[Tile, TilePrediction]:
        """Predict tiles that a reader hands out next; nothing is remembered of them.

        Others are begun by that, and go on while the caller stores these.

        Raises
        ------
        SlideError
            As for ``BlockReader.next``.
        """
        network = self.predictor.get_ready(self.model)
        predict = partial(self._predict_batch, network, self.model, self.revision, reader.work)
        return reader.next(predict, (self.model, self.revision))

    def _predict_batch(
        self,
        network: Inference,
        model: CellModel,
        revision: int,
        work: SlideAtWork,
        batch: Batch,
    ) -> dict[Tile, TilePrediction]:
        """Predict blocks whose windows were read; changes nothing, so several threads may.

        The model may learn meanwhile: what comes of that has an outdated revision, and is dropped.
        """
        looked = network(batch[1], model.head == "unet", work.grid.context)
        found: dict[Tile, TilePrediction] = {}
        for block, seen in zip(batch[0], looked, strict=True):
            found |= self.predictor.read_block(model, work, block, seen, revision)
        return found

    def has_seen(self, key: TileKey) -> bool:
        """Tell whether cells of a tile are remembered."""
        return key in self._looking.pool

    def tiles_seen(self, slide: str) -> int:
        """Return of how many tiles of a slide cells are remembered."""
        return self._looking.pool.count(slide)

    def candidates(
        self, slide: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
        """Return what the user may be asked about on a slide, as ``candidates``."""
        return candidates(slide, self.model, self._looking.pool, self.memory)

    def clicked_vectors(self) -> NDArray[np.float32]:
        """Return the vectors of all clicks observed, float32, shape (M, KIND_SIZE)."""
        return self.memory.click_vectors()[:, :KIND_SIZE]

    def foreground(self, slide: str, tile: Tile) -> NDArray[np.float32]:
        """Return the probability of any class on a tile's core, at stride 2."""
        return self.predictor.foreground(self.model, self._looking.slides[slide], tile)

    def save(self, path: Path, card: dict[str, Any]) -> None:
        """Write the model with its card."""
        learnt = {
            "revision": self.revision,
            "calibrated": self.thresholds,
            "learnt_from": self._learnt_from,
            "rests_at": self._tuning.rests_at,
        }
        self.model.save(path, {**card, **learnt})

    def save_former(self, path: Path) -> None:
        """Write the model before the last promotion, or leave no file where there is none."""
        if self.former is not None:
            self.former.save(path)
        else:
            for part in (path, path.with_suffix(".json")):
                part.unlink(missing_ok=True)

    def load_former(self, path: Path) -> None:
        """Read the model before the last promotion, if it is of the classes of the present one."""
        former = Former.load(path)
        if former.model.classes == self.model.classes:
            self.former = former

    def load(self, path: Path) -> dict[str, Any]:
        """Read a model and answer with it; return its card."""
        model, card = CellModel.load(path)
        self.model = self._to_device(model)
        self.revision = max(self.revision + 1, int(card.get("revision", 0)))
        self._fits.thresholds = dict(card.get("calibrated", {}))
        self._learnt_from = str(card.get("learnt_from", ""))
        self._tuning.rests_at = str(card.get("rests_at", ""))
        self.former = None
        self.predictor.forget()
        self._looking.forget()
        self._tuning.begin_anew()
        self._fits.forget()
        return card
