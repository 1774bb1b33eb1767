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
