from __future__ import annotations

import numpy as np

from napari_xce.measures.distances import nearest_distances
from napari_xce.predictions.detections import Detections


def cells(points: list, labels: list[str]) -> Detections:
    return Detections(points, labels, np.ones(len(labels)), np.ones(len(labels)))


ALL = np.ones(4, bool)
FOUR = cells([[0, 0], [0, 10], [3, 4], [0, 16]], ["a", "a", "b", "b"])


def test_distance_is_to_the_nearest_cell_in_micrometres() -> None:
    to_b, to_a = nearest_distances(FOUR, ALL, ["a", "b"], (0.5, 0.5))
    assert (to_b.source, to_b.target, to_b.cells) == ("a", "b", 2)
    assert to_b.median_um == (2.5 + 3.0) / 2  # 5 and 6 pixels of 0.5 um
    assert to_a.median_um == (2.5 + 3.0) / 2


def test_pixels_that_are_not_square_are_measured_right() -> None:
    two = cells([[0, 0], [3, 4]], ["a", "b"])
    (there, _) = nearest_distances(two, np.ones(2, bool), ["a", "b"], (1.0, 2.0))
    assert there.median_um == np.hypot(3, 8)


def test_nearest_cell_may_lie_outside_the_place() -> None:
    inside = np.array([True, False, False, False])
    (there,) = nearest_distances(FOUR, inside, ["a", "b"], (1.0, 1.0))
    assert (there.cells, there.median_um) == (1, 5.0)


def test_class_without_cells_has_no_distances() -> None:
    assert nearest_distances(FOUR[:2], ALL[:2], ["a", "b"], (1.0, 1.0)) == ()
