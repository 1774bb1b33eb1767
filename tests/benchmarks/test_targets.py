from __future__ import annotations

import numpy as np
from protocol.targets import disc_target, mask_target


def test_disc_covers_the_elements_within_its_reach():
    # reach 0.3 * 16 = 4.8 px; the middles of the elements lie at 1.5, 5.5, 9.5, ...
    target = disc_target((5, 5), np.array([[9.5, 9.5]]), diameter=16, stride=4)
    cross = {(2, 2), (1, 2), (3, 2), (2, 1), (2, 3)}
    assert {tuple(map(int, at)) for at in np.argwhere(target == 1)} == cross
    assert set(np.unique(target)) == {-1, 1}


def test_centre_is_drawn_however_small_the_cell():
    target = disc_target((4, 4), np.array([[0.0, 15.4]]), diameter=1, stride=4)
    assert np.argwhere(target == 1).tolist() == [[0, 3]]


def test_disc_is_cut_off_at_the_edge():
    target = disc_target((2, 2), np.array([[0.0, 0.0]]), diameter=16, stride=4)
    assert target.tolist() == [[1, -1], [-1, -1]]


def test_only_masks_of_annotated_cells_are_drawn():
    mask = np.zeros((4, 7), np.uint16)
    mask[:2, :2], mask[2:, 4:6], mask[0, 6] = 1, 2, 2
    assert mask_target((2, 4), mask, np.array([1]), stride=2).tolist() == [
        [-1, -1, -1, -1],  # a quarter of the last element is not enough
        [-1, -1, 1, -1],
    ]


def test_nothing_annotated_says_nothing():
    assert (disc_target((3, 3), np.empty((0, 2)), 16, 4) == -1).all()
    assert (mask_target((3, 3), np.ones((6, 6), np.uint16), np.empty(0, int), 2) == -1).all()
