from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_xce.errors import XceError
from napari_xce.measures.places import place_of_box, place_of_outline, tissue_area_px
from napari_xce.predictions.tiles import TileGrid
from napari_xce.slides.tissue import TissueMask

SHAPE = (896, 1792)  # two by four tiles at 0.5 um/px
GRID = TileGrid(SHAPE, (1.0, 1.0))
EVERYWHERE = [(row, column) for row in range(2) for column in range(4)]
WHOLE = place_of_box("slide", (-0.5, -0.5, 895.5, 1791.5))


def half_tissue() -> TissueMask:
    """Return a mask whose left half is tissue, a pixel for 7 x 7 of the slide."""
    mask = np.zeros((128, 256), bool)
    mask[:, :128] = True
    return TissueMask(mask, (7.0, 7.0), SHAPE)


def test_whole_slide_has_the_area_of_its_mask() -> None:
    whole, predicted = tissue_area_px(WHOLE, half_tissue(), GRID, EVERYWHERE)
    assert whole == predicted == 896 * 896


def test_only_predicted_tissue_is_in_the_second_area() -> None:
    whole, predicted = tissue_area_px(WHOLE, half_tissue(), GRID, [(0, 0), (1, 3)])
    assert (whole, predicted) == (896 * 896, 448 * 448)


def test_box_across_the_edge_of_tissue_counts_its_tissue() -> None:
    place = place_of_box("view", (99.5, 795.5, 299.5, 995.5))  # half of it left of 895.5
    whole, _ = tissue_area_px(place, half_tissue(), GRID, EVERYWHERE)
    assert whole == pytest.approx(200 * 100, rel=0.01)


def test_hole_of_an_outline_is_left_out() -> None:
    ring = shapely.box(100, 100, 300, 300).difference(shapely.box(150, 150, 250, 250))
    whole, _ = tissue_area_px(place_of_outline("a", ring), half_tissue(), GRID, EVERYWHERE)
    assert whole == pytest.approx(200 * 200 - 100 * 100, rel=0.005)


def test_disc_has_the_area_of_the_formula() -> None:
    disc = shapely.Point(400, 400).buffer(200, quad_segs=64)
    whole, _ = tissue_area_px(place_of_outline("a", disc), half_tissue(), GRID, EVERYWHERE)
    assert whole == pytest.approx(np.pi * 200**2, rel=0.005)


def test_what_lies_beyond_the_slide_has_no_area() -> None:
    assert tissue_area_px(
        place_of_box("v", (900, 0, 950, 50)), half_tissue(), GRID, EVERYWHERE
    ) == (0, 0)
    half_out = place_of_box("view", (-100.5, -0.5, 99.5, 199.5))
    whole, _ = tissue_area_px(half_out, half_tissue(), GRID, EVERYWHERE)
    assert whole == pytest.approx(100 * 200, rel=0.01)


def test_points_in_a_hole_are_not_in_the_place() -> None:
    ring = shapely.box(0, 0, 40, 20).difference(shapely.box(10, 5, 30, 15))  # (x, y)
    place = place_of_outline("ring", ring)
    assert place.contains([[2, 35], [10, 20], [35, 2]]).tolist() == [True, False, False]


def test_two_corners_are_a_rectangle_of_rows_and_columns() -> None:
    place = place_of_outline("a", ((10, 200), (20, 100)))
    assert place.box == (10, 100, 20, 200)
    assert place.contains([[15, 150], [150, 15]]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("outline", "match"),
    [
        ([[0, 0], [1, 1], [2, 2]], "encloses nothing"),
        ([[0, 0], [0, 5]], "encloses nothing"),
        ([[0, 0], [np.nan, 5], [4, 4]], "not a finite number"),
        ([[0, 0, 0]], "corners"),
        ("tumour", "corners"),
    ],
)
def test_outline_without_area_is_refused_in_words(outline: object, match: str) -> None:
    with pytest.raises(XceError, match=match):
        place_of_outline("a", outline)  # type: ignore[arg-type]


def test_bow_tie_is_taken_for_what_it_encloses() -> None:
    place = place_of_outline("a", [[0, 0], [10, 10], [10, 0], [0, 10]])
    assert place.outline is not None
    assert place.outline.area == pytest.approx(50)
