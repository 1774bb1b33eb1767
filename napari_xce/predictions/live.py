"""The model at work on the slides of a session: it learns from what was said and predicts tiles.

The same object serves ``Session.fit`` and the engine's thread. It decides nothing about time: each
method is a short piece of work (at most one tile, one fit, one training step), so that a caller
can do first what the user waits for. One thread at a time.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from napari_xce.annotations.records import MASK, POINT, REGION, REJECTION, Annotations
from napari_xce.errors import SlideError
from napari_xce.learning.calibration import calibrate, threshold_of
from napari_xce.learning.click_learner import ClickModel, fit_clicks
from napari_xce.learning.devices import Device, best_device
from napari_xce.learning.heads import KIND_SIZE, REFERENCE_DIAMETER
from napari_xce.learning.memory import RING_RADIUS, Click, Memory, Rows, TileKey
from napari_xce.learning.model import CellModel, Head
from napari_xce.learning.reclassing import with_classes
from napari_xce.learning.targets import Said
from napari_xce.learning.trainer import CROP_SIZE, CropExample, Trainer
from napari_xce.predictions.pool import CellPool
from napari_xce.predictions.predictor import Predictor, SlideAtWork, TilePrediction
from napari_xce.predictions.tiles import Tile

log = logging.getLogger(__name__)

#: Every so many clicks of a class one is held out from fine-tuning, to judge it.
HOLD_OUT_EVERY = 4
#: Crops in one fine-tuning run; the newest clicks come first.
MOST_CROPS = 96
#: Steps after which a fine-tuned copy is judged.
STEPS_PER_TRIAL = 120
#: Tiles of a reviewed region that are looked at; their negatives are plenty.
MOST_REGION_TILES = 32
#: Places looked at around each click.
RING_POINTS = 8
SPOTS = (POINT, REJECTION, MASK)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a fine-tuned copy was judged."""

    promoted: bool
    words: str


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
    thresholds : dict of str to float
        Calibrated score from which a cell of a class counts.
    """

    def __init__(
        self, classes: list[str], head: Head = "yollo", device: Device | None = None
    ) -> None:
        self.device = device or best_device()
        self.model = self._to_device(CellModel.from_shipped(classes, head))
        self.revision = 0
        self.thresholds: dict[str, float] = {}
        self.predictor = Predictor(self.device)
        self._memory = Memory()
        self._pool = CellPool()
        self._slides: dict[str, SlideAtWork] = {}
        self._said: Annotations | None = None
        self._fits: dict[str, ClickModel] = {}
        self._learnt_from = "nothing"
        self._trainer: Trainer | None = None
        self._rng = np.random.default_rng(0)

    def _to_device(self, model: CellModel) -> CellModel:
        model.to(self.device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.eval()

    # ---- what there is to work on

    def set_slide(self, work: SlideAtWork) -> None:
        """Add a slide, or take note that its pixel size has changed."""
        known = self._slides.get(work.id)
        if known is not None and known.grid != work.grid:
            self.predictor.forget_slide(work.id)
            self._forget()
            self._trainer = None
            self._learnt_from = "another scale"
        self._slides[work.id] = work

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
            self._trainer = None
        self._memory.keep_clicks(self._said.ids.tolist())

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
        calibrated = [self.thresholds.get(old[k]) if k is not None else None for k in sources]
        self.model = self._to_device(with_classes(self.model, classes, sources))
        self.thresholds = {
            name: t for name, t in zip(classes, calibrated, strict=True) if t is not None
        }
        self._trainer = None
        if not set(range(len(old))) <= set(sources):  # without them the others score otherwise
            self._fits.clear()
            self.revision += 1

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on."""
        if head != self.model.head:
            self.model.head = head
            self._trainer = None
            self.revision += 1

    # ---- speeds 1 and 2: the click learner

    def unseen_tiles(self) -> list[TileKey]:
        """Return the tiles with annotations that the network has not looked at, newest first.

        A reviewed region counts for the tiles it touches: its negatives lie all over it.
        """
        if self._said is None:
            return []
        said, wanted = self._said, dict[TileKey, None]()
        for i in reversed(range(len(said))):
            key = self._key_of(said, i)
            if key is not None and (
                key not in self._memory.tiles or not self._memory.knows(said.ids[i], said.points[i])
            ):
                wanted[key] = None
            if said.kinds[i] == REGION and not said.set_aside[i]:
                wanted |= dict.fromkeys(self._unseen_of_region(said, i))
        return list(wanted)

    def _unseen_of_region(self, said: Annotations, i: int) -> list[TileKey]:
        """Return the tiles of a reviewed region that the network has not looked at."""
        work, polygon = self._slides.get(str(said.slides[i])), said.polygons[i]
        if work is None or polygon is None:
            return []
        (y0, x0), (y1, x1) = polygon.min(0).tolist(), polygon.max(0).tolist()
        keys = [(work.id, tile) for tile in work.grid.tiles_in((y0, x0, y1, x1))]
        return [key for key in keys[:MOST_REGION_TILES] if key not in self._memory.tiles]

    def _key_of(self, said: Annotations, i: int) -> TileKey | None:
        """Return the tile of an annotation, None for a region or a slide that is not there."""
        work = self._slides.get(str(said.slides[i]))
        if work is None or said.kinds[i] not in SPOTS:
            return None
        row, column = work.grid.tile_of(said.points[i : i + 1])[0]
        return work.id, (int(row), int(column))

    def observe(self, key: TileKey) -> None:
        """Look at a tile and remember its proposals and the vectors of its clicks."""
        work = self._slides[key[0]]
        self._remember(key)
        if self._said is None:
            return
        for i in range(len(self._said)):
            if self._key_of(self._said, i) == key:
                self._memory.remember_click(str(self._said.ids[i]), self._look_at(i, work, key))

    def _remember(self, key: TileKey) -> None:
        """Look at a tile; remember all of it for a while, and a few cells for good."""
        seen = self.predictor.observe(self.model, self._slides[key[0]], key[1])
        self._memory.observe(key, seen)
        self._pool.take(key, seen)

    def _forget(self) -> None:
        """Forget what was seen, because the same cells look otherwise now."""
        self._memory.forget()
        self._pool.forget()

    def _look_at(self, i: int, work: SlideAtWork, key: TileKey) -> Click:
        """Return what the network sees at and around an annotation."""
        assert self._said is not None
        point = self._said.points[i]
        radius = RING_RADIUS * REFERENCE_DIAMETER
        turns = np.linspace(0, 2 * np.pi, RING_POINTS, endpoint=False)
        ring = point + radius * np.column_stack([np.sin(turns), np.cos(turns)]) * work.grid.factor
        here = np.concatenate([point[None], ring])
        vectors = self.predictor.vectors_at(self.model, work, key[1], here)
        return Click((float(point[0]), float(point[1])), vectors[0], ring, vectors[1:], key)

    def learn(self) -> bool:
        """Fit the classes to everything observed; the heads begin anew on top of the fit.

        Returns
        -------
        bool
            False when there is no click of any class to learn from. What was learnt from clicks
            that were taken back is forgotten then; a model that came from a file stays.
        """
        if self._said is None:
            return False
        rows = self._memory.training_rows(self._said, self.model.classes, self._rng)
        if not (rows.proposed or rows.dense or self._fits):
            return False
        layers = self.model.layers
        self.model.reset_heads()
        self.thresholds = {}
        layers.set_proposed(
            rows.proposed, self._fit("proposed", _kinds_only(rows.objects), rows.proposed)
        )
        layers.set_dense(rows.dense, self._fit("dense", rows.ground, rows.dense))
        self.revision += 1
        self._learnt_from = self._digest()
        return bool(rows.proposed or rows.dense)

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
        labels = self._label_indices(said.labels)  # numbers, as a class may get another name
        aside = np.flatnonzero(said.set_aside)
        for part in (said.slides, said.kinds, labels, said.points, aside):
            digest.update(np.ascontiguousarray(part).tobytes())
        for polygon in said.polygons:
            if polygon is not None:
                digest.update(np.ascontiguousarray(polygon).tobytes())
        return digest.hexdigest()

    def _fit(self, kind: str, rows: Rows, members: list[int]) -> ClickModel | None:
        """Fit and calibrate the classes of one kind, beginning at the former fit."""
        if not members:
            self._fits.pop(kind, None)
            return None
        start = self._fits.get(kind)
        fit = fit_clicks(rows.vectors, rows.labels, rows.weights, len(members), start=start)
        self._fits[kind] = fit
        for k, threshold in zip(members, calibrate(rows, fit, len(members)), strict=True):
            self.thresholds[self.model.classes[k]] = threshold
        return fit

    # ---- speed 3: fine-tuning

    def train_step(self) -> float | None:
        """Take one fine-tuning step; None when there is nothing (more) to gain."""
        if self._trainer is None:
            crops = self._crops()
            if not crops:
                return None
            self._trainer = Trainer(self._blind(), crops, self.device, seed=self.revision)
        return None if self._trainer.has_settled else self._trainer.step()

    def _blind(self) -> CellModel:
        """Return the model as it would answer had it never seen the held-out clicks.

        Training starts from it and is judged against it, so that neither knows the answers.
        """
        assert self._said is not None
        said, layers = self._said, self.model.layers
        held_out = np.zeros(len(said), bool)
        for id in self._slides:
            on_slide = np.flatnonzero(said.slides == id)
            held_out[on_slide[sorted(_held_out(said.of_slide(id)))]] = True
        rows = self._memory.training_rows(said.where(~held_out), self.model.classes, self._rng)
        if (rows.proposed, rows.dense) != (layers.proposed, layers.dense):
            return self.model  # promoted before, so blind already, or too few clicks to tell
        blind = copy.deepcopy(self.model)
        for kind, fitted, classes in (
            ("proposed", _kinds_only(rows.objects), rows.proposed),
            ("dense", rows.ground, rows.dense),
        ):
            if classes:
                start = self._fits.get(kind)
                fit = fit_clicks(
                    fitted.vectors, fitted.labels, fitted.weights, len(classes), start=start
                )
                (blind.layers.set_proposed if kind == "proposed" else blind.layers.set_dense)(
                    classes, fit
                )
        return blind

    @property
    def trial_is_due(self) -> bool:
        """Whether the copy has trained long enough to be judged."""
        steps = self._trainer.steps if self._trainer is not None else 0
        return steps > 0 and steps % STEPS_PER_TRIAL == 0

    def try_promotion(self) -> Trial:
        """Let the fine-tuned copy take the model's place if it is better."""
        assert self._trainer is not None
        better, words = self._trainer.compare()
        if better:
            found = self._trainer.judge(self._trainer.model)
            for k in np.unique(found.labels):
                name = self.model.classes[k - 1]
                self.thresholds[name] = threshold_of(found.scores[found.labels == k])
            trained = self._trainer.model.requires_grad_(False)
            trained.layers = self.model.layers  # which know the held-out clicks too
            self.model = self._to_device(trained)
            self.predictor.forget()
            self._forget()
            self.revision += 1
        log.info("fine-tuned copy %s: %s", "promoted" if better else "not promoted", words)
        return Trial(better, words)

    def _crops(self) -> list[CropExample]:
        """Cut crops around the clicks, each with everything said inside it.

        A crop that reaches into a region set aside is left out: its pixels are not for learning.
        """
        if self._said is None or not (self.model.layers.proposed or self.model.layers.dense):
            return []
        crops = []
        for id, work in self._slides.items():
            said = self._said.of_slide(id)
            spots = [i for i in range(len(said)) if said.kinds[i] in SPOTS]
            held_out = _held_out(said)
            points = work.grid.to_working(said.points[spots]) if spots else np.empty((0, 2))
            covered = np.zeros(len(spots), bool)
            aside = _boxes(work, said.regions(set_aside=True))
            for i in reversed(range(len(spots))):
                corner = np.round(points[i] - CROP_SIZE / 2).astype(int)
                if not covered[i] and not _meets(corner, aside):
                    inside = ((points >= corner) & (points < corner + CROP_SIZE)).all(1)
                    middle = (np.abs(points - points[i]) < CROP_SIZE / 3).all(1)
                    covered |= inside & middle
                    try:
                        crop = self._crop(work, said, spots, points, corner, inside, held_out)
                    except SlideError as error:  # the other clicks can still be trained on
                        log.warning("a crop of %s is left out: %s", work.slide.name, error)
                    else:
                        crops.append(crop)
                if len(crops) == MOST_CROPS:
                    return crops
        return crops

    def _crop(
        self,
        work: SlideAtWork,
        said: Annotations,
        spots: list[int],
        points: NDArray[np.float64],
        corner: NDArray[np.int64],
        inside: NDArray[np.bool_],
        held_out: set[int],
    ) -> CropExample:
        """Read one crop and put together what was said in it."""
        chosen = [spots[i] for i in np.flatnonzero(inside)]
        labels = self._label_indices(said.labels[chosen])
        dense = {k + 1 for k in self.model.layers.dense}
        return CropExample(
            work.read(int(corner[0]), int(corner[1]), CROP_SIZE, CROP_SIZE),
            Said(
                points[inside] - corner,
                labels,
                np.isin(labels, list(dense)) & (said.kinds[chosen] == POINT),
                [
                    (work.grid.to_working(polygon) - corner, int(label))
                    for i, label in zip(chosen, labels, strict=True)
                    if (polygon := said.polygons[i]) is not None
                ],
                [
                    work.grid.to_working(polygon) - corner
                    for polygon in said.regions().polygons
                    if polygon is not None
                ],
                REFERENCE_DIAMETER,
            ),
            np.array([k for k, i in enumerate(chosen) if i in held_out], int),
        )

    def _label_indices(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return 0 for background (or a class that is gone), k + 1 for class k."""
        index = {name: k + 1 for k, name in enumerate(self.model.classes)}
        return np.array([index.get(str(name), 0) for name in names], np.int64)

    # ---- answers

    @property
    def has_learnt(self) -> bool:
        """Whether any class can be predicted."""
        return bool(self.model.layers.proposed or self.model.layers.dense)

    def predict_tile(self, slide: str, tile: Tile) -> TilePrediction:
        """Predict one tile with the present revision; its proposals are remembered."""
        key = (slide, tile)
        if key not in self._memory.tiles:
            self._remember(key)
        return self.predictor.predict(self.model, self._slides[slide], tile, self.revision)

    def has_seen(self, key: TileKey) -> bool:
        """Tell whether cells of a tile are remembered."""
        return key in self._pool

    def tiles_seen(self, slide: str) -> int:
        """Return of how many tiles of a slide cells are remembered."""
        return self._pool.count(slide)

    def candidates(
        self, slide: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
        """Return some cells of all tiles of a slide that were looked at, to ask the user about.

        Returns
        -------
        points : ndarray, float64, shape (N, 2)
            Level-0 pixels.
        probabilities : ndarray, float64, shape (N, C + 1)
            Of "other" and of each class.
        vectors : ndarray, float32, shape (N, KIND_SIZE)
        """
        layers, n_classes = self.model.layers, len(self.model.classes)
        parts = []
        if layers.proposed or not layers.dense:
            cells = self._pool.cells(slide, self._memory.tiles.items())
            logits = _logits(cells.vectors, layers.kind_weight, layers.kind_bias)
            parts.append((cells, logits, layers.proposed))
        if layers.dense:
            cells = self._pool.ground(slide)
            logits = _logits(cells.vectors, layers.dense_weight, layers.dense_bias)
            parts.append((cells, logits, layers.dense))
        return (
            np.concatenate([cells.points for cells, *_ in parts]),
            np.concatenate([_probabilities(z, members, n_classes) for _, z, members in parts]),
            np.concatenate([cells.vectors[:, :KIND_SIZE] for cells, *_ in parts]),
        )

    def clicked_vectors(self) -> NDArray[np.float32]:
        """Return the vectors of all clicks observed, float32, shape (M, KIND_SIZE)."""
        return self._memory.click_vectors()[:, :KIND_SIZE]

    def foreground(self, slide: str, tile: Tile) -> NDArray[np.float32]:
        """Return the probability of any class on a tile's core, at stride 2."""
        return self.predictor.foreground(self.model, self._slides[slide], tile)

    def save(self, path: Path, card: dict[str, Any]) -> None:
        """Write the model with its card."""
        learnt = {
            "revision": self.revision,
            "calibrated": self.thresholds,
            "learnt_from": self._learnt_from,
        }
        self.model.save(path, {**card, **learnt})

    def load(self, path: Path) -> dict[str, Any]:
        """Read a model and answer with it; return its card."""
        model, card = CellModel.load(path)
        self.model = self._to_device(model)
        self.revision = max(self.revision + 1, int(card.get("revision", 0)))
        self.thresholds = dict(card.get("calibrated", {}))
        self._learnt_from = str(card.get("learnt_from", ""))
        self.predictor.forget()
        self._forget()
        self._trainer = None
        self._fits.clear()
        return card


def _logits(vectors: NDArray[np.float32], weight: Tensor, bias: Tensor) -> NDArray[np.float32]:
    """Return what the click learner says of vectors, shape (N, members + 1)."""
    return np.asarray(vectors @ weight.detach().cpu().numpy().T + bias.detach().cpu().numpy())


def _probabilities(
    logits: NDArray[np.float32], members: list[int], n_classes: int
) -> NDArray[np.float64]:
    """Return the probabilities in the columns of their classes; even ones before any fit."""
    if not members:
        return np.full((len(logits), n_classes + 1), 1.0 / (n_classes + 1))
    out = np.zeros((len(logits), n_classes + 1))
    out[:, [0, *(k + 1 for k in members)]] = softmax(logits.astype(np.float64), axis=1)
    return out


def _held_out(said: Annotations) -> set[int]:
    """Choose every fourth click of each class, in the order they were made."""
    chosen: set[int] = set()
    clicks = said.kinds == POINT
    for label in np.unique(said.labels[clicks]):
        of_label = np.flatnonzero(clicks & (said.labels == label))
        chosen.update(of_label[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY].tolist())
    return chosen


def _boxes(work: SlideAtWork, regions: Annotations) -> NDArray[np.float64]:
    """Return the boxes around regions, working pixels, shape (M, 2, 2): lowest, highest (y, x)."""
    corners = [work.grid.to_working(p) for p in regions.polygons if p is not None]
    return np.array([(c.min(0), c.max(0)) for c in corners]).reshape(-1, 2, 2)


def _meets(corner: NDArray[np.int64], boxes: NDArray[np.float64]) -> bool:
    """Tell whether a crop shares a pixel with one of the boxes."""
    return bool(((boxes[:, 0] < corner + CROP_SIZE) & (boxes[:, 1] >= corner)).all(1).any())


def _kinds_only(rows: Rows) -> Rows:
    """Return rows with the part of the vectors that tells kinds apart."""
    return Rows(rows.vectors[:, :KIND_SIZE], rows.labels, rows.weights)
