"""The pieces that the groups of the dock are built from: a titled section, small buttons, swatches,
elided text.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

DOT = " · "


class Section(QWidget):
    """A group of the dock: a small title (none where the first row speaks for itself), and rows
    below it.
    """

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setSpacing(3)
        self.heading = QLabel(title)
        self.heading.setStyleSheet("font-weight: bold; padding: 0px;")
        self.heading.setVisible(bool(title))
        if title:
            self.rows.addWidget(self.heading)

    def add_row(self, *widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
        """Add widgets side by side; the one numbered `stretch` takes what room there is."""
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for index, widget in enumerate(widgets):
            row.addWidget(widget, 1 if index == stretch else 0)
        self.rows.addLayout(row)
        return row


class FittingLabel(QLabel):
    """One line of parts, the most important first: as many as fit, whole; the tooltip says all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: list[str] = []
        self.setStyleSheet("padding: 0px;")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_parts(self, parts: list[str], tip: str) -> None:
        """Show these parts, as many as fit."""
        self._parts = parts
        self.setToolTip(tip)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room, metrics = max(self.width() - 2, 40), self.fontMetrics()
        shown = list(self._parts)
        while len(shown) > 1 and metrics.horizontalAdvance(DOT.join(shown)) > room:
            shown.pop()
        words = DOT.join(shown)
        self.setText(metrics.elidedText(words, Qt.TextElideMode.ElideRight, room))


class ElidedLabel(QLabel):
    """One line of text that is cut with "…" instead of widening the dock; the tooltip says all."""

    def __init__(
        self,
        text: str = "",
        cut: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._cut = cut
        self._full = ""
        self.setStyleSheet("padding: 0px;")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_full_text(text)

    def set_full_text(self, text: str) -> None:
        """Show this text, as much of it as fits."""
        self._full = text
        self.setToolTip(text)
        self._elide()

    def full_text(self) -> str:
        """Return the whole text."""
        return self._full

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = max(self.width() - 2, 40)
        self.setText(self.fontMetrics().elidedText(self._full, self._cut, room))


def button(text: str, tip: str, press: Callable[[], object]) -> QPushButton:
    """Return a push button that does not take the keyboard away from the canvas."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.clicked.connect(lambda checked=False: press())
    return made


def menu_button(text: str, tip: str, menu: QMenu) -> QPushButton:
    """Return a button that opens a menu."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setMenu(menu)
    return made


def small_text(text: str = "", wrap: bool = True) -> QLabel:
    """Return a label for explanations, wrapped."""
    label = QLabel(text)
    label.setWordWrap(wrap)
    label.setStyleSheet("padding: 0px;")
    return label


def swatch(color: str, cross: bool = False) -> QIcon:
    """Return a square of a colour; with a cross for "not a cell"."""
    pixmap = QPixmap(14, 14)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if cross:
        pen = painter.pen()
        pen.setColor(QColor(color))
        pen.setWidth(3)
        painter.setPen(pen)
        painter.drawLine(3, 3, 11, 11)
        painter.drawLine(3, 11, 11, 3)
    else:
        painter.setBrush(QColor(color))
        painter.setPen(Qt.GlobalColor.white)
        painter.drawEllipse(1, 1, 12, 12)
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # or Qt tints it in a selected row
    return icon
