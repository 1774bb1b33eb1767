"""Where to look next: a strip of places, why the present one, and what to say of it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_xce.widgets.section import Fold, button, small_text
from napari_xce.widgets.strip import Strip

#: Keys and what they say of the suggested place.
YES, NO, NOTHING, SKIP = "A", "X", "E", "Space"


class SuggestBox(Fold):
    """A button that asks, the strip, the reason, and a row of answers."""

    suggest = Signal()
    chosen = Signal(int)
    answered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Where next", parent=parent)
        self.next = button(
            "Suggest &next (N)", "Fly to where a click helps the model most", self.suggest.emit
        )
        self.whole = QCheckBox("whole slide")
        self.whole.setToolTip("Suggest places anywhere on the slide, not first those in view")
        self.whole.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.add_row(self.next, self.whole, stretch=0)
        self.strip = Strip()
        self.strip.chosen.connect(self.chosen)
        self.rows.addWidget(self.strip)
        self.reason = small_text("")
        self.rows.addWidget(self.reason)
        self.answers = {
            YES: self._answer(YES, "Yes (A)", "It is what the model takes it for"),
            NO: self._answer(NO, "No (X)", "It is no cell of any class"),
            NOTHING: self._answer(
                NOTHING, "Nothing here (E)", "There is no cell in the yellow ring at all"
            ),
            SKIP: self._answer(SKIP, "Skip", "Go on without an answer (Space); not asked again"),
        }
        row = self.add_row(*self.answers.values())
        row.addStretch(1)
        self.show_reason("")
        self.show_answers(None)

    def _answer(self, key: str, words: str, tip: str) -> QWidget:
        return button(words, tip, lambda: self.answered.emit(key))

    def show_reason(self, words: str) -> None:
        """Say why the view is where it is."""
        self.reason.setText(words)
        self.reason.setVisible(bool(words))

    def show_answers(self, guess: str | None) -> None:
        """Offer the answers; None: no place is asked about, "": the model has no guess."""
        for answer in self.answers.values():
            answer.setVisible(guess is not None)
        self.answers[YES].setEnabled(bool(guess))
