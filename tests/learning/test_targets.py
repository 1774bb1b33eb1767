"""Hand-worked targets on crops of 32 working pixels: a grid of 8 cells of 4, 16 pixels of 2.

A cell of 8 working pixels has on pixels a disc of radius 2.4 and, when its class is dense, a
ring from 4 to 6.4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_xce.learning.targets import Said, grid_target, pixel_target

SIZE, DIAMETER = 32, 8.0


def said(points=(), labels=(), ringed=False, masks=(), regions=()):
    points = np.array(points, float).reshape(-1, 2)
    ringed = np.broadcast_to(np.asarray(ringed), len(points)).copy()
    areas = [(np.array(polygon, float), label) for polygon, label in masks]
    regions = [np.array(region, float) for region in regions]
    return Said(points, np.array(labels, np.int64), ringed, areas, regions, DIAMETER)


def square(low, high):
    """Return a square from pixel edge to pixel edge."""
    a, b = low - 0.5, high - 0.5
    return [(a, a), (a, b), (b, b), (b, a)]


def distances(point, stride):
    """Return the way of each grid cell's middle to a point, working pixels."""
    middle = (np.arange(SIZE // stride) + 0.5) * stride - 0.5
    return np.hypot(middle[:, None] - point[0], middle - point[1])


def test_nothing_said_is_all_unannotated():
    assert (grid_target(said(), SIZE) == np.full((8, 8), -1)).all()
    assert (pixel_target(said(), SIZE) == np.full((16, 16), -1)).all()


def test_click_fills_its_grid_cell_only():
    target = grid_target(said([(13, 22)], [2]), SIZE)
    assert target[3, 5] == 2  # pixels 12..15 and 20..23
    assert (target != -1).sum() == 1


@pytest.mark.parametrize(("edge", "row"), [(-0.5, 0), (3.4, 0), (3.5, 1), (31.4, 7)])
def test_grid_cell_of_a_click_reaches_from_pixel_edge_to_pixel_edge(edge, row):
    assert grid_target(said([(edge, 16)], [1]), SIZE)[row, 4] == 1


@pytest.mark.parametrize("point", [(-0.6, 16), (16, 31.5), (40, 40)])
def test_click_outside_the_crop_fills_no_grid_cell(point):
    assert (grid_target(said([point], [1]), SIZE) == -1).all()


def test_click_fills_a_disc_of_pixels():
    target = pixel_target(said([(15.5, 15.5)], [1]), SIZE)
    # pixel middles lie 1, 3, ... from the click: four at 1.41, the next at 3.16 > 2.4
    assert (target == 1).sum() == 4
    assert (target[7:9, 7:9] == 1).all()
    assert (target == -1).sum() == 16 * 16 - 4


def test_rejection_is_background_where_it_was_made():
    assert grid_target(said([(13, 22)], [0]), SIZE)[3, 5] == 0
    assert pixel_target(said([(13, 23)], [0]), SIZE)[6, 11] == 0


@pytest.mark.parametrize(("make", "stride"), [(grid_target, 4), (pixel_target, 2)])
def test_dense_click_has_a_ring_of_background(make, stride):
    point = (15.5, 15.5)
    target = make(said([point], [1], ringed=True), SIZE)
    away = distances(point, stride)
    assert (target[(away >= 4.01) & (away <= 6.39)] == 0).all()
    assert (target[away > 6.41] == -1).all()
    assert (target == 1).any()


@pytest.mark.parametrize("make", [grid_target, pixel_target])
def test_click_of_a_proposed_class_has_no_ring(make):
    assert (make(said([(15.5, 15.5)], [1]), SIZE) != 0).all()


def test_dense_click_fills_the_grid_cells_around_it():
    wide = replace(said([(15.5, 13.5)], [1], ringed=True), diameter=16.0)  # radius 3.2
    target = grid_target(wide, SIZE)
    # the middles of rows 3 and 4 (13.5 and 17.5) lie 2 away, those of columns 2 and 4 lie 4 away
    assert np.argwhere(target == 1).tolist() == [[3, 3], [4, 3]]


@pytest.mark.parametrize("make", [grid_target, pixel_target])
def test_click_wins_over_the_ring_of_its_neighbour(make):
    points = [(15.5, 11.5), (15.5, 17.0)]  # each in the other's ring
    target = make(said(points, [1, 2], ringed=True), SIZE)
    stride = SIZE // len(target)
    for point, label in zip(points, (1, 2), strict=True):
        row, column = ((np.array(point) + 0.5) // stride).astype(int)
        assert target[row, column] == label


@pytest.mark.parametrize(("make", "stride"), [(grid_target, 4), (pixel_target, 2)])
def test_reviewed_region_is_background_where_nothing_was_clicked(make, stride):
    target = make(said([(9.5, 9.5)], [1], regions=[square(0, 16)]), SIZE)
    away = distances((9.5, 9.5), stride)
    inside = np.zeros_like(target, bool)
    inside[: 16 // stride, : 16 // stride] = True
    assert (target[inside & (away > 4.01)] == 0).all()
    assert (target[inside & (away <= 4)] != 0).all()  # the clicked cell's own place
    assert (target[~inside & (target != 1)] == -1).all()


@pytest.mark.parametrize("make", [grid_target, pixel_target])
def test_nothing_is_spared_around_a_rejection_in_a_reviewed_region(make):
    assert (make(said([(15.5, 15.5)], [0], regions=[square(0, 32)]), SIZE) == 0).all()


def test_mask_fills_its_pixels():
    target = pixel_target(said(masks=[(square(8, 16), 2)]), SIZE)
    assert (target[4:8, 4:8] == 2).all()
    assert (target == 2).sum() == 16


def test_mask_in_a_reviewed_region_stands_on_background():
    target = pixel_target(said(masks=[(square(8, 16), 2)], regions=[square(0, 32)]), SIZE)
    assert (target == 2).sum() == 16
    assert (target == 0).sum() == 16 * 16 - 16


def test_mask_is_not_cut_by_the_ring_of_a_click():
    inside = said([(15.5, 15.5)], [1], ringed=True, masks=[(square(4, 28), 1)])
    assert (pixel_target(inside, SIZE)[2:14, 2:14] == 1).all()


def test_rejection_inside_a_mask_stands():
    target = pixel_target(said([(15.5, 15.5)], [0], masks=[(square(4, 28), 1)]), SIZE)
    assert (target[7:9, 7:9] == 0).all()
    assert target[3, 3] == 1


@pytest.mark.parametrize("make", [grid_target, pixel_target])
def test_held_out_click_is_left_unlabelled_in_a_reviewed_region(make):
    whole = [square(0, 32)]
    target = make(said([(15.5, 15.5)], [-1], regions=whole), SIZE)
    middle = len(target) // 2
    assert (target[middle - 1 : middle + 1, middle - 1 : middle + 1] == -1).all()
    assert (target == 0).any()
    assert (target <= 0).all()


@pytest.mark.parametrize("make", [grid_target, pixel_target])
def test_held_out_click_is_not_ringed_over_by_its_neighbour(make):
    held_out = (15.5, 17.0)
    target = make(said([(15.5, 11.5), held_out], [1, -1], ringed=[True, False]), SIZE)
    row, column = ((np.array(held_out) + 0.5) // (SIZE // len(target))).astype(int)
    assert target[row, column] == -1
