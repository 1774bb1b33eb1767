"""Masks of the view lie on the cells they belong to."""

from __future__ import annotations

import time

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.viewer.masks_layer import MasksLayer

LABELS = np.array([[0, 1, 1], [0, 0, 2]], dtype=np.int32)
NAMES = ("tumour", "stroma")
ORANGE, BLUE = "#ff8000", "#0000ff"
COLORS = {"tumour": ORANGE, "stroma": BLUE}
#: Three cells of 5 x 5 pixels in a row, the last two touching.
ROW = np.zeros((7, 17), np.int32)
for number, left in enumerate((0, 7, 12), 1):
    ROW[1:6, left : left + 5] = number


def _paint(masks: MasksLayer) -> np.ndarray:
    """Return what is drawn, as float RGBA of each pixel."""
    assert masks.layer is not None
    return masks.layer.colormap.map(masks.layer.data)


def _is(pixel: np.ndarray, color: str) -> bool:
    return np.allclose(pixel[:3], [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)], atol=0.01)


def test_masks_lie_where_their_first_pixel_is(viewer: ViewerModel, slide_layer: Image) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(LABELS, NAMES, COLORS, (2.0, 2.0), (100.0, 50.0))
    assert masks.layer is not None
    np.testing.assert_allclose(
        masks.layer.data_to_world((1, 2)), slide_layer.data_to_world((102, 54))
    )


def test_new_masks_replace_the_old_and_cannot_be_painted(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(LABELS, NAMES, COLORS, (2.0, 2.0), (100.0, 50.0))
    masks.show(LABELS[:, ::-1], NAMES, COLORS, (1.0, 1.0), (0.0, 0.0))
    assert masks.layer is not None
    assert len(viewer.layers) == 2
    assert not masks.layer.editable
    np.testing.assert_allclose(masks.layer.data_to_world((0, 0)), slide_layer.data_to_world((0, 0)))
    masks.close()
    masks.close()
    assert len(viewer.layers) == 1


def test_masks_have_the_colour_of_their_class(viewer: ViewerModel, slide_layer: Image) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(ROW, ("tumour", "stroma", "tumour"), COLORS, (1.0, 1.0), (0.0, 0.0))
    paint = _paint(masks)
    assert _is(paint[3, 2], ORANGE)
    assert _is(paint[3, 9], BLUE)
    assert _is(paint[3, 14], ORANGE)
    assert 0 < paint[3, 2, 3] < 1  # the tissue shows through
    assert paint[0, 0, 3] == 0  # no cell
    assert masks.layer is not None
    assert "stroma" in masks.layer.get_status((1.5, 4.5), world=True)["value"]  # 0.5 um/px


def test_touching_cells_of_a_class_have_a_rim_between_them(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(ROW, ("tumour", "tumour", "tumour"), COLORS, (1.0, 1.0), (0.0, 0.0))
    opacity = _paint(masks)[3, :, 3]
    assert (opacity[11:13] > opacity[9]).all()
    assert opacity[9] == opacity[14]


def test_masks_follow_the_colours_and_names_of_classes(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.recolor(COLORS)  # nothing there yet
    masks.show(LABELS, NAMES, COLORS, (1.0, 1.0), (0.0, 0.0))
    masks.recolor({"tumour": "#00ff00", "renamed": BLUE})
    assert _is(_paint(masks)[0, 1], "#00ff00")
    assert _is(_paint(masks)[1, 2], BLUE)


def test_three_thousand_masks_are_replaced_at_once(viewer: ViewerModel, slide_layer: Image) -> None:
    cells = np.arange(1, 3001, dtype=np.int32).reshape(50, 60)
    labels = np.pad(np.kron(cells, np.ones((12, 12), np.int32)), ((0, 300), (0, 480)))
    names = tuple("tumour" if number % 2 else "stroma" for number in range(3000))
    masks = MasksLayer(viewer, slide_layer)
    masks.show(labels, names, COLORS, (1.0, 1.0), (0.0, 0.0))  # napari gets ready
    started = time.thread_time()
    masks.show(labels, names, COLORS, (1.0, 1.0), (0.0, 0.0))
    assert time.thread_time() - started < 0.2  # colouring each number takes 0.4 s
