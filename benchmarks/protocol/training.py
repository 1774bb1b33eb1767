"""Train one network with one loss: the same crops, optimiser, schedule and budget for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_xce.learning.baselines import (
    ClassBalancedCrossEntropy,
    CrossEntropy,
    FocalLoss,
    NonNegativePU,
)
from napari_xce.learning.devices import Device
from napari_xce.learning.losses import ExclusiveCrossEntropy
from napari_xce.learning.terms import BACKGROUND, SparseLoss, foreground_logit
from napari_xce.learning.trunk import GRID_STRIDE
from protocol.networks import CROP, STRIDE, FromScratch, Head, OnTrunk, Seen, Start, crop_inputs
from protocol.targets import CLASS, Target

#: Crops a step, and steps: the whole budget, the same for every loss.
BATCH: Final = 16
STEPS: Final[dict[Start, int]] = {"trunk": 200, "scratch": 300}
RATE, DECAY = 3e-3, 1e-3
#: Share of the crops that hold an annotated cell; the others lie anywhere.
AROUND_CELLS: Final = 0.5
#: The published schedules of XCE are in epochs of a run of 300; the budget is taken as that run.
PUBLISHED_EPOCHS: Final = 300
#: Crops from which the true share of the class is taken for nnPU.
PRIOR_CROPS: Final = 400


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """The training side of a task, as annotated.

    Attributes
    ----------
    seen : list of Seen
        The images.
    targets : list of ndarray, int8
        What is annotated, at the head's stride.
    points : ndarray, float64, shape (N, 2)
        Centres of the annotated cells, working pixels.
    images : ndarray, int64, shape (N,)
        The image of each.
    """

    seen: list[Seen]
    targets: list[Target]
    points: NDArray[np.float64]
    images: NDArray[np.int64]


class Crops:
    """Draw crops: half of them around annotated cells, half anywhere."""

    def __init__(self, examples: Examples, head: Head, seed: int) -> None:
        self._examples = examples
        self._stride = STRIDE[head]
        self._rng = np.random.default_rng(seed)
        self._shapes = np.array([s.shape for s in examples.seen])
        areas = self._shapes.prod(1)
        self._shares = areas / areas.sum()

    def places(self, count: int) -> list[tuple[int, int, int]]:
        """Draw image, y and x of the first pixel of some crops; y and x are multiples of 4."""
        rng, examples = self._rng, self._examples
        k = rng.integers(len(examples.points), size=count)
        around = rng.random(count) < AROUND_CELLS
        anywhere = rng.choice(len(self._shares), size=count, p=self._shares)
        images = np.where(around, examples.images[k], anywhere)
        last = np.maximum(self._shapes[images] - CROP, 0)
        at_cell = examples.points[k] - rng.uniform(0, CROP, (count, 2))
        start = np.where(around[:, None], at_cell, rng.uniform(0, 1, (count, 2)) * last)
        start = np.clip(start, 0, last) // GRID_STRIDE * GRID_STRIDE
        return [(int(i), int(y), int(x)) for i, (y, x) in zip(images, start, strict=True)]

    def target(self, targets: list[Target], image: int, y: int, x: int) -> Target:
        """Cut a crop out of one target."""
        side, top, left = (n // self._stride for n in (CROP, y, x))
        return targets[image][top : top + side, left : left + side]

    def batch(self, turn: bool) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return inputs and target of some crops, each (``turn``) in one of eight positions."""
        inputs, targets = [], []
        for image, y, x in self.places(BATCH):
            parts = crop_inputs(self._examples.seen[image], y, x)
            target = torch.from_numpy(self.target(self._examples.targets, image, y, x))
            if turn:
                turns, mirror = int(self._rng.integers(4)), bool(self._rng.integers(2))
                parts = tuple(_turned(part, turns, mirror) for part in parts)
                target = _turned(target, turns, mirror)
            inputs.append(parts)
            targets.append(target)
        return tuple(torch.stack(part) for part in zip(*inputs, strict=True)), torch.stack(targets)


def _turned(x: Tensor, turns: int, mirror: bool) -> Tensor:
    """Turn the last two axes by quarters, then mirror."""
    x = torch.rot90(x, turns, (-2, -1))
    return x.flip(-1) if mirror else x


def true_prior(examples: Examples, every_cell: list[Target], head: Head, seed: int) -> float:
    """Return the share of the class in crops as they are trained on.

    Parameters
    ----------
    examples : Examples
    every_cell : list of ndarray, int8
        The targets if every cell were annotated: the truth, which a user does not have.
    """
    crops = Crops(examples, head, seed)
    drawn = [crops.target(every_cell, *place) == CLASS for place in crops.places(PRIOR_CROPS)]
    return float(np.mean(drawn))


class ColdStartXCE(SparseLoss):
    """XCE for a network that begins with nothing, its threshold tied to the annotated cells.

    Notes
    -----
    The first `WARM_UP` of the run drops nothing and counts every element alike: plain
    cross-entropy. What it learns is p = c q, with q the probability of the class and c its mean
    answer at annotated elements, the share of cells that are annotated (Elkan, Noto, KDD 2008,
    lemma 1). An unannotated element is a missed cell with probability (1 - c) q / (1 - c q), which
    is above one half where q > 1 / (2 - c). From then on `ExclusiveCrossEntropy` drops the terms of
    p > L / (2 - c), with L the present answer at annotated elements: L = c at first and rises
    towards 1 as the dropped terms pull no longer. With few annotations that is half of L, with all
    of them L: then nothing is dropped but what is as sure as a cell. The median stands for the
    mean, of this batch and, less and less, those before.
    """

    WARM_UP: Final = 0.15
    MEMORY: Final = 0.9

    def __init__(self) -> None:
        super().__init__()
        self._terms = ExclusiveCrossEntropy(
            exclusivity_threshold=1.0, alpha=1.0, gamma=0.0, reduction="none"
        )
        self._level: float | None = None
        self._annotated_share: float | None = None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of logits and a target (`check_target`): a scalar."""
        self._follow(torch.sigmoid(foreground_logit(logits.detach(), target))[target > BACKGROUND])
        if self._level is not None and self.progress >= self.WARM_UP * PUBLISHED_EPOCHS:
            if self._annotated_share is None:
                self._annotated_share = self._level
            self._terms.exclusivity_threshold = self._level / (2 - self._annotated_share)
        return self._terms(logits, target).mean()

    def _follow(self, answers: Tensor) -> None:
        """Take in the answers at annotated elements of a batch."""
        if len(answers):
            now = float(answers.median())
            before = now if self._level is None else self._level
            self._level = self.MEMORY * before + (1 - self.MEMORY) * now


LOSSES: Final[dict[str, Callable[[float], SparseLoss]]] = {
    "ce": lambda prior: CrossEntropy(),
    "balanced": lambda prior: ClassBalancedCrossEntropy(),
    "focal": lambda prior: FocalLoss(),
    "xce published": lambda prior: ExclusiveCrossEntropy("published", reduction="mean"),
    "xce": lambda prior: ColdStartXCE(),
    "nnpu": lambda prior: NonNegativePU(prior),
}


def train(
    loss_name: str,
    examples: Examples,
    head: Head,
    start: Start,
    prior: float,
    seed: int,
    device: Device,
    steps: int | None = None,
) -> nn.Module:
    """Train one network; the seed sets its first weights and the crops, whatever the loss.

    Parameters
    ----------
    loss_name : str
        One of `LOSSES`.
    examples : Examples
    head : {"yollo", "unet"}
    start : {"trunk", "scratch"}
    prior : float
        The class's share of all elements; only nnPU takes it.
    seed : int
    device : Device
        For its precision.
    steps : int, optional
        By default `STEPS`.

    Returns
    -------
    Module
        In evaluation mode. A step whose loss or gradient is not finite is not taken.
    """
    torch.manual_seed(seed)
    steps = STEPS[start] if steps is None else steps
    network = OnTrunk(head) if start == "trunk" else FromScratch(head)
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    loss, crops = LOSSES[loss_name](prior), Crops(examples, head, seed)
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / 20) * 0.5 * (1 + math.cos(math.pi * k / steps))
    )
    for step in range(steps):
        loss.set_progress(PUBLISHED_EPOCHS * step / steps)
        inputs, target = crops.batch(turn=start == "scratch")
        with device.autocast():
            logits = network(*inputs)
        value = loss(logits.float(), target)
        optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        if torch.isfinite(value) and torch.isfinite(norm):
            optimizer.step()
        schedule.step()
    return network.eval()
