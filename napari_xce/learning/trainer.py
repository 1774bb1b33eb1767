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
from scipy import stats
from torch import Tensor, nn

from napari_xce.learning.augment import restain
from napari_xce.learning.devices import Device
from napari_xce.learning.losses import BACKGROUND, UNANNOTATED, ExclusiveCrossEntropy
from napari_xce.learning.model import CellModel
from napari_xce.learning.targets import Said, grid_target, pixel_target
from napari_xce.learning.trunk import GRID_STRIDE

CROP_SIZE = 128
BATCH = 4
HEAD_RATE, BLOCK_RATE = 2e-3, 2e-4
#: With fewer held-out clicks a comparison says nothing.
LEAST_HELD_OUT = 5
#: After so many trials without gain, or one with, training rests until something is said: the
#: longer it goes on with the same few clicks, the more it learns them by heart.
MOST_FAILURES = 2

Ranks = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class Comparison:
    """A copy beside the model it came from: whether it is better, and why."""

    better: bool
    words: str


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
        self.reference = model
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.steps = 0
        self._failures = 0
        self._picked: list[int] = []  # crops left of the step that was begun
        self._losses: list[float] = []  # of its other crops
        self._judged: dict[tuple[bool, int], Ranks] = {}  # by (copy or not, crop), as they are
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
        while self.step_some():
            pass
        self._learn_from(self._picked.pop(0))
        losses, self._losses = self._losses, []
        if not np.isfinite(losses).all():
            return float("nan")
        norm = nn.utils.clip_grad_norm_(
            [p for g in self._optimizer.param_groups for p in g["params"]], 1.0
        )
        if not torch.isfinite(norm):  # no NaN ever reaches the weights
            return float("nan")
        self._optimizer.step()
        self._judged = {key: found for key, found in self._judged.items() if not key[0]}
        self.steps += 1
        return float(np.mean(losses))

    def step_some(self) -> bool:
        """Learn from one crop of the next step, ahead of `step`; False if only its last is left.

        A crop at a time, so that a click waits for a quarter of a step at most.
        """
        if not self._picked:
            count = min(BATCH, len(self.crops))
            self._picked = self._rng.integers(len(self.crops), size=count).tolist()
            self._optimizer.zero_grad()
        if len(self._picked) == 1:
            return False
        self._learn_from(self._picked.pop(0))
        return True

    def _learn_from(self, index: int) -> None:
        """Add what one crop, turned at random, says to the gradients of the step."""
        image, said = self._turn(index)
        pixels = self.device.pixels(image[None])
        target = torch.from_numpy(said[None]).to(self.device.torch)
        with self.device.autocast():
            logits = self._logits(self.model, pixels)
        loss = self._loss(logits.float(), target)
        self._losses.append(float(loss.detach()))
        if torch.isfinite(loss):
            (loss / min(BATCH, len(self.crops))).backward()

    @property
    def has_settled(self) -> bool:
        """Whether these clicks have given what they can: a better copy, or none in some trials."""
        return self._failures >= MOST_FAILURES

    def _turn(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return a crop, restained, and its target in one of the square's eight symmetries."""
        turns, mirror = int(self._rng.integers(4)), bool(self._rng.integers(2))
        pixels = np.rot90(self.crops[index].pixels, turns)
        target = np.rot90(self._targets[index], turns)
        if mirror:
            pixels, target = pixels[:, ::-1], target[:, ::-1]
        pixels = restain(pixels, self._rng)
        return np.ascontiguousarray(pixels), np.ascontiguousarray(target)

    def _logits(self, model: CellModel, pixels: Tensor) -> Tensor:
        segment = model.head == "unet"
        tiles = model(pixels, with_mask=segment)
        return model.pixel_logits(tiles) if segment else model.grid_logits(tiles)

    def judge(self, model: CellModel) -> Ranks:
        """Look how a model ranks the held-out clicks.

        Parameters
        ----------
        model : CellModel
            The copy, or the model it should replace.

        Returns
        -------
        ndarray, float64, shape (N,)
            For each held-out click of a class, in a fixed order, the share of the grid cells of its
            crop, unannotated or background, that score lower, 0..1.

        Notes
        -----
        Unannotated cells of the class pull the ranks below 1 for every model alike, so that only
        differences count.
        """
        found = [self._judge_crop(model, number) for number in self._judging_crops()]
        return np.concatenate(found) if found else np.empty(0)

    def judge_some(self) -> bool:
        """Judge copy and model at one more crop, for `compare` to find; False if none is left."""
        for number in self._judging_crops():
            for model in (self.model, self.reference):
                if (model is self.model, number) not in self._judged:
                    self._judge_crop(model, number)
                    return True
        return False

    def _judging_crops(self) -> list[int]:
        """Return the numbers of the crops that have held-out clicks of a class."""
        return [i for i, crop in enumerate(self.crops) if len(_held_out_rows(crop))]

    def _judge_crop(self, model: CellModel, number: int) -> Ranks:
        """Rank the held-out clicks of one crop; remembered for copy and model until a step."""
        if model is not self.model and model is not self.reference:
            return self._rank(model, self.crops[number])
        key = (model is self.model, number)
        if key not in self._judged:
            self._judged[key] = self._rank(model, self.crops[number])
        return self._judged[key]

    @torch.no_grad()
    def _rank(self, model: CellModel, crop: CropExample) -> Ranks:
        """Rank the held-out clicks of one crop among its grid cells that are no click."""
        rows = _held_out_rows(crop)
        with self.device.autocast():
            logits = self._logits(model, self.device.pixels(crop.pixels[None]))
        p = logits.float().softmax(1)
        if model.head == "unet":
            p = F.avg_pool2d(p, 2)
        near = F.max_pool2d(p, 3, stride=1, padding=1)[0].cpu().numpy()
        rest = grid_target(crop.said, CROP_SIZE) <= BACKGROUND
        cells = np.floor((crop.said.points[rows] + 0.5) / GRID_STRIDE).astype(int)
        y, x = np.clip(cells, 0, CROP_SIZE // GRID_STRIDE - 1).T
        labels = crop.said.labels[rows]
        scores = near[labels, y, x]
        ranks = [(near[k][rest] < score).mean() for k, score in zip(labels, scores, strict=True)]
        return np.array(ranks)

    def compare(self) -> Comparison:
        """Tell whether the copy has become better than the model.

        Notes
        -----
        The 95 % interval of the mean gain in rank (Student's t) must lie above 0: by the sign
        alone, or by one standard error, copies were promoted that were worse on other patients
        (``docs/method.md``).
        """
        mine, theirs = self.judge(self.model), self.judge(self.reference)
        count = len(mine)
        if count < LEAST_HELD_OUT:
            self._failures += 1
            words = "too few clicks to judge a fine-tuned model"
            return Comparison(False, words)
        gains = mine - theirs
        margin = float(stats.t.ppf(0.975, count - 1)) * gains.std(ddof=1) / np.sqrt(count)
        better = bool(gains.mean() > margin)
        self._failures = MOST_FAILURES if better else self._failures + 1
        words = f"held-out clicks rank {mine.mean():.3f} against {theirs.mean():.3f}"
        return Comparison(better, words)


def _held_out_rows(crop: CropExample) -> NDArray[np.int64]:
    """Return the held-out clicks of a class, as rows of what was said."""
    return crop.held_out[crop.said.labels[crop.held_out] > 0]
