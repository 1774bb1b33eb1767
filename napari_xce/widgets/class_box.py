"""The classes: name, colour, digit key and number of clicks; the chosen row is the class of the
next click.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_xce.annotations import CellClass
from napari_xce.widgets.section import Section, button, menu_button, small_text, swatch

COLOR, NAME, KEY, CLICKS = range(4)
ROW_PX = 24
MAX_ROWS = 6


class ClassBox(Section):
    """The list of classes. Signals carry names; the owner changes the session and calls
    ``show_classes``.
    """

    chosen = Signal(str)
    added = Signal()
    renamed = Signal(str, str)
    rekeyed = Signal(str, str)  # class, digit or ""
    recolored = Signal(str, str)  # class, "#rrggbb"
    merged = Signal(str, str)  # class, and the one that it becomes part of
    deleted = Signal(str)
    edited = Signal()  # typing is over

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._classes: list[CellClass] = []
        self._shown: object = None
        self.table = self._build_table()
        self.rows.addWidget(self.table)
        self.empty = small_text("The kinds of cells to find are named here, once a slide is open.")
        self.rows.addWidget(self.empty)
        self.add = button("A&dd class", "Add a class of cells", self.added.emit)
        self.recolor = button("Colour…", "Change the colour of the class", self._pick_color)
        self.merge = menu_button(
            "Merge…", "Make the class part of another one (Ctrl+Z parts them again)", QMenu(self)
        )
        self.merge.menu().aboutToShow.connect(self._list_others)
        self.delete = button(
            "Delete", "Delete the class and its clicks (Ctrl+Z brings them back)", self._delete
        )
        self.add_row(self.add, self.recolor, self.merge, self.delete)

    def show_classes(
        self, classes: Sequence[CellClass], clicks: Mapping[str, int], current: str | None
    ) -> None:
        """List the classes, background last, with the number of clicks of each."""
        ordered = [found for found in classes if found.id != 0]
        ordered += [found for found in classes if found.id == 0]
        shown = (tuple(ordered), tuple(clicks.items()), current)
        if shown == self._shown:  # filling the table would end typing in it
            return
        self._shown = shown
        self._classes = ordered
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(ordered))
            for row, found in enumerate(ordered):
                self._fill(row, found, clicks.get(found.name, 0))
            names = [found.name for found in ordered]
            if current in names:
                self.table.selectRow(names.index(current))
        self.table.setVisible(bool(ordered))
        self.empty.setVisible(not ordered)
        self.table.setFixedHeight(ROW_PX * (min(len(ordered), MAX_ROWS) + 1) + 4)
        own = current is not None and current not in self._background()
        self.add.setEnabled(bool(ordered))
        self.recolor.setEnabled(bool(ordered))
        self.delete.setEnabled(own)
        self.merge.setEnabled(own and len(ordered) > 2)

    def current(self) -> str | None:
        """Return the name of the chosen row."""
        row = self.table.currentRow()
        return self._classes[row].name if 0 <= row < len(self._classes) else None

    def edit_name(self, name: str) -> None:
        """Open the name of a class for typing."""
        names = [found.name for found in self._classes]
        item = self.table.item(names.index(name), NAME)
        self.table.editItem(item)

    def _build_table(self) -> QTableWidget:
        table = QTableWidget(0, 4, self)
        table.setHorizontalHeaderLabels(["", "Class", "Key", "Clicks"])
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(ROW_PX)
        table.verticalHeader().setMinimumSectionSize(ROW_PX)
        table.setShowGrid(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        table.setTabKeyNavigation(False)
        table.setAccessibleName("Classes")
        table.setToolTip("The chosen row is the class of the next click")
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # after a mouse click keys are the canvas's
        table.itemDelegate().closeEditor.connect(lambda *_: self.edited.emit())
        header = table.horizontalHeader()
        header.setFixedHeight(ROW_PX)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((COLOR, 28), (KEY, 40), (CLICKS, 52)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            table.setColumnWidth(column, width)
        table.itemSelectionChanged.connect(self._select)
        table.itemChanged.connect(self._edit)
        table.cellDoubleClicked.connect(self._double_click)
        return table

    def _fill(self, row: int, found: CellClass, clicks: int) -> None:
        own = found.id != 0
        look = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        edit = look | Qt.ItemFlag.ItemIsEditable
        tip = "Double-click to change (F2)" if own else "Click here what is not a cell of any class"
        texts = ["", found.name, found.key or ("0" if not own else ""), str(clicks)]
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setFlags(edit if own and column in (NAME, KEY) else look)
            item.setToolTip(tip)
            if column in (KEY, CLICKS):
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if column == COLOR:
                item.setIcon(swatch(found.color, cross=not own))
            self.table.setItem(row, column, item)

    def _background(self) -> set[str]:
        return {found.name for found in self._classes if found.id == 0}

    def _select(self) -> None:
        name = self.current()
        if name is not None:
            self.chosen.emit(name)

    def _edit(self, item: QTableWidgetItem) -> None:
        found = self._classes[item.row()]
        self._shown = None  # what was typed may be refused
        if item.column() == NAME and item.text() != found.name:
            self.renamed.emit(found.name, item.text())
        elif item.column() == KEY and item.text() != (found.key or ""):
            self.rekeyed.emit(found.name, item.text().strip())

    def _double_click(self, row: int, column: int) -> None:
        if column == COLOR:
            self._pick_color()

    def _pick_color(self) -> None:
        name = self.current()
        if name is None:
            return
        old = next(found.color for found in self._classes if found.name == name)
        color = QColorDialog.getColor(QColor(old), self, f"Colour of {name}")
        if color.isValid():
            self.recolored.emit(name, color.name())

    def _list_others(self) -> None:
        """Offer the classes that the chosen one can become part of."""
        menu, name = self.merge.menu(), self.current()
        menu.clear()
        for found in self._classes:
            if found.id != 0 and found.name != name:
                action = menu.addAction(swatch(found.color), f"Merge {name} into {found.name}")
                action.triggered.connect(
                    lambda checked=False, into=found.name: self.merged.emit(name, into)
                )

    def _delete(self) -> None:
        name = self.current()
        if name is not None:
            self.deleted.emit(name)
