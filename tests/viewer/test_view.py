"""What is on screen, in the slide's own pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_xce.viewer.view import (
    CELL_ON_SCREEN_PX,
    MouseWatcher,
    ViewWatcher,
    bring_into_view,
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
    told: list[str] = []
    watcher = ViewWatcher(viewer, lambda: told.append("!"))
    assert [watcher.take(), watcher.take()] == [True, False]  # the first view counts
    viewer.scene.camera.zoom *= 2
    viewer.scene.camera.center = (0, 9, 9)
    assert [watcher.take(), watcher.take()] == [True, False]
    viewer.canvas.size = (300, 300)
    assert watcher.take()
    assert len(told) == 3  # at once, each of them
    watcher.close()
    viewer.scene.camera.zoom *= 2
    assert not watcher.take()
    assert len(told) == 3


@pytest.fixture
def looking(viewer: ViewerModel, slide_layer: Image) -> ViewerModel:
    """Return the viewer looking at rows 75 to 225, columns 100 to 300; a cell is 32 px wide."""
    viewer.canvas.size = (300, 400)
    viewer.scene.camera.center = (0, 75, 100)
    viewer.scene.camera.zoom = 4.0
    return viewer


@pytest.mark.parametrize("place", [(150.0, 200.0), (100.0, 120.0), (200.0, 280.0)])
def test_camera_stays_for_a_place_comfortably_in_view(
    looking: ViewerModel, slide_layer: Image, place: tuple[float, float]
) -> None:
    bring_into_view(looking, slide_layer, place, 16.0)
    np.testing.assert_allclose(looking.scene.camera.center[-2:], (75, 100))


@pytest.mark.parametrize("place", [(150.0, 310.0), (220.0, 200.0), (10.0, 10.0)])
def test_camera_moves_to_a_place_at_the_edge_or_outside_and_keeps_its_zoom(
    looking: ViewerModel, slide_layer: Image, place: tuple[float, float]
) -> None:
    bring_into_view(looking, slide_layer, place, 16.0)
    np.testing.assert_allclose(looking.scene.camera.center[-2:], np.array(place) / 2)
    assert looking.scene.camera.zoom == 4.0


def test_camera_comes_nearer_where_a_cell_is_too_small_to_judge(
    looking: ViewerModel, slide_layer: Image
) -> None:
    looking.scene.camera.zoom = 0.5
    bring_into_view(looking, slide_layer, (150.0, 200.0), 16.0)
    on_screen = 16.0 * screen_px_per_pixel(looking, slide_layer)
    assert on_screen == pytest.approx(36.0)


def test_border_of_the_slide_is_no_edge_of_the_view(
    looking: ViewerModel, slide_layer: Image
) -> None:
    looking.scene.camera.center = (0, 20, 30)
    bring_into_view(looking, slide_layer, (2.0, 3.0), 16.0)
    np.testing.assert_allclose(looking.scene.camera.center[-2:], (20, 30))


def test_mouse_is_over_another_place_after_the_view_moved(
    looking: ViewerModel, slide_layer: Image
) -> None:
    moves: list[int] = []
    mouse = MouseWatcher(looking, slide_layer, lambda: moves.append(1))
    assert mouse.place() is None
    (heard,) = looking.mouse_move_callbacks
    heard(looking, SimpleNamespace(pos=(200, 150)))  # the middle of the canvas, (x, y)
    assert mouse.place() == pytest.approx((150.0, 200.0))
    heard(looking, SimpleNamespace(pos=(220, 150)))
    assert mouse.place() == pytest.approx((150.0, 210.0))
    looking.scene.camera.center = (0, 25, 100)
    assert mouse.place() == pytest.approx((50.0, 210.0))
    assert len(moves) == 2
    mouse.close()
    mouse.close()
    assert looking.mouse_move_callbacks == []
