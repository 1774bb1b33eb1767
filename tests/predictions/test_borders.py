from __future__ import annotations

import numpy as np

from napari_xce.predictions.borders import find_doubles
from napari_xce.predictions.detections import Detections


def cells(points, scores, diameters=10.0):
    n = len(points)
    return Detections(points, ["a"] * n, scores, np.broadcast_to(np.float32(diameters), n))


def indices(doubles):
    return [found.tolist() for found in doubles]


def test_lower_score_of_a_near_pair_is_the_double():
    left = cells([[50, 99], [20, 90]], [0.9, 0.5])
    right = cells([[50, 101], [80, 110]], [0.7, 0.5])
    assert indices(find_doubles(left, right)) == [[], [0]]
    assert indices(find_doubles(right, left)) == [[0], []]


def test_first_tile_stands_where_scores_are_equal():
    assert indices(find_doubles(cells([[0, 0]], [0.5]), cells([[0, 1]], [0.5]))) == [[], [0]]


def test_distance_is_measured_in_mean_diameters():
    big, small = cells([[0, 0]], [0.9], 24.0), cells([[0, 6]], [0.5], 16.0)  # 0.35 * 20 = 7
    assert indices(find_doubles(big, small)) == [[], [0]]
    assert indices(find_doubles(big, cells([[0, 7.1]], [0.5], 16.0))) == [[], []]


def test_merge_radius_replaces_diameters():
    first, second = cells([[0, 0]], [0.9]), cells([[0, 9]], [0.5])
    assert indices(find_doubles(first, second)) == [[], []]
    assert indices(find_doubles(first, second, merge_radius=9.0)) == [[], [0]]


def test_unknown_diameter_takes_the_other_or_none():
    unknown = cells([[0, 0]], [0.9], np.nan)
    assert indices(find_doubles(unknown, cells([[0, 3]], [0.5], 10.0))) == [[], [0]]
    assert indices(find_doubles(unknown, cells([[0, 0]], [0.5], np.nan))) == [[], []]


def test_one_double_hides_at_most_one_of_two_real_cells():
    two_cells = cells([[0, 0], [0, 6]], [0.9, 0.2])
    between = cells([[0, 2.9]], [0.5])
    assert indices(find_doubles(two_cells, between)) == [[], [0]]


def test_tiles_without_cells_have_no_doubles():
    nothing = Detections.empty()
    assert indices(find_doubles(nothing, cells([[0, 0]], [0.9]))) == [[], []]
    assert indices(find_doubles(nothing, nothing)) == [[], []]
