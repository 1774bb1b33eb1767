"""Using the dock by keyboard: what Tab stops at, in which order, and how the stop is shown. And by
wheel: it scrolls the dock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QWidget,
)

STOPS = (QAbstractButton, QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox)

#: napari's themes hardly show the focus; this blue stands out from the dark and the light one.
FOCUS = """
QPushButton:focus, QToolButton:focus, QComboBox:focus, QSlider:focus, QAbstractItemView:focus,
QAbstractSpinBox:focus { border: 2px solid #2a7fff; }
QCheckBox:focus { background: rgba(42, 127, 255, 110); }
"""


def tab_stops(groups: Iterable[QWidget]) -> list[QWidget]:
    """Return what Tab stops at in these groups, from top to bottom."""
    return [
        widget
        for group in groups
        for widget in group.findChildren(QWidget)
        if isinstance(widget, STOPS)
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.window() is group.window()  # not the list that a combo box pops up
    ]


class FocusReturns(QObject):
    """A control that goes away while it has the keyboard gives it to the canvas.

    Qt gives it to whatever comes next, where the next press of Space would do something unasked.

    Parameters
    ----------
    parent : QObject
    give : callable
        Gives the keyboard to the canvas.
    """

    def __init__(self, parent: QObject, give: Callable[[], None]) -> None:
        super().__init__(parent)
        self._give = give

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Give the keyboard away before Qt does."""
        assert isinstance(watched, QWidget)
        assert event is not None
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and watched.hasFocus():
            self._give()
        return False


class WheelScrolls(QObject):
    """The wheel over a slider or a choice scrolls the dock; it changes nothing by accident."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Leave the wheel to what is behind, unless the control has the keyboard."""
        assert isinstance(watched, QWidget)
        assert event is not None
        if event.type() != QEvent.Type.Wheel or watched.hasFocus():
            return False
        event.ignore()
        return True
