"""The regions layer: rectangles and polygons the user declared complete. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_xce.annotations import Store
from napari_xce.annotations.records import REGION
from napari_xce.errors import XceError
from napari_xce.viewer.frame import mark, placement

if TYPE_CHECKING:
    from napari.layers import Layer

SMALLEST_PX = 4.0  # a "region" thinner than this, in level-0 pixels, is a slip of the mouse


class RegionLayer:
    """Owns the ``xce: reviewed`` layer of one slide; a shape drawn there becomes a reviewed region.

    Parameters
    ----------
    slide_layer : napari.layers.Layer
        The layer it lies on.
    store : Store
    slide_id : str
    on_drawn : callable
        Called after the user drew a region.
    on_edited : callable
        Called after the user moved, reshaped or deleted regions.
    on_error : callable
        Called with the sentence when the store refused.
    """

    def __init__(
        self,
        slide_layer: Layer,
        store: Store,
        slide_id: str,
        on_drawn: Callable[[], None],
        on_edited: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._store = store
        self._slide_id = slide_id
        self._on_drawn = on_drawn
        self._on_edited = on_edited
        self._on_error = on_error
        self._mirroring = False
        self._ids: list[str] = []
        self._revision = -1
        self.layer = Shapes(
            ndim=2,
            name="xce: reviewed",
            edge_color="#2e7d32",
            edge_width=3,
            face_color="transparent",
            **placement(slide_layer),
        )
        mark(self.layer, "regions")
        self.layer.events.data.connect(self._on_data)
        self.mirror()

    def mirror(self) -> None:
        """Show the regions the store holds, if it changed since the last time."""
        if self._revision == self._store.revision:
            return
        self._revision = self._store.revision
        stands = self._store.annotations(self._slide_id).of_kind(REGION)
        ids = [str(id_) for id_ in stands.ids]
        if ids == self._ids and _equal(self.layer.data, stands.polygons):
            return
        self._ids = ids
        self._mirroring = True
        try:
            self.layer.selected_data = set()
            self.layer.data = []
            if ids:
                self.layer.add(list(stands.polygons), shape_type="polygon")
        finally:
            self._mirroring = False

    def close(self) -> None:
        """Stop listening. May be called twice."""
        self.layer.events.data.disconnect(self._on_data)

    def _on_data(self, event: Any) -> None:
        """Turn a drawn, changed or deleted shape into actions of the store."""
        action = str(event.action)
        if self._mirroring or action.endswith("ing"):
            return
        try:
            if action == "removed":
                self._store.delete([self._ids[int(i)] for i in event.data_indices])
            elif action == "changed":
                self._reshape([int(i) for i in event.data_indices])
            else:
                for vertices in self.layer.data[len(self._ids) :]:
                    self._review(vertices)
        except XceError as error:
            self._on_error(str(error))
        self._ids = []  # whatever was drawn: show what the store made of it
        self._revision = -1
        self.mirror()
        if action == "added":
            self._on_drawn()
        else:
            self._on_edited()

    def _reshape(self, indices: list[int]) -> None:
        """Give dragged or reshaped regions their new outlines, in one action."""
        outlines = [np.asarray(self.layer.data[index], dtype=float) for index in indices]
        self._store.reshape([self._ids[index] for index in indices], outlines)

    def _review(self, vertices: Any) -> None:
        vertices = np.asarray(vertices, dtype=float)  # (M, 2)
        if (np.ptp(vertices, axis=0) >= SMALLEST_PX).all():
            self._store.review(self._slide_id, vertices)


def _equal(shapes: Sequence[Any], polygons: Sequence[Any]) -> bool:
    """Tell whether the shapes (M, 2) drawn are these polygons."""
    return len(shapes) == len(polygons) and all(map(np.array_equal, shapes, polygons))
