from __future__ import annotations

import numpy as np
import pytest

from napari_xce.errors import XceError
from napari_xce.predictions import heat
from napari_xce.predictions.heat import HeatPyramid, quantise
from napari_xce.predictions.tiles import TileGrid


@pytest.fixture
def on_disk(monkeypatch):
    """Make every pyramid count as large."""
    monkeypatch.setattr(heat, "LARGEST_IN_MEMORY", 1)


@pytest.mark.parametrize("working_shape", [(1, 1), (2048, 2048), (2052, 100), (40_001, 9_999)])
def test_levels_halve_exactly_down_to_a_small_one(working_shape):
    pyramid = HeatPyramid(working_shape)
    assert pyramid.shape == (-(-working_shape[0] // 4), -(-working_shape[1] // 4))
    for fine, coarse in zip(pyramid.levels, pyramid.levels[1:], strict=False):
        assert fine.shape == (2 * coarse.shape[0], 2 * coarse.shape[1])
    assert max(pyramid.levels[-1].shape) <= 512
    assert all(n <= m for n, m in zip(pyramid.shape, pyramid.levels[0].shape, strict=True))
    assert len(pyramid.levels) == 3 or max(pyramid.levels[-2].shape) > 512


def test_coarser_levels_are_the_mean_of_the_predicted_children():
    pyramid = HeatPyramid((8000, 8000))
    pyramid.write(10, 20, np.array([[10, 20], [0, 30]], np.uint8))
    pyramid.write(12, 20, np.array([[40]], np.uint8))
    assert pyramid.levels[1][5, 10] == 20
    assert pyramid.levels[1][6, 10] == 40
    assert pyramid.levels[2][2, 5] == 20
    assert pyramid.levels[2][3, 5] == 40
    assert sum(int(np.count_nonzero(level)) for level in pyramid.levels[:3]) == 4 + 2 + 2


def test_tiles_in_any_order_give_the_pyramid_of_the_whole():
    rng = np.random.default_rng(0)
    grid = TileGrid((5003, 4999), (1.0, 1.0), core=448)
    whole, tiled = HeatPyramid(grid.working_shape), HeatPyramid(grid.working_shape)
    picture = rng.integers(0, 256, whole.shape).astype(np.uint8)
    whole.write(0, 0, picture)
    for index in rng.permutation(grid.rows * grid.cols):
        y0, x0, *_ = grid.core(divmod(int(index), grid.cols))
        row, col = y0 // 4, x0 // 4
        tiled.write(row, col, picture[row : row + 112, col : col + 112])
    for a, b in zip(whole.levels, tiled.levels, strict=True):
        np.testing.assert_array_equal(a, b)


def test_writing_changes_coarser_levels_only_under_the_block():
    pyramid = HeatPyramid((8000, 8000))
    pyramid.write(0, 0, np.full(pyramid.shape, 100, np.uint8))
    pyramid.write(101, 203, np.full((5, 7), 200, np.uint8))
    changed = np.argwhere(pyramid.levels[2] != 100)
    assert changed.min(axis=0).tolist() == [25, 50]
    assert changed.max(axis=0).tolist() == [26, 52]


def test_block_over_the_edge_is_clipped_to_the_slide():
    pyramid = HeatPyramid((4001, 4001))
    pyramid.write(1000, -2, np.full((5, 5), 9, np.uint8))
    assert np.argwhere(pyramid.levels[0]).tolist() == [[1000, 0], [1000, 1], [1000, 2]]
    pyramid.write(5000, 5000, np.full((5, 5), 9, np.uint8))
    pyramid.write(-9, -9, np.full((5, 5), 9, np.uint8))
    assert np.count_nonzero(pyramid.levels[0]) == 3


@pytest.mark.parametrize("factor", [(1.0, 1.0), (2.0, 2.0), (1.98413, 0.503)])
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_heat_lies_exactly_on_the_slide(stride, factor):
    scale, translate = HeatPyramid((1001, 1003), stride).scale_and_translate(factor)
    corner = np.array(translate) - 0.5 * np.array(scale)
    np.testing.assert_allclose(corner, (-0.5, -0.5), atol=1e-12)
    grid = TileGrid((2001, 2003), factor)
    heat_pixel = np.array([3, 7])
    its_working_pixels = heat_pixel * stride + (stride - 1) / 2
    np.testing.assert_allclose(
        heat_pixel * np.array(scale) + translate, grid.to_level0(its_working_pixels)[0], atol=1e-9
    )


def test_quantised_probabilities_never_read_as_unpredicted():
    assert quantise([0, 1e-9, 1, 2, -1]).tolist() == [1, 1, 255, 255, 1]
    assert quantise([[np.nan]]).tolist() == [[0]]
    p = np.linspace(0, 1, 1000)
    np.testing.assert_allclose((quantise(p) - 1.0) / 254, p, atol=0.5 / 254 + 1e-6)


def test_large_pyramid_is_mapped_and_leaves_no_file(tmp_path, on_disk):
    pyramid = HeatPyramid((8001, 4000), path=tmp_path / "heat")
    assert all(isinstance(level, np.memmap) for level in pyramid.levels)
    pyramid.write(0, 0, np.full((112, 112), 7, np.uint8))
    assert pyramid.levels[0][111, 111] == 7
    assert pyramid.levels[-1][0, 0] == 7
    shown = pyramid.levels[0]
    pyramid.close()
    assert shown[0, 0] == 7
    del shown
    assert list((tmp_path / "heat").iterdir()) == []


def test_pyramid_of_a_huge_slide_takes_no_disk_until_written(tmp_path):
    pyramid = HeatPyramid((125_000, 125_000), path=tmp_path)
    assert sum(level.size for level in pyramid.levels) > 1e9
    assert isinstance(pyramid.levels[0], np.memmap)
    pyramid.write(31_000, 31_000, np.full((112, 112), 7, np.uint8))
    assert pyramid.levels[-1].max() == 7
    pyramid.close()


def test_full_disk_is_said_before_anything_is_written(tmp_path, on_disk, monkeypatch):
    pyramid = HeatPyramid((4000, 4000), path=tmp_path)
    full = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(heat.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(XceError, match="nearly full"):
        pyramid.write(0, 0, np.full((4, 4), 7, np.uint8))
    assert not pyramid.levels[0].any()
    with pytest.raises(XceError, match="Free some space"):
        HeatPyramid((4000, 4000), path=tmp_path)


def test_folder_that_cannot_be_written_is_named(tmp_path, on_disk):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(XceError, match="choose another folder"):
        HeatPyramid((4000, 4000), path=tmp_path / "file")


def test_clear_keeps_the_arrays_that_are_shown():
    pyramid = HeatPyramid((8000, 8000))
    shown = list(pyramid.levels)
    pyramid.write(0, 0, np.full((300, 300), 7, np.uint8))
    pyramid.clear()
    assert all(a is b for a, b in zip(shown, pyramid.levels, strict=True))
    assert not any(level.any() for level in shown)


def test_block_that_comes_after_closing_is_dropped():
    pyramid = HeatPyramid((1000, 1000))
    level = pyramid.levels[0]
    pyramid.close()
    pyramid.close()
    pyramid.write(0, 0, np.full((4, 4), 7, np.uint8))
    assert not level.any()


def test_sketched_cells_show_far_out_and_leave_what_is_painted():
    heat = HeatPyramid((4480, 4480), 4)  # 1120 heat pixels, 280 at level 2, tiles of 28 there
    heat.write(0, 0, np.full((112, 112), 200, np.uint8))
    tiles = np.array([[0, 0], [1, 0]])
    heat.sketch(tiles, 112, np.array([[120.0, 9.0]]), np.array([1.0], np.float32))
    assert not heat.levels[0][112:].any()
    coarse = heat.levels[2]
    assert coarse[30, 2] == 1 + round(254 * (1 - np.exp(-20 / 4)))  # the cell fills a quarter
    assert (coarse[28:56, :28] > 0).all()  # its tile is predicted
    assert (coarse[:28, :28] == 200).all()
    assert not coarse[56:].any()
    assert not coarse[:, 28:].any()
