"""One cell of the table: a task, a start, a head, a loss, a fraction of annotations, a seed."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_xce.learning.datasets import BRCA_CLASSES
from napari_xce.learning.devices import Device, best_device
from napari_xce.learning.heads import CELL_SIZE
from napari_xce.learning.targets import DISC
from protocol.networks import STRIDE, Head, Scale, Seen, Start, as_pixels, look, shipped_model
from protocol.scoring import (
    Map,
    Reading,
    calibrated_threshold,
    cut,
    find_cells,
    probability,
    score_masks,
    score_points,
)
from protocol.targets import Target, target_of
from protocol.tasks import FRACTIONS, TASKS, Split, Task, annotated_cells, split_of
from protocol.training import LOSSES, Examples, train, true_prior

#: To be raised when a change makes old cells wrong: they are then done again.
PROTOCOL: Final = 1
#: What the card of the weights calls the data of a kind of cell.
SOURCES: Final = {
    **dict.fromkeys(BRCA_CLASSES, "brca"),
    "violet_haematoxylin": "violet",
    "grey_cytology": "grey",
    "fluorescence": "fluorescence",
    **dict.fromkeys(("RBC", "WBC", "Platelets"), "cbc"),
}
#: No training: everything is the class (from scratch), or every nucleus of the trunk is.
TRIVIAL: Final = "all foreground"
#: Losses whose threshold is also found from left-out annotations, and the share left out.
CALIBRATED: Final = ("ce", "xce")
LEFT_OUT: Final = 0.25
#: Images on which the left-out annotations are scored, at most.
MOST_CALIBRATED: Final = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured.

    Attributes
    ----------
    task : str
        Name of a task.
    start : {"trunk", "scratch"}
    head : {"yollo", "unet"}
    loss : str
        Of `LOSSES`, or `TRIVIAL`.
    fraction : float
        Share of the training cells that are annotated.
    seed : int
        Of the annotated cells, the first weights and the crops.
    """

    task: str
    start: Start
    head: Head
    loss: str
    fraction: float
    seed: int

    def key(self, weights: str) -> str:
        """Name the cell so that a rerun knows it: with the features it stands on, and the rules."""
        on = f"{weights}/{CELL_SIZE}" if self.start == "trunk" else "none"
        parts = (PROTOCOL, self.task, self.start, self.head, self.loss, self.fraction, self.seed)
        return "|".join(map(str, (*parts, on)))


def every_cell(seeds: int) -> list[Cell]:
    """List all cells, in such an order that a part of the run already is a small table.

    YOLLO on the shipped trunk, which is what the tool is, comes first and whole; of the others 10
    and 100 % come before the rest, a seed after the other; all tasks together.
    """
    starts: tuple[Start, ...] = ("trunk", "scratch")
    heads: tuple[Head, ...] = ("yollo", "unet")
    names = [task.name for task in TASKS]
    cells = [
        Cell(name, start, head, TRIVIAL, 1.0, 0)
        for start, head, name in product(starts, heads, names)
    ]
    cells += [
        Cell(name, start, head, loss, fraction, seed)
        for seed, start, head, fraction, name, loss in product(
            range(seeds), starts, heads, FRACTIONS, names, LOSSES
        )
    ]

    def turn(cell: Cell) -> tuple[bool, bool]:
        others = (cell.start, cell.head) != ("trunk", "yollo")
        return others, others and cell.fraction not in (0.1, 1.0)

    return sorted(cells, key=turn)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where data and weights are.

    Attributes
    ----------
    data : Path
        Folder with brca_m2c, dsb2018 and cbc.
    weights : tuple of (str, Path)
        By data set, the trunk's weights that its tasks stand on.
    """

    data: Path
    weights: tuple[tuple[str, Path], ...]

    def weights_of(self, task: Task) -> Path:
        """Return the weights for a task's data set."""
        return dict(self.weights)[task.dataset]

    def key(self, cell: Cell) -> str:
        """Return the cell's key with the weights it would be measured with."""
        return cell.key(fingerprint(self.weights_of(task_named(cell.task))))


def task_named(name: str) -> Task:
    """Return the task of this name."""
    return next(task for task in TASKS if task.name == name)


@cache
def fingerprint(weights: Path) -> str:
    """Return the first digits of a file's SHA-256."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12]


@lru_cache
def _split(task: Task, data: Path) -> Split:
    return split_of(task, data)


_load = lru_cache(shipped_model)


@lru_cache(maxsize=7)  # the sets of images of the nine tasks, for one head at a time
def _seen(key: str, head: Head, weights: Path | None, data: Path) -> tuple[list[Seen], list[Seen]]:
    """Look at both sides of a task's images (of any task with these pixels)."""
    split = _split(next(task for task in TASKS if task.pixels_key == key), data)
    sides = [[picture.pixels for picture in side] for side in (split.train, split.test)]
    if weights is None:
        train, test = ([as_pixels(pixels) for pixels in side] for side in sides)
        return train, test
    model = _load(weights)
    train, test = ([look(pixels, head, model, best_device()) for pixels in s] for s in sides)
    scale = Scale.of(train)
    return [scale.apply(image) for image in train], [scale.apply(image) for image in test]


class Setting:
    """A task under one start and head: images as the network takes them, and what is true."""

    def __init__(self, bench: Bench, cell: Cell) -> None:
        self.task = task_named(cell.task)
        self.cell = cell
        self.device: Device = best_device()
        self.split = _split(self.task, bench.data)
        weights = bench.weights_of(self.task) if cell.start == "trunk" else None
        self.seen, self.seen_test = _seen(self.task.pixels_key, cell.head, weights, bench.data)
        drawn_by_mask = cell.head == "unet" and self.task.has_masks
        diameter = self.task.diameter
        drawn = diameter if drawn_by_mask else 2 * DISC * diameter
        self.reading = Reading(cell.head, diameter, drawn)

    def examples(self, chosen: list[NDArray[np.int64]]) -> Examples:
        """Return the training side with these cells of each image annotated."""
        pictures = self.split.train
        sizes = [len(cells) for cells in chosen]
        points = [p.points[cells] for p, cells in zip(pictures, chosen, strict=True)]
        return Examples(
            self.seen,
            self.targets(chosen),
            np.concatenate(points),
            np.repeat(np.arange(len(pictures)), sizes),
        )

    def targets(self, chosen: list[NDArray[np.int64]]) -> list[Target]:
        """Return what these cells say, padding included."""
        stride, with_mask = STRIDE[self.cell.head], self.cell.head == "unet"
        targets = []
        for picture, cells, seen in zip(self.split.train, chosen, self.seen, strict=True):
            scale = {3: 1}.get(seen.inputs[0].shape[0], 4)
            height, width = (n * scale // stride for n in seen.inputs[0].shape[1:])
            shape = (height, width)
            targets.append(target_of(picture, cells, shape, self.task.diameter, stride, with_mask))
        return targets


def measure(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Measure one cell.

    Returns
    -------
    dict
        The cell, its key, the weights it stands on, the number of annotated cells, F1 by radius
        and threshold and, where there are masks and the head is UNet, Dice and F1 of instances.
    """
    started = time.process_time()
    setting = Setting(bench, cell)
    weights = bench.weights_of(setting.task)
    if cell.loss == TRIVIAL:
        maps, annotated, calibrated = _trivial_maps(setting), 0, None
    else:
        maps, annotated, calibrated = _trained_maps(setting)
    reading, test = setting.reading, setting.split.test
    found = [find_cells(p, reading) for p in maps]
    record: dict[str, Any] = {
        "key": bench.key(cell),
        **asdict(cell),
        **(_trunk_of(weights, setting) if cell.start == "trunk" else {}),
        "annotated": annotated,
        "test_cells": sum(len(picture.points) for picture in test),
        "points": score_points(test, found, calibrated),
    }
    if setting.task.has_masks and cell.head == "unet":
        of_points = record["points"]["6um"]
        thresholds = {name: figures["threshold"] for name, figures in of_points.items()}
        record["masks"] = score_masks(test, maps, found, thresholds, reading)
    return {**record, "cpu_seconds": round(time.process_time() - started, 2)}


def _trunk_of(weights: Path, setting: Setting) -> dict[str, Any]:
    """Name the weights that a cell stands on, and what of the task their training has seen."""
    card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    source = SOURCES[setting.task.kind]
    images = card["data"].get(source, {"images": 0})["images"]
    saw = "nothing" if not images else "training images"
    if setting.task.dataset == "dsb2018" and images > len(setting.split.train):
        saw = "test images"
    return {"weights": fingerprint(weights), "weights_file": weights.name, "trunk_saw": saw}


def _trivial_maps(setting: Setting) -> list[Map]:
    """Call everything the class; with the trunk, every nucleus that it finds."""
    stride, maps = setting.reading.stride, []
    for seen in setting.seen_test:
        if seen.nucleus is None:
            shape = tuple(-(-n // stride) for n in seen.shape)
            maps.append(np.ones(shape, np.float32))
        else:
            maps.append(cut(seen.nucleus.float().numpy(), seen.shape, stride))
    return maps


def _trained_maps(setting: Setting) -> tuple[list[Map], int, float | None]:
    """Train; return the answers on the test images, the annotated cells, the threshold found."""
    cell, pictures = setting.cell, setting.split.train
    chosen = annotated_cells([len(p.points) for p in pictures], cell.fraction, cell.seed)
    network = _network(setting, chosen)
    maps = [probability(network, seen, cell.head, setting.device) for seen in setting.seen_test]
    calibrated = _calibrate(setting, chosen) if cell.loss in CALIBRATED else None
    return maps, sum(map(len, chosen)), calibrated


def _network(setting: Setting, chosen: list[NDArray[np.int64]]) -> nn.Module:
    """Train one network on these annotated cells."""
    cell = setting.cell
    examples = setting.examples(chosen)
    prior = 0.0
    if cell.loss == "nnpu":
        every = setting.targets([np.arange(len(p.points)) for p in setting.split.train])
        prior = true_prior(examples, every, cell.head, cell.seed)
    return train(cell.loss, examples, cell.head, cell.start, prior, cell.seed, setting.device)


def _calibrate(setting: Setting, chosen: list[NDArray[np.int64]]) -> float | None:
    """Train a second network without some annotations and see what it says of them."""
    cell = setting.cell
    rng = np.random.default_rng([cell.seed, 1])
    where = np.concatenate([np.full(len(c), i) for i, c in enumerate(chosen)])
    which = np.concatenate(chosen)
    out = rng.permutation(len(which))[: round(LEFT_OUT * len(which))]
    if not len(out):
        return None
    kept = [np.sort(np.delete(which, out)[np.delete(where, out) == i]) for i in range(len(chosen))]
    network = _network(setting, kept)
    images = rng.permutation(np.unique(where[out]))[:MOST_CALIBRATED]
    seen = [setting.seen[i] for i in images]
    maps = [probability(network, image, cell.head, setting.device) for image in seen]
    points = [setting.split.train[i].points[which[out][where[out] == i]] for i in images]
    return calibrated_threshold(maps, points, setting.reading)
