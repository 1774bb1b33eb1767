"""The slide's layer is found by reference, and others are told from it."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.slides.slide import Slide
from napari_xce.viewer.frame import mark
from napari_xce.viewer.slide_layer import add_slide_layer, layer_of, slide_layers, slide_of


def test_slide_is_shown_in_micrometres(viewer: ViewerModel, slide: Slide) -> None:
    layer = add_slide_layer(viewer, slide)
    assert layer.multiscale
    assert layer.rgb
    assert layer.scale.tolist() == [0.5, 0.5]
    assert all("micrometer" in str(unit) for unit in layer.units)


def test_slide_of_unknown_size_is_shown_in_pixels(viewer: ViewerModel) -> None:
    layer = add_slide_layer(viewer, Slide.from_array(np.zeros((40, 40, 3), np.uint8)))
    assert all("pixel" in str(unit) for unit in layer.units)


def test_slide_comes_back_from_its_own_layer(viewer: ViewerModel, slide: Slide) -> None:
    assert slide_of(add_slide_layer(viewer, slide)) is slide


def test_only_flat_images_that_are_not_ours_can_be_annotated(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    grey = viewer.add_image(np.zeros((20, 30)), name="grey")
    viewer.add_image(np.zeros((5, 20, 30)), name="stack")
    viewer.add_labels(np.zeros((20, 30), int))
    mark(viewer.add_image(np.zeros((20, 30)), name="ours"), "heat")
    assert slide_layers(viewer) == [grey, slide_layer]


def test_layer_is_found_after_it_was_renamed(
    viewer: ViewerModel, slide: Slide, slide_layer: Image
) -> None:
    slide_layer.name = "anything"
    assert layer_of(viewer, slide) is slide_layer
    viewer.layers.remove(slide_layer)
    assert layer_of(viewer, slide) is None
