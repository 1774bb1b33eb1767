"""The numbers a report needs: counts and densities of the slide, the view and drawn areas, the
labelling index and H-score, distances; copied, written as a table, or as a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QMenu,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_xce.measures import as_rows
from napari_xce.measures.measure import NO_DENSITY, Measures
from napari_xce.widgets.section import Fold, button, menu_button, small_text, swatch

if TYPE_CHECKING:
    from napari_xce.annotations import CellClass
    from napari_xce.measures import Grades

ROW_PX = 22
MAX_ROWS = 6
MOST_DISTANCES = 4  # lines in the dock; four classes make twelve
NO_CLASS = "–"
GRADES = (  # words, name of the grade
    ("Negative", "negative"),
    ("1+", "weak"),
    ("2+", "moderate"),
    ("3+", "strong"),
)
SHAPES = (
    ("Rectangle", "add_rectangle"),
    ("Polygon (double-click ends it)", "add_polygon"),
    ("Freehand", "add_polygon_lasso"),
)
NOTHING_HERE = "Nothing is predicted here yet: press Learn, or Predict the whole slide."
EMPTY = "Press Measure for the numbers of the slide, the view and every area you drew."


class MeasuresBox(Fold):
    """A table of one place at a time, what follows from it, and ways out."""

    measure = Signal()
    draw = Signal(str)  # the mode of the areas layer
    renamed = Signal(str, str)  # area, new name
    deleted = Signal(str)
    imported = Signal(str)  # path
    graded = Signal(dict)  # grade to class name
    tabled = Signal(str)  # path of a table
    reported = Signal(str)  # path of a report

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Numbers", is_open=False, parent=parent)
        self._measures: list[Measures] = []
        self._colors: dict[str, str] = {}
        self._build_places()
        self._build_table()
        self.words = small_text(EMPTY)
        self.rows.addWidget(self.words)
        self._build_grades()
        self.copy = button("Copy", "All numbers, for a spreadsheet", self.copy_table)
        self.table_out = button("Table…", "All numbers to a CSV file", self._ask_table)
        self.report = button("Report…", "One page on this slide, as PDF or HTML", self._ask_report)
        self.add_row(self.copy, self.table_out, self.report)
        self.show_measures([], [])

    def _build_places(self) -> None:
        shapes = QMenu(self)
        for words, mode in SHAPES:
            shapes.addAction(words, lambda mode=mode: self.draw.emit(mode))
        shapes.addSeparator()
        shapes.addAction("Import areas (GeoJSON)…", self._ask_areas)
        self.areas = menu_button("Draw an area", "An area to count in; it teaches nothing", shapes)
        self.now = button("Measure", "Count again, everywhere", self.measure.emit)
        self.add_row(self.areas, self.now)
        self.place = QComboBox()
        self.place.setToolTip("What the table is about")
        self.place.setMinimumWidth(60)
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.place.currentIndexChanged.connect(lambda index: self._show_place())
        self.rename = button("Rename", "Give this area another name", self._ask_name)
        self.remove = button(
            "Delete", "Delete this area; the cells stay", lambda: self.deleted.emit(self._chosen())
        )
        self.add_row(self.place, self.rename, self.remove, stretch=0)

    def _build_table(self) -> None:
        self.table = QTableWidget(0, 3, self)
        self.table.setHorizontalHeaderLabels(["Class", "Cells", "/mm² of tissue"])
        self.table.setToolTip("Cells of each class in the place chosen above")
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.table.verticalHeader().setMinimumSectionSize(ROW_PX)
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setFixedHeight(ROW_PX)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 70), (2, 100)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        self.rows.addWidget(self.table)

    def _build_grades(self) -> None:
        self.grades_words = small_text(
            "Labelling index: choose Negative and 1+ (positive). H-score: 2+ and 3+, too."
        )
        self.rows.addWidget(self.grades_words)
        self.grades: dict[str, QComboBox] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for row, (words, grade) in enumerate(GRADES):  # a row each, or names of classes are cut
            choice = QComboBox()
            choice.setMinimumWidth(60)
            choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            choice.setToolTip(f"The class that is {words.lower()}")
            choice.currentIndexChanged.connect(lambda index: self._emit_grades())
            self.grades[grade] = choice
            grid.addWidget(small_text(words, wrap=False), row, 0)
            grid.addWidget(choice, row, 1)
        grid.setColumnStretch(1, 1)
        self.rows.addLayout(grid)

    # ---- what is shown

    def show_classes(self, classes: Sequence[CellClass], grades: Grades) -> None:
        """Offer these classes as grades."""
        self._colors = {found.name: found.color for found in classes}
        chosen = asdict(grades)
        for grade, choice in self.grades.items():
            with QSignalBlocker(choice):
                choice.clear()
                choice.addItem(NO_CLASS)
                for found in classes:
                    if found.id != 0:
                        choice.addItem(swatch(found.color), found.name)
                choice.setCurrentText(chosen[grade] or NO_CLASS)

    def show_measures(self, measures: Sequence[Measures], areas: Sequence[str]) -> None:
        """Show new numbers; the place that was looked at stays chosen.

        Parameters
        ----------
        measures : sequence of Measures
        areas : sequence of str
            Which of the places are areas, which can be renamed and deleted.
        """
        before, known = self._chosen(), {found.place for found in self._measures}
        self._measures = list(measures)
        names = [found.place for found in measures]
        new = [name for name in names if name not in known and name in areas]
        with QSignalBlocker(self.place):
            self.place.clear()
            for name in names:
                self.place.addItem(name if name in areas else f"Whole {name}", name)
            wanted = new[-1] if known and new else before
            self.place.setCurrentIndex(max(names.index(wanted) if wanted in names else 0, 0))
        self._areas = set(areas)
        for part in (self.copy, self.table_out, self.report):
            part.setEnabled(bool(measures))
        self.place.setVisible(bool(measures))
        self.table.setVisible(bool(measures))
        self._show_place()

    def _show_place(self) -> None:
        found = next((m for m in self._measures if m.place == self._chosen()), None)
        is_area = found is not None and found.place in self._areas
        self.rename.setVisible(is_area)
        self.remove.setVisible(is_area)
        if found is None:
            self.words.setText(EMPTY)
            return
        densities = found.densities or {}
        self.table.setRowCount(len(found.counts))
        for row, (name, count) in enumerate(found.counts.items()):
            density = f"{densities[name]:,.0f}" if name in densities else NO_CLASS
            for column, text in enumerate((name, f"{count:,}", density)):
                item = QTableWidgetItem(text)
                if column == 0:
                    item.setIcon(swatch(self._colors.get(name, "#808080")))
                else:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(row, column, item)
        self.table.setFixedHeight(ROW_PX * (min(max(len(found.counts), 1), MAX_ROWS) + 1) + 4)
        self.words.setText("\n".join(in_words(found)))

    # ---- what the user does

    def copy_table(self) -> None:
        """Put all numbers on the clipboard, columns parted by tabs."""
        rows = ("\t".join(row) for row in as_rows(self._measures))
        QApplication.clipboard().setText("\n".join(rows))

    def _chosen(self) -> str:
        return str(self.place.currentData() or "")

    def _emit_grades(self) -> None:
        texts = {grade: choice.currentText() for grade, choice in self.grades.items()}
        self.graded.emit({g: None if text == NO_CLASS else text for g, text in texts.items()})

    def _ask_name(self) -> None:
        area = self._chosen()
        name, yes = QInputDialog.getText(self, "Rename the area", "Its name:", text=area)
        if yes and name.strip() and name != area:
            self.renamed.emit(area, name)

    def _ask_areas(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Import areas", "", "GeoJSON (*.geojson *.geojson.gz *.json)"
        )
        if path:
            self.imported.emit(path)

    def _ask_table(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Table", "numbers.csv", "Table (*.csv)")
        if path:
            self.tabled.emit(path if path.lower().endswith(".csv") else path + ".csv")

    def _ask_report(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Report", "report.pdf", "PDF (*.pdf);;Web page (*.html)"
        )
        if path:
            known = path.lower().endswith((".pdf", ".html"))
            self.reported.emit(path if known else path + ".pdf")


def in_words(found: Measures) -> list[str]:
    """Return the numbers of a place that are not by class, a line each."""
    if found.tissue_mm2 is None:
        lines = [NO_DENSITY]
    elif found.predicted:
        share = f"{100 * found.predicted:.0f} %"
        lines = [f"Tissue: {found.tissue_mm2:,.2f} mm² predicted ({share} of what is there)"]
    else:
        lines = [NOTHING_HERE]
    if found.positive is not None:
        share = found.positive
        lines.append(
            f"Positive: {100 * share.value:.1f} % of {share.total:,} "
            f"({100 * share.low:.1f} to {100 * share.high:.1f} %)"
        )
    if found.h_score is not None:
        lines.append(f"H-score: {found.h_score:.0f} of 300")
    for d in found.distances[:MOST_DISTANCES]:
        lines.append(f"{d.source} to nearest {d.target}: {d.median_um:.0f} µm (median)")
    if len(found.distances) > MOST_DISTANCES:
        left = len(found.distances) - MOST_DISTANCES
        lines.append(f"{left} more distances are in the table (Copy, Table…)")
    return lines
