from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.tiles import TileGrid

GRIDS = [
    TileGrid((1000, 2000), (2.0, 2.0)),
    TileGrid((2999, 2221), (1.98413, 2.0)),
    TileGrid((7, 5), (1.0, 1.0)),
    TileGrid((1000, 701), (0.51, 0.497), core=64, halo=16),
    TileGrid((448, 896), (1.0, 1.0)),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_level0_and_working_points_round_trip(grid):
    points = np.random.default_rng(0).uniform(-50, 3000, (200, 2))
    np.testing.assert_allclose(grid.to_working(grid.to_level0(points)), points, atol=1e-9)
    np.testing.assert_allclose(grid.to_level0(grid.to_working(points)), points, atol=1e-9)


def test_working_pixel_centre_is_where_its_level0_pixels_centre():
    grid = TileGrid((100, 100), (2.0, 4.0))
    np.testing.assert_array_equal(grid.to_level0([[0, 0], [3, 1]]), [[0.5, 1.5], [6.5, 5.5]])


@pytest.mark.parametrize("grid", GRIDS)
def test_cores_partition_the_working_area(grid):
    owners = np.zeros(grid.working_shape, dtype=int)
    for row in range(grid.rows):
        for col in range(grid.cols):
            y0, x0, y1, x1 = grid.core((row, col))
            assert y0 < y1
            assert x0 < x1
            owners[y0:y1, x0:x1] += 1
    assert (owners == 1).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_working_area_covers_the_slide_by_less_than_a_pixel_too_much(grid):
    for cells, pixels, factor in zip(grid.working_shape, grid.shape, grid.factor, strict=True):
        assert -1e-5 < cells * factor - pixels < factor


def test_division_rounding_adds_no_working_row():
    assert TileGrid((1234, 1234), (1234 / 617, 0.1)).working_shape == (617, 12340)


@pytest.mark.parametrize("grid", GRIDS)
def test_window_has_halo_and_context_around_the_core_aligned(grid):
    last = (grid.rows - 1, grid.cols - 1)
    for tile in [(0, 0), last]:
        window = grid.window(tile)
        assert window.core == grid.core(tile)
        for box, border in ((window.seen, grid.halo), (window.read, grid.halo + grid.context)):
            (y0, x0, *sides), core = box, window.core
            assert (y0 + border, x0 + border) == core[:2]
            for side, length in zip(sides, (core[2] - core[0], core[3] - core[1]), strict=True):
                assert length <= side - 2 * border < length + 16
                assert y0 % 16 == x0 % 16 == side % 16 == 0


def test_window_of_several_tiles_is_the_rectangle_around_them():
    grid = TileGrid((5000, 5000), (1.0, 1.0), core=64, halo=16, context=32)
    window = grid.window((3, 2), (2, 4))
    assert window.core == (128, 128, 256, 320)
    assert window.seen == (112, 112, 160, 224)
    assert window.read == (80, 80, 224, 288)


def test_each_point_of_the_slide_is_in_the_core_of_its_tile():
    grid = GRIDS[1]
    points = np.random.default_rng(1).uniform(-0.5, (2998.4, 2220.4), (500, 2))
    for point, (row, col) in zip(points, grid.tile_of(points), strict=True):
        y0, x0, y1, x1 = grid.core_box((row, col))
        assert y0 <= point[0] < y1
        assert x0 <= point[1] < x1
        assert grid.tiles_in((*point, *(point + 1e-3)))[0] == (row, col)


def test_point_outside_the_slide_belongs_to_the_nearest_tile():
    grid = TileGrid((1000, 2000), (2.0, 2.0))
    np.testing.assert_array_equal(grid.tile_of([[-90, 5000], [1001, -3]]), [[0, 2], [1, 0]])


def test_tiles_in_a_box_are_those_whose_core_it_touches():
    grid = TileGrid((4000, 4000), (2.0, 2.0))  # a core spans 896 level-0 pixels
    assert grid.tiles_in((0, 0, 10, 10)) == [(0, 0)]
    assert grid.tiles_in((890, 890, 900, 900)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert grid.tiles_in((-500, 1000, 10, 1800)) == [(0, 1), (0, 2)]


@pytest.mark.parametrize("grid", GRIDS)
def test_core_box_of_a_tile_touches_only_that_tile(grid):
    for tile in [(0, 0), (grid.rows - 1, grid.cols - 1)]:
        assert grid.tiles_in(grid.core_box(tile)) == [tile]


def test_whole_slide_touches_every_tile_and_outside_none():
    grid = TileGrid((4000, 3000), (2.0, 2.0))
    assert len(grid.tiles_in((0, 0, 4000, 3000))) == grid.rows * grid.cols
    assert grid.tiles_in((5000, 0, 6000, 100)) == []
    assert grid.tiles_in((100, 100, 100, 100)) == []
    assert grid.tiles_in((-100, -100, -50, -50)) == []


def test_grids_of_equal_geometry_are_equal_and_hashable():
    assert len({TileGrid((10, 10), (1, 1)), TileGrid((10, 10), (1.0, 1.0))}) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (0, 10), "factor": (1, 1)},
        {"shape": (10, 10), "factor": (0, 1)},
        {"shape": (10, 10), "factor": (float("nan"), 1)},
        {"shape": (10, 10), "factor": (1, 1), "core": 100},
        {"shape": (10, 10), "factor": (1, 1), "halo": 8},
        {"shape": (10, 10), "factor": (1, 1), "context": -16},
    ],
)
def test_impossible_geometry_is_refused(arguments):
    with pytest.raises(ValueError, match=r"cannot be tiled|multiples of 16"):
        TileGrid(**arguments)
