"""Annotations are chosen by kind and by slide, all arrays together."""

from __future__ import annotations

import numpy as np

from napari_xce.annotations import Store

TRIANGLE = [(0, 0), (0, 3), (3, 0)]


def test_choosing_a_kind_keeps_the_arrays_together(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.add_mask("slide-1", "lymphocyte", TRIANGLE)
    store.add_points("slide-1", "lymphocyte", [[3, 4]])
    points = store.annotations().of_kind("point")
    assert points.points.tolist() == [[1, 2], [3, 4]]
    assert points.polygons == (None, None)
    masks = store.annotations().of_kind("mask")
    assert len(masks) == 1
    assert masks.polygons[0] is not None
    np.testing.assert_array_equal(masks.polygons[0], TRIANGLE)


def test_choosing_a_slide_leaves_the_others_out(store: Store) -> None:
    other = store.add_slide("b.svs", None, "f2", (10, 10), None, "unknown")
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.add_points(other, "lymphocyte", [[3, 4]])
    assert store.annotations().of_slide(other).points.tolist() == [[3, 4]]
    assert store.annotations().of_slide("slide-1").slides.tolist() == ["slide-1"]


def test_nothing_annotated_has_arrays_of_the_right_shape(store: Store) -> None:
    nothing = store.annotations()
    assert len(nothing) == 0
    assert nothing.points.shape == (0, 2)
    assert nothing.labels.dtype.kind == nothing.ids.dtype.kind == "U"
    assert len(nothing.of_kind("point")) == 0


def test_learning_is_told_of_nothing_inside_a_region_set_aside(store: Store) -> None:
    other = store.add_slide("b.svs", None, "f2", (100, 100), None, "unknown")
    store.review("slide-1", [(0, 0), (10, 10)], set_aside=True)
    store.review("slide-1", [(5, 5), (40, 40)])
    store.add_points("slide-1", "lymphocyte", [[5, 5], [20, 20]])
    store.reject("slide-1", [[6, 6]])
    store.add_mask("slide-1", "lymphocyte", TRIANGLE)
    store.add_points(other, "lymphocyte", [[5, 5]])  # the same place of another slide
    told = store.annotations().for_learning()
    assert told.kinds.tolist() == ["region", "region", "point", "point"]
    assert told.points[2:].tolist() == [[20, 20], [5, 5]]
    assert told.set_aside.tolist() == [True, False, False, False]
    assert len(told.regions()) == len(told.regions(set_aside=True)) == 1


def test_learning_is_told_everything_where_nothing_is_set_aside(store: Store) -> None:
    store.review("slide-1", [(0, 0), (10, 10)])
    store.add_points("slide-1", "lymphocyte", [[5, 5]])
    assert len(store.annotations().for_learning()) == 2


def test_places_are_covered_by_any_of_the_polygons(store: Store) -> None:
    store.review("slide-1", [(0, 0), (10, 10)])
    store.review("slide-1", [(0, 0), (0, 40), (40, 0)])
    places = np.array([[9, 9], [30, 5], [30, 30], [5, 20]], float)
    assert store.annotations().cover(places).tolist() == [True, True, False, True]
