from __future__ import annotations

import numpy as np
import pytest

from napari_xce.measures import COLUMNS, Grades, Measures, as_rows, measure, place_of_box
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.tiles import TileGrid
from napari_xce.slides.tissue import TissueMask

SHAPE = (448, 896)  # two tiles, 0.1003 mm2 at 0.5 um/px
CELLS = Detections(
    [[100, 100], [100, 110], [100, 500], [200, 600]],
    ["positive", "negative", "negative", "negative"],
    np.ones(4),
    np.ones(4),
)


def measured(
    mpp: tuple[float, float] | None = (0.5, 0.5), done: tuple = ((0, 0), (0, 1))
) -> Measures:
    tissue = TissueMask(np.ones((64, 128), bool), (7.0, 7.0), SHAPE)
    return measure(
        place_of_box("slide", (-0.5, -0.5, 447.5, 895.5)),
        CELLS,
        ["positive", "negative", "other"],
        tissue=tissue,
        grid=TileGrid(SHAPE, (1.0, 1.0)),
        done=done,
        mpp=mpp,
        grades=Grades(negative="negative", weak="positive"),
    )


def test_density_is_cells_over_predicted_tissue() -> None:
    found = measured()
    area = 448 * 896 * 0.25e-6
    assert found.tissue_mm2 == pytest.approx(area)
    assert found.densities == pytest.approx(
        {"positive": 1 / area, "negative": 3 / area, "other": 0}
    )
    assert found.predicted == 1


def test_half_predicted_slide_has_half_the_area() -> None:
    found = measured(done=((0, 0),))
    assert (found.predicted, found.tissue_mm2) == (0.5, pytest.approx(448 * 448 * 0.25e-6))


def test_unknown_pixel_size_leaves_counts_only() -> None:
    found = measured(mpp=None)
    assert found.counts == {"positive": 1, "negative": 3, "other": 0}
    assert (found.tissue_mm2, found.densities, found.distances) == (None, None, ())
    assert found.positive is not None
    assert found.positive.value == 0.25


def test_nothing_predicted_has_no_density() -> None:
    assert measured(done=()).densities is None


def test_pair_has_a_labelling_index_but_no_h_score() -> None:
    found = measured()
    assert found.positive is not None
    assert (found.positive.value, found.h_score) == (0.25, None)


def test_table_holds_each_number_once_under_its_heading() -> None:
    head, *rows = as_rows([measured()])
    assert head == COLUMNS
    table = {row[1:4]: row[4] for row in rows}
    assert len(table) == len(rows)
    assert table["cells", "negative", ""] == "3"
    assert table["positive fraction", "positive", "negative"] == "0.2500"
    assert table["nearest distance (median)", "positive", "negative"] == "5.00"
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert {row[0] for row in rows} == {"slide"}
