"""How many cells of each class are in view and on the slide, with their density; and counting the
whole slide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_xce.widgets.section import Fold, button, small_text, swatch

ROW_PX = 22
MAX_ROWS = 5


@dataclass(frozen=True, slots=True)
class Count:
    """One row: a class and its cells; densities are cells per square millimetre, None where
    unknown.
    """

    name: str
    color: str
    in_view: int
    view_density: float | None
    on_slide: int
    slide_density: float | None


class CountsBox(Fold):
    """A small table, and the button that predicts the whole slide."""

    whole_slide = Signal()
    cancelled = Signal()
    paused = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Counts", parent=parent)
        self.table = QTableWidget(0, 5, self)
        self.table.setHorizontalHeaderLabels(["Class", "View", "/mm²", "Slide", "/mm²"])
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.table.verticalHeader().setMinimumSectionSize(ROW_PX)
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # nothing in it to choose
        self.table.setAccessibleName("Counts")
        self.table.setToolTip("Cells found, and cells per mm² of what is predicted")
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setFixedHeight(ROW_PX)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 46), (2, 46), (3, 58), (4, 46)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        self.rows.addWidget(self.table)
        self.covered = small_text("")
        self.rows.addWidget(self.covered)
        self.whole = button(
            "Predict the whole slide",
            "Find the cells everywhere, not only where you looked",
            self.whole_slide.emit,
        )
        self.progress = QProgressBar()
        self.progress.setToolTip("How much of the slide is predicted")
        self.cancel = button("Cancel", "Stop; what is predicted stays", self.cancelled.emit)
        self.rows.addWidget(self.whole)
        self.pause = button("Pause", "Wait; what is predicted is saved", self._toggle_pause)
        self.add_row(self.progress, self.pause, self.cancel, stretch=0)
        self.show_progress(None)
        self.show_counts([], "")

    def show_counts(self, counts: Sequence[Count], covered: str) -> None:
        """Show the rows, and in words how much of the slide they stand for."""
        self.table.setRowCount(len(counts))
        for row, count in enumerate(counts):
            texts = [
                count.name,
                _number(count.in_view),
                _density(count.view_density),
                _number(count.on_slide),
                _density(count.slide_density),
            ]
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column == 0:
                    item.setIcon(swatch(count.color))
                else:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(row, column, item)
        self.table.setFixedHeight(ROW_PX * (min(max(len(counts), 1), MAX_ROWS) + 1) + 4)
        self.covered.setText(covered)
        self.covered.setVisible(bool(covered))

    def show_progress(
        self, done_of: tuple[int, int, float | None] | None, paused: bool = False
    ) -> None:
        """Show tiles done, tiles in all and seconds left; None hides the bar."""
        running = done_of is not None
        self.whole.setVisible(not running)
        for widget in (self.progress, self.pause, self.cancel):
            widget.setVisible(running)
        self._is_paused = paused
        self.pause.setText("Go on" if paused else "Pause")
        if done_of is not None:
            done, total, left = done_of
            self.progress.setMaximum(max(total, 1))
            self.progress.setValue(done)
            left_words = f" · {_time(left)} left" if done and left else ""
            self.progress.setFormat("%p %" + (" · paused" if paused else left_words))

    def _toggle_pause(self) -> None:
        self.paused.emit(not self._is_paused)


def _number(count: int) -> str:
    """Return a count that fits its column: 12,345, 123 k, 1.23 M."""
    if count < 100_000:
        return f"{count:,}"
    return f"{count / 1e3:.0f} k" if count < 999_500 else f"{count / 1e6:.2f} M"


def _density(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
