"""The heat layer: a class's probability over the slide, drawn from a pyramid that is written in
place. GUI thread only.

The levels are plain numpy (or memmap) arrays: napari keeps the coarsest level of a multiscale layer
for ever, and only for those is what it keeps a view of the same memory (contract test
``test_numpy_levels_show_in_place_writes``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from napari.utils import Colormap

from napari_xce.predictions.detections import Box
from napari_xce.viewer.frame import mark, place, placement, rgba

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_xce.predictions.heat import HeatPyramid

REFRESH_SECONDS = 0.25
FAINT = 0.15  # a probability below this leaves the tissue untinted


class HeatLayer:
    """Owns the ``xce: heat`` layer of one slide; draws one class at a time.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide_layer : napari.layers.Layer
        The layer it lies on.
    factor : tuple of float, (y, x)
        Level-0 pixels per working pixel.
    """

    def __init__(
        self, viewer: ViewerModel, slide_layer: Layer, factor: tuple[float, float]
    ) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self._factor = factor
        self._dirty: Box | None = None
        self._refreshed = -np.inf
        self._pyramid: HeatPyramid | None = None
        self.layer: Image | None = None
        self.shown: tuple[str, str] | None = None  # the class drawn and its colour

    def show(self, pyramid: HeatPyramid, name: str, color: str) -> Image:
        """Draw this class's pyramid from now on; a layer that was removed comes back."""
        colormap = class_colormap(name, color)
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = self._add(pyramid, colormap)
        else:
            if self._pyramid is not pyramid:
                self.layer.data = pyramid.levels
            self.layer.colormap = colormap
        self._pyramid = pyramid
        self.shown = (name, color)
        return self.layer

    def draws(self, pyramid: HeatPyramid, name: str, color: str) -> bool:
        """Tell whether this is what the layer draws already."""
        return self.layer is not None and self._pyramid is pyramid and self.shown == (name, color)

    def follow(self) -> None:
        """Lie on the slide's layer again, after it moved."""
        if self.layer is not None and self._pyramid is not None:
            where = self._pyramid.scale_and_translate(self._factor)
            place(self.layer, self._slide_layer, *where)

    def painted(self, box: Box) -> None:
        """Note that this part (level-0 pixels) was written."""
        self._dirty = box if self._dirty is None else _union(self._dirty, box)

    def tick(self, view: Box | None, now: float) -> None:
        """Draw what was painted, if it is on screen and a quarter of a second has passed."""
        if self._dirty is None or self.layer is None or not self.layer.visible:
            return
        if view is None or not _meet(self._dirty, view) or now - self._refreshed < REFRESH_SECONDS:
            return
        self._dirty, self._refreshed = None, now
        self.layer.refresh(thumbnail=False, extent=False, highlight=False)

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = self._pyramid = self.shown = None

    def _add(self, pyramid: HeatPyramid, colormap: Colormap) -> Image:
        layer = Image(
            pyramid.levels,
            name="xce: heat",
            multiscale=True,
            rgb=False,
            contrast_limits=(0, 255),
            colormap=colormap,
            blending="translucent_no_depth",
            interpolation2d="linear",
            opacity=0.8,
            **placement(self._slide_layer, *pyramid.scale_and_translate(self._factor)),
        )
        mark(layer, "heat")
        self._viewer.layers.insert(self._viewer.layers.index(self._slide_layer) + 1, layer)
        return layer


def class_colormap(name: str, color: str) -> Colormap:
    """Return a colormap from transparent (improbable, or not predicted) to the class's colour."""
    return Colormap(
        [rgba(color, 0.0), rgba(color, 0.0), rgba(color, 0.75)],
        controls=[0.0, FAINT, 1.0],
        name=f"xce {name} {color}",
    )


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
