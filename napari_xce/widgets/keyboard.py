"""Using the dock by keyboard: what Tab stops at, in which order, and how the stop is shown."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt
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
