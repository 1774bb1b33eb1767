"""Predictions put right: one with one key, many in a lasso, one after the other; and undone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea

from napari_xce.session import Session
from napari_xce.slides.slide import Slide
from napari_xce.widgets import commands

pytestmark = pytest.mark.usefixtures("fake_engine")
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton
CELLS = [(100, 120), (100, 200), (150, 210), (200, 120), (200, 260)]


@pytest.fixture(autouse=True)
def patient_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine see what is shown for a few seconds."""
    monkeypatch.setattr("napari_xce.viewer.caption.BRIEF_SECONDS", 600.0)


@pytest.fixture
def found(window: Any, noise: Slide) -> Any:
    """Return a window on the upper left of a slide where five cells were found, and two classes."""
    window.show(noise)
    window.session.add_class("tumour")
    window.viewer.scene.camera.center = (0, 75, 100)  # um
    window.viewer.scene.camera.zoom = 4  # 2 screen px per pixel
    window.engine.find(window.binding.slide_id, CELLS)
    window.qtbot.waitUntil(lambda: len(window.layer("xce: cells").data) == len(CELLS))
    return window


def _said(window: Any) -> list[tuple[list[float], str, str]]:
    said = window.session.annotations()
    return list(
        zip(said.points.tolist(), said.labels.tolist(), said.provenances.tolist(), strict=True)
    )


def _drag(window: Any, *places: tuple[float, float]) -> None:
    """Draw along these places of the slide with the left button down."""
    spots = [window.spot(place) for place in places]
    QTest.mouseMove(window.canvas, spots[0])
    QTest.mousePress(window.canvas, LEFT, pos=spots[0])
    for start, end in itertools.pairwise(spots):
        for step in range(1, 5):
            QTest.mouseMove(window.canvas, start + (end - start) * step / 4)
            window.qtbot.wait(8)  # napari throttles moves to one in 5 ms
    QTest.mouseRelease(window.canvas, LEFT, pos=spots[-1])
    window.qtbot.wait(30)


def _caption(window: Any) -> str:
    return window.binding.corrections.caption.text


# ---- the cell under the mouse


def test_a_accepts_the_cell_under_the_cursor(found: Any) -> None:
    found.hover((152, 208))
    found.qtbot.waitUntil(lambda: "xce: this one" in found.viewer.layers)
    assert found.layer("xce: this one").data.tolist() == [[150, 210]]
    assert "cell 0.90" in _caption(found)
    found.press(Qt.Key.Key_A)
    assert _said(found) == [([150, 210], "cell", "accepted")]
    assert [str(s) for s in found.layer("xce: clicks").symbol] == ["diamond"]
    assert len(found.layer("xce: cells").data) == len(CELLS)
    found.hover((20, 100))
    found.qtbot.waitUntil(lambda: len(found.layer("xce: this one").data) == 0)


def test_digit_with_control_changes_the_class_and_the_ring_at_once(found: Any) -> None:
    found.hover((150, 210))
    found.press(Qt.Key.Key_2, CTRL)
    assert _said(found) == [([150, 210], "tumour", "accepted")]
    cells = found.layer("xce: cells")  # without a tick, and the engine has said nothing
    index = cells.data.tolist().index([150, 210])
    blue = np.array([0x56, 0xB4, 0xE9]) / 255
    np.testing.assert_allclose(cells.border_color[index, :3], blue, atol=1e-6)
    assert found.binding.current == "cell"  # of the next click
    found.press(Qt.Key.Key_2)
    assert found.binding.current == "tumour"
    assert len(_said(found)) == 1


def test_rejected_ring_is_gone_at_once_and_a_brings_it_back(found: Any) -> None:
    found.hover((150, 210))
    found.press(Qt.Key.Key_X)
    assert [150, 210] not in found.layer("xce: cells").data.tolist()
    assert [label for _, label, _ in _said(found)] == ["background"]
    found.press(Qt.Key.Key_A)
    assert _said(found) == [([150, 210], "cell", "accepted")]
    assert [150, 210] in found.layer("xce: cells").data.tolist()
    found.press(Qt.Key.Key_X)  # an accepted one is rejected, not only taken away
    assert [label for _, label, _ in _said(found)] == ["background"]


def test_hand_that_trembles_still_decides_on_the_cell(found: Any) -> None:
    """The mouse may wander over the cell, and beside it by a little, before the key comes."""
    spot = found.spot((150, 210))
    found.hover((150, 210))
    for dx in (3, 7, -4, 12):
        QTest.mouseMove(found.canvas, spot + QPoint(dx, 2))
        found.qtbot.wait(8)
    found.press(Qt.Key.Key_A)
    assert _said(found) == [([150, 210], "cell", "accepted")]
    QTest.mouseMove(found.canvas, spot + QPoint(-11, 5))
    found.qtbot.wait(8)
    found.press(Qt.Key.Key_X)
    assert [(place, label) for place, label, _ in _said(found)] == [([150, 210], "background")]


def test_key_is_about_what_is_under_the_mouse_after_the_view_moved(found: Any) -> None:
    found.hover((150, 210))
    found.viewer.scene.camera.center = (0, 500, 500)  # as after N: the mouse did not move
    found.settle()
    found.press(Qt.Key.Key_X)
    assert _said(found) == []
    assert "No predicted cell" in found.viewer.status


# ---- many


def test_lasso_accepts_all_inside_in_one_step(found: Any) -> None:
    found.press(Qt.Key.Key_L)
    assert found.binding.corrections.mode == "draw"
    _drag(found, (85, 100), (85, 220), (165, 230), (130, 150), (110, 100), (85, 100))
    assert found.binding.corrections.mode == "chosen"
    assert sorted(found.layer("xce: this one").data.tolist()) == [
        [100, 120],
        [100, 200],
        [150, 210],
    ]
    found.press(Qt.Key.Key_A)
    assert {provenance for *_, provenance in _said(found)} == {"accepted"}
    assert len(_said(found)) == 3
    assert "xce: lasso" not in found.viewer.layers
    assert found.viewer.layers.selection.active is found.binding.clicks.layer
    found.press(Qt.Key.Key_Z, CTRL)
    assert _said(found) == []
    assert "Undone: Accept 3 cell cells" in _caption(found)
    found.click((250, 300))  # and clicking goes on
    assert len(_said(found)) == 1


def test_rectangle_and_a_plain_digit_relabel_all_inside(found: Any) -> None:
    found.click((200, 120))  # by hand: it stays as it is
    found.press(Qt.Key.Key_R)
    _drag(found, (80, 100), (220, 240))
    found.press(Qt.Key.Key_2)
    assert sorted(label for _, label, _ in _said(found)) == ["cell", "tumour", "tumour", "tumour"]
    assert "1 cell as before" in _caption(found)
    assert found.binding.current == "cell"


def test_escape_and_slips_leave_the_lasso_without_a_word(found: Any) -> None:
    revision = found.session.store.revision
    found.press(Qt.Key.Key_R)
    _drag(found, (80, 100), (220, 240))
    found.press(Qt.Key.Key_Escape)
    assert found.binding.corrections.mode == ""
    found.press(Qt.Key.Key_R)
    _drag(found, (250, 20), (280, 60))  # nothing there
    assert "No predicted cell inside" in _caption(found)
    found.press(Qt.Key.Key_L)
    found.press(Qt.Key.Key_Escape)
    assert "xce: lasso" not in found.viewer.layers
    assert found.session.store.revision == revision


# ---- one after the other


def test_stepping_decides_with_one_key_each(found: Any) -> None:
    center = found.viewer.scene.camera.center
    found.press(Qt.Key.Key_Space)
    assert found.binding.corrections.mode == "walk"
    assert _caption(found).startswith("1 of 5: cell, 0.90?")
    first = found.layer("xce: this one").data.tolist()
    found.press(Qt.Key.Key_A)
    assert _caption(found).startswith("2 of 5")
    assert found.layer("xce: this one").data.tolist() != first
    found.press(Qt.Key.Key_X)
    found.press(Qt.Key.Key_Space)  # skip
    found.press(Qt.Key.Key_2)
    found.press(Qt.Key.Key_N)  # skip, to beyond the end
    assert found.binding.corrections.mode == ""
    assert "last of 5" in _caption(found)
    assert [(label, p) for _, label, p in _said(found)] == [
        ("cell", "accepted"),
        ("background", "human"),
        ("tumour", "accepted"),
    ]
    assert _said(found)[0][0] == first[0]
    np.testing.assert_allclose(found.viewer.scene.camera.center, center)  # all were in view
    assert ("suggest",) not in {told[:1] for told in found.engine.told}


def test_undo_while_stepping_goes_back_to_that_cell(found: Any) -> None:
    commands.step_through(found.viewer)  # the palette's word for Space
    first = found.layer("xce: this one").data.tolist()
    found.press(Qt.Key.Key_A)
    found.press(Qt.Key.Key_Z, CTRL)
    assert found.layer("xce: this one").data.tolist() == first
    assert _said(found) == []
    found.press(Qt.Key.Key_X)
    found.press(Qt.Key.Key_B)  # back without taking anything back
    assert found.layer("xce: this one").data.tolist() == first
    found.press(Qt.Key.Key_Escape)
    found.press(Qt.Key.Key_Space)  # what was decided is not asked again
    assert _caption(found).startswith("1 of 4")


def test_stepping_moves_the_camera_only_to_what_is_not_well_in_view(found: Any) -> None:
    found.press(Qt.Key.Key_Space)
    walk_cells = [found.layer("xce: this one").data[0]]
    far = np.array([500.0, 700.0])
    found.viewer.scene.camera.center = (0, *far / 2)  # the user looks elsewhere
    found.press(Qt.Key.Key_Space)
    walk_cells.append(found.layer("xce: this one").data[0])
    np.testing.assert_allclose(found.viewer.scene.camera.center[-2:], walk_cells[-1] / 2)
    assert found.viewer.scene.camera.zoom == pytest.approx(4)


def test_nothing_in_doubt_is_said(found: Any) -> None:
    found.viewer.scene.camera.center = (0, 250, 350)
    found.settle()
    found.press(Qt.Key.Key_Space)
    assert found.binding.corrections.mode == ""
    assert "No predicted cell in view" in _caption(found)


def test_queue_stays_as_it_was_when_the_model_answers_meanwhile(found: Any) -> None:
    found.press(Qt.Key.Key_Space)
    found.engine.find(found.binding.slide_id, [(120, 130)])
    found.settle()
    found.press(Qt.Key.Key_A)
    assert _caption(found).startswith("2 of 5")


# ---- the dock


def test_buttons_do_what_the_keys_do(found: Any) -> None:
    box = found.dock.correct
    assert not box.yes.isVisible()
    box.next.click()
    found.settle()
    assert box.yes.isVisible()
    box.yes.click()
    box.no.click()
    box.end.click()
    found.settle()
    assert not box.end.isVisible()
    assert [label for _, label, _ in _said(found)] == ["cell", "background"]
    box.box.click()
    _drag(found, (80, 100), (220, 280))
    box.no.click()
    assert [label for _, label, _ in _said(found)].count("background") == 5


def test_sections_need_no_more_width_than_there_is(found: Any) -> None:
    found.dock.correct.next.click()
    found.settle()
    area = found.dock.findChild(QScrollArea)
    assert area.widget().width() <= area.viewport().width()


def test_promotion_can_be_taken_back_as_long_as_there_is_one(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not found.dock.learn.take_back.isVisible()
    with monkeypatch.context() as patch:
        patch.setattr(Session, "can_undo_promotion", property(lambda _: True))
        found.settle()
        assert found.dock.learn.take_back.isVisible()
        found.dock.learn.take_back.click()
    assert found.engine.told[-1] == ("undo_promotion",)
    found.settle()
    assert not found.dock.learn.take_back.isVisible()


# ---- undo


def test_undo_of_what_is_out_of_view_says_so_and_moves_nothing(found: Any) -> None:
    found.click((150, 300))
    found.viewer.scene.camera.center = (0, 250, 350)
    found.settle()
    center = found.viewer.scene.camera.center
    found.press(Qt.Key.Key_Z, CTRL)
    assert "Add 1 cell point (outside the view)" in _caption(found)
    assert "(outside the view)" in found.viewer.status
    np.testing.assert_allclose(found.viewer.scene.camera.center, center)


def test_undo_works_while_a_layer_of_somebody_else_is_selected(found: Any) -> None:
    found.click((150, 300))
    found.viewer.add_points([[1, 1]], name="mine")
    found.press(Qt.Key.Key_Z, CTRL)
    assert _said(found) == []
    found.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert len(_said(found)) == 1


def test_points_dragged_together_with_napari_are_one_action(found: Any) -> None:
    for place in ((120, 300), (180, 300), (150, 340)):
        found.click(place)
    layer = found.layer("xce: clicks")
    layer.mode = "select"
    layer.selected_data = {0, 1}
    _drag(found, (120, 300), (130, 310))
    moved = found.session.annotations().points
    np.testing.assert_allclose(moved, [[130, 310], [190, 310], [150, 340]], atol=1)
    found.press(Qt.Key.Key_Z, CTRL)
    assert "Undone: Move 2 cell points" in found.viewer.status
    np.testing.assert_allclose(layer.data, [[120, 300], [180, 300], [150, 340]], atol=0.5)
    layer.selected_data = {0, 2}
    found.press(Qt.Key.Key_Delete)
    assert len(_said(found)) == 1
    found.press(Qt.Key.Key_Z, CTRL)
    assert len(layer.data) == 3


def test_region_dragged_with_the_mouse_is_one_action(found: Any) -> None:
    found.session.review(((100, 100), (160, 180)))
    found.settle()
    found.viewer.layers.selection.active = found.binding.shapes.regions.layer
    found.binding.shapes.regions.layer.mode = "select"
    _drag(found, (130, 140), (150, 160))
    moved = found.session.annotations().polygons[0]
    np.testing.assert_allclose(moved.min(axis=0), [120, 120], atol=1)
    found.press(Qt.Key.Key_Z, CTRL)
    np.testing.assert_allclose(found.binding.shapes.regions.layer.data[0].min(axis=0), [100, 100])
    found.press(Qt.Key.Key_Z, CTRL)
    assert len(found.binding.shapes.regions.layer.data) == 0


def test_class_of_the_next_click_follows_undo(found: Any) -> None:
    found.press(Qt.Key.Key_2)
    found.dock.classes.renamed.emit("tumour", "carcinoma")
    assert found.binding.current == "carcinoma"
    found.press(Qt.Key.Key_Z, CTRL)
    assert found.binding.current == "tumour"
    found.press(Qt.Key.Key_Z, CTRL)  # there is no such class any more
    assert found.binding.current == "cell"
    found.click((150, 300))
    assert [label for _, label, _ in _said(found)] == ["cell"]


def test_classes_are_merged_from_the_dock_and_parted_by_undo(found: Any) -> None:
    found.click((150, 300))
    found.dock.classes.merge.menu().aboutToShow.emit()
    (action,) = found.dock.classes.merge.menu().actions()
    assert action.text() == "Merge cell into tumour"
    action.trigger()
    assert [label for _, label, _ in _said(found)] == ["tumour"]
    assert found.binding.current == "tumour"
    found.press(Qt.Key.Key_Z, CTRL)
    assert [label for _, label, _ in _said(found)] == ["cell"]
