"""What the benchmark of suggestions counts; the expected numbers are worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from steering.report import shares, summary, table
from suggestions import side_by_side

from napari_xce.learning.datasets import LabelledImage


def row(way, seed, f1_by_clicks):
    points = [{"n": n, "f1": f1} for n, f1 in f1_by_clicks.items()]
    return {"trunk": "shipped", "way": way, "seed": seed, "points": points}


ROWS = [
    row("full", 0, {900: 0.8}),
    row("full", 1, {900: 0.8}),
    row("suggestions", 0, {4: 0.5, 8: 0.73, 12: 0.77}),  # 90 % are 0.72, 95 % are 0.76
    row("suggestions", 1, {4: 0.5, 8: 0.6, 12: 0.75}),
    row("random", 0, {4: 0.1, 8: 0.2, 12: 0.72}),
    row("random", 1, {4: 0.1, 8: 0.2, 12: 0.6, 28: 0.74}),
]


def test_clicks_needed_are_the_median_over_seeds_beside_random() -> None:
    ours, random = summary(ROWS)
    assert ours["each_90%"] == [8, 12]
    assert ours["clicks_to_90%"] == 10
    assert random["clicks_to_90%"] == 20
    assert ours["of_random_90%"] == 0.5


def test_share_that_was_never_reached_is_said_to_be_unknown() -> None:
    ours, random = summary(ROWS)
    assert ours["each_95%"] == [12, None]
    assert ours["clicks_to_95%"] is None
    assert random["of_random_95%"] is None
    assert "| – |" in table([ours])


def test_share_of_full_supervision_is_the_mean_where_all_seeds_were_measured() -> None:
    of_way = shares(ROWS, "shipped")
    assert list(of_way["random"]) == [4, 8, 12]  # 28 was measured for one seed only
    assert of_way["random"][12] == pytest.approx((0.72 / 0.8 + 0.6 / 0.8) / 2)
    assert of_way["uncertainty"] == {}


def test_images_side_by_side_keep_their_pixels_under_their_points() -> None:
    rng = np.random.default_rng(0)
    images = []
    for k in range(5):
        pixels = rng.integers(0, 200, (40 + k, 50, 3), dtype=np.uint8)
        points = np.array([[10.0 + k, 20.0], [40.0 + k, 20.0]])  # the smallest image ends above
        labels, unknown = np.array([k, 9]), np.array([8.0, 8.0])
        images.append(LabelledImage(str(k), "", pixels, points, labels, unknown))
    slide = side_by_side(images)
    np.testing.assert_array_equal(slide.labels, np.arange(5))
    for image, (y, x) in zip(images, slide.points.astype(int), strict=True):
        own = image.points[0].astype(int)
        np.testing.assert_array_equal(slide.pixels[y, x], image.pixels[own[0], own[1]])


def test_images_side_by_side_leave_no_gap() -> None:
    grey = np.full((30, 20, 3), 128, np.uint8)
    none = np.empty(0)
    image = LabelledImage("", "", grey, np.empty((0, 2)), none.astype(int), none)
    assert (side_by_side([image] * 3).pixels == 128).all()
