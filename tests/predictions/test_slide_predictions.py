from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.detections import Detections
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import TileGrid

GRID = TileGrid((3001, 3001), (2.0, 2.0))  # 4 x 4 tiles, heat of 376 pixels


def block(value, side=112):
    return np.full((side, side), value, np.uint8)


def cell(point, label="tumour", revision=1):
    return Detections([point], [label], [0.9], [12.0], revision)


@pytest.fixture
def predictions():
    made = SlidePredictions(GRID)
    made.publish((1, 2), {"tumour": block(200), "stroma": block(50)}, cell((1000, 2000)))
    yield made
    made.close()


def test_published_tile_is_painted_under_its_core(predictions):
    painted = np.argwhere(predictions.heat["tumour"].levels[0])
    assert painted.min(axis=0).tolist() == [112, 224]
    assert painted.max(axis=0).tolist() == [223, 335]
    (sy, sx), (ty, tx) = predictions.heat["tumour"].scale_and_translate(GRID.factor)
    y0, x0, y1, x1 = GRID.core_box((1, 2))
    assert (112 * sy + ty - sy / 2, 224 * sx + tx - sx / 2) == (y0, x0)
    assert (223 * sy + ty + sy / 2, 335 * sx + tx + sx / 2) == (y1, x1)
    assert predictions.revisions == {(1, 2): 1}
    assert len(predictions.detections.query()) == 1


def test_heat_beyond_the_core_is_left_out(predictions):
    predictions.publish((0, 0), {"tumour": block(9, 128)}, Detections.empty(1))
    assert np.count_nonzero(predictions.heat["tumour"].levels[0] == 9) == 112 * 112


def test_class_has_heat_from_its_first_tile_on(predictions):
    assert set(predictions.heat) == {"tumour", "stroma"}
    before = predictions.heat
    predictions.publish((0, 0), {"lymphocyte": block(7)}, Detections.empty(2))
    assert set(predictions.heat) == {"tumour", "stroma", "lymphocyte"}
    assert set(before) == {"tumour", "stroma"}


def test_renamed_class_keeps_heat_and_cells(predictions):
    shown = predictions.heat["tumour"]
    predictions.rename_class("tumour", "carcinoma")
    assert predictions.heat["carcinoma"] is shown
    assert predictions.detections.query().labels.tolist() == ["carcinoma"]
    with pytest.raises(ValueError, match="already"):
        predictions.rename_class("carcinoma", "stroma")
    assert set(predictions.heat) == {"carcinoma", "stroma"}


def test_dropped_class_has_neither_heat_nor_cells(predictions):
    predictions.drop_class("tumour")
    predictions.drop_class("never there")
    assert set(predictions.heat) == {"stroma"}
    assert len(predictions.detections.query()) == 0


def test_clear_keeps_the_arrays_that_are_shown(predictions):
    levels = predictions.heat["tumour"].levels
    predictions.clear()
    assert predictions.heat["tumour"].levels is levels
    assert not levels[0].any()
    assert predictions.revisions == {}
    assert len(predictions.detections.query()) == 0


def test_tile_that_comes_after_closing_is_dropped(predictions):
    predictions.close()
    predictions.close()
    predictions.publish((0, 0), {"tumour": block(9)}, cell((1, 1)))
    assert predictions.heat == {}
    assert predictions.detections.query().points.tolist() == [[1000, 2000]]


def test_stride_that_straddles_tiles_is_refused():
    with pytest.raises(ValueError, match="divide 16"):
        SlidePredictions(GRID, stride=5)


def test_revisions_in_a_box_are_those_of_its_tiles() -> None:
    grid = TileGrid((1000, 1000), (1.0, 1.0), core=448)
    predictions = SlidePredictions(grid)
    predictions.publish((0, 1), {}, Detections.empty(7))
    assert predictions.revisions_in((0.0, 0.0, 400.0, 600.0), most=2) == [None, 7]
    assert predictions.revisions_in((0.0, 0.0, 400.0, 999.0), most=2) is None
