"""The pieces that the groups of the dock are built from: a titled section, one that folds, small
buttons, swatches, elided text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_xce.widgets.keyboard import FOCUS

DOT = " · "
SWATCH_PX = 14
FOLD_HEAD = (
    "QToolButton { font-weight: bold; padding: 2px; border: none; text-align: left; } " + FOCUS
)


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
        return _add_row(self.rows, widgets, stretch)


class Fold(QWidget):
    """A section below the main job: its title opens it and folds it away.

    A group of the dock is a subclass that adds its rows to ``rows``. The dock remembers in the
    session which ones are open, by title.

    Parameters
    ----------
    title : str
        Says what is inside, also when it is folded.
    is_open : bool
        Whether it is open before the user chose.
    """

    folded = Signal()  # opened or folded by the user

    def __init__(self, title: str, is_open: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.heading = QToolButton()
        self.heading.setText(title)
        self.heading.setCheckable(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.heading.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.heading.setStyleSheet(FOLD_HEAD)
        self.heading.toggled.connect(self._toggle)
        self.body = QWidget()
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(0, 0, 0, 4)
        self.rows.setSpacing(3)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(2)
        outside.addWidget(self.heading)
        outside.addWidget(self.body)
        self.show_open(is_open)

    def show_open(self, is_open: bool) -> None:
        """Open it, or fold it away."""
        with QSignalBlocker(self.heading):
            self.heading.setChecked(is_open)
        self._show_body(is_open)

    @property
    def is_open(self) -> bool:
        """Whether its rows are shown."""
        return self.heading.isChecked()

    def add_row(self, *widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
        """Add widgets side by side; the one numbered `stretch` takes what room there is."""
        return _add_row(self.rows, widgets, stretch)

    def _toggle(self, is_open: bool) -> None:
        self._show_body(is_open)
        self.folded.emit()

    def _show_body(self, is_open: bool) -> None:
        self.heading.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.heading.setToolTip("Fold away" if is_open else "Open")
        self.body.setVisible(is_open)


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


def _add_row(rows: QVBoxLayout, widgets: tuple[QWidget, ...], stretch: int | None) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for index, widget in enumerate(widgets):
        row.addWidget(widget, 1 if index == stretch else 0)
    rows.addLayout(row)
    return row


def button(text: str, tip: str, press: Callable[[], object]) -> QPushButton:
    """Return a push button; a click on it does not take the keyboard away from the canvas."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.clicked.connect(lambda checked=False: press())
    return made


def menu_button(text: str, tip: str, menu: QMenu) -> QPushButton:
    """Return a button that opens a menu."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setMenu(menu)
    return made


def small_text(text: str = "", wrap: bool = True) -> QLabel:
    """Return a label for explanations, wrapped."""
    label = QLabel(text)
    label.setWordWrap(wrap)
    label.setStyleSheet("padding: 0px;")
    return label


@cache  # Qt keeps what it draws of an icon, by the icon, up to 10 MB: a new one at every click
def swatch(color: str, cross: bool = False) -> QIcon:
    """Return a dot of a colour, sharp also on a scaled screen; with a cross for "not a cell"."""
    icon = QIcon()
    for ratio in (1, 2, 3):
        pixmap = QPixmap(SWATCH_PX * ratio, SWATCH_PX * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        _paint_swatch(pixmap, QColor(color), cross)
        icon.addPixmap(pixmap)
        icon.addPixmap(pixmap, QIcon.Mode.Selected)  # or Qt tints it in a selected row
    return icon


def _paint_swatch(pixmap: QPixmap, color: QColor, cross: bool) -> None:
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if cross:
        painter.setPen(QPen(color, 3))
        painter.drawLine(3, 3, 11, 11)
        painter.drawLine(3, 11, 11, 3)
    else:
        painter.setBrush(color)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawEllipse(1, 1, 12, 12)
    painter.end()
