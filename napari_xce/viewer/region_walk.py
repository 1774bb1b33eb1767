"""Going through a rectangle part by part before it is declared complete. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_xce.predictions.detections import Box
from napari_xce.viewer.frame import mark, placement
from napari_xce.viewer.view import show_box

if TYPE_CHECKING:
    from napari_xce.viewer.binding import Binding

#: Side of what is looked at in one go, cell diameters.
FIELD = 22.0
SMALLEST_PX = 8.0


class RegionWalk:
    """Owns a layer to draw one rectangle in, then leads through it.

    Parameters
    ----------
    binding : Binding
    on_change : callable
        Called when the rectangle was drawn and when another part is looked at.
    """

    def __init__(self, binding: Binding, on_change: Callable[[], None]) -> None:
        self._binding = binding
        self._on_change = on_change
        self.box: Box | None = None
        self.fields: list[Box] = []
        self.number = 0
        self.layer = Shapes(
            ndim=2,
            name="xce: region to review",
            edge_color="#ffd400",
            edge_width=3,
            face_color="transparent",
            **placement(binding.slide_layer),
        )
        mark(self.layer, "draft")
        viewer = binding.viewer
        viewer.layers.insert(viewer.layers.index(binding.clicks.layer), self.layer)
        viewer.layers.selection.active = self.layer
        self.layer.mode = "add_rectangle"
        self.layer.events.data.connect(self._on_data)

    @property
    def is_last(self) -> bool:
        """Whether the last part is looked at."""
        return self.box is not None and self.number == len(self.fields) - 1

    def words(self) -> str:
        """Say what to do now."""
        if self.box is None:
            return "Draw a rectangle around the cells to review (drag on the slide)."
        part = f"Part {self.number + 1} of {len(self.fields)}: " if len(self.fields) > 1 else ""
        return (
            f"{part}click each cell that is missed, press X on each false one. What then is ringed "
            "counts as right."
        )

    def begin(self, box: Box) -> None:
        """Lead through a box, level-0 pixels."""
        side = FIELD * self._binding.diameter_px()
        rows = np.linspace(box[0], box[2], max(round((box[2] - box[0]) / side), 1) + 1)
        columns = np.linspace(box[1], box[3], max(round((box[3] - box[1]) / side), 1) + 1)
        self.box = box
        self.fields = []
        for i in range(len(rows) - 1):
            parts = range(len(columns) - 1)
            for j in parts if i % 2 == 0 else reversed(parts):  # no jump at the end of a row
                self.fields.append((rows[i], columns[j], rows[i + 1], columns[j + 1]))
        self.number = 0
        self._binding.ensure_clicks()
        self._binding.viewer.layers.selection.active = self._binding.clicks.layer
        self._show()

    def step(self, by: int) -> None:
        """Go on, or back."""
        if self.box is not None:
            self.number = int(np.clip(self.number + by, 0, len(self.fields) - 1))
            self._show()

    def close(self) -> None:
        """Take the layer away. May be called twice."""
        layers = self._binding.viewer.layers
        if self.layer in layers:
            layers.remove(self.layer)
            if self._binding.clicks.layer in layers:
                layers.selection.active = self._binding.clicks.layer

    def _show(self) -> None:
        show_box(self._binding.viewer, self._binding.slide_layer, self.fields[self.number])
        self._on_change()

    def _on_data(self, event: Any) -> None:
        """Begin when a rectangle was drawn."""
        if str(event.action) != "added" or self.box is not None or not len(self.layer.data):
            return
        vertices = np.asarray(self.layer.data[-1], dtype=float)  # (4, 2)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        if (high - low >= SMALLEST_PX).all():
            self.layer.mode = "pan_zoom"
            self.begin((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
