"""Where to look next and why; marking a region as reviewed, and how accurate it is there."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_xce.widgets.section import Fold, button, small_text


class SuggestBox(Fold):
    """Three buttons, and a reason or result in words."""

    suggest = Signal()
    review = Signal()
    measure = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Where next", parent=parent)
        self.next = button(
            "&Suggest next (N)", "Fly to where a click helps the model most", self.suggest.emit
        )
        self.region = button(
            "Mark reviewed",
            "Draw a rectangle in which you have clicked every cell: it teaches what is background, "
            "and accuracy is measured there",
            self.review.emit,
        )
        self.accuracy = button(
            "Accuracy",
            "Precision, recall and F1 in the regions you marked as reviewed",
            self.measure.emit,
        )
        self.add_row(self.next, self.region, self.accuracy, stretch=0)
        self.reason = small_text("")
        self.rows.addWidget(self.reason)
        self.reason.setVisible(False)

    def show_reason(self, words: str) -> None:
        """Say why the view is where it is."""
        self.reason.setText(words)
        self.reason.setVisible(bool(words))
