from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_xce.exchange.outlines import outlines


def test_single_pixel_is_its_square() -> None:
    (only,) = outlines(np.array([[0, 0], [0, 5]]), "a")
    assert only.polygon.equals(shapely.box(0.5, 0.5, 1.5, 1.5))
    assert (only.label, only.score) == ("a", None)


def test_straight_edges_have_no_extra_corners() -> None:
    (only,) = outlines(np.ones((10, 7), int), "a")
    assert len(only.polygon.exterior.coords) == 5
    assert only.polygon.bounds == (-0.5, -0.5, 6.5, 9.5)


def test_hole_stays_a_hole() -> None:
    ring = np.ones((3, 3), int)
    ring[1, 1] = 0
    (only,) = outlines(ring, "a")
    assert len(only.polygon.interiors) == 1
    assert only.polygon.area == 8


def test_pixels_touching_at_a_corner_are_two_parts() -> None:
    (only,) = outlines(np.eye(2, dtype=int), "a")
    assert only.polygon.geom_type == "MultiPolygon"
    assert only.polygon.is_valid


def test_names_and_scores_go_by_label() -> None:
    found = list(outlines(np.array([[9, 0, 2]]), {2: "b", 9: "i"}, {9: 0.75}))
    assert [(o.label, o.score) for o in found] == [("b", None), ("i", 0.75)]


def test_factor_and_origin_place_the_mask_on_the_slide() -> None:
    (only,) = outlines(np.array([[0, 1]]), "a", origin=(100, 200), factor=(2.0, 4.0))
    # the mask's second pixel covers columns 204 to 207 and rows 100 to 101
    assert only.polygon.bounds == (203.5, 99.5, 207.5, 101.5)


def test_empty_mask_has_no_outlines() -> None:
    assert list(outlines(np.zeros((4, 4), int), "a")) == []
    assert list(outlines(np.zeros((0, 0), int), "a")) == []


def test_label_without_a_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        list(outlines(np.array([[3]]), {}))


@given(arrays(np.int32, (6, 7), elements=st.integers(0, 3)))
def test_any_mask_gives_valid_polygons_of_the_right_area(labels: np.ndarray) -> None:
    found = {int(o.label): o.polygon for o in outlines(labels, {1: "1", 2: "2", 3: "3"})}
    assert set(found) == set(np.unique(labels[labels > 0]).tolist())
    for value, polygon in found.items():
        assert polygon.is_valid
        assert polygon.area == pytest.approx((labels == value).sum())
        inside = shapely.contains_xy(polygon, *np.indices(labels.shape)[::-1].reshape(2, -1))
        assert np.array_equal(inside.reshape(labels.shape), labels == value)
