"""Learn or pause, and what to learn: detect or segment."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_xce.widgets.keyboard import FOCUS
from napari_xce.widgets.section import Section, button

HEADS = {"yollo": "Detect cells", "unet": "Segment cells"}
GREY = "QPushButton { font-weight: bold; padding: 6px; } " + FOCUS
GO = "QPushButton { background: #2e7d32; color: white; } " + GREY


class LearnBox(Section):
    """The button that starts it all."""

    learn = Signal(bool)  # True: learn, False: pause
    head_chosen = Signal(str)  # "yollo" or "unet"
    promotion_undone = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._learning = False
        self._shown: tuple[bool, bool] | None = None
        self.toggle = button("Le&arn", "", self._toggle)
        self.head = QComboBox()
        self.head.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.head.setAccessibleName("What to learn")
        self.head.setToolTip("Detect marks the centre of each cell; segment also draws its outline")
        for head, words in HEADS.items():
            self.head.addItem(words, head)
        self.head.activated.connect(lambda index: self.head_chosen.emit(self.head.itemData(index)))
        self.take_back = button(
            "↶ Tuned",
            "A fine-tuned model has taken over. Go on with the one before it; your clicks stay, "
            "and it is tuned again when you click more",
            self.promotion_undone.emit,
        )
        self.take_back.setVisible(False)
        self.add_row(self.toggle, self.head, self.take_back, stretch=0)
        self.show_state(learning=False, ready=False)

    def show_state(self, learning: bool, ready: bool) -> None:
        """Show whether it learns; without clicks (`ready` False) the button is not pressed yet."""
        if self._shown == (learning, ready):
            return
        self._shown, self._learning = (learning, ready), learning
        self.toggle.setText("P&ause" if learning else "Le&arn")
        self.toggle.setEnabled(learning or ready)
        self.toggle.setStyleSheet(GO if ready and not learning else GREY)
        self.toggle.setToolTip(
            "Stop learning; what is predicted stays"
            if learning
            else "Learn from the clicks, in the background, and mark the cells in view"
            if ready
            else "Click a few cells first"
        )

    def show_promoted(self, promoted: bool) -> None:
        """Show whether there is a promotion to take back."""
        self.take_back.setVisible(promoted)

    def show_head(self, head: str) -> None:
        """Show which head is in use."""
        with QSignalBlocker(self.head):
            self.head.setCurrentIndex(self.head.findData(head))

    def _toggle(self) -> None:
        self.learn.emit(not self._learning)
