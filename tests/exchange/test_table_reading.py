"""Cells that were found come in from tables: our own, and those of other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_xce.annotations.records import Annotations
from napari_xce.errors import ExchangeError
from napari_xce.exchange import read_cells, write_csv
from napari_xce.predictions.detections import Detections


def table(tmp_path: Path, text: str, name: str = "cells.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_our_cells_come_back_as_they_went(tmp_path: Path, annotations: Annotations) -> None:
    cells = Detections([[1.5, 2.25], [30, 4]], ["a", "=b"], [0.25, 1.0], [16.5, np.nan])
    path = tmp_path / "cells.csv"
    write_csv(path, detections=cells, annotations=annotations, mpp=(0.25, 0.25))
    found, _, notes = read_cells(path)
    assert found.points.tolist() == [[1.5, 2.25], [30, 4]]
    assert found.labels.tolist() == ["a", "=b"]
    assert found.scores.tolist() == [0.25, 1.0]
    np.testing.assert_array_equal(found.diameters, [16.5, np.nan])
    assert notes == (f"Left out: {len(annotations)} annotations.",)


def test_measurements_of_qupath_are_cells_in_our_pixels(tmp_path: Path) -> None:
    text = (
        "Image\tClassification\tCentroid X µm\tCentroid Y µm\tDetection probability\n"
        "a.svs\tTumor\t10.25\t20.25\t0.75\n"
        "a.svs\t\t10.25\t30.25\t\n"
    )
    found, _, _ = read_cells(table(tmp_path, text, "measurements.tsv"), mpp=(0.5, 0.5))
    assert found.points.tolist() == [[40, 20], [60, 20]]  # um / mpp - 0.5
    assert found.labels.tolist() == ["Tumor", ""]
    assert found.scores.tolist() == [0.75, 1.0]


def test_diameter_in_micrometres_becomes_pixels(tmp_path: Path) -> None:
    path = table(tmp_path, "y;x;diameter_um\n1,5;2;8,5\n1;2;\n1;2;-3\n")
    found = read_cells(path, mpp=(0.25, 1.0)).cells  # on average 0.5 um
    np.testing.assert_array_equal(found.diameters, [17, np.nan, np.nan])


def test_score_that_is_none_counts_as_certain(tmp_path: Path) -> None:
    path = table(tmp_path, "y,x,score\n1,2,0.5\n1,2,high\n1,2,7\n1,2,nan\n")
    assert read_cells(path).cells.scores.tolist() == [0.5, 1, 1, 1]


def test_place_that_is_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="line 3: 'far' is not a number"):
        read_cells(table(tmp_path, "y,x\n1,2\nfar,2\n"))
