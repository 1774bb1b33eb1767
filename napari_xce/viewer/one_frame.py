"""A click and the model's answer to it in one frame. GUI thread only.

Without a graphics card a frame takes a tenth of a second of both cores, and the answer is there
sooner: drawn by themselves, the click's mark delays the answer by its frame, and the engine that
works on it. So the window holds still for the moment that the engine usually needs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_xce.viewer.compat import canvas_widget

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: The longest that a click's own mark waits to be drawn.
HOLD_MS = 120


class OneFrame:
    """Keeps a window from drawing for a moment.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Without a window nothing is held.

    Attributes
    ----------
    holds : bool
        Whether it waits for the answer just now.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._canvas = canvas_widget(viewer)
        self._timer = QTimer(self._canvas)
        self._timer.setSingleShot(True)
        self._timer.setInterval(HOLD_MS)
        self._timer.timeout.connect(self.draw)
        self.holds = False

    def hold(self) -> None:
        """Draw nothing until `draw` is called, or the time is over."""
        if self._canvas is not None and not self.holds:
            self.holds = True
            self._canvas.window().setUpdatesEnabled(False)
            self._timer.start()

    def draw(self) -> None:
        """Draw what changed meanwhile."""
        if self.holds:
            self.holds = False
            with contextlib.suppress(RuntimeError):  # the window has gone already
                self._timer.stop()
                self._canvas.window().setUpdatesEnabled(True)
