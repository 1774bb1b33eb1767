"""napari's File > Open Sample (npe2): real tissue and synthetic slides. No window, no network."""

from __future__ import annotations

from napari_xce.slides import Slide, samples
from napari_xce.viewer.readers import LayerData, layer_options


def immunohistochemistry() -> list[LayerData]:
    """Return real tissue of unknown pixel size as the data of one image layer."""
    return _layer_data(samples.immunohistochemistry())


def synthetic_he() -> list[LayerData]:
    """Return a synthetic H&E slide as the data of one image layer."""
    return _layer_data(samples.synthetic_he())


def synthetic_he_huge() -> list[LayerData]:
    """Return a synthetic H&E slide of 250,000 x 250,000 px as the data of one image layer."""
    return _layer_data(samples.synthetic_he_huge())


def _layer_data(slide: Slide) -> list[LayerData]:
    """Return a slide's levels, options and layer type; the levels keep the slide alive."""
    return [(slide.levels, layer_options(slide), "image")]
