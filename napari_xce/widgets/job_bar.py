"""A line at the bottom of the dock while something short goes on beside it: what, and Cancel."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QWidget

from napari_xce.widgets.section import Section, button


class JobBar(Section):
    """Hidden unless a job has been running for a moment."""

    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)  # how long it takes is not known
        self.bar.setToolTip("At work; you can go on clicking meanwhile")
        self.cancel = button(
            "Cancel", "Stop it; a file that was there stays as it was", self.cancelled.emit
        )
        self.heading.setVisible(True)
        self.add_row(self.heading, self.bar, self.cancel, stretch=1)
        self.rows.setContentsMargins(8, 2, 8, 4)
        self.show_job(None)

    def show_job(self, what: str | None) -> None:
        """Show what is going on; None: nothing is."""
        self.heading.setText(what.capitalize() if what else "")
        self.setVisible(what is not None)
