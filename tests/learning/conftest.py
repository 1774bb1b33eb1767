"""Small models and crops, in float32 on the processor: the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_xce.learning.click_learner import ClickModel
from napari_xce.learning.devices import Device
from napari_xce.learning.heads import CELL_SIZE, KIND_SIZE
from napari_xce.learning.model import CellModel

PINK, HAEMATOXYLIN = (235, 205, 225), (90, 60, 140)


@pytest.fixture
def cpu() -> Device:
    """Return the processor in float32."""
    return Device("cpu", bfloat16=False)


def disc_image(
    side: int, points: NDArray[np.float64], diameter: float, colour=HAEMATOXYLIN
) -> NDArray[np.uint8]:
    """Draw discs with soft edges and a little grain on pink."""
    yy, xx = np.mgrid[:side, :side]
    rng = np.random.default_rng(0)
    image = np.tile(np.array(PINK, float), (side, side, 1))
    for y, x in points:
        inside = np.clip(diameter / 2 + 0.5 - np.hypot(yy - y, xx - x), 0, 1)[..., None]
        image = image * (1 - inside) + inside * np.array(colour, float)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def learnt(size: int, bias: float, seed: int) -> ClickModel:
    """Return a classifier of one class with random weights, as if something had been learnt."""
    weight = 0.3 * np.random.default_rng(seed).normal(size=(2, size))
    return ClickModel(np.zeros(size), np.ones(size), weight, np.array([0.0, bias]))


@pytest.fixture
def model() -> CellModel:
    """Return a model of one proposed, one dense and one class without a click."""
    torch.manual_seed(0)
    made = CellModel.from_shipped(["lymphocyte", "red cell", "new"])
    made.layers.set("proposed", [0], learnt(KIND_SIZE, 6.0, 1))
    made.layers.set("dense", [1], learnt(CELL_SIZE, 0.0, 2))
    return made
