"""What is on screen, in the slide's own frame; and flying to a place. GUI thread only.

Uses only what napari 0.9 makes public: ``viewer.scene.camera`` and ``viewer.canvas.size``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

CELL_ON_SCREEN_PX = 36.0  # how large a cell is shown when the view flies to one

MARGIN = 0.25  # of the view's size, on each side, that is loaded with it
SMALLEST_JUDGED_PX = 12.0  # a cell that is smaller on screen cannot be judged


def view_box(viewer: ViewerModel, slide_layer: Layer) -> Box | None:
    """Return what the canvas shows, as (y0, x0, y1, x1) in level-0 pixels clipped to the slide.

    None when no part of the slide is on screen. With a rotated or sheared slide it is the bounding
    box.
    """
    camera = viewer.scene.camera
    center = np.asarray(camera.center[-2:])
    half = np.asarray(viewer.canvas.size) / camera.zoom / 2  # world units, (y, x)
    corners = np.array(
        [
            slide_layer.world_to_data(center + half * sign)[-2:]
            for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))
        ]
    )  # (4, 2)
    low = np.maximum(corners.min(axis=0), -0.5)
    high = np.minimum(corners.max(axis=0), np.asarray(level0_shape(slide_layer)) - 0.5)
    if (high <= low).any():
        return None
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def level0_shape(slide_layer: Layer) -> tuple[int, int]:
    """Return the height and width of the slide's finest level."""
    data = slide_layer.data[0] if slide_layer.multiscale else slide_layer.data
    return int(data.shape[0]), int(data.shape[1])


def screen_px_per_pixel(viewer: ViewerModel, slide_layer: Layer) -> float:
    """Return how many canvas pixels one level-0 pixel takes up at the present zoom."""
    return float(viewer.scene.camera.zoom * np.mean(np.abs(slide_layer.scale)))


def fly_to(
    viewer: ViewerModel, slide_layer: Layer, yx: tuple[float, float], diameter_px: float
) -> None:
    """Bring a place to the middle of the canvas, near enough to see the cell there.

    The zoom is left alone while a cell (`diameter_px`, level-0 pixels) is between half and three
    times its comfortable size on screen, so that looking at one suggestion after another does not
    jump about.
    """
    camera = viewer.scene.camera
    _center_on(viewer, slide_layer, yx)
    on_screen = diameter_px * screen_px_per_pixel(viewer, slide_layer)
    if not CELL_ON_SCREEN_PX / 2 <= on_screen <= CELL_ON_SCREEN_PX * 3:
        camera.zoom *= CELL_ON_SCREEN_PX / on_screen


def bring_into_view(
    viewer: ViewerModel, slide_layer: Layer, yx: tuple[float, float], diameter_px: float
) -> None:
    """Fly to a place (y, x), level-0 pixels, unless it is comfortably in view: away from the edge
    of the canvas, and large enough to be judged.
    """
    box = view_box(viewer, slide_layer)
    small = diameter_px * screen_px_per_pixel(viewer, slide_layer) < SMALLEST_JUDGED_PX
    if small or box is None:
        fly_to(viewer, slide_layer, yx, diameter_px)
    elif not _is_comfortable(yx, box, level0_shape(slide_layer), diameter_px):
        _center_on(viewer, slide_layer, yx)


def _is_comfortable(yx: tuple[float, float], box: Box, shape: tuple[int, int], room: float) -> bool:
    """Tell whether a place is away from the edges of a view; the slide's own border is no edge."""
    return all(
        (low <= 0 or at >= low + min(room, (high - low) / 8))
        and (high >= end - 1 or at <= high - min(room, (high - low) / 8))
        and low <= at <= high
        for at, low, high, end in zip(yx, box[:2], box[2:], shape, strict=True)
    )


def _center_on(viewer: ViewerModel, slide_layer: Layer, yx: tuple[float, float]) -> None:
    camera = viewer.scene.camera
    camera.center = (*camera.center[:-2], *slide_layer.data_to_world(yx)[-2:])


def show_box(viewer: ViewerModel, slide_layer: Layer, box: Box) -> None:
    """Let a box (y0, x0, y1, x1), level-0 pixels, fill the canvas, with a little room around it."""
    camera = viewer.scene.camera
    low, high = slide_layer.data_to_world(box[:2])[-2:], slide_layer.data_to_world(box[2:])[-2:]
    size = np.abs(np.subtract(high, low))
    camera.center = (*camera.center[:-2], *((np.asarray(low) + high) / 2))
    camera.zoom = 0.92 * float(np.min(np.asarray(viewer.canvas.size) / np.maximum(size, 1e-9)))


class ViewWatcher:
    """Notes that the view changed; whoever ticks asks once a tick, so any number of moves count as
    one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    on_change : callable
        Called at each change, to be asked soon.
    """

    def __init__(self, viewer: ViewerModel, on_change: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_change = on_change
        self._changed = True
        for emitter in self._emitters():
            emitter.connect(self.note)

    def take(self) -> bool:
        """Say whether the view changed since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def close(self) -> None:
        """Stop listening. May be called twice."""
        for emitter in self._emitters():
            emitter.disconnect(self.note)

    def _emitters(self) -> tuple[Any, ...]:
        camera = self._viewer.scene.camera
        return camera.events.center, camera.events.zoom, self._viewer.canvas.events.size

    def note(self, event: Any = None) -> None:
        """Take note that the view changed."""
        self._changed = True
        self._on_change()


class MouseWatcher:
    """Knows which place of the slide the mouse is over, also after the view moved under it, when
    napari's own cursor is still where it was.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide_layer : napari.layers.Layer
    on_move : callable
        Called after each move of the mouse over the canvas.
    """

    def __init__(
        self, viewer: ViewerModel, slide_layer: Layer, on_move: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self._on_move = on_move
        self._at: NDArray[np.float64] | None = None  # canvas pixels, (x, y)
        viewer.mouse_move_callbacks.append(self._moved)

    def place(self) -> tuple[float, float] | None:
        """Return the place (y, x), level-0 pixels; None before the mouse was over the canvas."""
        if self._at is None:
            return None
        camera = self._viewer.scene.camera
        from_center = self._at[::-1] - np.asarray(self._viewer.canvas.size) / 2  # (y, x)
        down, right = camera.orientation2d
        from_center = from_center * (1 if down == "down" else -1, 1 if right == "right" else -1)
        world = np.asarray(camera.center[-2:]) + from_center / camera.zoom
        y, x = self._slide_layer.world_to_data(world)[-2:]
        return float(y), float(x)

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._moved in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._moved)

    def _moved(self, viewer: ViewerModel, event: Any) -> None:
        self._at = np.array(event.pos, dtype=float)
        self._on_move()


def widened(view: Box) -> Box:
    """Return the view with a margin, so that what is loaded outlives a small pan."""
    dy, dx = MARGIN * (view[2] - view[0]), MARGIN * (view[3] - view[1])
    return view[0] - dy, view[1] - dx, view[2] + dy, view[3] + dx


def lies_within(inner: Box, outer: Box) -> bool:
    """Tell whether a box lies in another one."""
    return (
        inner[0] >= outer[0]
        and inner[1] >= outer[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )
