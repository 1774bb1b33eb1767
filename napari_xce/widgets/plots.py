"""Two small plots: how far scores can be believed, and how F1 grew with the clicks."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_xce.evaluation.progress import Measured, comparable
from napari_xce.evaluation.quality import Bin

INK, BLUE = "#56b4e9", "#56b4e9"
HEIGHT_PX = 96


class Plot(QWidget):
    """A square frame from 0 to 1 with a title; subclasses draw into it."""

    title = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT_PX)
        self.setMinimumWidth(130)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw frame, title and content."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        grey = self.palette().color(self.foregroundRole())
        painter.setPen(grey)
        font = painter.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        painter.setFont(font)
        area = QRectF(self.rect()).adjusted(26, 16, -6, -16)
        painter.drawText(QPointF(0, 11), self.title)
        painter.drawText(QPointF(12, area.top() + 8), "1")
        painter.drawText(QPointF(12, area.bottom()), "0")
        painter.fillRect(area, QColor(128, 128, 128, 40))
        self.draw(painter, area, grey)

    def draw(self, painter: QPainter, area: QRectF, grey: QColor) -> None:
        """Draw the content into an area."""
        raise NotImplementedError


def _at(area: QRectF, x: float, y: float) -> QPointF:
    return QPointF(area.left() + x * area.width(), area.bottom() - y * area.height())


class ReliabilityPlot(Plot):
    """Share of right cells against their score; on the dotted line scores say the truth."""

    title = "Right, by score"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bins: Sequence[Bin] = ()

    def show_bins(self, bins: Sequence[Bin], error: float) -> None:
        """Show these bins; `error` is the calibration error."""
        self._bins = bins
        self.setToolTip(
            "Of the cells with a score, how many are right. On the dotted line a score is just "
            f"that share; the mean distance from it is {error:.2f}."
        )
        self.update()

    def draw(self, painter: QPainter, area: QRectF, grey: QColor) -> None:
        """Draw a bar a bin, and the line of perfect scores."""
        width = area.width() / 10
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(BLUE))
        for found in self._bins:
            left = area.left() + min(int(found.score * 10), 9) * width
            height = found.right * area.height()
            painter.drawRect(QRectF(left + 1, area.bottom() - height, width - 2, height))
        painter.setPen(QPen(grey, 1, Qt.PenStyle.DotLine))
        painter.drawLine(_at(area, 0, 0), _at(area, 1, 1))
        painter.drawText(QPointF(area.center().x() - 14, area.bottom() + 13), "score")


class CurvePlot(Plot):
    """F1 against clicks, with its interval."""

    title = "F1, by clicks"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curve: list[Measured] = []
        self.setToolTip("Mean F1 in the reviewed regions after so many clicks, with its interval")

    def show_curve(self, curve: Sequence[Measured]) -> None:
        """Show the part of a curve that can be compared."""
        self._curve = comparable(curve)
        self.update()

    def draw(self, painter: QPainter, area: QRectF, grey: QColor) -> None:
        """Draw the line, its interval, and the clicks at both ends."""
        if not self._curve:
            return
        first, last = self._curve[0].clicks, self._curve[-1].clicks
        span = max(last - first, 1)
        places = [(m.clicks - first) / span if last > first else 0.5 for m in self._curve]
        painter.setPen(QPen(QColor(86, 180, 233, 110), 2))
        for x, m in zip(places, self._curve, strict=True):
            painter.drawLine(_at(area, x, m.low), _at(area, x, m.high))
        line = [_at(area, x, m.f1) for x, m in zip(places, self._curve, strict=True)]
        painter.setPen(QPen(QColor(INK), 1.6))
        painter.drawPolyline(QPolygonF(line))
        painter.setBrush(QColor(INK))
        for point in line:
            painter.drawEllipse(point, 2, 2)
        painter.setPen(grey)
        below = area.bottom() + 13
        painter.drawText(QPointF(area.left(), below), str(first))
        if last > first:
            painter.drawText(QPointF(area.right() - 8 * len(str(last)), below), str(last))
