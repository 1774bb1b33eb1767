"""A click and the model's answer to it in one frame, drawn at once. GUI thread only.

Without a graphics card a frame takes a tenth of a second of both cores, and the answer is there
sooner: drawn by themselves, the click's mark delays the answer by its frame, and the engine that
works on it. So the window holds still for the moment that the engine usually needs. Then the engine
does, while the frame with the answer is drawn: sharing the cores with it, that took twice as long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_xce.viewer.compat import canvas_widget

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: The longest that a click's own mark waits to be drawn.
HOLD_MS = 120
#: The longest that the engine is asked to rest, seconds; a frame takes less.
REST_SECONDS = 0.2


class OneFrame:
    """Keeps a window from drawing for a moment, and the engine from computing for the next.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Without a window nothing is held.
    rest : callable
        Asks the engine to rest for so many seconds at most; with 0, to go on.

    Attributes
    ----------
    holds : bool
        Whether it waits for the answer just now.
    """

    def __init__(self, viewer: ViewerModel, rest: Callable[[float], None]) -> None:
        self._canvas = canvas_widget(viewer)
        self._rest = rest
        self._rests = False
        self._timer = QTimer(self._canvas)
        self._timer.setSingleShot(True)
        self._timer.setInterval(HOLD_MS)
        self._timer.timeout.connect(self.draw)
        self.holds = False
        if self._canvas is not None:
            self._canvas.frameSwapped.connect(self._drawn)

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

    def draw_answer(self) -> None:
        """Draw what changed meanwhile, with the engine at rest until it is on the screen."""
        if self._canvas is not None:
            self._rests = True
            self._rest(REST_SECONDS)
        self.draw()

    def close(self) -> None:
        """Hold nothing and nobody any more. May be called twice."""
        self.draw()
        self._drawn()
        if self._canvas is not None:
            with contextlib.suppress(RuntimeError, TypeError):  # gone, or disconnected already
                self._canvas.frameSwapped.disconnect(self._drawn)

    def _drawn(self) -> None:
        """Let the engine go on: a frame is on the screen."""
        if self._rests:
            self._rests = False
            self._rest(0.0)
