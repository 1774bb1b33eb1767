"""Heat is drawn from arrays that are written in place, at a bearable pace."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.predictions.heat import HeatPyramid
from napari_xce.viewer.heat_layer import REFRESH_SECONDS, HeatLayer, class_colormap

VIEW = (0.0, 0.0, 300.0, 400.0)


@pytest.fixture
def heat(viewer: ViewerModel, slide_layer: Image) -> HeatLayer:
    return HeatLayer(viewer, slide_layer, factor=(1.0, 1.0))


@pytest.fixture
def pyramid() -> HeatPyramid:
    return HeatPyramid((301, 403), stride=4)


def _drawn(heat: HeatLayer) -> np.ndarray:
    assert heat.layer is not None
    return heat.layer._slice.image.raw


def test_numpy_levels_show_in_place_writes(viewer: ViewerModel) -> None:
    """Contract with napari: it keeps the coarsest level for ever, and a numpy one by reference."""
    levels = [np.zeros((64, 64), np.uint8), np.zeros((32, 32), np.uint8)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    assert layer.data_level == 1
    levels[1][:] = 200
    layer.refresh(thumbnail=False, extent=False, highlight=False)
    assert layer._slice.image.raw.max() == 200


def test_heat_lies_on_the_slide(heat: HeatLayer, slide_layer: Image, pyramid: HeatPyramid) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    assert heat.layer is not None
    corner = heat.layer.data_to_world((-0.5, -0.5))
    np.testing.assert_allclose(corner, slide_layer.data_to_world((-0.5, -0.5)))
    far = heat.layer.data_to_world((75 - 0.5, 100 - 0.5))  # 75 heat pixels of 4
    np.testing.assert_allclose(far, slide_layer.data_to_world((299.5, 399.5)))
    assert heat.layer.units == slide_layer.units


def test_painted_tile_shows_after_a_tick(heat: HeatLayer, pyramid: HeatPyramid) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    pyramid.write(0, 0, np.full((20, 20), 255, np.uint8))
    heat.painted((0, 0, 80, 80))
    heat.tick(VIEW, now=10.0)
    assert _drawn(heat).max() == 255


def test_layer_is_refreshed_four_times_a_second_at_most(
    heat: HeatLayer, pyramid: HeatPyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    refreshed: list[float] = []
    monkeypatch.setattr(Image, "refresh", lambda self, **_: refreshed.append(now))
    for now in np.arange(0, 1, 0.05):
        heat.painted((0, 0, 80, 80))
        heat.tick(VIEW, float(now))
    assert 3 <= len(refreshed) <= 4
    assert np.diff(refreshed).min() >= REFRESH_SECONDS - 1e-9


def test_tiles_that_follow_each_other_are_drawn_together(
    heat: HeatLayer, pyramid: HeatPyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    heat.tick(VIEW, 1.0)
    refreshed: list[str] = []
    monkeypatch.setattr(Image, "refresh", lambda self, **_: refreshed.append("!"))
    heat.painted((0, 0, 80, 80))
    heat.tick(VIEW, 5.0)
    heat.painted((80, 0, 160, 80))
    heat.tick(VIEW, 5.0 + REFRESH_SECONDS / 2)
    assert not refreshed
    heat.tick(VIEW, 5.0 + REFRESH_SECONDS)
    assert len(refreshed) == 1
    heat.painted((160, 0, 240, 80))
    heat.tick(VIEW, 5.5, at_once=True)  # the last tile of the view
    assert len(refreshed) == 2


def test_nothing_is_refreshed_out_of_view_or_hidden(
    heat: HeatLayer, pyramid: HeatPyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    assert heat.layer is not None
    refreshed: list[str] = []
    monkeypatch.setattr(Image, "refresh", lambda self, **_: refreshed.append("!"))
    heat.tick(VIEW, 1.0)  # nothing painted
    heat.painted((0, 0, 80, 80))
    heat.tick((100.0, 100.0, 200.0, 200.0), 2.0)
    heat.tick(None, 3.0)
    assert not refreshed
    heat.tick(VIEW, 4.0)  # the view came back
    assert refreshed


def test_other_class_brings_its_own_pyramid_and_colour(
    viewer: ViewerModel, heat: HeatLayer, pyramid: HeatPyramid
) -> None:
    other = HeatPyramid((301, 403), stride=4)
    other.write(0, 0, np.full((76, 101), 99, np.uint8))
    heat.show(pyramid, "tumour", "#56b4e9")
    heat.show(other, "stroma", "#009e73")
    assert heat.layer is not None
    assert sum(layer.name == "xce: heat" for layer in viewer.layers) == 1
    assert heat.draws(other, "stroma", "#009e73")
    assert _drawn(heat).max() == 99
    np.testing.assert_allclose(heat.layer.colormap.colors[-1][:3], (0, 0x9E / 255, 0x73 / 255))


def test_removed_layer_comes_back_when_shown(
    viewer: ViewerModel, heat: HeatLayer, pyramid: HeatPyramid
) -> None:
    heat.show(pyramid, "tumour", "#56b4e9")
    viewer.layers.remove(heat.layer)
    heat.show(pyramid, "tumour", "#56b4e9")
    assert heat.layer in viewer.layers
    heat.close()
    heat.close()
    assert len(viewer.layers) == 1


def test_unpredicted_is_transparent_and_sure_is_the_colour() -> None:
    colors = class_colormap("tumour", "#56b4e9").map(np.array([0.0, 1.0]))
    assert colors[0, 3] == 0
    assert colors[1, 3] > 0.5


def test_cells_of_a_file_show_from_afar_and_do_not_blur_close_ups(
    heat: HeatLayer, slide_layer: Image
) -> None:
    pyramid = HeatPyramid((301, 403), stride=4)
    heat.show(pyramid, "tumour", "#56b4e9")
    assert heat.layer is not None
    heat.fit(is_far=True)
    pyramid.sketch(np.array([[0, 0]]), 112, np.array([[8.5, 16.5]]), np.ones(1, np.float32))
    heat.layer.refresh()
    assert np.unravel_index(_drawn(heat).argmax(), _drawn(heat).shape) == (2, 4)  # 4 x 4 a pixel
    corner = heat.layer.data_to_world((-0.5, -0.5))
    np.testing.assert_allclose(corner, slide_layer.data_to_world((-0.5, -0.5)))
    place = heat.layer.data_to_world((2, 4))  # a pixel of 16: its middle is 16 * 2 + 7.5
    np.testing.assert_allclose(place, slide_layer.data_to_world((39.5, 71.5)))
    heat.fit(is_far=False)
    assert not heat.layer.data[0].any()
    heat.fit(is_far=True)
    other = HeatPyramid((301, 403), stride=4)
    heat.show(other, "stroma", "#009e73")  # another class, from afar
    assert heat.layer.data[0].shape == other.levels[2].shape


def test_sparse_cells_tint_the_tissue_where_they_are_too_small_to_draw(
    heat: HeatLayer, pyramid: HeatPyramid
) -> None:
    """From afar a pixel is the mean of sure cells, an eighth of it, and of tissue between them."""

    def opacity() -> float:
        assert heat.layer is not None
        share = np.array([255 / 8 / heat.layer.contrast_limits[1]])
        return float(heat.layer.colormap.map(share)[0, 3])

    heat.show(pyramid, "tumour", "#56b4e9")
    heat.fit(is_far=False)
    assert opacity() == 0
    heat.fit(is_far=True)
    assert opacity() > 0.15
    heat.fit(is_far=False)
    assert opacity() == 0
