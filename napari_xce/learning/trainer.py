"""Fine-tune a copy of the model in the background (speed 3 of the design).

The head and the last decoder block learn on crops around the clicks with exclusive cross-entropy;
the rest of the trunk and all batch statistics stay as they are. The copy takes the model's place
only if it ranks clicks it never saw higher than the model does ("leave clicks out"). A step that
is not finite is undone. One thread at a time.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_xce.learning.devices import Device
from napari_xce.learning.losses import BACKGROUND, UNANNOTATED, ExclusiveCrossEntropy
from napari_xce.learning.model import CellModel
from napari_xce.learning.targets import Said, grid_target, pixel_target
from napari_xce.learning.trunk import GRID_STRIDE

CROP_SIZE = 128
BATCH = 4
HEAD_RATE, BLOCK_RATE = 2e-3, 2e-4
#: With fewer held-out clicks a comparison says nothing.
LEAST_HELD_OUT = 2
#: A candidate must rank held-out clicks this much better (area under the curve).
LEAST_GAIN = 0.005


@dataclass(frozen=True, slots=True)
class CropExample:
    """Pixels around a click and what was said there.

    Attributes
    ----------
    pixels : ndarray, uint8, shape (CROP_SIZE, CROP_SIZE, 3)
    said : Said
        What the copy may learn from.
    held_out : ndarray, int64, shape (N,)
        Rows of ``said.points`` that are kept from learning and serve to judge.
    """

    pixels: NDArray[np.uint8]
    said: Said
    held_out: NDArray[np.int64]

    def training_said(self) -> Said:
        """Return what was said with the held-out clicks unlabelled.

        They are not left out: what is said around them (a reviewed region, a neighbour's ring)
        must not call their places background.
        """
        labels, ringed = self.said.labels.copy(), self.said.ringed.copy()
        labels[self.held_out], ringed[self.held_out] = UNANNOTATED, False
        return replace(self.said, labels=labels, ringed=ringed)


class Trainer:
    """Train a copy of a model on crops, and judge it against the model.

    Parameters
    ----------
    model : CellModel
        Copied; never changed here.
    crops : list of CropExample
        At least one.
    device : Device
        Where to compute.
    seed : int
        Of the order of crops.
    """

    def __init__(
        self, model: CellModel, crops: list[CropExample], device: Device, seed: int = 0
    ) -> None:
        self.device = device
        self.crops = crops
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.steps = 0
        self._rng = np.random.default_rng(seed)
        self._targets = [self._target(crop) for crop in crops]
        self._loss = ExclusiveCrossEntropy(alpha=0.5)
        self._optimizer = torch.optim.AdamW(self._trainable(), weight_decay=1e-3)

    def _trainable(self) -> list[dict[str, object]]:
        """Return the head and the last decoder block, each with its rate."""
        segment = self.model.head == "unet"
        head: nn.Module = self.model.unet if segment else self.model.yollo
        block: nn.Module = self.model.mask.decoder2 if segment else self.model.trunk.decoder4
        groups = []
        for module, rate in ((head, HEAD_RATE), (block, BLOCK_RATE)):
            parameters = [p for p in module.parameters() if p.is_floating_point()]
            for p in parameters:
                p.requires_grad_(True)
            groups.append({"params": parameters, "lr": rate})
        return groups

    def _target(self, crop: CropExample) -> NDArray[np.int64]:
        make = pixel_target if self.model.head == "unet" else grid_target
        return make(crop.training_said(), CROP_SIZE)

    def step(self) -> float:
        """Take one step on a few crops, turned at random; return the loss.

        Returns
        -------
        float
            NaN when the step was not finite and therefore not taken.
        """
        picks = self._rng.integers(len(self.crops), size=min(BATCH, len(self.crops)))
        turned = [self._turn(int(i)) for i in picks]
        pixels = self.device.pixels(np.stack([t[0] for t in turned]))
        target = torch.from_numpy(np.stack([t[1] for t in turned])).to(self.device.torch)
        with self.device.autocast():
            logits = self._logits(self.model, pixels)
        loss = self._loss(logits.float(), target)
        if not torch.isfinite(loss):
            return float("nan")
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(
            [p for g in self._optimizer.param_groups for p in g["params"]], 1.0
        )
        if not torch.isfinite(norm):  # no NaN ever reaches the weights
            return float("nan")
        self._optimizer.step()
        self.steps += 1
        return float(loss.detach())

    def _turn(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return a crop and its target in one of the eight symmetries of the square."""
        turns, mirror = int(self._rng.integers(4)), bool(self._rng.integers(2))
        pixels = np.rot90(self.crops[index].pixels, turns)
        target = np.rot90(self._targets[index], turns)
        if mirror:
            pixels, target = pixels[:, ::-1], target[:, ::-1]
        return np.ascontiguousarray(pixels), np.ascontiguousarray(target)

    def _logits(self, model: CellModel, pixels: Tensor) -> Tensor:
        segment = model.head == "unet"
        tiles = model(pixels, with_mask=segment)
        return model.pixel_logits(tiles) if segment else model.grid_logits(tiles)

    @property
    def can_judge(self) -> bool:
        """Whether enough clicks are held out to compare."""
        return sum(len(c.held_out) for c in self.crops) >= LEAST_HELD_OUT

    @torch.no_grad()
    def judge(self, model: CellModel, held_out: bool = True) -> float:
        """Return how surely a model ranks clicks above places that are no click.

        Parameters
        ----------
        model : CellModel
            The copy, or the model it should replace.
        held_out : bool
            Judge by the clicks kept from learning, else by those learnt from.

        Returns
        -------
        float
            Mean over clicks of the share of grid cells of their crop, unannotated or background,
            that score lower, 0..1; NaN without any click. Unannotated cells of the class pull it
            below 1 for every model alike, so that only differences count.
        """
        ranks = []
        for crop in self.crops:
            rows = crop.held_out
            if not held_out:
                rows = np.setdiff1d(np.arange(len(crop.said.points)), rows)
            rows = rows[crop.said.labels[rows] > 0]
            if len(rows):
                ranks += self._ranks(model, crop, rows)
        return float(np.mean(ranks)) if ranks else float("nan")

    def _ranks(self, model: CellModel, crop: CropExample, rows: NDArray[np.int64]) -> list[float]:
        """Rank some clicks of one crop among its grid cells that are no click."""
        with self.device.autocast():
            logits = self._logits(model, self.device.pixels(crop.pixels[None]))
        p = logits.float().softmax(1)
        if model.head == "unet":
            p = F.avg_pool2d(p, 2)
        near = F.max_pool2d(p, 3, stride=1, padding=1)[0].cpu().numpy()
        rest = grid_target(crop.said, CROP_SIZE) <= BACKGROUND
        cells = np.floor((crop.said.points[rows] + 0.5) / GRID_STRIDE).astype(int)
        cells = np.clip(cells, 0, CROP_SIZE // GRID_STRIDE - 1)
        out = []
        for label, (y, x) in zip(crop.said.labels[rows], cells, strict=True):
            out.append(float((near[label][rest] < near[label, y, x]).mean()))
        return out

    def is_better_than(self, model: CellModel, trunk_proposes: bool) -> tuple[bool, str]:
        """Decide on promotion; the words say why.

        Parameters
        ----------
        model : CellModel
            What answers now.
        trunk_proposes : bool
            False when a class depends on training alone: then, with too few clicks to hold any
            out, those learnt from decide.
        """
        if not self.can_judge and trunk_proposes:
            return False, "too few clicks to judge a fine-tuned model"
        mine = self.judge(self.model, self.can_judge)
        theirs = self.judge(model, self.can_judge)
        judged_by = "held-out" if self.can_judge else "learnt"
        words = f"rank of {judged_by} clicks {mine:.3f} against {theirs:.3f}"
        return bool(mine > theirs + LEAST_GAIN), words
