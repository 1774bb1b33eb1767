"""The masks layer: instance masks of what is in view, when the head segments. GUI thread only.

A small single-scale Labels layer that is replaced whole: napari cannot draw a live multiscale one
without converting it on the GUI thread, and what is on screen at working resolution is a few
megabytes at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_xce.viewer.frame import mark, place, placement, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

ABOVE = ("cells", "regions", "clicks")  # roles of the layers that masks must not cover


class MasksLayer:
    """Owns the ``xce: masks`` layer of one slide."""

    def __init__(self, viewer: ViewerModel, slide_layer: Layer) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self.layer: Labels | None = None

    def show(
        self,
        labels: NDArray[np.int32],
        factor: tuple[float, float],
        origin: tuple[float, float],
    ) -> None:
        """Show these masks in place of those before.

        Parameters
        ----------
        labels : int32, shape (h, w)
            0 is no cell, each cell its own number.
        factor : tuple of float, (y, x)
            Level-0 pixels per label pixel.
        origin : tuple of float, (y, x)
            Level-0 place of the first label pixel's centre.
        """
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = Labels(
                labels,
                name="xce: masks",
                opacity=0.5,
                **placement(self._slide_layer, factor, origin),
            )
            mark(self.layer, "masks")
            above = [role_of(layer) in ABOVE for layer in self._viewer.layers]
            at = above.index(True) if any(above) else len(self._viewer.layers)
            self._viewer.layers.insert(at, self.layer)
        else:
            self.layer.data = labels
            place(self.layer, self._slide_layer, factor, origin)
        self.layer.editable = False

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
