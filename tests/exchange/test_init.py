"""The dispatch by the end of the name, both ways."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange import FORMATS, format_of, read_points, write
from napari_xce.predictions.detections import Detections

LABELS = np.array([[0, 1], [2, 2]])


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz", "a.csv", "A.GeoJSON", "b.CSV"])
def test_points_are_written_and_read_by_name(
    tmp_path: Path, detections: Detections, classes: list[CellClass], name: str
) -> None:
    write(tmp_path / name, detections=detections, classes=classes, slide_name="s")
    assert read_points(tmp_path / name).points.tolist() == detections.points.tolist()
    assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b" or not name.endswith(".gz")


def test_detections_and_annotations_share_a_file(
    tmp_path: Path, detections: Detections, annotations: Annotations, classes: list[CellClass]
) -> None:
    parts = {"detections": detections, "annotations": annotations, "classes": classes}
    for name in ("a.geojson", "a.csv"):
        write(tmp_path / name, slide_name="s", **parts)
        assert len(read_points(tmp_path / name)) == 5
    write(tmp_path / "a.json", slide_name="s", shape=(10, 10), **parts)
    assert len(json.loads((tmp_path / "a.json").read_text())["annotations"]) == 4


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.tiff", "a.OME.TIF"])
def test_masks_are_written_as_ome_tiff_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, labels=LABELS, mpp=(0.5, 0.5), slide_name="s")
    with tifffile.TiffFile(tmp_path / name) as tiff:
        assert tiff.is_ome
        assert tiff.asarray().tolist() == LABELS.tolist()


@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr"])
def test_masks_are_written_as_ome_zarr_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, labels=LABELS)
    assert zarr.open_array(tmp_path / name / "0", mode="r")[:].tolist() == LABELS.tolist()


@pytest.mark.parametrize("name", ["a.tif", "a.xlsx", "a", ".csv", "a.gz", "geojson"])
def test_unknown_endings_are_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        write(tmp_path / name, detections=Detections.empty())
    assert all(suffix in str(caught.value) for suffix in FORMATS)
    with pytest.raises(ExchangeError, match="cannot be read"):
        read_points(tmp_path / name)


def test_longest_ending_wins() -> None:
    assert format_of("x/cells.geojson.gz") == ".geojson.gz"
    assert format_of("cells.v2.json") == ".json"


@pytest.mark.parametrize("name", ["a.ome.tif", "a.zarr", "a.geojson", "a.csv", "a.json"])
def test_what_is_missing_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExchangeError, match=r"Segment first|Predict or annotate first"):
        write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_coco_needs_the_size_of_the_slide(tmp_path: Path, detections: Detections) -> None:
    with pytest.raises(ExchangeError, match="size of the slide"):
        write(tmp_path / "a.json", detections=detections)


def test_geojson_is_read_whatever_its_packing(
    tmp_path: Path, detections: Detections, classes: list[CellClass]
) -> None:
    write(tmp_path / "a.geojson", detections=detections, classes=classes)
    packed = gzip.compress((tmp_path / "a.geojson").read_bytes())
    (tmp_path / "named_plainly.json").write_bytes(packed)
    assert len(read_points(tmp_path / "named_plainly.json")) == 2
