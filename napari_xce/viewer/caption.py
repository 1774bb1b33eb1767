"""A line of text on the canvas, close to where the eyes are. GUI thread only.

The status bar is napari's own: it writes the place under the mouse there at every move.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari.components.overlays import TextOverlay

if TYPE_CHECKING:
    from napari.components import ViewerModel

KEY = "xce_caption"
BRIEF_SECONDS = 4.0


class Caption:
    """One line at the top of the canvas: what a mode asks, or for a moment what was done.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._overlays = viewer.canvas.overlays
        self._overlay = TextOverlay(position="top_center", font_size=10, visible=False)
        self._overlays[KEY] = self._overlay
        self._held = ""
        self._until = 0.0

    @property
    def text(self) -> str:
        """What is shown; empty when nothing is."""
        return str(self._overlay.text) if self._overlay.visible else ""

    def hold(self, words: str) -> None:
        """Show these words until others are held; none with an empty text."""
        self._held, self._until = words, 0.0
        self._show(words)

    def hint(self, words: str) -> None:
        """Hold these words as soon as brief ones are over."""
        self._held = words
        if not self._until:
            self._show(words)

    def brief(self, words: str) -> None:
        """Show these words for a few seconds, then again those that are held."""
        self._until = time.monotonic() + BRIEF_SECONDS
        self._show(words)

    def tick(self) -> None:
        """Take words away whose time is over."""
        if self._until and time.monotonic() > self._until:
            self.hold(self._held)

    def close(self) -> None:
        """Take the line off the canvas. May be called twice."""
        self._overlays.pop(KEY, None)

    def _show(self, words: str) -> None:
        self._overlay.text = words
        self._overlay.visible = bool(words)
