"""What the exchange tests write: a few cells, a few annotations, two classes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.predictions.detections import Detections


@pytest.fixture
def classes() -> list[CellClass]:
    return [
        CellClass(0, "background", "#808080", None),
        CellClass(1, "lymphocyte", "#ff8000", "1"),
        CellClass(2, "tumour", "#0000ff", "2"),
    ]


@pytest.fixture
def detections() -> Detections:
    return Detections(
        points=[[10.0, 20.0], [3.25, 7.5]],
        labels=["lymphocyte", "tumour"],
        scores=[0.9375, 0.5],
        diameters=[16.0, np.nan],
    )


@pytest.fixture
def annotations() -> Annotations:
    """One of each kind: a point, a rejection, a mask, a reviewed region."""
    square = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0]])
    region = np.array([[100.0, 200.0], [100.0, 260.0], [150.0, 260.0], [150.0, 200.0]])
    return Annotations(
        ids=np.array(["1", "2", "3", "4"]),
        points=np.array([[5.0, 6.0], [7.0, 8.0], [2.0, 2.0], [125.0, 230.0]]),
        labels=np.array(["lymphocyte", "background", "tumour", "background"]),
        kinds=np.array(["point", "rejection", "mask", "region"]),
        provenances=np.array(["human", "human", "human", "accepted"]),
        polygons=(None, None, square, region),
        slides=np.array(["a"] * 4),
        created=np.zeros(4),
        set_aside=np.zeros(4, bool),
    )
