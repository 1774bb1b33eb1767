"""The slide's layer: which layers can be annotated, the slide behind one, and a layer for a slide.
GUI thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from napari_xce.slides.level import LevelArray
from napari_xce.slides.slide import Slide
from napari_xce.viewer.frame import role_of
from napari_xce.viewer.readers import layer_options

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def slide_layers(viewer: ViewerModel) -> list[Image]:
    """Return the image layers that can be annotated, the topmost first: two-dimensional, and not
    one of ours.
    """
    return [layer for layer in reversed(viewer.layers) if is_slide_layer(layer)]


def is_slide_layer(layer: Layer) -> bool:
    """Tell whether a layer is a flat image that is no overlay of ours."""
    return isinstance(layer, Image) and layer.ndim == 2 and role_of(layer) in (None, "slide")


def slide_of(layer: Image) -> Slide:
    """Return the slide a layer shows.

    Raises
    ------
    SlideError
        If the layer is no 2-D image.
    """
    return Slide.from_layer(layer)


def add_slide_layer(viewer: ViewerModel, slide: Slide) -> Image:
    """Show a slide: a multiscale RGB layer, in micrometres where the pixel size is known."""
    layer = Image(slide.levels, **layer_options(slide))
    viewer.layers.append(layer)
    return layer


def layer_of(viewer: ViewerModel, slide: Slide) -> Image | None:
    """Return the layer that shows this slide, opened by us or by our reader, or None."""
    for layer in slide_layers(viewer):
        level = layer.data[0] if layer.multiscale else layer.data
        if isinstance(level, LevelArray) and (
            level.slide is slide or level.slide.fingerprint == slide.fingerprint
        ):
            return layer
    return None
