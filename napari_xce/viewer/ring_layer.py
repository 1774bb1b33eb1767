"""The rings layer: which cells are meant right now. One under the mouse, the one to decide on next,
or those inside a lasso. GUI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_xce.predictions.detections import Detections
from napari_xce.viewer.compat import one_update
from napari_xce.viewer.frame import keep_selection, mark, placement, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


@dataclass(frozen=True, slots=True)
class Look:
    """How a ring is drawn: colour, width in cell diameters, thickness as a share of that."""

    color: str
    width: float
    thickness: float


HOVERED = Look("#ffffff", 1.45, 0.06)
CURRENT = Look("#ffd400", 2.2, 0.09)
CHOSEN = Look("#ffffff", 1.35, 0.1)
MOST_RINGS = 2_000  # more of them say no more


class RingLayer:
    """Owns the ``xce: this one`` layer of one slide; it comes with the first ring and stays.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide_layer : napari.layers.Layer
        The layer it lies on.
    diameter_px : float
        Usual cell diameter, level-0 pixels; for cells that bring none.
    adopt : callable
        Called with the new layer, to give it keys.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        slide_layer: Layer,
        diameter_px: float,
        adopt: Callable[[Layer], None],
    ) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self._diameter_px = diameter_px
        self._adopt = adopt
        self.drawn = Detections.empty()
        self.layer: Points | None = None

    def draw(self, cells: Detections, look: Look) -> None:
        """Draw rings around these cells, and around no others."""
        if not len(cells) and (not self._is_there() or not len(self.drawn)):
            return
        layer = self._layer()
        cells = cells[:MOST_RINGS]
        with one_update(layer):
            layer.selected_data = set()
            layer.data = cells.points
            if len(cells):
                layer.border_color = look.color
                layer.border_width = look.thickness
                diameters = np.nan_to_num(cells.diameters, nan=self._diameter_px)
                layer.size = look.width * np.maximum(diameters, self._diameter_px / 2)
        layer.editable = False
        self.drawn = cells

    def clear(self) -> None:
        """Draw none."""
        self.draw(Detections.empty(), HOVERED)

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self._is_there():
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _is_there(self) -> bool:
        return self.layer is not None and self.layer in self._viewer.layers

    def _layer(self) -> Points:
        """Return the layer; one that was removed comes back, below the clicks."""
        if self.layer is None or not self._is_there():
            self.layer = self._new_layer()
            roles = [role_of(layer) for layer in self._viewer.layers]
            at = roles.index("clicks") if "clicks" in roles else len(roles)
            with keep_selection(self._viewer):
                self._viewer.layers.insert(at, self.layer)
            self._adopt(self.layer)
        return self.layer

    def _new_layer(self) -> Points:
        layer = Points(
            np.empty((0, 2)),
            ndim=2,
            name="xce: this one",
            symbol="disc",
            face_color="transparent",
            canvas_size_limits=(8, 10_000),
            **placement(self._slide_layer),
        )
        layer.editable = False
        mark(layer, "rings")
        return layer
