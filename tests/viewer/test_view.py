"""What is on screen, in the slide's own pixels."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.viewer.view import (
    CELL_ON_SCREEN_PX,
    ViewWatcher,
    fly_to,
    screen_px_per_pixel,
    view_box,
)


def test_view_box_is_in_level0_pixels(viewer: ViewerModel, slide_layer: Image) -> None:
    viewer.canvas.size = (200, 100)
    viewer.scene.camera.zoom = 4.0  # 4 screen px per um = 2 per pixel
    viewer.scene.camera.center = slide_layer.data_to_world((150, 160))
    assert view_box(viewer, slide_layer) == pytest.approx((100, 135, 200, 185))


def test_view_box_ends_where_the_slide_ends(viewer: ViewerModel, slide_layer: Image) -> None:
    viewer.scene.camera.zoom = 0.1
    assert view_box(viewer, slide_layer) == (-0.5, -0.5, 300.5, 402.5)


def test_no_view_box_when_slide_is_off_screen(viewer: ViewerModel, slide_layer: Image) -> None:
    viewer.scene.camera.zoom = 10
    viewer.scene.camera.center = (-1e5, -1e5)
    assert view_box(viewer, slide_layer) is None


def test_flying_centres_the_place_and_shows_a_cell_well(
    viewer: ViewerModel, slide_layer: Image
) -> None:
    viewer.scene.camera.zoom = 0.01
    fly_to(viewer, slide_layer, (40, 60), diameter_px=16)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (20, 30))
    assert 16 * screen_px_per_pixel(viewer, slide_layer) == pytest.approx(CELL_ON_SCREEN_PX)


def test_flying_keeps_a_zoom_that_serves(viewer: ViewerModel, slide_layer: Image) -> None:
    viewer.scene.camera.zoom = zoom = 2 * 50 / 16  # a cell of 16 px takes 50 screen px
    fly_to(viewer, slide_layer, (40, 60), diameter_px=16)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)


def test_watcher_says_once_that_the_view_moved(viewer: ViewerModel, slide_layer: Image) -> None:
    watcher = ViewWatcher(viewer)
    assert [watcher.take(), watcher.take()] == [True, False]  # the first view counts
    viewer.scene.camera.zoom *= 2
    viewer.scene.camera.center = (0, 9, 9)
    assert [watcher.take(), watcher.take()] == [True, False]
    viewer.canvas.size = (300, 300)
    assert watcher.take()
    watcher.close()
    viewer.scene.camera.zoom *= 2
    assert not watcher.take()
