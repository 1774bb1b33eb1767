"""A line at the bottom of the dock while something short goes on beside it: what, and Cancel; then
what came of it.

Not left to napari's notifications: they lie over the slide, are cut off where the canvas is narrow,
and go after seconds, or, while another window is in front, never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QProgressBar, QWidget

from napari_xce.widgets.section import ElidedLabel, Section, button, small_text

if TYPE_CHECKING:
    from napari_xce.widgets.jobs import Job

BAR_PX = 110


class JobBar(Section):
    """Hidden unless a job has been running for a moment, or left something to say."""

    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.words = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.bar = QProgressBar()
        self.bar.setFixedWidth(BAR_PX)
        self.bar.setToolTip("At work; you can go on clicking meanwhile")
        self.cancel = button(
            "Cancel", "Stop it; nothing half written or half read is left", self.cancelled.emit
        )
        self.add_row(self.words, self.bar, self.cancel, stretch=0)
        self.result = small_text()
        self.close_result = button("OK", "Take this line away", lambda: self.show_result(""))
        self.add_row(self.result, self.close_result, stretch=0)
        self.rows.setContentsMargins(8, 2, 8, 4)
        self.show_job(None)

    def show_job(self, job: Job | None) -> None:
        """Show what is going on and how far it is, if that is known; None: nothing is."""
        self.setVisible(job is not None or bool(self.result.text()))
        for widget in (self.words, self.bar, self.cancel):
            widget.setVisible(job is not None)
        for widget in (self.result, self.close_result):
            widget.setVisible(job is None)
        if job is not None:
            self.words.set_full_text(job.what[:1].upper() + job.what[1:])
            self.bar.setRange(0, 0 if job.share is None else 100)
            self.bar.setValue(round(100 * (job.share or 0)))

    def show_result(self, sentence: str) -> None:
        """Say this of a job whenever none is shown, until it is taken away or there is something
        else to say.
        """
        self.result.setText(sentence)
        self.show_job(None)
