"""What the engine is doing: state, revision, speed, the loss as a small plot, and how fresh the
view is.
"""

from __future__ import annotations

import math
from collections import deque

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_xce.engine import Status
from napari_xce.widgets.section import ElidedLabel, FittingLabel

LOSSES = 240  # points of the plot
DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "GPU"}


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
        if len(self._values) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(128, 128, 128, 40))
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
        self.state = QLabel("Nothing to learn yet")
        self.state.setStyleSheet("font-weight: bold; padding: 0px;")
        self.speed = FittingLabel()
        self.fresh = ElidedLabel("")
        self._device = ""
        self._steps = 0
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

    def show_status(self, status: Status) -> None:
        """Show a status of the engine's."""
        self.state.setText(status.state.capitalize())
        speed, loss = status.steps_per_second, status.loss
        short, full = [], []
        if status.message and status.state != "learning":  # says what to do
            short.append(status.message.capitalize())
        if self._device:
            short.append(DEVICES.get(self._device, self._device))
            full.append(f"Computing on {self._device}")
        if speed > 0:
            short.append(f"{speed:.1f} steps/s")
            full.append(f"{speed:.1f} training steps a second, {status.steps} in all")
        if math.isfinite(loss):
            short.append(f"loss {loss:.2g}")
            full.append(f"loss {loss:.3g} (down is good)")
        if status.revision:
            short.append(f"rev. {status.revision}")
            full.append(f"revision {status.revision} of the model")
        full += [status.message] if status.message else []
        self.speed.set_parts(short, "\n".join(full))
        if status.steps != self._steps:
            self._steps = status.steps
            self.plot.add(loss)

    def show_device(self, device: str) -> None:
        """Say from the next status on what the engine computes on."""
        self._device = device

    def show_freshness(self, words: str) -> None:
        """Show how up to date the predictions on screen are."""
        self.fresh.set_full_text(words)
