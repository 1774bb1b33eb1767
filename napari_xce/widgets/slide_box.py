"""The first group: which slide, how large its pixels are, and where the session is kept."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import FloatSpinBox
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QMenu, QWidget

from napari_xce.widgets.section import ElidedLabel, Section, button, menu_button, small_text

SLIDE_FILES = (
    "Slides (*.svs *.ndpi *.mrxs *.scn *.bif *.dcm *.tif *.tiff *.btf *.png *.jpg *.jpeg);;"
    "All files (*)"
)


class SlideBox(Section):
    """Chooses the slide; asks for a cell's diameter when the pixel size is unknown; names the
    session.

    Signals carry what the user asked for; the owner does it and shows the outcome with the
    ``show_`` methods.
    """

    layer_chosen = Signal(object)  # a napari layer
    file_chosen = Signal(str)
    diameter_tried = Signal(float)  # level-0 pixels, while the spin box moves
    diameter_given = Signal(float)
    session_chosen = Signal(str)
    session_copied = Signal(str)
    help_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.layers = QComboBox()
        self.layers.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.layers.setMinimumContentsLength(12)
        self.layers.setToolTip("The image layer to work on")
        self.layers.setAccessibleName("Slide")
        self.layers.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.layers.activated.connect(self._choose)
        self.open = button("&Open…", "Open a slide file", self._open_file)
        self.help = button("?", "Show the keys (? on the canvas)", self.help_wanted.emit)
        self.help.setFixedWidth(24)
        self.add_row(self.layers, self.open, self.help, stretch=0)
        self.size = ElidedLabel("No slide yet")
        self.rows.addWidget(self.size)
        self._build_question()
        self._build_session()

    def show_layers(self, layers: list[object], current: object | None) -> None:
        """List the layers that can be annotated; the one in use is chosen."""
        with QSignalBlocker(self.layers):
            self.layers.clear()
            if current is None:
                self.layers.addItem("Choose an image…", None)
            for layer in layers:
                self.layers.addItem(str(layer.name), layer)  # type: ignore[attr-defined]
            if current is not None:
                self.layers.setCurrentIndex(self._index_of(current))

    def show_size(self, words: str, ask: bool, guess_px: float = 20.0) -> None:
        """Show the pixel size in words; with `ask`, the question for a cell's diameter."""
        self.size.set_full_text(words)
        self.question.setVisible(ask)
        if ask:
            with self.diameter.changed.blocked():
                self.diameter.value = guess_px

    def show_session(self, path: Path | None) -> None:
        """Show where the session is kept."""
        words = "Every click is saved at once"
        self.session.set_full_text(words if path is None else f"Saved in {path.name}")
        self.session.setToolTip("" if path is None else f"Every click is saved at once in\n{path}")

    def _build_question(self) -> None:
        self.question = Section("How wide is a typical cell?")
        self.diameter = FloatSpinBox(value=20.0, min=2.0, max=2000.0, step=1.0)
        self.diameter.changed.connect(self._try_diameter)
        self.diameter.tooltip = "Diameter of a typical cell, in pixels of the slide"
        self.accept = button(
            "Use", "The ring on the slide fits a cell", lambda: self._give_diameter()
        )
        self.question.rows.addWidget(
            small_text(
                "The pixel size is unknown. Make the yellow ring as wide, in pixels, as a typical "
                "cell."
            )
        )
        self.question.add_row(self.diameter.native, self.accept, stretch=0)
        self.question.setVisible(False)
        self.rows.addWidget(self.question)

    def _build_session(self) -> None:
        self.session = ElidedLabel("")
        menu = QMenu(self)
        menu.addAction("Open session…", self._open_session)
        self.copy_action = menu.addAction("Keep in another folder…", self._copy_session)
        self.menu = menu_button("Session", "Open another session, or keep this one elsewhere", menu)
        self.add_row(self.session, self.menu, stretch=0)

    def _index_of(self, layer: object) -> int:
        for index in range(self.layers.count()):
            if self.layers.itemData(index) is layer:
                return index
        return -1

    def _choose(self, index: int) -> None:
        layer = self.layers.itemData(index)
        if layer is not None:
            self.layer_chosen.emit(layer)

    def _try_diameter(self, px: float) -> None:
        self.diameter_tried.emit(px)

    def _give_diameter(self) -> None:
        self.diameter_given.emit(self.diameter.value)

    def _open_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a slide", "", SLIDE_FILES)
        if path:
            self.file_chosen.emit(path)

    def _open_session(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a session: choose its .xce folder")
        if path:
            self.session_chosen.emit(path)

    def _copy_session(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Keep the session in another folder", "session.xce", "Sessions (*.xce)"
        )
        if path:
            self.session_copied.emit(path)
