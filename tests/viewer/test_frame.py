"""Overlays lie exactly on the slide, wherever and however large the slide's layer is."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_xce.viewer.frame import mark, place, placement, rgba, role_of


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("side", [160, 4000])
def test_overlay_of_any_stride_covers_the_slide(stride: int, side: int) -> None:
    slide = Image(np.zeros((side, side)), scale=(0.5, 0.25), translate=(7, -3))
    shift = ((stride - 1) / 2,) * 2
    overlay = Image(np.zeros((side // stride,) * 2), **placement(slide, (stride, stride), shift))
    last = side // stride - 0.5  # corners of pixels: ``extent`` is of their centres
    for of_overlay, of_slide in ((-0.5, -0.5), (last, side - 0.5)):
        np.testing.assert_allclose(
            overlay.data_to_world((of_overlay,) * 2), slide.data_to_world((of_slide,) * 2)
        )


def test_overlay_follows_rotation_shear_and_affine() -> None:
    affine = np.array([[1.1, 0.2, 5], [0, 0.9, 2], [0, 0, 1]])
    slide = Image(
        np.zeros((40, 40)), scale=(2, 3), translate=(1, 2), rotate=30, shear=[0.2], affine=affine
    )
    overlay = Image(np.zeros((10, 10)), **placement(slide, (4, 4), (1.5, 1.5)))
    for y, x in ((0, 0), (3, 9), (9, 2)):
        on_slide = (4 * y + 1.5, 4 * x + 1.5)
        np.testing.assert_allclose(overlay.data_to_world((y, x)), slide.data_to_world(on_slide))


def test_placing_an_existing_layer_moves_it_onto_the_slide() -> None:
    slide = Image(np.zeros((40, 40)), scale=(2, 2), translate=(5, 5), units="um")
    overlay = Image(np.zeros((40, 40)))
    place(overlay, slide)
    np.testing.assert_allclose(overlay.extent.world, slide.extent.world)
    assert overlay.units == slide.units


def test_layers_are_told_by_metadata_and_not_by_name() -> None:
    ours, theirs = Image(np.zeros((4, 4)), name="a"), Image(np.zeros((4, 4)), name="xce: heat")
    mark(ours, "heat")
    assert (role_of(ours), role_of(theirs)) == ("heat", None)


def test_colour_becomes_four_floats() -> None:
    assert rgba("#ff0080", 0.5) == (1.0, 0.0, 128 / 255, 0.5)
