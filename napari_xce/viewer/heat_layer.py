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
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.viewer.frame import mark, place, placement, rgba

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_xce.predictions.heat import HeatPyramid

REFRESH_SECONDS = 0.25
MOST_BOXES = 64  # that are kept one by one
FAINT = 0.15  # a probability below this leaves the tissue untinted
#: Heat (of 255) that has the full colour: near; and far out, where it stands for how dense cells
#: are, as a pixel is the mean over cells and the tissue between them.
NEAR, FAR = 255.0, 80.0


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
        self._dirty: list[Box] = []  # painted and not drawn yet
        self._since = np.inf  # when the first of them was seen in the view
        self._view: Box | None = None
        self._is_far = False
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
                self.layer.data = self._levels(pyramid)
            self.layer.colormap = colormap
        self._pyramid = pyramid
        self.shown = (name, color)
        return self.layer

    def _finest(self, pyramid: HeatPyramid) -> int:
        """Return the finest level to draw."""
        return pyramid.density_level if self._is_far else 0

    def _levels(self, pyramid: HeatPyramid) -> list[NDArray[np.uint8]]:
        """Return the levels to draw."""
        return pyramid.levels[self._finest(pyramid) :]

    def draws(self, pyramid: HeatPyramid, name: str, color: str) -> bool:
        """Tell whether this is what the layer draws already."""
        return self.layer is not None and self._pyramid is pyramid and self.shown == (name, color)

    def follow(self) -> None:
        """Lie on the slide's layer again, after it moved."""
        if self.layer is not None and self._pyramid is not None:
            place(self.layer, self._slide_layer, *self._where(self._pyramid))

    def _where(self, pyramid: HeatPyramid) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return scale and translation of what is drawn, level-0 pixels."""
        return pyramid.scale_and_translate(self._factor, self._finest(pyramid))

    def fit(self, is_far: bool) -> None:
        """Draw heat as the density of cells that are too small on screen to be drawn, or not.

        Density is drawn from the levels that cells read from a file are sketched in, too: finer
        ones would be empty of these, and close up they show heat, or nothing.
        """
        if is_far == self._is_far:
            return
        self._is_far = is_far
        if self.layer is not None and self._pyramid is not None:
            self.layer.contrast_limits = (0, FAR if is_far else NEAR)
            self.layer.data = self._levels(self._pyramid)
            self.follow()

    def painted(self, box: Box) -> None:
        """Note that this part (level-0 pixels) was written."""
        self._dirty.append(box)
        if len(self._dirty) > MOST_BOXES:
            self._dirty = [_union(self._dirty)]

    def is_drawn(self, view: Box) -> bool:
        """Tell whether all that was painted in a view has been drawn."""
        return not any(meet(box, view) for box in self._dirty)

    def tick(self, view: Box | None, now: float, at_once: bool = False) -> None:
        """Draw what was painted, if it is on screen and has waited for a quarter of a second.

        Tiles follow each other, and without a graphics card a frame for each would hold up those
        that are to come. What was painted before it came into view is drawn at once.

        Parameters
        ----------
        view : (y0, x0, y1, x1) in level-0 pixels, or None
            What is on screen.
        now : float
            Seconds of a monotonic clock.
        at_once : bool
            Do not wait: the view has just been painted to the end.
        """
        at_once |= view != self._view
        self._view = view
        if view is None or self.layer is None or not self.layer.visible or self.is_drawn(view):
            self._since = np.inf
            return
        self._since = min(self._since, now)
        if not at_once and now - self._since < REFRESH_SECONDS:
            return
        self._dirty = [box for box in self._dirty if not meet(box, view)]
        self._since = np.inf
        self.layer.refresh(thumbnail=False, extent=False, highlight=False)

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = self._pyramid = self.shown = None

    def _add(self, pyramid: HeatPyramid, colormap: Colormap) -> Image:
        layer = Image(
            self._levels(pyramid),
            name="xce: heat",
            multiscale=True,
            rgb=False,
            contrast_limits=(0, FAR if self._is_far else NEAR),
            colormap=colormap,
            blending="translucent_no_depth",
            interpolation2d="linear",
            opacity=0.8,
            **placement(self._slide_layer, *self._where(pyramid)),
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


def _union(boxes: list[Box]) -> Box:
    (y0, x0), (y1, x1) = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    return float(y0), float(x0), float(y1), float(x1)


def meet(a: Box, b: Box) -> bool:
    """Tell whether two boxes (y0, x0, y1, x1) overlap."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
