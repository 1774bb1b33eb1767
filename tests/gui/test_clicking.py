"""The hands of a pathologist: clicks, tiny drags and keys on the canvas, as real events."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox
from vispy.app.canvas import MouseEvent

from napari_xce.engine import SuggestionsReady
from napari_xce.slides.slide import Slide
from napari_xce.suggestions import Suggestion
from napari_xce.viewer.compat import remember_old_presses
from napari_xce.widgets import section
from napari_xce.widgets.strip import SLOTS

pytestmark = pytest.mark.usefixtures("fake_engine")
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def ready(window: Any, noise: Slide) -> Any:
    """Return a window with a slide, zoomed in on its upper left quarter."""
    window.show(noise)
    window.viewer.scene.camera.center = (0, 75, 100)  # um
    window.viewer.scene.camera.zoom = 4  # 2 screen px per pixel
    window.settle()
    return window


def test_click_is_a_point_of_the_class_at_that_place(ready: Any) -> None:
    ready.click((150, 210))
    stands = ready.session.annotations()
    assert stands.labels.tolist() == ["cell"]
    np.testing.assert_allclose(stands.points, [[150, 210]], atol=0.5)  # one screen px
    assert ready.engine.times("annotations_changed") >= 1


def test_tiny_drag_is_still_a_click_where_pressed(ready: Any) -> None:
    center = ready.viewer.scene.camera.center
    places = [(150, 210), (100, 300), (120, 120)]
    for place, wander in zip(places, (2, 5, 9), strict=True):
        ready.drag(ready.spot(place), wander)
    np.testing.assert_allclose(ready.session.annotations().points, places, atol=0.5)
    np.testing.assert_allclose(ready.viewer.scene.camera.center, center)


def test_long_drag_pans_and_adds_nothing(ready: Any) -> None:
    center = ready.viewer.scene.camera.center
    ready.drag(ready.spot((150, 210)), 100, steps=10)
    assert len(ready.session.annotations()) == 0
    moved = (center[-1] - ready.viewer.scene.camera.center[-1]) * ready.viewer.scene.camera.zoom
    assert moved > 60
    ready.click((150, 210))  # and clicking goes on
    assert len(ready.session.annotations()) == 1


def test_view_under_the_mouse_is_found_without_drawing(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*args: Any) -> None:
        raise AssertionError("the scene was drawn to find the view")

    monkeypatch.setattr("vispy.scene.canvas.SceneCanvas._render_picking", draw)
    ready.click((150, 210))
    assert len(ready.session.annotations()) == 1
    zoom, spot = ready.viewer.scene.camera.zoom, ready.spot((150, 210))
    where = QPointF(spot)
    wheel = QWheelEvent(
        where,
        QPointF(ready.canvas.mapToGlobal(spot)),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(ready.canvas, wheel)
    ready.qtbot.wait(30)
    assert ready.viewer.scene.camera.zoom > zoom
    ready.drag(spot, 100, steps=10)  # and it pans
    assert len(ready.session.annotations()) == 1


def test_grid_of_views_is_still_told_apart_by_napari(ready: Any) -> None:
    scene = ready.viewer.window._qt_viewer.canvas._scene_canvas
    ready.viewer.canvas.grid.enabled = True
    ready.settle()
    height, width = ready.viewer.canvas.size
    places = [(width * x, height * y) for x in (0.2, 0.8) for y in (0.2, 0.8)]
    found = [scene.visual_at(place) for place in places]
    assert len(set(found)) > 1
    assert found == [type(scene).visual_at(scene, place) for place in places]
    ready.dock.annotator.release_slide()
    assert "visual_at" not in vars(scene)  # the workaround went with the slide


def test_engine_hears_of_a_moved_view_before_the_next_tick(ready: Any) -> None:
    ready.dock._timer.stop()
    ready.engine.told.clear()
    ready.viewer.scene.camera.center = (0, 150, 200)
    ready.qtbot.waitUntil(lambda: ready.engine.times("set_viewport") == 1)


def test_napari_alone_loses_a_click_that_wanders(ready: Any) -> None:
    """Contract: when this fails, ``forgive_small_drags`` can go."""
    bare = ready.viewer.add_points(ndim=2)
    bare.mode = "add"
    ready.drag(ready.spot((150, 210)), 7)
    assert len(bare.data) == 0


def test_right_button_adds_nothing(ready: Any) -> None:
    spot = ready.spot((150, 210))
    QTest.mouseClick(ready.canvas, Qt.MouseButton.RightButton, pos=spot)
    assert len(ready.session.annotations()) == 0


def test_no_click_of_many_fast_ones_is_lost(ready: Any) -> None:
    spots = [ready.spot((100, 120)) + QPoint(20 * i, 15 * (i % 3)) for i in range(12)]
    for spot in spots:
        QTest.mouseClick(ready.canvas, Qt.MouseButton.LeftButton, pos=spot)
    assert len(ready.session.annotations()) == 12


def test_digit_switches_the_class_of_the_next_click(ready: Any) -> None:
    ready.session.add_class("tumour")
    ready.press(Qt.Key.Key_2)
    ready.click((150, 210))
    ready.press(Qt.Key.Key_0)
    ready.click((100, 300))
    ready.press(Qt.Key.Key_1)
    ready.click((120, 120))
    stands = ready.session.annotations()
    assert stands.labels.tolist() == ["tumour", "background", "cell"]
    assert stands.kinds.tolist() == ["point", "rejection", "point"]
    assert ready.dock.classes.current() == "cell"


def test_digit_on_the_slide_layer_is_a_class_and_no_transform(ready: Any) -> None:
    slide_layer = ready.binding.slide_layer
    ready.viewer.layers.selection.active = slide_layer
    ready.press(Qt.Key.Key_2)  # napari: transform mode, where a drag moves the slide
    assert str(slide_layer.mode) == "pan_zoom"
    ready.press(Qt.Key.Key_1)
    assert ready.viewer.layers.selection.active is ready.binding.clicks.layer


def test_x_rejects_the_predicted_cell_under_the_cursor(ready: Any) -> None:
    ready.engine.find(ready.binding.slide_id, [[150, 210], [200, 260]])
    ready.qtbot.waitUntil(lambda: len(ready.layer("xce: cells").data) == 2)
    ready.hover((152, 208))
    ready.press(Qt.Key.Key_X)
    ready.settle()
    stands = ready.session.annotations()
    assert stands.kinds.tolist() == ["rejection"]
    np.testing.assert_allclose(stands.points, [[150, 210]])  # the cell's place, not the cursor's
    assert ready.layer("xce: cells").data.tolist() == [[200, 260]]


def test_x_on_an_own_click_takes_it_away(ready: Any) -> None:
    ready.click((150, 210))
    ready.hover((150, 210))
    ready.press(Qt.Key.Key_X)
    assert len(ready.session.annotations()) == 0


def test_x_beside_everything_says_so(ready: Any) -> None:
    ready.hover((150, 210))
    ready.press(Qt.Key.Key_X)
    assert "No predicted cell" in ready.viewer.status


def test_undo_and_redo_by_key(ready: Any) -> None:
    ready.click((150, 210))
    ready.click((100, 300))
    ready.press(Qt.Key.Key_Z, CTRL)
    assert len(ready.layer("xce: clicks").data) == 1
    assert "Undone" in ready.viewer.status
    ready.press(Qt.Key.Key_Z, CTRL)
    ready.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert len(ready.session.annotations()) == 1
    assert len(ready.layer("xce: clicks").data) == 1


def test_n_flies_to_the_suggestion_and_says_why(ready: Any) -> None:
    ready.press(Qt.Key.Key_N)
    name, slide_id, count, box = ready.engine.told[-1]
    assert (name, slide_id, count) == ("suggest", ready.binding.slide_id, SLOTS)
    assert box == ready.binding.box
    place = Suggestion((500.0, 700.0), "It looks like nothing you clicked", 0.5)
    ready.engine.say(SuggestionsReady(slide_id, (place,)))
    ready.settle()
    np.testing.assert_allclose(ready.viewer.scene.camera.center[-2:], (250, 350))
    assert ready.dock.suggest.reason.text().startswith("It looks like nothing you clicked")
    assert ready.layer("xce: look here").data.tolist() == [[500, 700]]
    ready.click((500, 700))  # the ring is in nobody's way
    assert "xce: look here" not in ready.viewer.layers


@pytest.mark.parametrize("key", ["+", "#", "("])
def test_key_that_means_nothing_does_nothing(ready: Any, key: str) -> None:
    """Some of them are what the digit keys give without Shift on a French keyboard."""
    ready.press(key)
    assert not ready.dock.findChildren(QMessageBox)


def test_suggestion_asked_for_while_drawing_is_answered_by_its_keys(ready: Any) -> None:
    ready.press(Qt.Key.Key_L)
    ready.press(Qt.Key.Key_N)
    assert ready.binding.corrections.mode == ""
    place = Suggestion((100.0, 100.0), "It looks like nothing you clicked", 0.5)
    ready.engine.say(SuggestionsReady(ready.binding.slide_id, (place,)))
    ready.settle()
    ready.press(Qt.Key.Key_1)
    assert ready.session.annotations().points.tolist() == [[100.0, 100.0]]


def test_class_that_is_brought_back_is_clicked_again(ready: Any) -> None:
    ready.press(Qt.Key.Key_Z, CTRL)  # nothing else was said than that there is a class
    assert ready.binding.current == "background"
    assert "Add a class" in ready.dock.hint.text()
    ready.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert ready.binding.current == "cell"


def test_region_drawn_with_the_mouse_is_gone_through_and_reviewed(ready: Any) -> None:
    ready.dock.quality.region.click()
    start = ready.spot((100, 100))
    QTest.mousePress(ready.canvas, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 6):
        QTest.mouseMove(ready.canvas, start + QPoint(20 * step, 16 * step))
        ready.qtbot.wait(10)
    QTest.mouseRelease(ready.canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(100, 80))
    ready.qtbot.wait(30)
    assert len(ready.session.annotations()) == 0  # not before the user says so
    ready.dock.quality.complete.click()
    stands = ready.session.annotations()
    assert stands.kinds.tolist() == ["region"]
    assert stands.set_aside.tolist() == [True]
    np.testing.assert_allclose(np.ptp(stands.polygons[0], axis=0), (40, 50), atol=2)
    ready.click((200, 300))  # back to clicking
    assert ready.session.annotations().kinds.tolist() == ["region", "point"]


def _mouse_events() -> int:
    gc.collect()
    return sum(isinstance(thing, MouseEvent) for thing in gc.get_objects())


def test_clicks_leave_no_events_of_the_mouse_behind(ready: Any) -> None:
    ready.click((50, 60))
    before = _mouse_events()
    for number in range(10):
        ready.click((60 + 20 * number, 210))
    assert len(ready.session.annotations()) == 11
    assert _mouse_events() <= before + 2


def test_vispy_alone_keeps_the_events_of_every_click(ready: Any) -> None:
    """Contract: when this fails, ``forget_old_presses`` can go."""
    remember_old_presses(ready.viewer)
    before = _mouse_events()
    for number in range(10):
        ready.click((60 + 20 * number, 210))
    assert _mouse_events() >= before + 10


def test_clicks_draw_no_swatch_anew(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.click((50, 60))
    drawn: list[Any] = []
    monkeypatch.setattr(section, "_paint_swatch", lambda *args: drawn.append(args))
    for number in range(3):
        ready.click((60 + 20 * number, 210))
        ready.count()
    ready.binding.undo()
    ready.settle()
    assert len(ready.session.annotations()) == 3
    assert drawn == []
