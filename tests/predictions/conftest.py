"""Drawn slides whose nuclei are known, and a model that calls every nucleus a cell."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_xce.annotations.records import Annotations
from napari_xce.learning.click_learner import ClickModel
from napari_xce.learning.devices import Device
from napari_xce.learning.heads import KIND_SIZE
from napari_xce.learning.model import CellModel
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import TileGrid
from napari_xce.slides import Slide

PINK, HAEMATOXYLIN = np.array([235.0, 205.0, 225.0]), np.array([90.0, 60.0, 140.0])


@pytest.fixture
def cpu() -> Device:
    """Return the processor in float32."""
    return Device("cpu", bfloat16=False)


@pytest.fixture
def nuclei_model() -> CellModel:
    """Return a model of one class that every nucleus is of."""
    model = CellModel.from_shipped(["nucleus"])
    zeros = np.zeros((2, KIND_SIZE))
    model.layers.set(
        "proposed", [0], ClickModel(zeros[0], zeros[0] + 1, zeros, np.array([0.0, 30.0]))
    )
    return model


def draw_nuclei(
    shape: tuple[int, int],
    points_um: NDArray[np.float64],
    mpp: tuple[float, float] = (0.5, 0.5),
    diameter_um: float = 8.0,
    colour: NDArray[np.float64] = HAEMATOXYLIN,
) -> NDArray[np.uint8]:
    """Draw discs with soft edges on grainy pink; ``points_um`` from the centre of pixel (0, 0)."""
    y, x = (np.arange(n) * size for n, size in zip(shape, mpp, strict=True))
    rng = np.random.default_rng(0)
    image = np.tile(PINK, (*shape, 1))
    for cy, cx in points_um:
        away = np.hypot(y[:, None] - cy, x - cx)
        inside = np.clip((diameter_um / 2 - away) / min(mpp) + 0.5, 0, 1)[..., None]
        image = image * (1 - inside) + colour * inside
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def at_work(
    image: NDArray[np.uint8], mpp: tuple[float, float] = (0.5, 0.5), core: int = 128
) -> SlideAtWork:
    """Return a drawn slide as the network reads it."""
    slide = Slide.from_array(image, mpp=mpp, name="drawn")
    factor = (0.5 / mpp[0], 0.5 / mpp[1])
    return SlideAtWork("drawn", slide, TileGrid(slide.shape, factor, core=core))


def said(*what: tuple[str, tuple[float, float], str]) -> Annotations:
    """Return annotations of the drawn slide from (id, point, label); background is a rejection."""
    labels = np.array([label for _, _, label in what], np.str_)
    n = len(what)
    return Annotations(
        ids=np.array([id for id, _, _ in what], np.str_),
        points=np.array([point for _, point, _ in what], float).reshape(-1, 2),
        labels=labels,
        kinds=np.where(labels == "background", "rejection", "point"),
        provenances=np.full(n, "human"),
        polygons=(None,) * n,
        slides=np.full(n, "drawn"),
        created=np.arange(n, dtype=float),
        set_aside=np.zeros(n, bool),
    )


def together(*parts: Annotations) -> Annotations:
    """Join annotations."""
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Annotations)
        if field.name != "polygons"
    }
    return Annotations(**joined, polygons=sum((part.polygons for part in parts), ()))
