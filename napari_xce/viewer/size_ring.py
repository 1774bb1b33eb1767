"""The ring by which a user says how wide a cell is: always in the middle of the view. GUI thread
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_xce.viewer.pointer_layer import PointerLayer
from napari_xce.viewer.view import view_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class SizeRing:
    """A ring of some size that stays where the user looks; there only while it is shown."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._camera = viewer.scene.camera
        self._slide_layer: Layer | None = None
        self._pointer: PointerLayer | None = None
        self._diameter_px = 0.0

    def show(self, slide_layer: Layer, diameter_px: float) -> None:
        """Draw a ring as wide as so many level-0 pixels on a slide."""
        if self._pointer is None:
            self._pointer = PointerLayer(self._viewer, slide_layer, "xce: cell size")
            self._camera.events.center.connect(self._stay_in_view)
            self._camera.events.zoom.connect(self._stay_in_view)
        self._slide_layer, self._diameter_px = slide_layer, diameter_px
        self._stay_in_view()

    def _stay_in_view(self, event: Any = None) -> None:
        box = view_box(self._viewer, self._slide_layer)
        if box is not None and self._pointer is not None:
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            self._pointer.point_at(middle, self._diameter_px)

    def close(self) -> None:
        """Take the ring away. May be called twice."""
        if self._pointer is not None:
            self._camera.events.center.disconnect(self._stay_in_view)
            self._camera.events.zoom.disconnect(self._stay_in_view)
            self._pointer.close()
            self._pointer = None
