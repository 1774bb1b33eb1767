"""The rings around the cells that the next key is about."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points

from napari_xce.predictions.detections import Detections
from napari_xce.viewer.ring_layer import CURRENT, HOVERED, RingLayer

CELLS = Detections([(10, 20), (30, 40)], ["tumour"] * 2, [0.9] * 2, [12.0, np.nan])


@pytest.fixture
def adopted() -> list[Layer]:
    return []


@pytest.fixture
def rings(viewer: ViewerModel, slide_layer: Image, adopted: list[Layer]) -> RingLayer:
    return RingLayer(viewer, slide_layer, 16.0, adopted.append)


def test_ring_is_wider_than_its_cell(rings: RingLayer) -> None:
    rings.draw(CELLS, CURRENT)
    assert rings.layer.data.tolist() == [[10, 20], [30, 40]]
    assert (rings.layer.size > [12, 16]).all()
    assert not rings.layer.editable


def test_layer_comes_with_the_first_ring_below_the_clicks_and_selects_nothing(
    viewer: ViewerModel, rings: RingLayer, adopted: list[Layer]
) -> None:
    clicks = Points(name="clicks")
    clicks.metadata["napari-xce"] = {"role": "clicks"}
    viewer.layers.append(clicks)
    rings.clear()
    assert rings.layer is None
    rings.draw(CELLS, HOVERED)
    assert viewer.layers[-2] is rings.layer
    assert viewer.layers.selection.active is clicks
    assert adopted == [rings.layer]


def test_cleared_rings_are_gone_and_a_removed_layer_comes_back(
    viewer: ViewerModel, rings: RingLayer
) -> None:
    rings.draw(CELLS, HOVERED)
    rings.clear()
    assert len(rings.layer.data) == 0
    viewer.layers.remove(rings.layer)
    rings.draw(CELLS[0], HOVERED)
    assert rings.layer in viewer.layers
    rings.close()
    rings.close()
    assert len(viewer.layers) == 1
