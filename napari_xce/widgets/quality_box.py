"""How good the model is: reviewing a region, and the figures measured there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_xce.evaluation.progress import Measured
from napari_xce.evaluation.quality import Quality
from napari_xce.widgets.plots import CurvePlot, ReliabilityPlot
from napari_xce.widgets.section import Fold, button, small_text

ROW_PX = 22
PURPOSES = {
    "Test region (learning never sees it)": True,
    "Teaches (what is no cell is background)": False,
}
NOT_YET = (
    "Review a region to see how good the model is: two test regions with 30 cells of each class "
    "are enough for a first number."
)


class QualityBox(Fold):
    """Buttons, the way through a region, and what was measured."""

    review = Signal()
    measure = Signal()
    stepped = Signal(int)
    completed = Signal(bool)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("How good is it", parent=parent)
        self.region = button(
            "&Review a region…",
            "Draw a rectangle, go through it, and mark it complete: accuracy is measured there",
            self.review.emit,
        )
        self.accuracy = button(
            "&Measure", "Precision, recall and F1 in the regions reviewed", self.measure.emit
        )
        self.add_row(self.region, self.accuracy, stretch=0)
        self._build_walk()
        self.words = small_text("")
        self.rows.addWidget(self.words)
        self.scores = _table(["Class", "F1 (95 %)", "Prec.", "Rec.", "Cells"], "Accuracy")
        self.rows.addWidget(self.scores)
        self.caption = small_text("What is there (rows), what was found (columns):")
        self.rows.addWidget(self.caption)
        self.confusion = _table([], "Confusions")
        self.rows.addWidget(self.confusion)
        self.reliability, self.curve = ReliabilityPlot(), CurvePlot()
        plots = QHBoxLayout()
        plots.setContentsMargins(0, 0, 0, 0)
        plots.addWidget(self.reliability, 1)
        plots.addWidget(self.curve, 1)
        self.rows.addLayout(plots)
        self.forecast = small_text("")
        self.rows.addWidget(self.forecast)
        self.has_measured = False
        self.forget()

    def _build_walk(self) -> None:
        """Build what is shown while a region is gone through."""
        self.task = small_text("")
        self.rows.addWidget(self.task)
        self.back = button("◀ Back", "The part before", lambda: self.stepped.emit(-1))
        self.onward = button("Next part ▶", "The part after", lambda: self.stepped.emit(1))
        self.cancel = button("Cancel", "Do not mark it; clicks stay", self.cancelled.emit)
        self.add_row(self.back, self.onward, self.cancel, stretch=1)
        self.purpose = QComboBox()
        self.purpose.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.purpose.setMinimumContentsLength(16)
        self.purpose.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.purpose.setAccessibleName("What the region is for")
        self.purpose.setToolTip(
            "Learning never sees a test region, so that what is measured there is honest"
        )
        for words, aside in PURPOSES.items():
            self.purpose.addItem(words, aside)
        self.rows.addWidget(self.purpose)
        self.complete = button(
            "Mark complete",
            "Every cell in the rectangle is ringed or clicked now, and nothing else is",
            lambda: self.completed.emit(bool(self.purpose.currentData())),
        )
        self.rows.addWidget(self.complete)

    def show_walk(self, words: str | None, at_end: bool = False) -> None:
        """Show what to do in the region; None while none is gone through."""
        walking = words is not None
        drawn = walking and not words.startswith("Draw")
        self.task.setText(words or "")
        self.task.setVisible(walking)
        self.cancel.setVisible(walking)
        for widget in (self.back, self.onward):
            widget.setVisible(drawn and (words.startswith("Part")))
        self.onward.setEnabled(not at_end)
        for widget in (self.purpose, self.complete):
            widget.setVisible(drawn)
        self.complete.setEnabled(at_end)
        self.region.setEnabled(not walking)
        self.words.setVisible(not walking and bool(self.words.text()))

    def forget(self) -> None:
        """Show that nothing was measured yet."""
        self.has_measured = False
        self.show_words(NOT_YET)
        for widget in (self.scores, self.caption, self.confusion, self.reliability, self.curve):
            widget.setVisible(False)
        self.forecast.setVisible(False)

    def show_words(self, words: str) -> None:
        """Say something about the figures."""
        self.words.setText(words)
        self.words.setVisible(bool(words))

    def show_quality(self, quality: Quality, doubts: Sequence[str]) -> None:
        """Show what was measured, and why not to rely on it yet."""
        self.has_measured = True
        where = "test region" if quality.tested else "reviewed region"
        plural = "s" if quality.regions != 1 else ""
        self.show_words("\n".join([f"In {quality.regions} {where}{plural}.", *doubts]))
        self._show_scores(quality)
        self._show_confusion(quality)
        self.reliability.show_bins(quality.bins, quality.calibration_error)
        for widget in (self.scores, self.caption, self.confusion, self.reliability):
            widget.setVisible(True)

    def show_curve(self, curve: Sequence[Measured], forecast: str) -> None:
        """Show the learning curve, and what more clicks would bring."""
        self.curve.show_curve(curve)
        self.curve.setVisible(bool(curve))
        self.forecast.setText(forecast)
        self.forecast.setVisible(bool(forecast))

    def _show_scores(self, quality: Quality) -> None:
        rows = []
        for name, score in quality.scores.items():
            low, high = score.f1_interval
            f1 = "–" if math.isnan(score.f1) else f"{score.f1:.2f} ({low:.2f}–{high:.2f})"
            cells = score.true_positives + score.false_negatives
            rows.append([name, f1, _figure(score.precision), _figure(score.recall), f"{cells}"])
        _fill(self.scores, rows)
        _fit(self.scores, all_alike=False)
        for row, score in enumerate(quality.scores.values()):
            for column, interval in ((2, score.precision_interval), (3, score.recall_interval)):
                if not math.isnan(interval[0]):
                    tip = f"95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
                    self.scores.item(row, column).setToolTip(tip)

    def _show_confusion(self, quality: Quality) -> None:
        names = [*quality.classes, "nothing"]
        self.confusion.setColumnCount(len(names) + 1)
        self.confusion.setHorizontalHeaderLabels(["", *names])
        columns = range(len(names))
        _fill(
            self.confusion,
            [
                [name, *(f"{quality.confusion[r, c]}" for c in columns)]
                for r, name in enumerate(names)
            ],
        )
        _fit(self.confusion, all_alike=True)
        most = max(int(quality.confusion.max()), 1)
        for r in range(len(names)):
            for c in range(len(names)):
                count = int(quality.confusion[r, c])
                color = QColor("#009e73" if r == c else "#d55e00")
                color.setAlpha(round(150 * count / most))
                self.confusion.item(r, c + 1).setBackground(color)
        self.confusion.item(len(names) - 1, len(names)).setText("")  # nothing found as nothing


def _table(headers: list[str], name: str) -> QTableWidget:
    """Return a small table that only shows."""
    table = QTableWidget(0, len(headers))
    table.setHorizontalHeaderLabels(headers)
    table.setAccessibleName(name)
    table.setToolTip(f"{name} in the regions reviewed")
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    table.verticalHeader().setMinimumSectionSize(ROW_PX)
    table.setShowGrid(False)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.horizontalHeader().setFixedHeight(ROW_PX)
    return table


def _fill(table: QTableWidget, rows: list[list[str]]) -> None:
    """Show rows of texts, the first column left, the others right; as high as it needs."""
    table.setRowCount(len(rows))
    for r, texts in enumerate(rows):
        for c, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if c:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            table.setItem(r, c, item)
    table.setFixedHeight(ROW_PX * (len(rows) + 1) + 4)


def _fit(table: QTableWidget, all_alike: bool) -> None:
    """Share out the width: all columns alike, or what the others leave to the first."""
    header = table.horizontalHeader()
    for c in range(table.columnCount()):
        stretched = all_alike or c == 0
        mode = QHeaderView.ResizeMode
        header.setSectionResizeMode(c, mode.Stretch if stretched else mode.ResizeToContents)


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
