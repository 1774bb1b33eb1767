"""The cells layer holds what is in view, and nothing slow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Points

from napari_xce.predictions.detections import Detections
from napari_xce.predictions.store import DetectionStore
from napari_xce.viewer import detection_layer
from napari_xce.viewer.detection_layer import DetectionLayer, Said

COLORS = {"tumour": "#56b4e9", "stroma": "#009e73"}
NOTHING = Said(np.empty((0, 2)), [])
LEFT, RIGHT = (0.0, 0.0, 100.0, 100.0), (0.0, 250.0, 100.0, 350.0)


@pytest.fixture
def cells(viewer: ViewerModel, slide_layer: Image) -> DetectionLayer:
    made = DetectionLayer(viewer, slide_layer, diameter_px=16.0)
    made.add()
    return made


@pytest.fixture
def found() -> DetectionStore:
    """A cell every 10 pixels along y = 50, tumour and stroma in turn, scores falling."""
    x = np.arange(5, 400, 10.0)
    points = np.column_stack([np.full_like(x, 50.0), x])
    labels = np.where(np.arange(len(x)) % 2, "stroma", "tumour")
    scores = np.linspace(0.99, 0.5, len(x)).astype(np.float32)
    store = DetectionStore()
    store.replace((0, 0), Detections(points, labels, scores, np.full(len(x), 12, np.float32), 1))
    return store


def _tick(cells: DetectionLayer, store: DetectionStore, view: Any, now: float, **more: Any) -> bool:
    arguments: dict[str, Any] = {
        "store": store,
        "thresholds": {},
        "colors": COLORS,
        "said": NOTHING,
    }
    return cells.tick(view, 1.0, now, **arguments | more)


def test_only_the_view_and_its_margin_are_loaded(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    assert _tick(cells, found, LEFT, 0.0)
    x = cells.layer.data[:, 1]
    assert x.min() == 5
    assert x.max() == 115  # a quarter of a view more


def test_each_cell_has_its_class_colour(cells: DetectionLayer, found: DetectionStore) -> None:
    _tick(cells, found, LEFT, 0.0)
    for label, color in zip(cells.cells.labels, cells.layer.border_color, strict=True):
        red = int(COLORS[str(label)][1:3], 16) / 255
        assert color[0] == pytest.approx(red)
    assert (cells.layer.face_color[:, 3] == 0).all()


def test_small_moves_load_nothing_and_large_ones_do(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    assert _tick(cells, found, LEFT, 0.0)
    assert not _tick(cells, found, (10.0, 10.0, 110.0, 110.0), 0.1)
    assert _tick(cells, found, RIGHT, 0.2)


def test_changes_are_loaded_once_a_second_at_most(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    loaded = 0
    for now in np.arange(0, 5, 0.1):
        cells.changed()
        loaded += _tick(cells, found, LEFT, float(now))
    assert loaded <= 5
    cells.changed()
    assert _tick(cells, found, LEFT, 4.95, at_once=True)  # the user moved the threshold


def test_many_cells_are_capped_to_the_surest(
    cells: DetectionLayer, found: DetectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection_layer, "MAX_POINTS", 5)
    _tick(cells, found, LEFT, 0.0)
    assert len(cells.layer.data) == 5
    assert cells.layer.data[:, 1].max() == 45  # scores fall with x


def test_far_out_the_layer_is_empty(cells: DetectionLayer, found: DetectionStore) -> None:
    _tick(cells, found, LEFT, 0.0)
    arguments = {"store": found, "thresholds": {}, "colors": COLORS, "said": NOTHING}
    cells.tick(LEFT, 0.1, 1.0, **arguments)
    assert len(cells.layer.data) == 0
    assert _tick(cells, found, LEFT, 1.1)  # near again
    assert len(cells.layer.data) == 12


def test_rejected_cell_is_hidden_at_once(cells: DetectionLayer, found: DetectionStore) -> None:
    _tick(cells, found, LEFT, 0.0, said=Said(np.array([[51.0, 24.0]]), ["background"]))
    assert 25 not in cells.layer.data[:, 1]
    assert {15, 35} <= set(cells.layer.data[:, 1])


def test_threshold_filters_by_query(cells: DetectionLayer, found: DetectionStore) -> None:
    _tick(cells, found, LEFT, 0.0, thresholds={"tumour": 2.0})
    assert set(cells.cells.labels) == {"stroma"}


def test_cells_cannot_be_edited_also_after_loading(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    _tick(cells, found, LEFT, 0.0)
    assert not cells.layer.editable
    cells.layer.mode = "add"
    assert str(cells.layer.mode) == "pan_zoom"


def test_hidden_layer_loads_nothing(cells: DetectionLayer, found: DetectionStore) -> None:
    cells.layer.visible = False
    assert not _tick(cells, found, LEFT, 0.0)


def test_under_a_place_is_the_cell_that_covers_it(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    _tick(cells, found, LEFT, 0.0)
    assert cells.under((52.0, 26.0)).points.tolist() == [[50, 25]]
    assert len(cells.under((90.0, 26.0))) == 0


def test_rejected_cell_is_still_known_by_its_place(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    _tick(cells, found, LEFT, 0.0, said=Said(np.array([[50.0, 25.0]]), ["background"]))
    assert cells.under((50.0, 25.0), rejected=True).labels.tolist() == ["tumour"]
    assert cells.under((50.0, 65.0), rejected=True).points.tolist() == []


def test_cell_takes_the_colour_of_the_class_that_was_said(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    _tick(cells, found, LEFT, 0.0, said=Said(np.array([[51.0, 24.0]]), ["stroma"]))
    assert cells.cells.labels[:5].tolist() == ["tumour", "stroma", "stroma", "stroma", "tumour"]
    green = np.array([0x00, 0x9E, 0x73]) / 255
    np.testing.assert_allclose(cells.layer.border_color[2, :3], green, atol=1e-6)


def test_filling_and_emptying_again_and_again_works(
    cells: DetectionLayer, found: DetectionStore
) -> None:
    for now in range(6):
        _tick(cells, found, LEFT if now % 2 else RIGHT, float(now))
        _tick(cells, DetectionStore(), (0.0, 0.0, 300.0, 400.0), now + 0.5)
        assert len(cells.layer.data) == 0


@pytest.mark.xfail(reason="napari 0.9.2 ignores Points.shown in 2-D", strict=True)
def test_napari_hides_points_that_are_not_shown(viewer: ViewerModel) -> None:
    """Contract with napari: when this passes, thresholds could be a mask instead of a query."""
    layer = viewer.add_points(
        np.random.default_rng(0).random((10, 2)), shown=[True] * 3 + [False] * 7
    )
    assert isinstance(layer, Points)
    assert len(layer._view_indices) == 3
