"""Train the shipped weights: ``python -m napari_xce.learning.pretrain --data DIR --out DIR``.

The trunk, the proposer and the mask decoder learn nuclei of any kind from three open data sets
(``datasets.py``) under strong augmentation (``augment.py``); the embedding learns to tell the three
classes of brca_m2c apart. Centres follow the penalty-reduced focal loss of CornerNet (Law and Deng,
ECCV 2018, eq. 1). One seed gives one run on one machine, and a run that was stopped goes on where
it was; a card with data, licence, and steps is written beside the weights (``benchmarks/trunk.py``
measures them). ``--without brca`` trains for a measurement with a data set left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_xce.learning.augment import Crop, augment, random_crop
from napari_xce.learning.datasets import (
    BRCA_CLASSES,
    LabelledImage,
    distance_to_points,
    read_brca,
    read_cbc_white_cells,
    read_dsb,
)
from napari_xce.learning.heads import EMBEDDING_SIZE, REFERENCE_DIAMETER
from napari_xce.learning.shipped import ShippedModel
from napari_xce.learning.trunk import GRID_STRIDE, MASK_STRIDE

CROP = 160
BATCH = 12
#: Batches made ahead of the step that needs them.
PREFETCHED = 8
PEAK_RATE = 3e-3
#: Share of crops drawn from each source.
SHARES = {"brca": 0.66, "violet": 0.14, "grey": 0.05, "fluorescence": 0.09, "cbc": 0.06}
DISC_RADIUS, FAR_RADIUS = 3.0, 18.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Pixels and targets; -1 in ``nucleus`` and NaN in ``size`` mean not known."""

    pixels: Tensor  # (B, 3, CROP, CROP)
    centres: Tensor  # (B, h, w), Gaussian, 1 at a centre
    at: Tensor  # (N, 3) int64: batch, row, column of each cell's grid cell
    offset: Tensor  # (N, 2)
    size: Tensor  # (N,)
    label: Tensor  # (N,) int64
    nucleus: Tensor  # (B, CROP/2, CROP/2)


class Sources:
    """Draw augmented crops from the data sets in fixed shares; the same step gives the same."""

    def __init__(self, images: dict[str, list[LabelledImage]], seed: int) -> None:
        self._images = {k: v for k, v in images.items() if v}
        shares = np.array([SHARES[k] for k in self._images])
        self._shares = shares / shares.sum()
        self._seed = seed

    def crop(self, rng: np.random.Generator) -> Crop:
        """Draw one crop."""
        source = rng.choice(list(self._images), p=self._shares)
        images = self._images[source]
        return augment(random_crop(images[rng.integers(len(images))], CROP, rng), rng)

    def batch(self, step: int) -> Batch:
        """Make the batch of a step."""
        rng = np.random.default_rng((self._seed, step))
        return collate([self.crop(rng) for _ in range(BATCH)])


def collate(crops: list[Crop]) -> Batch:
    """Turn crops into pixels and targets."""
    pixels = torch.from_numpy(np.stack([c.pixels for c in crops])).permute(0, 3, 1, 2) / 255.0
    centres, nucleus, at, offset, size, label = [], [], [], [], [], []
    for b, crop in enumerate(crops):
        cells = (crop.points + 0.5) / GRID_STRIDE
        grid = np.clip(np.floor(cells).astype(np.int64), 0, CROP // GRID_STRIDE - 1)
        at.append(np.column_stack([np.full(len(grid), b), grid]))
        offset.append(cells - grid - 0.5)
        size.append(np.log(crop.diameters / REFERENCE_DIAMETER))
        label.append(crop.labels)
        centres.append(_gaussians(cells - 0.5, crop.diameters))
        nucleus.append(_nucleus_target(crop))
    return Batch(
        pixels.contiguous(),
        torch.from_numpy(np.stack(centres)),
        torch.from_numpy(np.concatenate(at)),
        torch.from_numpy(np.concatenate(offset)).float(),
        torch.from_numpy(np.concatenate(size)).float(),
        torch.from_numpy(np.concatenate(label)),
        torch.from_numpy(np.stack(nucleus)),
    )


def _gaussians(cells: NDArray[np.float64], diameters: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draw a Gaussian around each centre, wider for larger cells, on the grid."""
    side = CROP // GRID_STRIDE
    heat = np.zeros((side, side), np.float32)
    sigmas = np.nan_to_num(diameters, nan=REFERENCE_DIAMETER) / GRID_STRIDE / 5.0
    ticks = np.arange(side)
    for (y, x), sigma in zip(cells, np.clip(sigmas, 0.6, 2.0), strict=True):
        rows = np.exp(-((ticks - y) ** 2) / (2 * sigma**2))
        columns = np.exp(-((ticks - x) ** 2) / (2 * sigma**2))
        np.maximum(heat, np.outer(rows, columns), out=heat)
        heat[min(side - 1, max(0, round(y))), min(side - 1, max(0, round(x)))] = 1.0
    return heat


def _nucleus_target(crop: Crop) -> NDArray[np.float32]:
    """Say where nucleus is (1), is not (0) and what is not known (-1), at mask stride."""
    half = CROP // MASK_STRIDE
    if crop.mask is not None:
        inside = crop.mask.reshape(half, MASK_STRIDE, half, MASK_STRIDE) > 0
        return inside.mean((1, 3)).astype(np.float32)
    points = (crop.points + 0.5) / MASK_STRIDE - 0.5
    distance = distance_to_points((half, half), points) * MASK_STRIDE
    target = np.full((half, half), -1.0, np.float32)
    target[distance <= DISC_RADIUS] = 1.0
    target[distance >= FAR_RADIUS] = 0.0
    return target


class Loss(nn.Module):
    """Sum of the terms the weights are trained with; the class layer is not shipped."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Linear(EMBEDDING_SIZE, len(BRCA_CLASSES))

    def forward(self, model: ShippedModel, batch: Batch) -> dict[str, Tensor]:
        features = model.trunk(batch.pixels)
        proposals = model.proposer(features)
        _, nucleus = model.mask(features)
        b, i, j = batch.at.T
        terms = {"centre": centre_loss(proposals.objectness[:, 0].float(), batch.centres)}
        offset = proposals.offset[b, :, i, j].float()
        terms["offset"] = 0.5 * F.l1_loss(offset, batch.offset)
        known = ~torch.isnan(batch.size)
        size = proposals.size[b, 0, i, j].float()[known]
        terms["size"] = 0.3 * F.smooth_l1_loss(size, batch.size[known]) if known.any() else 0 * size
        logits = self.classify(proposals.embedding[b, :, i, j].float())
        # smoothed, as many of the published classes are wrong
        terms["label"] = F.cross_entropy(logits, batch.label, ignore_index=-1, label_smoothing=0.1)
        known = batch.nucleus >= 0
        terms["nucleus"] = F.binary_cross_entropy_with_logits(
            nucleus[:, 0].float()[known], batch.nucleus[known]
        )
        return {k: torch.nan_to_num(v).sum() for k, v in terms.items()}


def centre_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CornerNet (alpha 2, beta 4), by the number of centres."""
    p = torch.sigmoid(logit)
    positive = target >= 1.0
    hit = ((1 - p) ** 2 * F.logsigmoid(logit))[positive].sum()
    miss = ((1 - target) ** 4 * p**2 * F.logsigmoid(-logit))[~positive].sum()
    return -(hit + miss) / positive.sum().clamp(min=1)


def read_sources(data: Path, without: str | None = None) -> dict[str, list[LabelledImage]]:
    """Read what the weights are trained on; pink_he stays unseen, as a look.

    ``without`` names a data set to leave out: "brca", "dsb" or "cbc".
    """
    readers: dict[str, Callable[[], list[LabelledImage]]] = {
        "brca": lambda: read_brca(data, "train"),
        "violet": lambda: read_dsb(data, "violet_haematoxylin", "train"),
        "grey": lambda: read_dsb(data, "grey_cytology", "train"),
        "fluorescence": lambda: read_dsb(data, "fluorescence", "train"),
        "cbc": lambda: read_cbc_white_cells(data),
    }
    left_out = {"dsb": ("violet", "grey", "fluorescence")}.get(without or "", (without,))
    return {name: read() for name, read in readers.items() if name not in left_out}


def prefetched(sources: Sources, steps: range) -> Iterator[Batch]:
    """Yield the batches of steps, which a second thread makes while the first one trains."""
    with ThreadPoolExecutor(1, "xce-crops") as maker:
        ahead = deque(maker.submit(sources.batch, step) for step in steps[:PREFETCHED])
        for step in steps:
            if step + PREFETCHED < steps.stop:
                ahead.append(maker.submit(sources.batch, step + PREFETCHED))
            yield ahead.popleft().result()  # what went wrong there is raised here


def train(images: dict[str, list[LabelledImage]], steps: int, seed: int, out: Path) -> ShippedModel:
    """Train for a number of steps and return the moving average of the weights.

    A run that was stopped in ``out`` goes on from its last thousand steps.
    """
    torch.manual_seed(seed)
    run = Run(steps)
    first = run.resume(out / "run.safetensors") + 1
    started = time.perf_counter()
    for step, batch in enumerate(prefetched(Sources(images, seed), range(first, steps + 1)), first):
        terms = run.step(batch, step)
        if step % 100 == 0:
            record = {k: round(v, 4) for k, v in terms.items()}
            record |= {"step": step, "seconds": round(time.perf_counter() - started, 1)}
            with (out / "log.jsonl").open("a") as file:
                print(json.dumps(record), file=file)
        if step % 1000 == 0:
            run.save(out / "run.safetensors", step)
    return run.average


class Run:
    """A training run: the model, the moving average of its weights, and the optimizer."""

    def __init__(self, steps: int) -> None:
        self.model, self.loss = ShippedModel(), Loss()
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._parameters = [*self.model.parameters(), *self.loss.parameters()]
        self._optimizer = torch.optim.AdamW(self._parameters, PEAK_RATE, weight_decay=1e-3)
        self._steps = steps

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Take step number ``step`` (from 1); return the terms of the loss."""
        with torch.autocast("cpu", torch.bfloat16):
            terms = self.loss(self.model, batch)
        self._optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self._parameters, 2.0)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self._steps)) + 1e-3
        self._optimizer.param_groups[0]["lr"] = PEAK_RATE * min(1.0, step / 200) * cosine
        self._optimizer.step()
        _follow(self.average, self.model, min(0.998, step / (step + 20)))
        return {name: term.item() for name, term in terms.items()}

    def save(self, path: Path, step: int) -> None:
        """Write everything that is needed to go on."""
        tensors = {"step": torch.tensor(step)}
        for name, module in self._modules():
            tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
        for i, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
        part = path.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in tensors.items()}, part)
        part.replace(path)

    def resume(self, path: Path) -> int:
        """Go on from a file, if there is one; return the number of the last step taken."""
        if not path.exists():
            return 0
        tensors = load_file(path)
        for name, module in self._modules():
            module.load_state_dict(_below(tensors, name))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, "optimizer").items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(tensors["step"])

    def _modules(self) -> list[tuple[str, nn.Module]]:
        return [("model", self.model), ("loss", self.loss), ("average", self.average)]


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of one part, without its name."""
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, momentum: float) -> None:
    """Move the average a little towards the model; running statistics likewise."""
    for mine, theirs in zip(
        average.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, 1 - momentum)
        else:
            mine.copy_(theirs)


def main() -> None:
    """Train the shipped weights and write them with a card and a log."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with brca_m2c, dsb2018, cbc"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, card and log")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=["brca", "dsb", "cbc"], help="leave a data set out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    images = read_sources(options.data, options.without)
    model = train(images, options.steps, options.seed, options.out)
    minutes = (time.perf_counter() - started) / 60
    model.save(options.out / "trunk.safetensors")
    card = make_card(images, options.steps, options.seed, minutes)
    (options.out / "trunk.json").write_text(json.dumps(card, indent=2) + "\n")


def make_card(
    images: dict[str, list[LabelledImage]], steps: int, seed: int, minutes: float
) -> dict[str, object]:
    """Say what the weights are: data, licences, recipe; ``benchmarks/trunk.py`` adds the scores."""
    return {
        "name": "napari-xce trunk",
        "working_mpp": 0.5,
        "parameters": sum(p.numel() for p in ShippedModel().parameters()),
        "recipe": "python -m napari_xce.learning.pretrain",
        "steps": steps,
        "batch": BATCH,
        "crop": CROP,
        "seed": seed,
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "data": {
            source: {"images": len(group), "nuclei": sum(len(i.points) for i in group)}
            for source, group in images.items()
        },
        "licences": {"brca_m2c": "BSD-3-Clause", "dsb2018": "CC0-1.0", "cbc": "MIT"},
    }


if __name__ == "__main__":
    main()
