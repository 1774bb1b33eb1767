"""Points, polygons and rectangles are taken as they are meant, or refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_xce.annotations.shapes import (
    centroid,
    checked_points,
    checked_polygon,
    checked_region,
)
from napari_xce.errors import SessionError


@pytest.mark.parametrize(
    ("points", "match"),
    [
        ([[1, np.nan]], "NaN or infinite"),
        ([[np.inf, 1]], "NaN or infinite"),
        ([1, 2], r"shape \(N, 2\).*\[\[y, x\]\]"),
        ([[1, 2, 3]], r"shape \(N, 2\)"),
        (np.zeros((0, 3)), r"shape \(N, 2\)"),
        (5, r"shape \(N, 2\)"),
        ([[1, 2], [3]], "must be numbers"),
        ([["a", "b"]], "must be numbers"),
        (None, r"shape \(N, 2\)"),
        ([[1e300, 0]], "no slide is so large"),
    ],
)
def test_what_is_not_points_is_refused(points: Any, match: str) -> None:
    with pytest.raises(SessionError, match=match):
        checked_points(points)


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 2)), np.array([])])
def test_no_points_are_points(nothing: Any) -> None:
    assert checked_points(nothing).shape == (0, 2)


def test_points_are_copied() -> None:
    given = np.zeros((1, 2))
    checked_points(given)[:] = 5
    assert (given == 0).all()


@pytest.mark.parametrize(
    "outline",
    [
        [(0, 0), (1, 1)],
        [(0, 0), (1, 1), (0, 0)],
        [(0, 0), (1, 1), (2, 2)],
        [(0, 0), (0, 0), (0, 0), (0, 0)],
        [(3, 5), (3, 9), (3, 5), (3, 7)],
    ],
)
def test_outline_that_encloses_nothing_is_refused(outline: Any) -> None:
    with pytest.raises(SessionError, match="polygon"):
        checked_polygon(outline)


def test_closed_outline_loses_its_double_corner() -> None:
    assert checked_polygon([(0, 0), (0, 4), (4, 4), (0, 0)]).tolist() == [[0, 0], [0, 4], [4, 4]]


@pytest.mark.parametrize("corners", [((2, 3), (10, 7)), ((10, 3), (2, 7)), ((10, 7), (2, 3))])
def test_two_corners_are_a_rectangle_in_any_order(corners: Any) -> None:
    assert checked_region(corners).tolist() == [[2, 3], [2, 7], [10, 7], [10, 3]]


@pytest.mark.parametrize("corners", [((2, 3), (2, 7)), ((2, 3), (5, 3)), ((2, 3), (2, 3))])
def test_rectangle_without_area_is_refused(corners: Any) -> None:
    with pytest.raises(SessionError, match="no area"):
        checked_region(corners)


@pytest.mark.parametrize(
    ("outline", "centre"),
    [
        ([(0, 0), (0, 2), (2, 2), (2, 0)], (1, 1)),
        ([(0, 0), (0, 3), (3, 0)], (1, 1)),
        # an L of three unit squares, centred at (0.5, 0.5), (0.5, 1.5) and (1.5, 0.5)
        ([(0, 0), (0, 2), (1, 2), (1, 1), (2, 1), (2, 0)], (2.5 / 3, 2.5 / 3)),
        # a bow tie, whose halves cancel
        ([(0, 0), (2, 2), (2, 0), (0, 2)], (1, 1)),
    ],
)
def test_centroid_is_the_centre_of_area(outline: Any, centre: tuple[float, float]) -> None:
    vertices = np.array(outline, dtype=float)
    np.testing.assert_allclose(centroid(vertices), centre)
    np.testing.assert_allclose(centroid(vertices[::-1]), centre)


def test_centroid_is_exact_far_from_the_corner_of_the_slide() -> None:
    square = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) + 250_000.0
    np.testing.assert_allclose(centroid(square), (250_000.5, 250_000.5), rtol=0, atol=1e-9)
