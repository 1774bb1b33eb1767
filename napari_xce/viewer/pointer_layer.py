"""The pointer: one ring on the slide, around the place a suggestion means or as wide as a cell. GUI
thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_xce.viewer.frame import mark, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class PointerLayer:
    """Owns a layer of one ring; there only while it points at something."""

    def __init__(
        self, viewer: ViewerModel, slide_layer: Layer, name: str = "xce: look here"
    ) -> None:
        self._viewer = viewer
        self._name = name
        self._slide_layer = slide_layer
        self.layer: Points | None = None

    def point_at(self, yx: tuple[float, float], diameter_px: float) -> None:
        """Draw the ring around a place; place and diameter are level-0 pixels."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.data = np.array([yx], dtype=float)
            self.layer.size = diameter_px
            self.layer.editable = False
            return
        layer = Points(
            np.array([yx], dtype=float),
            name=self._name,
            symbol="disc",
            size=diameter_px,
            face_color="transparent",
            border_color="#ffd400",
            border_width=0.09,
            canvas_size_limits=(2, 10_000),
            **placement(self._slide_layer),
        )
        layer.editable = False
        mark(layer, "pointer")
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(self._viewer.layers.index(self._slide_layer) + 1, layer)
        if active is not None:
            self._viewer.layers.selection.active = active
        self.layer = layer

    def close(self) -> None:
        """Take the ring away. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
