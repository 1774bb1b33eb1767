"""A strip of small pictures of suggested places; grey until they are read. GUI thread only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QWidget

SLOTS = 5
SIDE_PX = 44
CURRENT = "border: 2px solid #ffd400;"
PLAIN = "border: 2px solid transparent;"


class Strip(QWidget):
    """Up to five pictures, side by side; one is current, those done with are dimmed."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        self.slots = [self._slot(index) for index in range(SLOTS)]
        for slot in self.slots:
            row.addWidget(slot)
        row.addStretch(1)
        self._pictures: list[QPixmap | None] = []
        self.offer([])

    def _slot(self, index: int) -> QToolButton:
        slot = QToolButton()
        slot.setToolTip("A place where a click helps")
        slot.setFixedSize(SIDE_PX + 6, SIDE_PX + 6)
        slot.setIconSize(QSize(SIDE_PX, SIDE_PX))
        slot.setToolTip("A place where a click helps")
        slot.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        slot.clicked.connect(lambda checked=False: self.chosen.emit(index))
        return slot

    def offer(self, reasons: Sequence[str]) -> None:
        """Show as many places as there are reasons, grey for now."""
        self._pictures = [None] * len(reasons)
        for index, slot in enumerate(self.slots):
            slot.setVisible(index < len(reasons))
            if index < len(reasons):
                slot.setToolTip(reasons[index])
                slot.setAccessibleName(f"Suggestion {index + 1}: {reasons[index]}")
                slot.setIcon(QIcon(_placeholder()))
                slot.setStyleSheet(PLAIN)
        self.setVisible(bool(reasons))

    def show_picture(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Show the picture of a place, uint8, shape (H, W, 3)."""
        if index >= len(self._pictures):
            return
        height, width = pixels.shape[:2]
        image = QImage(
            np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QImage.Format_RGB888
        )
        picture = QPixmap.fromImage(image)
        self._pictures[index] = picture
        self.slots[index].setIcon(QIcon(picture))

    def show_current(self, current: int | None, done: Sequence[bool]) -> None:
        """Frame the place that is looked at, and dim those that are done with."""
        for index, picture in enumerate(self._pictures):
            self.slots[index].setStyleSheet(CURRENT if index == current else PLAIN)
            if picture is not None:
                self.slots[index].setIcon(QIcon(_dimmed(picture) if done[index] else picture))

    def has_picture(self, index: int) -> bool:
        """Tell whether a picture has come."""
        return index < len(self._pictures) and self._pictures[index] is not None


def _placeholder() -> QPixmap:
    pixmap = QPixmap(SIDE_PX, SIDE_PX)
    pixmap.fill(QColor(128, 128, 128, 90))
    return pixmap


def _dimmed(picture: QPixmap) -> QPixmap:
    """Return a picture that is faint and ticked off."""
    faint = QPixmap(picture)
    painter = QPainter(faint)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.fillRect(faint.rect(), QColor(40, 40, 40, 170))
    side = faint.width()
    painter.setPen(QPen(QColor("#ffffff"), max(side / 14, 2)))
    painter.drawLine(side // 4, side // 2, 4 * side // 9, 2 * side // 3)
    painter.drawLine(4 * side // 9, 2 * side // 3, 3 * side // 4, side // 3)
    painter.end()
    return faint
