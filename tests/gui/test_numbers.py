"""The section "Numbers": areas drawn on the slide, their numbers, and ways out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_xce.slides.slide import Slide

from .conftest import LEFT, NO_MODIFIER

pytestmark = pytest.mark.usefixtures("fake_engine")

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
Z = Qt.Key.Key_Z
CELLS = [[100, 100], [200, 200], [300, 300], [400, 100]]


@pytest.fixture
def counted(window: Any, noise: Slide) -> Any:
    """Return the window on a slide with four cells, all of it in view, the section open."""
    window.show(noise)
    window.engine.find(window.binding.slide_id, CELLS)
    window.viewer.scene.camera.zoom = 0.5
    window.dock.measures.show_open(True)
    window.settle()
    return window


def wait(window: Any, done: Callable[[], bool]) -> None:
    """Tick until something is so."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        window.dock.tick()
        window.qtbot.wait(20)


def places(window: Any) -> list[str]:
    box = window.dock.measures.place
    return [box.itemData(index) for index in range(box.count())]


def row(window: Any) -> list[str]:
    return [window.dock.measures.table.item(0, column).text() for column in range(3)]


def test_measure_fills_the_table_of_slide_and_view(counted: Any) -> None:
    assert "Press Measure" in counted.dock.measures.words.text()
    counted.dock.measures.now.click()
    wait(counted, lambda: places(counted) == ["slide", "view"])
    # one tile of four: 448 x 448 px of 0.5 um = 0.0502 mm2
    assert row(counted) == ["cell", "4", "80"]
    assert "Tissue: 0.05 mm² predicted" in counted.dock.measures.words.text()


def test_drawn_rectangle_is_counted_and_named(counted: Any) -> None:
    counted.dock.measures.draw.emit("add_rectangle")
    layer = counted.layer("xce: areas")
    assert (layer.mode, counted.viewer.layers.selection.active) == ("add_rectangle", layer)
    draw_square(counted, 200)
    wait(counted, lambda: "area 1" in places(counted))
    (area,) = counted.session.areas()
    assert area.box == pytest.approx((50, 50, 250, 250), abs=5)
    assert counted.viewer.layers.selection.active is counted.binding.clicks.layer
    assert list(layer.features["name"]) == ["area 1"]
    counted.dock.measures.place.setCurrentIndex(places(counted).index("area 1"))
    assert row(counted)[:2] == ["cell", "2"]


def test_double_click_ends_a_polygon(counted: Any) -> None:
    counted.dock.measures.draw.emit("add_polygon")
    for corner in ((50, 50), (50, 350), (350, 350)):
        QTest.mouseMove(counted.canvas, counted.spot(corner))
        counted.qtbot.wait(20)
        QTest.mouseClick(counted.canvas, LEFT, NO_MODIFIER, counted.spot(corner))
        counted.qtbot.wait(300)  # or it would be a double click
    spot = counted.spot((350, 50)) + QPoint(2, 0)
    QTest.mouseMove(counted.canvas, spot)
    counted.qtbot.wait(20)
    QTest.mouseClick(counted.canvas, LEFT, NO_MODIFIER, spot)
    QTest.mouseDClick(counted.canvas, LEFT, NO_MODIFIER, spot)
    wait(counted, lambda: bool(counted.session.areas()))
    (area,) = counted.session.areas()
    assert area.outline.area == pytest.approx(300 * 300, rel=0.05)


def test_areas_are_shown_renamed_and_deleted(counted: Any) -> None:
    counted.session.add_area(((0, 0), (150, 150)))
    counted.dock.measures.renamed.emit("area 1", "tumour edge")
    wait(counted, lambda: "tumour edge" in places(counted))
    layer = counted.layer("xce: areas")
    assert list(layer.features["name"]) == ["tumour edge"]
    counted.dock.measures.place.setCurrentIndex(places(counted).index("tumour edge"))
    assert row(counted)[:2] == ["cell", "1"]
    counted.dock.measures.remove.click()
    wait(counted, lambda: places(counted) == ["slide", "view"])
    assert counted.session.areas() == []
    assert len(layer.data) == 0


def test_shape_deleted_on_the_layer_is_no_area_any_more(counted: Any) -> None:
    counted.session.add_area(((0, 0), (150, 150)))
    counted.session.add_area(((200, 200), (350, 350)))
    counted.binding.show_areas()
    layer = counted.layer("xce: areas")
    layer.selected_data = {0}
    layer.remove_selected()
    counted.settle()
    assert len(layer.data) == 1
    assert [area.name for area in counted.session.areas()] == ["area 2"]


def test_grades_give_the_labelling_index(counted: Any) -> None:
    counted.session.add_class("positive")
    wait(counted, lambda: counted.dock.measures.grades["weak"].count() == 3)
    counted.dock.measures.grades["negative"].setCurrentText("cell")
    counted.dock.measures.grades["weak"].setCurrentText("positive")
    assert (counted.session.grades.negative, counted.session.grades.weak) == ("cell", "positive")
    wait(counted, lambda: "Positive: 0.0 % of 4" in counted.dock.measures.words.text())


def test_copy_and_table_hold_the_same_numbers(counted: Any, tmp_path: Path) -> None:
    counted.dock.measures.now.click()
    wait(counted, lambda: bool(places(counted)))
    counted.dock.measures.copy.click()
    lines = QApplication.clipboard().text().splitlines()
    assert "slide\tcells\tcell\t\t4\t\t\tcells" in lines
    counted.dock.measures.tabled.emit(str(tmp_path / "numbers.csv"))
    wait(counted, (tmp_path / "numbers.csv").exists)
    assert "slide,cells,cell,,4,,,cells" in (tmp_path / "numbers.csv").read_text(encoding="utf-8")


def test_report_is_written_beside_the_window(counted: Any, tmp_path: Path) -> None:
    counted.dock.measures.reported.emit(str(tmp_path / "case.html"))
    wait(counted, (tmp_path / "case.html").exists)
    assert "noise" in (tmp_path / "case.html").read_text(encoding="utf-8")


def test_unknown_pixel_size_is_said_in_words(window: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    window.show(Slide.from_array(pixels, name="no size"))
    window.dock._give_diameter(16)
    window.engine.find(window.binding.slide_id, CELLS)
    window.dock.measures.show_open(True)
    window.settle()
    window.dock.measures.now.click()
    wait(window, lambda: "view" in places(window))
    assert row(window) == ["cell", "4", "–"]
    assert "pixel size is unknown" in window.dock.measures.words.text()


def shown(window: Any) -> list[str]:
    """Return the names on the areas layer."""
    return [name for name in window.layer("xce: areas").features["name"] if name]


def draw_square(window: Any, side: int) -> Any:
    """Draw a square from (50, 50) on, and let go."""
    window.dock.measures.draw.emit("add_rectangle")
    start, end = window.spot((50, 50)), window.spot((50 + side, 50 + side))
    QTest.mousePress(window.canvas, LEFT, NO_MODIFIER, start)
    for step in range(1, 6):
        QTest.mouseMove(window.canvas, start + (end - start) * step / 5)
        window.qtbot.wait(10)
    QTest.mouseRelease(window.canvas, LEFT, NO_MODIFIER, end)
    return window.layer("xce: areas")


def test_ctrl_z_takes_areas_and_clicks_back_in_their_order(counted: Any) -> None:
    counted.session.annotate("cell", [[200, 200]])
    layer = draw_square(counted, 200)
    counted.settle()
    (drawn,) = counted.session.areas()
    layer.selected_data = {0}
    layer.data = [np.array([[50, 50], [50, 350], [350, 350], [350, 50]])]
    counted.settle()
    layer.selected_data = {0}
    layer.remove_selected()
    counted.settle()
    assert shown(counted) == []
    counted.press(Z, CTRL)
    assert (shown(counted), counted.session.areas()[0].box) == (["area 1"], (50, 50, 350, 350))
    counted.press(Z, CTRL)
    assert counted.session.areas()[0].outline.equals(drawn.outline)
    assert np.ptp(layer.data[0], axis=0) == pytest.approx([200, 200], abs=5)
    counted.press(Z, CTRL)
    assert (shown(counted), len(counted.session.annotations())) == ([], 1)
    counted.press(Z, CTRL)
    assert len(counted.session.annotations()) == 0
    for _ in range(2):
        counted.press(Z, CTRL | SHIFT)
    assert (shown(counted), len(counted.session.annotations())) == (["area 1"], 1)
    wait(counted, lambda: "area 1" in places(counted))


def test_ctrl_z_right_after_drawing_takes_the_area_and_not_the_click(counted: Any) -> None:
    counted.session.annotate("cell", [[200, 200]])
    counted.settle()
    draw_square(counted, 200)
    counted.binding.undo()  # before the next tick
    assert (counted.session.areas(), len(counted.session.annotations())) == ([], 1)


def test_several_areas_deleted_together_are_one_step_of_undo(counted: Any) -> None:
    counted.session.add_area(((0, 0), (150, 150)))
    counted.session.add_area(((200, 200), (350, 350)))
    counted.settle()
    layer = counted.layer("xce: areas")
    layer.selected_data = {0, 1}
    layer.remove_selected()
    counted.settle()
    assert counted.session.areas() == []
    assert counted.session.undo() == "Delete 2 areas"
    counted.settle()
    assert shown(counted) == ["area 1", "area 2"]


def test_cells_and_areas_of_qupath_are_counted(counted: Any, tmp_path: Path) -> None:
    square = [[[50.5, 50.5], [50.5, 250.5], [250.5, 250.5], [250.5, 50.5], [50.5, 50.5]]]
    area = ({"type": "Polygon", "coordinates": square}, {"name": "Tumor"})
    found = [
        ({"type": "Point", "coordinates": [x, 100]}, {"objectType": "detection"})
        for x in (10, 100, 150, 200, 300)
    ]
    for name, objects in (("cells", found), ("areas", [area])):
        features = [{"type": "Feature", "geometry": g, "properties": p} for g, p in objects]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (tmp_path / f"{name}.geojson").write_text(text, encoding="utf-8")
    counted.dock.export.cells_imported.emit(str(tmp_path / "cells.geojson"))
    wait(counted, lambda: "view" in places(counted))
    assert row(counted)[:2] == ["cell", "5"]
    counted.dock.measures.imported.emit(str(tmp_path / "areas.geojson"))
    wait(counted, lambda: "Tumor" in places(counted))
    counted.dock.measures.place.setCurrentIndex(places(counted).index("Tumor"))
    assert row(counted)[:2] == ["cell", "3"]
