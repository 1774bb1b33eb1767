from __future__ import annotations

import numpy as np
import pytest
from protocol.scoring import (
    Cells,
    Reading,
    calibrated_threshold,
    find_cells,
    instances,
    score_masks,
    score_points,
)
from protocol.tasks import Picture

GRID = Reading("yollo", diameter=20.0, drawn=0.0)
PIXELS = Reading("unet", diameter=8.0, drawn=8.0)


def picture(points, mask=None, shape=(40, 40)):
    return Picture("a", "a", np.zeros((*shape, 3), np.uint8), np.array(points, float), mask)


def test_two_blobs_are_two_cells_at_their_middles():
    p = np.zeros((40, 60), np.float32)
    p[8:12, 10:14], p[25:29, 40:44] = 0.9, 0.4
    cells = find_cells(p, PIXELS)
    kept = cells.scores > 0.1
    # elements 8..11 of 2 pixels each span pixels 16..23: the middle is 19.5
    np.testing.assert_allclose(cells.points[kept], [[19.5, 23.5], [53.5, 83.5]], atol=1.0)
    np.testing.assert_allclose(cells.scores[kept], [0.9, 0.4], atol=0.01)


def test_everything_foreground_gives_cells_as_close_as_two_cells_can_be():
    cells = find_cells(np.ones((1, 9), np.float32), GRID)  # 0.4 * 20 px apart: every second element
    assert cells.points.tolist() == [[1.5, 1.5 + 8 * k] for k in range(5)]
    figures = score_points([picture([[1.5, 1.5]], shape=(4, 36))], [cells], None)
    assert figures["6um"]["natural"]["f1"] == pytest.approx(2 / (5 + 1))
    assert figures["6um"]["natural"]["recall"] == 1


def test_everything_foreground_has_the_dice_of_its_share():
    mask = np.zeros((8, 8), np.uint16)
    mask[:4, :4] = 1  # a quarter of the image
    ones = np.ones((4, 4), np.float32)
    reading = Reading("unet", diameter=40.0, drawn=8.0)  # one cell at most
    figures = score_masks(
        [picture([[1.5, 1.5]], mask)],
        [ones],
        [find_cells(ones, reading)],
        {"natural": 0.5},
        reading,
    )
    assert figures["natural"]["dice"] == pytest.approx(2 * 0.25 / (1 + 0.25))
    assert figures["natural"]["instance_f1"] == 0  # the one instance is four times too large


def test_threshold_is_half_the_median_score_of_left_out_cells():
    reading = Reading("yollo", diameter=16.0, drawn=0.0)
    first, second = np.zeros((9, 9), np.float32), np.zeros((9, 9), np.float32)
    first[1, 1], first[6, 6], second[4, 4] = 0.2, 0.8, 0.3
    points = [np.array([[5.5, 5.5], [25.5, 25.5]]), np.array([[17.5, 17.5]])]
    assert calibrated_threshold([first, second], points, reading) == pytest.approx(0.15)


def test_figures_at_a_threshold_count_what_reaches_it():
    cells = Cells(np.array([[0.0, 0], [0, 20], [30, 30]]), np.array([0.9, 0.4, 0.1]))
    figures = score_points([picture([[0, 5], [0, 27]])], [cells], 0.4)
    assert figures["6um"]["natural"] == {
        "f1": pytest.approx(2 / 3),
        "precision": 1,
        "recall": 0.5,
        "threshold": 0.5,
    }
    assert figures["6um"]["calibrated"]["f1"] == 1
    assert figures["6um"]["best"] == {"f1": 1, "precision": 1, "recall": 1, "threshold": 0.4}
    assert figures["3um"]["calibrated"]["f1"] == 0.5  # 5 px is within 6, 7 px is not


def test_nothing_found_is_an_f1_of_zero():
    nothing = Cells(np.empty((0, 2)), np.empty(0))
    figures = score_points([picture([[3, 3]])], [nothing], None)
    assert figures["6um"]["natural"]["f1"] == figures["6um"]["best"]["f1"] == 0


def test_touching_cells_are_two_instances():
    p = np.zeros((20, 30), np.float32)
    p[5:15, 5:15], p[5:15, 15:25] = 0.9, 0.9
    cells = Cells(np.array([[19.5, 19.5], [19.5, 39.5]]), np.array([0.9, 0.9]))
    labels = instances(p, cells, 0.5, PIXELS)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels > 0).sum() == 200
    assert labels[10, 8] != labels[10, 22]
