"""Layers saved from napari come back with their places, classes, colours and pixel size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Labels, Points

from napari_xce.errors import ExchangeError
from napari_xce.exchange import read_points
from napari_xce.viewer.writers import write_labels, write_points

PLACES = np.array([[10.0, 20.0], [30.25, 40.5], [50.0, 60.0]])
CLASSES = ["tumour", "stroma", "tumour"]


def _save(layer: Points | Labels, path: Path) -> Path:
    data, attributes, kind = layer.as_layer_data_tuple()
    write = write_points if kind == "points" else write_labels
    assert write(str(path), data, attributes) == [str(path)]
    return path


@pytest.mark.parametrize("name", ["cells.geojson", "cells.geojson.gz", "cells.csv"])
def test_saved_points_read_back_with_classes(tmp_path: Path, name: str) -> None:
    layer = Points(PLACES, features={"class": CLASSES})
    read = read_points(_save(layer, tmp_path / name))
    np.testing.assert_allclose(read.points, PLACES)
    assert read.labels.tolist() == CLASSES


def test_saved_classes_keep_the_colours_they_are_drawn_in(tmp_path: Path) -> None:
    layer = Points(PLACES, features={"class": CLASSES}, face_color=["red", "blue", "red"])
    read = read_points(_save(layer, tmp_path / "cells.geojson"))
    assert read.colors == {"tumour": "#ff0000", "stroma": "#0000ff"}


def test_points_drawn_as_rings_keep_the_colour_of_the_ring(tmp_path: Path) -> None:
    layer = Points(
        PLACES, features={"class": CLASSES}, face_color="transparent", border_color="lime"
    )
    read = read_points(_save(layer, tmp_path / "cells.geojson"))
    assert set(read.colors.values()) == {"#00ff00"}


def test_points_without_classes_take_the_name_of_the_layer(tmp_path: Path) -> None:
    read = read_points(_save(Points(PLACES, name="mitoses"), tmp_path / "cells.csv"))
    assert read.labels.tolist() == ["mitoses"] * 3


def test_points_with_scores_are_written_as_detections(tmp_path: Path) -> None:
    layer = Points(PLACES, features={"class": CLASSES, "score": [0.9, 0.5, 0.25]}, size=12)
    written = json.loads(_save(layer, tmp_path / "cells.geojson").read_text())["features"]
    assert {feature["properties"]["objectType"] for feature in written} == {"detection"}
    scores = [feature["properties"]["measurements"]["score"] for feature in written]
    assert scores == pytest.approx([0.9, 0.5, 0.25])


def test_table_has_micrometres_when_the_layer_has(tmp_path: Path) -> None:
    layer = Points(PLACES, scale=(0.25, 0.5), units=("um", "um"))
    row = _save(layer, tmp_path / "cells.csv").read_text().splitlines()[1]
    assert row.startswith("10.000,20.000,2.500,10.000,")


def test_table_of_a_layer_in_pixels_has_no_micrometres(tmp_path: Path) -> None:
    row = _save(Points(PLACES), tmp_path / "cells.csv").read_text().splitlines()[1]
    assert row.startswith("10.000,20.000,,,")


def test_no_points_at_all_make_a_valid_file(tmp_path: Path) -> None:
    layer = Points(np.empty((0, 2)), ndim=2)
    assert len(read_points(_save(layer, tmp_path / "cells.geojson")).points) == 0


def test_points_in_three_dimensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="two dimensions"):
        _save(Points(np.zeros((2, 3))), tmp_path / "cells.geojson")


@pytest.mark.parametrize("name", ["mask.ome.tif", "mask.zarr"])
def test_saved_mask_reads_back_as_it_was(tmp_path: Path, name: str) -> None:
    mask = np.zeros((40, 60), dtype=np.int32)
    mask[5:15, 10:30] = 7
    path = _save(Labels(mask, scale=(0.5, 0.5), units=("um", "um")), tmp_path / name)
    stored = zarr.open_group(path)["0"][:] if path.suffix == ".zarr" else tifffile.imread(path)
    np.testing.assert_array_equal(stored, mask)


def test_saved_mask_knows_its_pixel_size_in_micrometres(tmp_path: Path) -> None:
    layer = Labels(np.ones((8, 8), dtype=np.int32), scale=(250, 500), units=("nm", "nm"))
    with tifffile.TiffFile(_save(layer, tmp_path / "mask.ome.tif")) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (0.25, 0.5)


def test_multiscale_mask_is_written_at_its_finest_level(tmp_path: Path) -> None:
    levels = [np.full((16, 16), 3, dtype=np.int32), np.full((8, 8), 3, dtype=np.int32)]
    path = _save(Labels(levels, multiscale=True), tmp_path / "mask.ome.tif")
    assert tifffile.imread(path).shape == (16, 16)


def test_mask_in_three_dimensions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="two dimensions"):
        _save(Labels(np.ones((2, 8, 8), dtype=np.int32)), tmp_path / "mask.zarr")
