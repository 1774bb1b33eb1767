"""The dock by keyboard alone, and what it says to who asks: tooltips, keys, empty places."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QMessageBox,
    QProgressBar,
    QScrollBar,
    QTableWidget,
    QWidget,
)

from napari_xce.slides.slide import Slide
from napari_xce.viewer.compat import focus_canvas

pytestmark = pytest.mark.usefixtures("fake_engine")

SAYING = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QProgressBar, QTableWidget)


@pytest.fixture
def ready(window: Any, noise: Slide) -> Any:
    """Return a window with a slide and a click, every section open, that has the keyboard."""
    window.show(noise)
    window.binding.clicks.layer.add([100, 100])
    for fold in window.dock._folds():
        fold.show_open(True)
    window.settle()
    window.dock.activateWindow()
    window.qtbot.waitUntil(lambda: window.dock.isActiveWindow(), timeout=10_000)
    focus_canvas(window.viewer)
    return window


def _focused(window: Any) -> QWidget:
    window.qtbot.wait(10)
    focused = QApplication.focusWidget()
    assert focused is not None
    return focused


def _tab_through(window: Any) -> list[QWidget]:
    """Press Tab from the first control of the dock on, until the keyboard leaves the dock."""
    window.dock.slide.layers.setFocus(Qt.FocusReason.TabFocusReason)
    met = [_focused(window)]
    for _ in range(200):
        QTest.keyClick(met[-1], Qt.Key.Key_Tab)
        focused = _focused(window)
        if not window.dock.isAncestorOf(focused) or focused in met:
            return met
        met.append(focused)
    raise AssertionError("Tab never leaves the dock")


def _picture(widget: QWidget) -> NDArray[np.uint8]:
    image = widget.grab().toImage()
    pixels = image.constBits()
    if hasattr(pixels, "setsize"):  # PyQt
        pixels.setsize(image.sizeInBytes())
    return np.frombuffer(pixels, np.uint8).copy()


def test_f6_goes_from_the_canvas_to_the_dock_and_back(ready: Any) -> None:
    QTest.keyClick(ready.canvas, Qt.Key.Key_F6)
    focused = _focused(ready)
    assert focused is ready.dock.learn.toggle
    QTest.keyClick(focused, Qt.Key.Key_F6)
    assert _focused(ready) is ready.canvas


def test_learning_is_started_by_keyboard_alone(ready: Any) -> None:
    QTest.keyClick(ready.canvas, Qt.Key.Key_F6)
    QTest.keyClick(_focused(ready), Qt.Key.Key_Space)
    assert ready.engine.told[-1] == ("resume",)


def test_control_that_goes_away_gives_the_keyboard_to_the_canvas(ready: Any) -> None:
    bar = ready.dock.job_bar
    ready.dock.show_result("Exported cells.csv")
    bar.close_result.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(_focused(ready), Qt.Key.Key_Space)
    assert not bar.isVisible()
    assert _focused(ready) is ready.canvas


def test_keys_of_the_dock_are_not_napari_s_own(ready: Any) -> None:
    """A key that two actions have does nothing but warn of that."""
    taken = [str(known.keybinding) for known in get_app_model().keybindings]
    menus = [found.text() for found in ready.viewer.window._qt_window.menuBar().actions()]
    taken += [f"Alt+{words[words.index('&') + 1]}" for words in menus]
    own = [found.shortcut().toString() for found in ready.dock.findChildren(QAbstractButton)]
    own = [key for key in own if key]
    assert len(own) > 5
    assert len(own) == len(set(own))
    assert not set(own) & set(taken)


def test_tab_goes_from_top_to_bottom_and_misses_nothing(ready: Any) -> None:
    met = _tab_through(ready)
    dock = ready.dock
    assert {dock.slide.open, dock.classes.table, dock.learn.toggle, dock.suggest.next} <= set(met)
    assert {dock.show_box.threshold, dock.counts.whole, dock.export.open} <= set(met)
    middles = [
        widget.mapTo(part, widget.rect().center()).y() + 10_000 * place
        for widget in met
        for place, part in enumerate([*dock._pinned(), *dock._folds()])
        if part.isAncestorOf(widget)
    ]
    assert all(after >= before - 12 for before, after in pairwise(middles))


def test_tab_scrolls_to_what_it_stops_at(ready: Any) -> None:
    ready.viewer.window._qt_window.resize(1280, 640)
    last = _tab_through(ready)[-1]
    last.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(last, Qt.Key.Key_Backtab)
    focused = _focused(ready)
    assert focused.visibleRegion().boundingRect() == focused.rect()


def test_focus_is_seen_on_every_stop(ready: Any) -> None:
    for widget in _tab_through(ready):
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        ready.qtbot.wait(5)
        with_focus = _picture(widget)
        widget.clearFocus()
        ready.qtbot.wait(5)
        assert (with_focus != _picture(widget)).sum() > 50, widget


def test_mouse_on_a_button_leaves_the_keys_to_the_canvas(ready: Any) -> None:
    QTest.mouseClick(ready.dock.show_box.boxes["heat"], Qt.MouseButton.LeftButton)
    QTest.mouseClick(ready.dock.suggest.heading, Qt.MouseButton.LeftButton)
    QTest.mouseClick(ready.dock.classes.table.viewport(), Qt.MouseButton.LeftButton)
    QTest.keyClick(_focused(ready), Qt.Key.Key_N)
    assert ready.engine.times("suggest") == 1


def test_wheel_over_a_slider_changes_nothing(ready: Any) -> None:
    slider = ready.dock.show_box.opacity
    before, middle = slider.value(), QPointF(slider.rect().center())
    wheel = QWheelEvent(
        middle,
        QPointF(slider.mapToGlobal(slider.rect().center())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(slider, wheel)
    assert slider.value() == before


def test_arrow_keys_choose_the_class(ready: Any) -> None:
    ready.session.add_class("tumour")
    ready.settle()
    table = ready.dock.classes.table
    table.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert ready.binding.current == "tumour"


def test_no_letter_with_alt_does_two_things(ready: Any) -> None:
    menus = ready.viewer.window._qt_window.menuBar().actions()
    texts = [action.text() for action in menus]
    texts += [button.text() for button in ready.dock.findChildren(QAbstractButton)]
    letters = Counter(letter.lower() for text in texts for letter in re.findall("&(.)", text))
    assert letters["o"] == letters["a"] == 1
    assert max(letters.values()) == 1, letters


def test_every_control_says_what_it_is_for(ready: Any) -> None:
    silent = [
        widget
        for widget in ready.dock.findChildren(QWidget)
        if isinstance(widget, SAYING)
        and not isinstance(widget, QScrollBar)
        and type(widget.parent()).__name__ not in ("QTableWidget", "QMessageBox")
        and not (widget.toolTip() or widget.parentWidget().toolTip())
    ]
    assert not silent


def test_question_mark_shows_the_keys(ready: Any) -> None:
    QTest.keyClick(ready.canvas, "?")
    boxes = ready.dock.findChildren(QMessageBox)
    assert len(boxes) == 1
    assert "Ctrl+Z" in boxes[0].text()
    boxes[0].close()


def test_button_shows_the_keys(ready: Any) -> None:
    ready.dock.slide.help.click()
    box = ready.dock.findChild(QMessageBox)
    assert "reject" in box.text()
    assert "F6" in box.text()
    box.close()


def test_dock_without_slide_says_how_to_begin(window: Any) -> None:
    window.settle()
    dock = window.dock
    assert "open a slide" in dock.hint.text()
    assert dock.classes.empty.isVisible()
    assert not dock.classes.table.isVisible()
    for press in (dock.classes.add, dock.learn.toggle, dock.suggest.next, dock.counts.whole):
        assert not press.isEnabled()
    assert dock.slide.open.isEnabled()


def test_slide_without_predictions_says_what_brings_them(ready: Any) -> None:
    ready.count()
    assert "press Learn" in ready.dock.counts.covered.text()
    assert ready.dock.suggest.next.isEnabled()


def test_dock_follows_a_slide_that_is_taken_away(ready: Any) -> None:
    ready.viewer.layers.remove(ready.binding.slide_layer)
    ready.settle()
    assert not ready.dock.suggest.next.isEnabled()
    assert "open a slide" in ready.dock.hint.text()
