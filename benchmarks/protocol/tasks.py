"""The nine tasks: their images on both sides of the split, and which cells are annotated.

Every task is one kind of cell; whatever else is in its images is background that nobody named.
All images are at the working scale: brca_m2c as it is (0.5 um/px), the others so that a cell of
the task has the diameter that a user would give once (16 pixels, white cells 22).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.datasets import (
    BRCA_CLASSES,
    WHITE_CELL_DIAMETER,
    cbc_is_held_out,
    read_brca,
    read_cbc_boxes,
    read_dsb,
)
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.slides import Slide

WORKING_MPP: Final = 0.5
FRACTIONS: Final = (0.05, 0.1, 0.2, 0.4, 1.0)
#: Smear images that show red cells but have no box of any (the data's README lists them).
WITHOUT_RED_BOXES: Final = frozenset(
    f"BloodImage_{number:05d}"
    for number in (134, 147, 150, 152, 224, 249, 250, 258, 267, 268, 303, 322, 327, 330)
)


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of cell in one set of images.

    Attributes
    ----------
    name : str
        For tables.
    dataset : {"brca_m2c", "dsb2018", "cbc"}
        Whose images, and so which weights may be used.
    kind : str
        A class of brca_m2c or cbc, or a look of dsb2018.
    diameter : float
        Of a cell, working pixels.
    """

    name: str
    dataset: str
    kind: str
    diameter: float = REFERENCE_DIAMETER

    @property
    def pixels_key(self) -> str:
        """What tasks with the same pixels share."""
        return self.dataset if self.dataset == "brca_m2c" else f"{self.dataset}/{self.kind}"

    @property
    def has_masks(self) -> bool:
        """Whether the extent of the cells is known."""
        return self.dataset == "dsb2018"


TASKS: Final = (
    *(Task(f"brca {name}", "brca_m2c", name) for name in BRCA_CLASSES),
    Task("dsb violet", "dsb2018", "violet_haematoxylin"),
    Task("dsb grey cytology", "dsb2018", "grey_cytology"),
    Task("dsb fluorescence", "dsb2018", "fluorescence"),
    Task("cbc red cells", "cbc", "RBC"),
    Task("cbc white cells", "cbc", "WBC", WHITE_CELL_DIAMETER),
    Task("cbc platelets", "cbc", "Platelets"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image at working scale and the cells of one task in it.

    Attributes
    ----------
    name, group : str
        The file, and what is never on both sides of the split.
    pixels : ndarray, uint8, shape (H, W, 3)
        RGB.
    points : ndarray, float64, shape (N, 2)
        Centres (y, x) of the task's cells, pixels.
    mask : ndarray, uint16, shape (H, W), or None
        Cell i has the label i + 1, 0 is background; None where only centres are known.
    """

    name: str
    group: str
    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]
    mask: NDArray[np.uint16] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The two sides of a task; no group (patient, look-alikes, image) is on both."""

    train: list[Picture]
    test: list[Picture]


def split_of(task: Task, data: Path) -> Split:
    """Read the images of a task and split them by patient, group of look-alikes or image.

    Parameters
    ----------
    task : Task
    data : Path
        The folder with brca_m2c, dsb2018 and cbc.

    Returns
    -------
    Split
        brca_m2c: the published validation split against the patients of training that it lacks.
        dsb2018: groups of look-alikes (`read_dsb`). cbc: every fifth image (`cbc_is_held_out`).
    """
    if task.dataset == "brca_m2c":
        return Split(_brca(data, task.kind, "train"), _brca(data, task.kind, "val"))
    if task.dataset == "dsb2018":
        return Split(_dsb(data, task.kind, "train"), _dsb(data, task.kind, "held out"))
    smears = _smears(task, data)
    return Split(
        [p for p in smears if not cbc_is_held_out(p.name)],
        [p for p in smears if cbc_is_held_out(p.name)],
    )


def _brca(data: Path, kind: str, part: str) -> list[Picture]:
    """Read one side of brca_m2c; the three tasks share the pixels."""
    label = BRCA_CLASSES.index(kind)
    images = _read_brca(data, part)
    return [Picture(i.name, i.group, i.pixels, i.points[i.labels == label]) for i in images]


_read_brca = lru_cache(read_brca)


def _dsb(data: Path, look: str, part: str) -> list[Picture]:
    """Read one side of a look of dsb2018."""
    images = read_dsb(data, look, part)
    return [Picture(i.name, i.group, i.pixels, i.points, i.mask) for i in images]


def _smears(task: Task, data: Path) -> list[Picture]:
    """Read blood smears, all scaled alike, so that the median cell of training has its diameter."""
    folder, read = data / "cbc", []
    for path in sorted((folder / "images").glob("*.jpg")):
        if task.kind == "RBC" and path.stem in WITHOUT_RED_BOXES:
            continue
        boxes = read_cbc_boxes(folder / "boxes" / f"{path.stem}.xml")
        mine = [box for name, box in boxes if name == task.kind]
        read.append((path, np.array(mine).reshape(-1, 4)))
    sides = np.concatenate([b[:, 2:] - b[:, :2] for p, b in read if not cbc_is_held_out(p.stem)])
    scale = task.diameter / float(np.median(sides))
    pictures = []
    for path, boxes in read:
        slide = Slide.from_array(imagecodecs.imread(path), mpp=WORKING_MPP * scale)
        height, width = (int(n * scale) for n in slide.shape)
        small = slide.read(0, 0, height, width, mpp=WORKING_MPP)
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2 + 0.5) * scale - 0.5
        pictures.append(Picture(path.stem, path.stem, small, centres))
    return pictures


def annotated_cells(counts: list[int], fraction: float, seed: int) -> list[NDArray[np.int64]]:
    """Choose which cells of the training images are annotated.

    Parameters
    ----------
    counts : list of int
        Cells in each image.
    fraction : float
        Share of all cells, in (0, 1]; rounded, but at least one cell.
    seed : int
        Of the draw. A smaller fraction is a part of a larger one with the same seed.

    Returns
    -------
    list of ndarray, int64
        Of each image, the indices of its annotated cells, ascending.

    Raises
    ------
    ValueError
        If the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"The fraction must be in (0, 1], got {fraction}.")
    image = np.repeat(np.arange(len(counts)), counts)
    within = np.concatenate([np.arange(n) for n in counts]).astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(image))
    chosen = order[: max(1, round(fraction * len(order)))]
    return [np.sort(within[chosen[image[chosen] == i]]) for i in range(len(counts))]
