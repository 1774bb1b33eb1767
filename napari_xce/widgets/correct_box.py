"""Putting predictions right: one doubtful cell after the other, many in a lasso; by keys, too."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_xce.widgets.section import Fold, button, small_text

IDLE = "Over a predicted cell: A accepts it, X rejects it, Ctrl+digit gives it a class."
IN_MODE = {
    "walk": "The ringed cell: accept it, reject it, or press the digit of its class.",
    "draw": "Draw around the cells, then say what they are.",
    "chosen": "All ringed cells: accept, reject, or press the digit of their class.",
}


class CorrectBox(Fold):
    """Buttons that begin a way of correcting, and while it lasts those that decide."""

    step = Signal()
    lasso = Signal()
    rectangle = Signal()
    accept = Signal()
    reject = Signal()
    leave = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Correct", parent=parent)
        self.next = button(
            "Step (Space)",
            "Go from one predicted cell in view to the next, the most doubtful first",
            self.step.emit,
        )
        self.around = button("Lasso (L)", "Draw around many predicted cells", self.lasso.emit)
        self.box = button(
            "Rectangle (R)", "Draw a box around many predicted cells", self.rectangle.emit
        )
        self.add_row(self.next, self.around, self.box)
        self.words = small_text(IDLE)
        self.rows.addWidget(self.words)
        self.yes = button("Accept (A)", "They are what they were predicted to be", self.accept.emit)
        self.no = button("Reject (X)", "They are no cells of any class", self.reject.emit)
        self.end = button("End (Esc)", "Leave; what was decided stays", self.leave.emit)
        self.add_row(self.yes, self.no, self.end)
        self.show_mode("")

    def show_mode(self, mode: str) -> None:
        """Show what can be done in a mode of the canvas: "", "walk", "draw" or "chosen"."""
        self.words.setText(IN_MODE.get(mode, IDLE))
        for decide in (self.yes, self.no):
            decide.setVisible(mode in ("walk", "chosen"))
        self.end.setVisible(bool(mode))
