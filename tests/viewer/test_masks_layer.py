"""Masks of the view lie on the cells they belong to."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.viewer.masks_layer import MasksLayer

LABELS = np.array([[0, 1, 1], [0, 0, 2]], dtype=np.int32)


def test_masks_lie_where_their_first_pixel_is(viewer: ViewerModel, slide_layer: Image) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(LABELS, (2.0, 2.0), (100.0, 50.0))
    assert masks.layer is not None
    np.testing.assert_allclose(
        masks.layer.data_to_world((1, 2)), slide_layer.data_to_world((102, 54))
    )


def test_new_masks_replace_the_old_and_cannot_be_painted(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    masks = MasksLayer(viewer, slide_layer)
    masks.show(LABELS, (2.0, 2.0), (100.0, 50.0))
    masks.show(LABELS[:, ::-1], (1.0, 1.0), (0.0, 0.0))
    assert masks.layer is not None
    assert len(viewer.layers) == 2
    assert not masks.layer.editable
    np.testing.assert_allclose(masks.layer.data_to_world((0, 0)), slide_layer.data_to_world((0, 0)))
    masks.close()
    masks.close()
    assert len(viewer.layers) == 1
