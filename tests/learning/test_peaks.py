from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_xce.learning.peaks import find_peaks, grid_to_working, suppress_neighbours


def peaks_of(score, threshold=0.2):
    rows, columns = find_peaks(torch.tensor(score, dtype=torch.float32), threshold)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def kept(points, scores, radius):
    radii = np.broadcast_to(np.asarray(radius, np.float32), len(points))
    found = suppress_neighbours(
        np.asarray(points, float).reshape(-1, 2), np.asarray(scores, np.float32), radii
    )
    return found.tolist()


def test_peaks_are_the_highest_around_them():
    score = [
        [0.9, 0.5, 0.1, 0.1],
        [0.5, 0.4, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0.3],
        [0.1, 0.1, 0.1, 0.1],
    ]
    assert peaks_of(score) == [(0, 0), (2, 3)]


def test_low_scores_are_no_peaks():
    assert peaks_of([[0.1, 0.2], [0.1, 0.1]], threshold=0.2) == []
    assert peaks_of([[0.1, 0.21], [0.1, 0.1]], threshold=0.2) == [(0, 1)]


def test_peaks_two_cells_apart_are_both_found():
    score = np.zeros((5, 5))
    score[2, 0], score[2, 2] = 0.5, 0.9
    assert peaks_of(score) == [(2, 0), (2, 2)]


def test_peaks_at_the_border_are_found():
    score = np.zeros((3, 3))
    score[0, 0] = score[2, 2] = 0.5
    assert peaks_of(score) == [(0, 0), (2, 2)]


def test_grid_cells_are_centred_on_their_working_pixels():
    # cell 0 covers pixels 0..3, whose middle is 1.5; cell 2 covers 8..11
    points = grid_to_working(torch.tensor([0, 2]), torch.tensor([1, 0]))
    np.testing.assert_array_equal(points, [[1.5, 5.5], [9.5, 1.5]])


def test_offsets_move_peaks_by_at_most_one_grid_cell():
    offset = torch.zeros(2, 2, 2)
    offset[:, 0, 0] = torch.tensor([0.25, -0.5])
    offset[:, 1, 1] = torch.tensor([7.0, -7.0])
    points = grid_to_working(torch.tensor([0, 1]), torch.tensor([0, 1]), offset)
    np.testing.assert_allclose(points, [[1.5 + 1, 1.5 - 2], [5.5 + 4, 5.5 - 4]])


def test_strongest_of_neighbours_survives():
    assert kept([(0, 0), (0, 1), (0, 2)], [0.5, 0.9, 0.6], 3.0) == [1]


def test_neighbour_of_a_silenced_point_survives():
    # 0 silences 1; 1, being silent, does not silence 2, which is out of 0's reach
    assert kept([(0, 0), (0, 2), (0, 4)], [0.9, 0.8, 0.7], 3.0) == [0, 2]


def test_radius_is_that_of_the_stronger_point():
    points, scores = [(0, 0), (0, 5)], [0.9, 0.8]
    assert kept(points, scores, [6.0, 1.0]) == [0]
    assert kept(points, scores, [1.0, 6.0]) == [0, 1]


def test_first_of_equal_scores_survives():
    assert kept([(0, 0), (0, 1)], [0.5, 0.5], 2.0) == [0]


@pytest.mark.parametrize("points", [[], [(3, 4)], [(0, 0), (90, 90)]])
def test_lonely_points_are_all_kept(points):
    assert kept(points, [0.5] * len(points), 4.0) == list(range(len(points)))
