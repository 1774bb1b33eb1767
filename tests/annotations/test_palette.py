"""The default colours of classes: told apart by every eye, and seen on an H&E slide."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_xce.annotations.classes import PALETTE

#: What a dichromat sees, in linear RGB: Machado, Oliveira & Fernandes, "A Physiologically-based
#: Model for Simulation of Color Vision Deficiency" (2009), table 1 at severity 1.
VISIONS = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
#: Mean colours of eight clusters of pixels of a real H&E slide (CMU-1-Small-Region).
HE = ("#f4f2f3", "#dabdd0", "#c68bad", "#b95680", "#9f6d97", "#854d7b", "#5b3663", "#331940")
#: CIEDE2000; 1 is just to be seen by an eye that compares, 10 is another colour at a glance.
ANOTHER_COLOR = 10.0


def _seen(color: str, vision: str) -> NDArray[np.float64]:
    """Return the Lab colour that an eye makes of "#rrggbb"."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISIONS[vision] @ linear, 0, 1)
    seen = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(seen)


def _difference(first: str, second: str, vision: str) -> float:
    return float(deltaE_ciede2000(_seen(first, vision), _seen(second, vision)))


@pytest.mark.parametrize("vision", VISIONS)
def test_every_eye_tells_two_classes_apart(vision: str) -> None:
    for first, second in combinations(PALETTE, 2):
        assert _difference(first, second, vision) > ANOTHER_COLOR, (first, second)


@pytest.mark.parametrize("vision", VISIONS)
def test_every_eye_sees_every_class_on_stained_tissue(vision: str) -> None:
    for color in PALETTE:
        for tissue in HE:
            assert _difference(color, tissue, vision) > ANOTHER_COLOR, (color, tissue)


def test_simulation_confuses_what_dichromats_confuse() -> None:
    red, olive = "#d40000", "#6b6b00"  # a textbook pair of red and green
    assert _difference(red, olive, "normal") > 3 * _difference(red, olive, "protan")
