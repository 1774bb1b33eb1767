from __future__ import annotations

import time

import numpy as np
import pytest

from napari_xce.predictions.scheduler import next_tiles
from napari_xce.predictions.tiles import TileGrid
from napari_xce.slides.tissue import TissueMask

GRID = TileGrid((1000, 1000), (1.0, 1.0), core=112, halo=16)  # 9 x 9 tiles, the last ones cut


def box_of(row0, col0, row1, col1, grid=GRID):
    """The level-0 box of a block of tiles, half-open."""
    y0, x0, *_ = grid.core_box((row0, col0))
    *_, y1, x1 = grid.core_box((row1 - 1, col1 - 1))
    return y0, x0, y1, x1


def order_of(view, grid=GRID, revisions=None, revision=1, tissue=None):
    """All tiles that are predicted, in order, until there is nothing left."""
    revisions, order = dict(revisions or {}), []
    while tiles := next_tiles(view, grid, revisions, revision, tissue):
        (tile,) = tiles
        assert tile not in order
        order.append(tile)
        revisions[tile] = revision
    return order


def tissue_at(tiles, grid=GRID):
    """A mask at a sixteenth of the resolution with tissue in the middle of some tiles."""
    mask = np.zeros((63, 63), dtype=bool)
    for row, col in tiles:
        mask[row * 7 + 3, col * 7 + 3] = True
    return TissueMask(mask, (16.0, 16.0), grid.shape)


def test_visible_tiles_come_first_and_nearest_the_centre_first():
    order = order_of(box_of(3, 3, 6, 6))
    assert order[0] == (4, 4)
    assert set(order[1:5]) == {(3, 4), (4, 3), (4, 5), (5, 4)}
    assert set(order[5:9]) == {(3, 3), (3, 5), (5, 3), (5, 5)}


def test_ring_around_the_view_comes_next_and_nothing_after():
    order = order_of(box_of(3, 3, 6, 6))
    ring = {(r, c) for r in range(2, 7) for c in range(2, 7)} - set(order[:9])
    assert set(order[9:]) == ring
    assert len(order) == 25


def test_equally_near_tiles_come_in_rows():
    assert order_of(box_of(3, 3, 6, 6))[1:5] == [(3, 4), (4, 3), (4, 5), (5, 4)]


def test_unpredicted_comes_before_stale_even_if_farther():
    revisions = {(4, 4): 0, (3, 4): 0}
    order = order_of(box_of(3, 3, 6, 6), revisions=revisions)
    assert order[7:9] == [(4, 4), (3, 4)]


def test_stale_in_view_comes_before_unpredicted_in_the_ring():
    inside = {(r, c): 0 for r in range(3, 6) for c in range(3, 6)}
    assert set(order_of(box_of(3, 3, 6, 6), revisions=inside)[:9]) == set(inside)


def test_several_are_the_nearest_and_equally_urgent():
    view = box_of(3, 3, 6, 6)
    inside = {(r, c): 0 for r in range(3, 6) for c in range(3, 6)}
    painted = inside | {(3, 3): 1, (4, 4): 1}  # by the present model
    assert next_tiles(view, GRID, painted, 1, most=3) == [(3, 4), (4, 3), (4, 5)]
    assert len(next_tiles(view, GRID, painted, 1, most=50)) == 7  # of the ring around it none


def test_tile_of_a_withdrawn_newer_revision_is_stale():
    assert next_tiles(box_of(4, 4, 5, 5), GRID, {(4, 4): 7}, 6) == [(4, 4)]


def test_nothing_is_left_when_all_is_up_to_date():
    everything = {(r, c): 3 for r in range(9) for c in range(9)}
    assert next_tiles(box_of(3, 3, 6, 6), GRID, everything, 3) == []


def test_view_at_the_corner_keeps_to_the_slide():
    order = order_of((-500, -500, 50, 50))
    assert order[0] == (0, 0)
    assert set(order) == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("view", [(2000, 0, 3000, 100), (-90, -90, -10, -10), (5, 5, 5, 5)])
def test_view_off_the_slide_asks_for_nothing(view):
    assert next_tiles(view, GRID, {}, 1) == []


def test_without_a_view_the_whole_slide_is_asked_for():
    order = order_of(None)
    assert order[0] == (4, 4)
    assert len(order) == 81


def test_glass_is_last_in_view_and_left_out_of_the_ring():
    order = order_of(box_of(3, 3, 6, 6), tissue=tissue_at([(3, 3), (5, 4), (2, 2), (6, 6), (8, 8)]))
    assert order[:2] == [(5, 4), (3, 3)]
    assert set(order[2:4]) == {(2, 2), (6, 6)}
    assert set(order[4:]) == {(r, c) for r in range(3, 6) for c in range(3, 6)} - set(order[:2])


def test_without_a_view_glass_is_left_out():
    some = [(0, 0), (8, 8), (3, 7)]
    assert set(order_of(None, tissue=tissue_at(some))) == set(some)


def test_tissue_is_seen_on_anisotropic_odd_slides():
    rng = np.random.default_rng(0)
    grid = TileGrid((2999, 1777), (1.7, 0.9), core=112, halo=16)
    mask = rng.random((181, 97)) < 0.02
    tissue = TissueMask(mask, (2999 / 181, 1777 / 97), grid.shape)
    every = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    corner = [tuple(np.array(grid.core_box(tile)) + 0.5) for tile in every]
    expected = {t for t, b in zip(every, corner, strict=True) if tissue.fraction(*b) > 0}
    assert 0 < len(expected) < len(every)
    assert set(order_of(None, grid, tissue=tissue)) == expected


def test_nearness_is_measured_in_working_pixels():
    grid = TileGrid((4000, 1000), (4.0, 1.0), core=112, halo=16)
    assert order_of(box_of(3, 3, 6, 6, grid), grid) == order_of(box_of(3, 3, 6, 6))


def test_huge_slide_is_answered_from_the_view_alone():
    class Counting(dict):
        asked = 0

        def get(self, *args):
            Counting.asked += 1
            return super().get(*args)

    grid = TileGrid((268_800, 268_800), (2.0, 2.0))  # 300 x 300 tiles
    painted = Counting({(r, c): 1 for r in range(300) for c in range(300)})
    painted.update({(150, 150): 0})
    view = box_of(145, 145, 155, 155, grid)
    assert next_tiles(view, grid, painted, 1) == [(150, 150)]
    assert Counting.asked <= 12 * 12
    begin = time.perf_counter()
    next_tiles((0, 0, 268_800, 268_800), grid, dict(painted), 1)
    assert time.perf_counter() - begin < 2
