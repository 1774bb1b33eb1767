"""The lasso: a shape drawn around cells to say the same of all of them. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_xce.viewer.frame import mark, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

SMALLEST_PX = 4.0  # thinner than this, in level-0 pixels, it is a slip of the mouse


class LassoLayer:
    """Owns the ``xce: lasso`` layer of one slide; there only from the key to the decision.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide_layer : napari.layers.Layer
        The layer it lies on.
    tool : {"add_polygon_lasso", "add_rectangle"}
        napari's tool to draw it with.
    on_drawn : callable
        Called once with the outline, float64, shape (M, 2), level-0 pixels; None after a slip.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        slide_layer: Layer,
        tool: Literal["add_polygon_lasso", "add_rectangle"],
        on_drawn: Callable[[NDArray[np.float64] | None], None],
    ) -> None:
        self._viewer = viewer
        self._on_drawn = on_drawn
        self.layer = Shapes(
            ndim=2,
            name="xce: lasso",
            edge_color="#ffd400",
            edge_width=2,
            face_color="transparent",
            **placement(slide_layer),
        )
        mark(self.layer, "lasso")
        viewer.layers.append(self.layer)
        viewer.layers.selection.active = self.layer
        self.layer.mode = tool
        self.layer.events.data.connect(self._on_data)

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        self.layer.events.data.disconnect(self._on_data)
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def _on_data(self, event: Any) -> None:
        if str(event.action) != "added":
            return
        self.layer.events.data.disconnect(self._on_data)
        outline = np.asarray(self.layer.data[-1], dtype=float)  # (M, 2)
        slip = (np.ptp(outline, axis=0) < SMALLEST_PX).any()
        self.layer.mode = "pan_zoom"
        self._on_drawn(None if slip else outline)
