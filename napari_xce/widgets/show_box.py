"""What to show: heat, cells, masks; the score threshold and the opacity."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

from napari_xce.widgets.section import Fold, button, swatch

OVERLAYS = {
    "heat": "How likely each place is a cell of the current class",
    "cells": "A ring around each cell found, in the colour of its class",
    "masks": "The outline of each cell found",
}


class ShowBox(Fold):
    """Check boxes and two sliders."""

    toggled = Signal(str, bool)  # "heat", "cells" or "masks"
    threshold_moved = Signal(float)
    threshold_reset = Signal()
    opacity_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Show", parent=parent)
        self.boxes = {
            "heat": QCheckBox("Heat"),
            "cells": QCheckBox("Cells"),
            "masks": QCheckBox("Masks"),
        }
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        for what, box in self.boxes.items():
            box.setChecked(True)
            box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            box.setToolTip(OVERLAYS[what])
            box.toggled.connect(lambda on, what=what: self.toggled.emit(what, on))
            row.addWidget(box)
        row.addStretch(1)
        self.rows.addLayout(row)
        self.threshold, self.value = _slider(
            "Score",
            "A cell of the class chosen above is shown from this score on. The default is set by "
            "the model from your clicks.",
        )
        self.threshold.valueChanged.connect(self._move_threshold)
        self.reset = button("Default", "Back to the model's own threshold", self._reset)
        self.whose = QLabel()
        self.whose.setFixedWidth(14)
        self.whose.setStyleSheet("padding: 0px;")
        row = (self.whose, QLabel("Score ≥"), self.threshold, self.value, self.reset)
        self.add_row(*row, stretch=2)
        self.opacity, percent = _slider("Opacity", "How strongly the overlays cover the slide")
        self.opacity.setValue(80)
        self.opacity.valueChanged.connect(lambda value: percent.setText(f"{value} %"))
        self.opacity.valueChanged.connect(lambda value: self.opacity_moved.emit(value / 100))
        percent.setText("80 %")
        self.add_row(QLabel("Opacity"), self.opacity, percent, stretch=1)

    def show_visible(self, what: str, visible: bool) -> None:
        """Follow a layer that was shown, hidden or removed in napari's own list."""
        with QSignalBlocker(self.boxes[what]):
            self.boxes[what].setChecked(visible)

    def show_masks_possible(self, possible: bool) -> None:
        """Masks exist only while segmenting."""
        self.boxes["masks"].setEnabled(possible)
        self.boxes["masks"].setToolTip(
            OVERLAYS["masks"] if possible else "Choose “Segment cells” for masks"
        )

    def show_threshold(self, color: str | None, threshold: float, by_hand: bool) -> None:
        """Show the threshold of the current class, which has this colour; background has none."""
        self.whose.setPixmap(swatch(color).pixmap(14, 14) if color is not None else QPixmap())
        self.threshold.setEnabled(color is not None)
        with QSignalBlocker(self.threshold):
            self.threshold.setValue(round(threshold * 100))
        self.value.setText(f"{threshold:.2f}")
        self.reset.setEnabled(by_hand)

    def _move_threshold(self, value: int) -> None:
        self.value.setText(f"{value / 100:.2f}")
        self.reset.setEnabled(True)
        self.threshold_moved.emit(value / 100)

    def _reset(self) -> None:
        self.threshold_reset.emit()


def _slider(name: str, tip: str) -> tuple[QSlider, QLabel]:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(1, 100)
    slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    slider.setToolTip(tip)
    slider.setAccessibleName(name)
    label = QLabel()
    label.setMinimumWidth(34)
    return slider, label
