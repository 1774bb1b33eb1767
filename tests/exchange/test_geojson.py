from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.geojson import write_geojson
from napari_xce.exchange.outlines import Outline, outlines
from napari_xce.predictions.detections import Detections


def features(path: Path) -> list[dict[str, Any]]:
    collection = json.loads(path.read_text(encoding="ascii"))
    assert collection["type"] == "FeatureCollection"
    return collection["features"]


def write(path: Path, **parts: Any) -> list[dict[str, Any]]:
    write_geojson(path, **{"classes": [], "slide_name": "slide", **parts})
    return features(path)


def test_detections_are_written_as_qupath_writes_them(
    tmp_path: Path, detections: Detections, classes: list[CellClass]
) -> None:
    first, second = write(tmp_path / "a.geojson", detections=detections, classes=classes)
    uuid.UUID(first.pop("id"))
    assert first == {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [20.5, 10.5]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "lymphocyte", "color": [255, 128, 0]},
            "measurements": {"score": 0.9375, "diameter px": 16.0},
        },
    }
    assert second["geometry"]["coordinates"] == [8.0, 3.75]
    assert second["properties"]["measurements"] == {"score": 0.5}  # no NaN for the diameter


def test_annotations_keep_their_kind(
    tmp_path: Path, annotations: Annotations, classes: list[CellClass]
) -> None:
    point, rejection, mask, region = write(
        tmp_path / "a.geojson", annotations=annotations, classes=classes
    )
    assert {f["properties"]["objectType"] for f in (point, rejection, mask, region)} == {
        "annotation"
    }
    assert point["geometry"] == {"type": "Point", "coordinates": [6.5, 5.5]}
    assert "name" not in point["properties"]
    assert rejection["properties"]["classification"]["name"] == "background"
    assert rejection["properties"]["metadata"] == {"kind": "rejection", "provenance": "human"}
    assert mask["geometry"]["type"] == "Polygon"
    assert shapely.from_geojson(json.dumps(mask["geometry"])).bounds == (0.5, 0.5, 4.5, 4.5)
    assert region["properties"]["name"] == "reviewed region"
    assert "classification" not in region["properties"]
    assert region["properties"]["metadata"]["kind"] == "region"


def test_instances_are_written_as_valid_polygons(tmp_path: Path) -> None:
    mask = np.zeros((5, 5), int)
    mask[1:4, 1:4] = 7
    mask[2, 2] = 0
    (only,) = write(tmp_path / "a.geojson", polygons=outlines(mask, "tumour", {7: 0.5}))
    shape = shapely.from_geojson(json.dumps(only["geometry"]))
    assert shape.is_valid
    assert shape.bounds == (1.0, 1.0, 4.0, 4.0)  # pixel 1 begins at 1 in QuPath
    assert shape.area == 8
    assert shape.exterior.is_ccw
    assert only["properties"]["objectType"] == "detection"
    assert only["properties"]["measurements"] == {"score": 0.5}


def test_crossing_scribble_becomes_a_valid_polygon(
    tmp_path: Path, annotations: Annotations
) -> None:
    bow_tie = np.array([[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0]])
    crossing = annotations.of_kind("mask")
    object.__setattr__(crossing, "polygons", (bow_tie,))
    (only,) = write(tmp_path / "a.geojson", annotations=crossing)
    shape = shapely.from_geojson(json.dumps(only["geometry"]))
    assert shape.is_valid
    assert shape.area == 8


def test_scribble_without_area_becomes_a_point(tmp_path: Path, annotations: Annotations) -> None:
    flat = annotations.of_kind("mask")
    object.__setattr__(flat, "polygons", (np.zeros((3, 2)),))
    (only,) = write(tmp_path / "a.geojson", annotations=flat)
    assert only["geometry"] == {"type": "Point", "coordinates": [2.5, 2.5]}


def test_ids_are_unique_and_the_same_every_time(
    tmp_path: Path, detections: Detections, annotations: Annotations
) -> None:
    square = [Outline(shapely.box(0, 0, 1, 1), "a")] * 2
    doubled = Detections.concatenate([detections, detections])
    parts = {"detections": doubled, "annotations": annotations}
    first = [f["id"] for f in write(tmp_path / "a.geojson", polygons=square, **parts)]
    again = [f["id"] for f in write(tmp_path / "b.geojson", polygons=square, **parts)]
    other = [f["id"] for f in write(tmp_path / "c.geojson", slide_name="other", **parts)]
    assert len(set(first)) == 10
    assert first == again
    assert not set(first) & set(other)
    assert all(str(uuid.UUID(identity)) == identity for identity in first)


def test_file_is_ascii_whatever_the_names(tmp_path: Path) -> None:
    name = 'Zellkern „groß“ µ "\\'
    cells = Detections([[0, 0]], [name], [0.5], [1])
    classes = [CellClass(1, name, "#0a0b0c", None)]
    (only,) = write(tmp_path / "a.geojson", detections=cells, classes=classes, slide_name=name)
    assert only["properties"]["classification"] == {"name": name, "color": [10, 11, 12]}


def test_class_without_known_colour_is_written_without(tmp_path: Path) -> None:
    cells = Detections([[0, 0], [1, 1]], ["x", ""], [0.5, 0.5], [1, 1])
    known, unnamed = write(tmp_path / "a.geojson", detections=cells)
    # an object without colour makes QuPath refuse the file; a bare name does not
    assert known["properties"]["classification"] == "x"
    assert "classification" not in unnamed["properties"]


def test_origin_moves_everything(
    tmp_path: Path, detections: Detections, annotations: Annotations
) -> None:
    found = write(
        tmp_path / "a.geojson",
        detections=detections,
        annotations=annotations.of_kind("region"),
        polygons=[Outline(shapely.box(-0.5, -0.5, 0.5, 0.5), "a")],
        origin=(1000, 2000),
    )
    region, polygon, point, _ = (
        shapely.from_geojson(json.dumps(f["geometry"])).bounds for f in found
    )
    assert region == (-1799.5, -899.5, -1739.5, -849.5)
    assert polygon == (-2000, -1000, -1999, -999)
    assert point[:2] == (-1979.5, -989.5)


def test_gz_holds_the_same_text(tmp_path: Path, detections: Detections) -> None:
    write(tmp_path / "a.geojson", detections=detections)
    write_geojson(tmp_path / "a.geojson.gz", detections=detections, classes=[], slide_name="slide")
    packed = (tmp_path / "a.geojson.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "a.geojson").read_bytes()


def test_nothing_to_write_is_an_empty_collection(tmp_path: Path) -> None:
    assert write(tmp_path / "a.geojson", detections=Detections.empty()) == []


def test_coordinate_that_is_not_finite_is_refused_and_old_file_kept(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("old")
    cells = Detections([[0, 0], [0, np.nan]], ["a", "a"], [1, 1], [1, 1])
    with pytest.raises(ExchangeError, match="Detection 2 has a coordinate"):
        write(tmp_path / "a.geojson", detections=cells)
    broken = [Outline(shapely.Polygon([(0, 0), (np.inf, 1), (1, 1)]), "a")]
    with pytest.raises(ExchangeError, match="Polygon 1 has a coordinate"):
        write(tmp_path / "a.geojson", polygons=broken)
    assert (tmp_path / "a.geojson").read_text() == "old"


def test_features_are_written_as_they_come(tmp_path: Path) -> None:
    square, sizes = Outline(shapely.box(0, 0, 1, 1), "a"), []

    def squares() -> Iterator[Outline]:
        for _ in range(3):
            yield from [square] * 4096
            sizes.extend(part.stat().st_size for part in tmp_path.glob(".*.part"))

    write_geojson(tmp_path / "a.geojson", polygons=squares(), classes=[], slide_name="")
    assert len(sizes) == 3
    assert 0 < sizes[0] < sizes[1] < sizes[2] < (tmp_path / "a.geojson").stat().st_size


def refuse_as_qupath(feature: dict[str, Any]) -> None:
    """Fail where QuPath 0.4 to 0.6 would refuse an object, or take it for another (PathObject,
    ROI and PathClass type adapters).
    """
    assert feature["type"] == "Feature"
    uuid.UUID(feature["id"])
    properties, geometry = feature["properties"], feature["geometry"]
    assert properties["objectType"] in ("annotation", "detection", "cell")
    assert isinstance(properties.get("name", ""), str)  # null is refused
    entry = properties.get("classification", "none")
    if not isinstance(entry, str):
        assert isinstance(entry["name"], str)
        assert len(entry["color"]) == 3  # an object without a colour is refused
        assert all(type(value) is int and 0 <= value <= 255 for value in entry["color"])
    measurements = properties.get("measurements", {})
    assert all(type(value) is float for value in measurements.values())
    assert all(isinstance(value, str) for value in properties.get("metadata", {}).values())
    assert geometry["type"] in ("Point", "Polygon", "MultiPolygon")
    assert shapely.geometry.shape(geometry).is_valid
    assert not set(geometry) - {"type", "coordinates"}


def test_qupath_takes_every_kind_of_object(
    tmp_path: Path, annotations: Annotations, detections: Detections, classes: list[CellClass]
) -> None:
    labels = np.zeros((9, 9), int)
    labels[1:8, 1:8], labels[3:5, 3:5] = 1, 0  # with a hole
    labels[8, 8] = 1  # and a second part
    path = tmp_path / "a.geojson"
    for known in (classes, []):  # with and without colours
        parts = {"annotations": annotations, "detections": detections}
        found = write(path, classes=known, polygons=outlines(labels, "tumour"), **parts)
        assert len(found) == 7
        for feature in found:
            refuse_as_qupath(feature)
