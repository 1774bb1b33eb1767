"""The cells layer: predicted cells of what is in view, and no others. GUI thread only.

napari's Points spends Python time on every point at every update, so the layer holds only what is
on screen and a margin around it, highest scores first up to a cap. Far out it is empty, and the
heat layer serves as density. Filtering is done by the query, never by ``Points.shown``, which
napari 0.9.2 ignores in two dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.annotations import BACKGROUND
from napari_xce.predictions.detections import Box, Detections
from napari_xce.viewer.compat import draw_only_discs, one_update
from napari_xce.viewer.frame import mark, placement, rgba
from napari_xce.viewer.view import lies_within, widened

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_xce.predictions.store import DetectionStore

MAX_POINTS = 20_000
REBUILD_SECONDS = 1.0
SMALLEST_CELL_PX = 3.0  # cells that take up fewer screen pixels are not drawn
CLEAR = np.array([0.0, 0.0, 0.0, 0.0])


class Said(NamedTuple):
    """What was said point by point: places (N, 2), level-0 pixels, (y, x), and class names."""

    points: NDArray[np.float64]
    labels: list[str]


class DetectionLayer:
    """Owns the ``xce: cells`` layer of one slide.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide_layer : napari.layers.Layer
        The layer it lies on.
    diameter_px : float
        Usual cell diameter, level-0 pixels; drawn where a detection brings none. What was said
        within half of it of a detection shows at once, before the model has learnt of it: one that
        was rejected is not drawn, one of which a class was said has its colour.

    Attributes
    ----------
    cells : Detections
        What is drawn, with the classes that were said.
    """

    def __init__(self, viewer: ViewerModel, slide_layer: Layer, diameter_px: float) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self.diameter_px = diameter_px
        self._loaded: Box | None = None
        self._dirty = True
        self._rebuilt = -np.inf
        self.cells = Detections.empty()
        self._rejected = Detections.empty()  # would be drawn, had they not been rejected
        self.layer: Points | None = None

    def add(self) -> Points:
        """Put the layer into the viewer, below the clicks; one that was removed comes back."""
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = self._new_layer()
            above = [role in ("clicks", "regions") for role in _roles(self._viewer)]
            at = above.index(True) if any(above) else len(self._viewer.layers)
            self._viewer.layers.insert(at, self.layer)
            draw_only_discs(self._viewer, self.layer)
            self._dirty = True
        return self.layer

    def changed(self) -> None:
        """Note that the detections, thresholds or colours changed."""
        self._dirty = True

    def tick(
        self,
        view: Box | None,
        screen_px: float,
        now: float,
        *,
        store: DetectionStore,
        thresholds: Mapping[str, float],
        colors: Mapping[str, str],
        said: Said,
        at_once: bool = False,
    ) -> bool:
        """Load what is in view if the view left the margin, or a second after a change.

        Parameters
        ----------
        view : (y0, x0, y1, x1) in level-0 pixels, or None
            What is on screen.
        screen_px : float
            Canvas pixels per level-0 pixel.
        now : float
            Seconds of a monotonic clock.
        store : DetectionStore
            Where the detections are.
        thresholds : mapping of class name to float
        colors : mapping of class name to "#rrggbb"
        said : Said
            Clicks and rejections.
        at_once : bool
            Do not wait for the second to pass; for what the user does, such as moving the
            threshold.

        Returns
        -------
        bool
            True if the layer was loaded anew.
        """
        if self.layer is None or not self.layer.visible:
            return False
        if view is None or self.diameter_px * screen_px < SMALLEST_CELL_PX:
            if len(self.cells):
                self._set(Detections.empty(), Detections.empty(), colors)
            self._loaded = None
            return False
        left = self._loaded is None or not lies_within(view, self._loaded)
        due = self._dirty and (at_once or now - self._rebuilt >= REBUILD_SECONDS)
        if not (left or due):
            return False
        box = widened(view)
        cells = store.query(box, max_count=MAX_POINTS, thresholds=dict(thresholds))
        told = _as_said(cells, said, self.diameter_px / 2)
        rejected = told.labels == BACKGROUND
        self._set(told[~rejected], cells[rejected], colors)
        self._loaded, self._dirty, self._rebuilt = box, False, now
        return True

    def under(self, yx: tuple[float, float], rejected: bool = False) -> Detections:
        """Return the drawn cell that covers this place (y, x), or none; of those `rejected`, the
        one that would be drawn.
        """
        cells = self._rejected if rejected else self.cells
        if not len(cells) or self.layer is None or not self.layer.visible:
            return Detections.empty()
        distance = np.linalg.norm(cells.points - np.asarray(yx), axis=1)
        index = int(distance.argmin())
        radius = np.nan_to_num(cells.diameters[index], nan=self.diameter_px) / 2
        covers = distance[index] <= max(radius, self.diameter_px / 2)
        return cells[index] if covers else Detections.empty()

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _set(self, cells: Detections, rejected: Detections, colors: Mapping[str, str]) -> None:
        """Fill the layer."""
        layer = self.layer
        assert layer is not None
        self.cells, self._rejected = cells, rejected
        with one_update(layer):
            layer.selected_data = set()
            layer.data = cells.points
            if len(cells):
                layer.border_color = _colors(cells.labels, colors)
                layer.face_color = np.tile(CLEAR, (len(cells), 1))
                layer.size = 1.15 * np.nan_to_num(cells.diameters, nan=self.diameter_px)
        layer.editable = False  # setting data makes Points editable again

    def _new_layer(self) -> Points:
        self.cells, self._rejected, self._loaded = Detections.empty(), Detections.empty(), None
        layer = Points(
            np.empty((0, 2)),
            ndim=2,
            name="xce: cells",
            symbol="disc",
            size=self.diameter_px,
            face_color="transparent",
            border_color="white",
            border_width=0.09,
            canvas_size_limits=(4, 200),
            **placement(self._slide_layer),
        )
        layer.editable = False
        mark(layer, "cells")
        return layer


def _roles(viewer: ViewerModel) -> list[str | None]:
    from napari_xce.viewer.frame import role_of

    return [role_of(layer) for layer in viewer.layers]


def _colors(labels: NDArray[np.str_], colors: Mapping[str, str]) -> NDArray[np.float32]:
    """Return one RGBA row per label; white for a class that is gone."""
    names, index = np.unique(labels, return_inverse=True)
    table = np.array([rgba(colors.get(str(name), "#ffffff")) for name in names], dtype=np.float32)
    return table[index]  # (N, 4)


def _as_said(cells: Detections, said: Said, radius: float) -> Detections:
    """Return the cells with the class that was said within the radius, level-0 pixels."""
    if not len(said.points) or not len(cells):
        return cells
    distance, nearest = cKDTree(said.points).query(cells.points, distance_upper_bound=radius)
    labels = cells.labels.astype(object)
    there = np.isfinite(distance)
    labels[there] = np.array(said.labels, dtype=object)[nearest[there]]
    return replace(cells, labels=labels)
