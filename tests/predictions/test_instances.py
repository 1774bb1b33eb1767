from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.detections import Detections
from napari_xce.predictions.instances import enlarge, label_instances, mask_box
from napari_xce.predictions.tiles import TileGrid

GRID = TileGrid((400, 300), (1.0, 1.0), core=128, halo=32)  # mask pixels are 2 level-0 pixels
WHOLE = (0, 0, 200, 150)


def cells_at(points, diameter=20.0):
    n = len(points)
    return Detections(points, ["cell"] * n, [0.9] * n, [diameter] * n)


def discs(points, radius, grid=GRID):
    """Return a foreground that is 1 within the radius (level-0 pixels) of each point, else 0."""
    return hills(points, grid, lambda away: (away <= radius).astype(np.float32))


def hills(points, grid, height):
    """Return a foreground whose value depends on the way to the nearest point."""
    side = grid.core_size // 2

    def foreground(tile):
        top, left, bottom, right = grid.core(tile)
        rows, columns = -(-(bottom - top) // 2), -(-(right - left) // 2)
        i, j = np.mgrid[:rows, :columns]
        mask = np.stack([i + tile[0] * side, j + tile[1] * side], -1) * 2 + 0.5  # working pixels
        level0 = (mask + 0.5) * grid.factor - 0.5
        away = np.linalg.norm(level0[..., None, :] - np.array(points), axis=-1).min(-1)
        return height(away)

    return foreground


def test_touching_discs_are_split_between_their_cells():
    points = np.array([(100.5, 60.5), (100.5, 80.5)])
    soft = hills(points, GRID, lambda away: np.clip(1.2 - away / 20, 0, 1).astype(np.float32))
    labels = label_instances(GRID, soft, cells_at(points), WHOLE)
    assert np.unique(labels).tolist() == [0, 1, 2]
    middle = 35  # mask column of level-0 70.5, half way
    assert (labels[:, : middle - 1] != 2).all()
    assert (labels[:, middle + 2 :] != 1).all()
    areas = np.bincount(labels.ravel())[1:]
    assert areas[0] == pytest.approx(areas[1], rel=0.15)


def test_label_of_a_cell_is_its_number_from_one():
    points = np.array([(40.5, 40.5), (200.5, 100.5), (340.5, 250.5)])
    labels = label_instances(GRID, discs(points, 10), cells_at(points), WHOLE)
    assert [labels[int(y // 2), int(x // 2)] for y, x in points] == [1, 2, 3]
    area = np.pi * 5**2  # mask pixels
    np.testing.assert_allclose(np.bincount(labels.ravel())[1:], area, rtol=0.1)


def test_foreground_without_a_cell_is_left_out():
    labels = label_instances(
        GRID, discs([(40.5, 40.5), (200.5, 100.5)], 10), cells_at([(40.5, 40.5)]), WHOLE
    )
    assert labels[100, 50] == 0
    assert (labels > 0).any()


def test_cell_without_foreground_still_has_a_disc():
    nothing = discs([(-500.0, -500.0)], 1)
    labels = label_instances(GRID, nothing, cells_at([(100.5, 100.5)]), WHOLE)
    assert labels[50, 50] == 1
    # 0.35 of the diameter: 3.5 level-0 pixels of radius, 1.75 mask pixels
    assert (labels == 1).sum() == pytest.approx(np.pi * 1.75**2, abs=3)


def test_cell_of_unknown_diameter_still_has_a_disc():
    nothing = discs([(-500.0, -500.0)], 1)
    labels = label_instances(GRID, nothing, cells_at([(100.5, 100.5)], np.nan), WHOLE)
    assert labels[50, 50] == 1


def test_tiny_cell_between_mask_pixels_is_not_lost():
    nothing = discs([(-500.0, -500.0)], 1)
    for y in (99.5, 100.0, 100.5, 101.2):
        labels = label_instances(GRID, nothing, cells_at([(y, 101.5)], 2.0), WHOLE)
        assert (labels == 1).any()


def test_every_rectangle_gives_the_same_labels():
    rng = np.random.default_rng(0)
    points = rng.uniform((10, 10), (390, 290), (60, 2))
    foreground = hills(points, GRID, lambda away: np.clip(1.1 - away / 15, 0, 1).astype("f4"))
    cells = cells_at(points, 14.0)
    whole = label_instances(GRID, foreground, cells, WHOLE)
    for box in [(40, 40, 60, 60), (64, 0, 64, 64), (100, 101, 37, 23), (0, 64, 128, 30)]:
        y, x, height, width = box
        part = label_instances(GRID, foreground, cells, box)
        np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


def test_rectangle_beyond_the_slide_is_empty_there():
    points = np.array([(40.5, 40.5)])
    labels = label_instances(GRID, discs(points, 10), cells_at(points), (-30, -20, 60, 60))
    whole = label_instances(GRID, discs(points, 10), cells_at(points), WHOLE)
    assert (labels[:30] == 0).all()
    np.testing.assert_array_equal(labels[30:, 20:], whole[:30, :40])


def test_no_cells_give_no_labels():
    labels = label_instances(GRID, discs([(40.5, 40.5)], 10), Detections.empty(), WHOLE)
    assert labels.shape == (200, 150)
    assert labels.dtype == np.int32
    assert not labels.any()


@pytest.mark.parametrize("factor", [(1.0, 1.0), (2.004, 1.987), (0.46, 0.62), (1.0, 1.667)])
@pytest.mark.parametrize("region", [(0, 0, 40, 40), (13, 27, 51, 33), (7, 90, 1, 1)])
def test_mask_box_covers_the_level0_region_and_no_more(factor, region):
    grid = TileGrid((1000, 1000), factor)
    box = mask_box(grid, region)
    for axis in (0, 1):
        step = 2 * factor[axis]
        first, last = region[axis], region[axis] + region[axis + 2] - 1
        low, high = box[axis] * step - 0.5, (box[axis] + box[axis + 2]) * step - 0.5  # edges
        assert low <= first < low + step  # pixel centres lie in the first and in the last one
        assert high - step <= last < high


@pytest.mark.parametrize("factor", [(1.0, 1.0), (2.004, 1.987), (0.46, 0.62), (1.0, 1.667)])
def test_enlarged_pixels_lie_under_the_mask_pixel_that_holds_them(factor):
    grid = TileGrid((1000, 1000), factor)
    region = (13, 27, 51, 33)
    y, x, height, width = mask_box(grid, region)
    labels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    large = enlarge(labels, (y, x), grid, region)
    assert large.shape == (51, 33)
    for i, j in [(0, 0), (50, 32), (17, 8), (33, 31)]:
        row = np.floor((13 + i + 0.5) / (2 * factor[0])) - y
        column = np.floor((27 + j + 0.5) / (2 * factor[1])) - x
        assert large[i, j] == labels[int(row), int(column)]


def test_enlarging_by_two_repeats_each_pixel_twice():
    grid = TileGrid((20, 20), (1.0, 1.0))
    labels = np.array([[1, 2], [3, 4]], np.int32)
    np.testing.assert_array_equal(
        enlarge(labels, (0, 0), grid, (0, 0, 4, 4)), np.kron(labels, np.ones((2, 2), np.int32))
    )
    np.testing.assert_array_equal(enlarge(labels, (0, 0), grid, (1, 1, 2, 2)), [[1, 2], [3, 4]])


def test_cells_of_an_uneven_slide_land_where_they_are():
    grid = TileGrid((800, 700), (2.0, 1.667), core=128, halo=32)
    points = np.array([(300.0, 200.0), (500.0, 420.0)])
    region = (250, 150, 320, 330)
    box = mask_box(grid, region)
    labels = label_instances(grid, discs(points, 20, grid), cells_at(points, 40.0), box)
    large = enlarge(labels, box[:2], grid, region)
    for k, point in enumerate(points, 1):
        where = np.argwhere(large == k)
        np.testing.assert_allclose(where.mean(0) + region[:2], point, atol=1.5)
