"""What we rely on in the napari that is installed, and what we work around: a few lines each.

When one of these fails, napari has changed: look at the place named, the workaround may go.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points
from napari.settings import get_settings

from napari_xce.annotations import Store
from napari_xce.predictions.heat import HeatPyramid
from napari_xce.viewer.annotation_layer import AnnotationLayer
from napari_xce.viewer.compat import one_update
from napari_xce.viewer.detection_layer import DetectionLayer
from napari_xce.viewer.heat_layer import HeatLayer
from napari_xce.viewer.pointer_layer import PointerLayer
from napari_xce.viewer.region_layer import RegionLayer
from napari_xce.viewer.view import view_box

FINE, COARSE = (64, 64), (32, 32)


def _drawn(layer: Layer) -> np.ndarray:
    return layer._slice.image.raw


def _refresh(layer: Layer) -> None:
    layer.refresh(thumbnail=False, extent=False, highlight=False)


@pytest.fixture
def asynchronous(viewer: ViewerModel) -> Iterator[None]:
    """Slice layers in a thread, as with NAPARI_ASYNC=1."""
    settings = get_settings().experimental
    before, settings.async_ = settings.async_, True
    yield
    settings.async_ = before
    viewer._layer_slicer.shutdown()


# ---- the coarsest level is kept for ever: viewer/heat_layer.py, predictions/heat.py


def test_numpy_level_written_in_place_is_drawn_after_a_refresh(viewer: ViewerModel) -> None:
    levels = [np.zeros(FINE, np.uint8), np.zeros(COARSE, np.uint8)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    assert layer.data_level == 1
    levels[1][:] = 200
    _refresh(layer)
    assert _drawn(layer).max() == 200


def test_memory_mapped_level_written_in_place_is_drawn_after_a_refresh(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    coarse = np.memmap(tmp_path / "level", np.uint8, "w+", shape=COARSE)
    layer = viewer.add_image(
        [np.zeros(FINE, np.uint8), coarse], multiscale=True, contrast_limits=(0, 255)
    )
    coarse[:] = 200
    _refresh(layer)
    assert _drawn(layer).max() == 200


@pytest.mark.xfail(strict=True, reason="napari 0.9.2 keeps the coarsest level of lazy arrays")
def test_zarr_level_written_in_place_is_drawn_after_a_refresh(viewer: ViewerModel) -> None:
    levels = [zarr.zeros(shape, chunks=(16, 16), dtype="u1") for shape in (FINE, COARSE)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    levels[1][:] = 200
    _refresh(layer)
    assert _drawn(layer).max() == 200


def test_numpy_level_is_sliced_without_a_copy(viewer: ViewerModel) -> None:
    """Or a refresh would cost the memory of the view, four times a second."""
    levels = [np.zeros(FINE, np.uint8), np.zeros(COARSE, np.uint8)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    assert np.shares_memory(_drawn(layer), levels[layer.data_level])


# ---- asynchronous slicing


def test_painted_heat_is_sliced_anew_with_asynchronous_slicing_too(
    viewer: ViewerModel, slide_layer: Image, asynchronous: None
) -> None:
    """A refresh then asks the viewer to slice, which its window does in a thread."""
    heat = HeatLayer(viewer, slide_layer, (1.0, 1.0))
    layer = heat.show(HeatPyramid((301, 403), stride=4), "tumour", "#56b4e9")
    asked: list[Layer] = []
    layer.events.reload.connect(lambda event: asked.append(event.layer))
    heat.painted((0.0, 0.0, 80.0, 80.0))
    heat.tick((0.0, 0.0, 300.0, 400.0), now=10.0)
    assert asked == [layer]


def test_cells_are_sliced_anew_once_with_asynchronous_slicing_too(asynchronous: None) -> None:
    layer = Points(np.zeros((1, 2)), ndim=2)
    asked: list[Layer] = []
    layer.events.reload.connect(lambda event: asked.append(event.layer))
    with one_update(layer):
        layer.data = np.ones((5, 2))
        layer.size = 3
    assert asked == [layer]


# ---- points


def test_points_are_handed_over_once_however_much_is_set(viewer: ViewerModel) -> None:
    layer = viewer.add_points(np.zeros((1, 2)))
    handed_over: list[int] = []
    layer.events.set_data.connect(lambda event: handed_over.append(len(layer._view_data)))
    with one_update(layer):
        layer.data = np.arange(10.0).reshape(5, 2)
        layer.border_color = np.tile([1.0, 0.0, 0.0, 1.0], (5, 1))
        layer.size = np.full(5, 3.0)
    assert handed_over == [5]
    np.testing.assert_allclose(layer._view_size, 3.0)
    np.testing.assert_allclose(layer._view_border_color[:, 0], 1.0)


# ---- how layers lie on each other: viewer/frame.py


def test_all_our_layers_have_the_units_and_axes_of_the_slide(
    viewer: ViewerModel, slide_layer: Image, store: Store, slide_id: str
) -> None:
    heat = HeatLayer(viewer, slide_layer, (1.0, 1.0))
    pointer = PointerLayer(viewer, slide_layer)
    pointer.point_at((10.0, 10.0), 8.0)
    clicks = AnnotationLayer(
        slide_layer, store, slide_id, 16.0, lambda: None, lambda sentence: None
    )
    regions = RegionLayer(
        slide_layer, store, slide_id, lambda: None, lambda: None, lambda sentence: None
    )
    ours = [
        heat.show(HeatPyramid((301, 403), stride=4), "tumour", "#56b4e9"),
        DetectionLayer(viewer, slide_layer, 16.0).add(),
        clicks.layer,
        regions.layer,
    ]
    ours += [layer for layer in viewer.layers if layer not in (slide_layer, *ours)]
    assert len(ours) == 5
    for layer in ours:
        assert layer.units == slide_layer.units, layer.name
        assert layer.axis_labels == slide_layer.axis_labels, layer.name
    assert {str(unit) for unit in slide_layer.units} == {"micrometer"}


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_heat_of_any_stride_ends_where_the_slide_ends(
    viewer: ViewerModel, slide_layer: Image, stride: int
) -> None:
    """The pyramid is padded, so that napari's factors between its levels are exactly two."""
    pyramid = HeatPyramid((301, 403), stride=stride)
    layer = HeatLayer(viewer, slide_layer, (1.0, 1.0)).show(pyramid, "tumour", "#56b4e9")
    near = layer.data_to_world((-0.5, -0.5))
    np.testing.assert_allclose(near, slide_layer.data_to_world((-0.5, -0.5)))
    far = layer.data_to_world(np.array(pyramid.shape) - 0.5)
    edge = stride * np.array(pyramid.shape) - 0.5
    np.testing.assert_allclose(far, slide_layer.data_to_world(edge))
    factors = np.array(layer.downsample_factors)
    np.testing.assert_array_equal(factors[:, 0], 2.0 ** np.arange(len(factors)))


# ---- what is on screen: viewer/view.py


def test_view_is_told_from_camera_and_canvas_not_from_corner_pixels(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    """`corner_pixels` is what is loaded: it lags behind and may be larger than the view."""
    viewer.canvas.size = (100, 100)
    viewer.scene.camera.center = (0.0, *slide_layer.data_to_world((150.0, 200.0)))
    viewer.scene.camera.zoom = 1 / slide_layer.scale[0]
    box = view_box(viewer, slide_layer)
    assert box == pytest.approx((100.0, 150.0, 200.0, 250.0))
    corners = np.array(slide_layer.corner_pixels)[:, :2]
    assert (corners[0] <= box[:2]).all()
    assert (corners[1] >= np.array(box[2:]) - 1).all()


# ---- keys: viewer/keys.py


def test_keybindings_of_a_manifest_are_still_ignored() -> None:
    """So ours are bound on the layers. When napari heeds them, they belong into the manifest."""
    from napari.plugins import _npe2
    from npe2 import PluginManifest

    manifest = PluginManifest(
        name="some-plugin",
        contributions={
            "commands": [{"id": "some-plugin.act", "title": "Act", "python_name": "math:floor"}],
            "keybindings": [
                {"command": "some-plugin.act", "key": "Ctrl+Alt+Shift+K"}
                | dict.fromkeys(("mac", "linux", "win"), "Ctrl+Alt+Shift+K")
                | {"when": "True"}
            ],
        },
    )
    actions, *_ = _npe2._npe2_manifest_to_actions(manifest)
    assert actions
    assert not any(action.keybindings for action in actions)
