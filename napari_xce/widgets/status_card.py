"""What the engine is doing: state, revision, speed, the loss as a small plot, and how fresh the
view is.
"""

from __future__ import annotations

import math
from collections import deque

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_xce.widgets.section import ElidedLabel

LOSSES = 240  # points of the plot


class Sparkline(QWidget):
    """The last few losses as a line, logarithmic, the newest on the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(90, 30)
        self.setToolTip("Loss while learning: down is good")
        self._values: deque[float] = deque(maxlen=LOSSES)

    def add(self, value: float) -> None:
        """Append a loss; what is not finite is left out."""
        if math.isfinite(value) and value > 0:
            self._values.append(math.log(value))
            self.update()

    def clear(self) -> None:
        """Forget all losses; a new model starts."""
        self._values.clear()
        self.update()

    def __len__(self) -> int:
        return len(self._values)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the line."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(128, 128, 128, 40))
        if len(self._values) < 2:
            return
        low, high = min(self._values), max(self._values)
        area = QRectF(self.rect()).adjusted(2, 3, -2, -3)
        step, span = area.width() / (len(self._values) - 1), max(high - low, 1e-6)
        line = QPolygonF(
            [
                QPointF(area.left() + i * step, area.bottom() - area.height() * (v - low) / span)
                for i, v in enumerate(self._values)
            ]
        )
        painter.setPen(QPen(QColor("#56b4e9"), 1.5))
        painter.drawPolyline(line)


class StatusCard(QFrame):
    """Three lines of words and the plot of the loss."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = QLabel("")
        self.state.setStyleSheet("font-weight: bold; padding: 0px;")
        self.speed = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.fresh = ElidedLabel("")
        self.device = ""
        self.plot = Sparkline()
        words = QVBoxLayout()
        words.setSpacing(1)
        for label in (self.state, self.fresh):
            words.addWidget(label)
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addLayout(words, 1)
        top.addWidget(self.plot, 0, Qt.AlignmentFlag.AlignVCenter)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(1)
        rows.addLayout(top)
        rows.addWidget(self.speed)

    def show_status(
        self, state: str, revision: int, steps_per_second: float, loss: float | None, message: str
    ) -> None:
        """Show a status of the engine's."""
        self.state.setText(state.capitalize())
        parts = [f"revision {revision}"] if revision else []
        if steps_per_second > 0:
            parts.append(f"{steps_per_second:.1f} steps/s")
        if loss is not None and math.isfinite(loss):
            parts.append(f"loss {loss:.3g}")
            self.plot.add(loss)
        parts += [text for text in (self.device, message) if text]
        self.speed.set_full_text(" · ".join(parts))

    def show_device(self, device: str) -> None:
        """Say what the engine computes on."""
        self.device = device
        self.speed.set_full_text(device)

    def show_freshness(self, words: str) -> None:
        """Show how up to date the predictions on screen are."""
        self.fresh.set_full_text(words)
