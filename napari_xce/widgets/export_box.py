"""Out and in: cells, masks and the model to files that other programs open; points and cells in."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_xce.widgets.section import Fold, button, menu_button

FORMATS = (  # words, suffix, whether it is made of masks
    ("Cells for QuPath (GeoJSON)…", ".geojson"),
    ("Cells as a table (CSV)…", ".csv"),
    ("Masks as OME-TIFF…", ".ome.tif"),
    ("Masks as OME-Zarr…", ".zarr"),
    ("Cells as COCO (JSON)…", ".json"),
    ("The model (safetensors)…", ".safetensors"),
)

READABLE = "*.geojson *.geojson.gz *.json *.csv *.tsv"


class ExportBox(Fold):
    """A menu of formats, and import."""

    exported = Signal(str)  # path; its suffix says the format
    imported = Signal(str)
    cells_imported = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Files", parent=parent)
        menu = QMenu(self)
        for words, suffix in FORMATS:
            menu.addAction(words, lambda suffix=suffix: self.ask(suffix))
        self.export = menu_button("&Export…", "Cells, masks or the model, to a file", menu)
        self.open = button(
            "Import points…", "Read clicks from GeoJSON (QuPath), COCO or CSV", self._ask_in
        )
        self.cells = button(
            "Import cells…",
            "Show and count what another program found (GeoJSON, COCO or CSV), a million cells and "
            "more, in the place of the cells found here; nothing is learnt from it",
            self._ask_cells,
        )
        self.add_row(self.export)
        self.add_row(self.open, self.cells)

    def ask(self, suffix: str) -> None:
        """Ask where to, then say so."""
        name = "model" if suffix == ".safetensors" else "cells"
        path, _ = QFileDialog.getSaveFileName(
            self, "Export", f"{name}{suffix}", f"Files (*{suffix})"
        )
        if path:
            self.exported.emit(path if path.endswith(suffix) else path + suffix)

    def _ask_in(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import points", "", f"Points ({READABLE})")
        if path:
            self.imported.emit(path)

    def _ask_cells(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import cells", "", f"Cells ({READABLE})")
        if path:
            self.cells_imported.emit(path)
