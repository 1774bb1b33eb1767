from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.geojson import write_geojson
from napari_xce.exchange.geojson_reading import read_geojson
from napari_xce.exchange.imported import ImportedPoints
from napari_xce.predictions.detections import Detections

# In the form of a QuPath 0.5 export: locked, with child, name, plane, NaN measurement, ellipse.
QUPATH = """
{"type": "FeatureCollection", "features": [
 {"type": "Feature", "id": "0d5cb6b5-9b1b-4ea2-9cbb-7a7dd7d1b2f1",
  "geometry": {"type": "MultiPoint", "coordinates": [[100.5, 50.5], [12.25, 7]]},
  "properties": {"objectType": "annotation", "isLocked": true, "name": "my points",
   "classification": {"name": "Tumor", "color": [200, 0, 0]}}},
 {"type": "Feature", "id": "PathDetectionObject",
  "geometry": {"type": "Polygon", "plane": {"c": -1, "z": 0, "t": 0}, "isEllipse": true,
   "coordinates": [[[0, 0], [10, 0], [10, 20], [0, 20], [0, 0]]]},
  "properties": {"objectType": "cell", "measurements": {"Area": NaN, "Odd": Infinity},
   "classification": {"name": "Immune cells: Ki67", "colorRGB": -10912769},
   "extra": {"anything": [1, {"deep": null}]}}},
 {"type": "Feature", "id": "x", "geometry": {"type": "Point", "coordinates": [0.5, 0.5, 0.0]},
  "properties": {"objectType": "detection", "classification": {"names": ["A", "B"]}}},
 {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1.5, 2.5]}, "properties": null}
]}
"""


def read(tmp_path: Path, content: object) -> ImportedPoints:
    path = tmp_path / "in.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_geojson(path)


def feature(geometry: object, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*items: object) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(items)}


def point(x: object, y: object) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


def test_qupath_file_is_read_point_by_point(tmp_path: Path) -> None:
    found = read(tmp_path, QUPATH)
    assert found.points.tolist() == [[50, 100], [6.5, 11.75], [9.5, 4.5], [0, 0], [2, 1]]
    assert found.labels.tolist() == ["Tumor", "Tumor", "Immune cells: Ki67", "A: B", ""]
    assert found.colors == {"Tumor": "#c80000", "Immune cells: Ki67": "#597bff"}
    assert found.notes == ()


def test_polygon_brings_its_outline(tmp_path: Path) -> None:
    found = read(tmp_path, QUPATH)
    assert found.polygons[0] is None
    assert found.polygons[2].tolist() == [[-0.5, -0.5], [-0.5, 9.5], [19.5, 9.5], [19.5, -0.5]]


def test_hole_moves_the_centroid(tmp_path: Path) -> None:
    shell = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]
    hole = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
    shape = {"type": "Polygon", "coordinates": [shell, hole]}
    assert read(tmp_path, feature(shape)).points.tolist() == [[0.5, 2.5]]


def test_multipolygon_is_one_cell_with_its_largest_outline(tmp_path: Path) -> None:
    small = [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]
    large = [[[2, 0], [5, 0], [5, 1], [2, 1], [2, 0]]]
    found = read(tmp_path, feature({"type": "MultiPolygon", "coordinates": [small, large]}))
    assert found.points.tolist() == [[0.0, (0.5 * 1 + 3.5 * 3) / 4 - 0.5]]
    assert found.polygons[0].max(axis=0).tolist() == [0.5, 4.5]


@pytest.mark.parametrize(
    "content",
    [
        feature(point(0.5, 0.5)),
        [feature(point(0.5, 0.5))],
        point(0.5, 0.5),
        [point(0.5, 0.5)],
        feature({"type": "GeometryCollection", "geometries": [point(0.5, 0.5)]}),
    ],
)
def test_other_forms_of_geojson_are_read(tmp_path: Path, content: object) -> None:
    assert read(tmp_path, content).points.tolist() == [[0.0, 0.0]]


def test_children_in_a_hierarchy_are_read(tmp_path: Path) -> None:
    parent = feature(point(1.5, 1.5), childObjects=[feature(point(2.5, 2.5))])
    assert sorted(read(tmp_path, collection(parent)).points.tolist()) == [[1, 1], [2, 2]]


def test_lines_and_shapeless_objects_are_left_out_and_counted(tmp_path: Path) -> None:
    line = feature({"type": "LineString", "coordinates": [[0, 0], [1, 1]]})
    found = read(tmp_path, collection(line, line, feature(None), feature(point(0, 0))))
    assert len(found) == 1
    assert found.notes == ("Left out: 2 lines.", "Left out: 1 objects without a shape.")


def test_empty_collection_has_no_points(tmp_path: Path) -> None:
    found = read(tmp_path, collection())
    assert found.points.shape == (0, 2)
    assert found.labels.dtype.kind == "U"


@pytest.mark.parametrize("color", [[1, 2], [1, 2, 300], "red", [None, 1, 2], None, True])
def test_strange_colours_are_ignored(tmp_path: Path, color: object) -> None:
    entry = {"name": "a", "color": color}
    assert read(tmp_path, feature(point(0, 0), classification=entry)).colors == {}


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("plain text", "plain text"),
        ({"name": " a\nb\x00 c "}, "a b c"),
        ({"name": None}, ""),
        ({"name": 7}, ""),
        ([], ""),
        ({}, ""),
        ({"name": "\ud800"}, ""),
    ],
)
def test_strange_class_names_become_harmless(tmp_path: Path, entry: object, name: str) -> None:
    found = read(tmp_path, feature(point(0, 0), classification=entry))
    assert found.labels.tolist() == [name]


GOOD = feature(point(1, 1))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("PK\x03\x04", "not valid JSON"),
        ("3", "item 1 is not a GeoJSON feature"),
        ('{"images": []}', "item 1 is not a GeoJSON feature"),
        ('{"type": "FeatureCollection"}', "no list of features"),
        (collection(GOOD, 5), "item 2 is not a GeoJSON feature"),
        (collection(GOOD, feature({"type": "Circle"})), "feature 2 has a geometry of unknown type"),
        (collection(GOOD, feature(7)), "feature 2 has a geometry of unknown type"),
        (collection(GOOD, feature(point(1, "2"))), "feature 2 has coordinates that are not pairs"),
        (collection(GOOD, feature(point(1, None))), "feature 2 has coordinates that are not pairs"),
        (collection(GOOD, feature(point(True, False))), "feature 2 has coordinates"),
        (collection(GOOD, feature({"type": "Point"})), "feature 2 has coordinates"),
        (collection(feature({"type": "Point", "coordinates": []})), "feature 1 has coordinates"),
        (collection(feature({"type": "Point", "coordinates": [1]})), "feature 1 has coordinates"),
        (
            collection(feature({"type": "MultiPoint", "coordinates": [[1, 2], [3]]})),
            "feature 1 has coordinates",
        ),
        (collection(feature(point(float("nan"), 1))), "feature 1 has a coordinate that is not"),
        (collection(feature(point(1, float("inf")))), "feature 1 has a coordinate that is not"),
        ('{"type": "Point", "coordinates": [1e999, 1]}', "feature 1 has a coordinate that is not"),
        (f'{{"type": "Point", "coordinates": [{"9" * 5000}, 1]}}', "feature 1 has a coordinate"),
        (collection(feature({"type": "Polygon", "coordinates": []})), "without coordinates"),
        (collection(feature({"type": "Polygon", "coordinates": [[]]})), "fewer than three"),
        (collection(feature({"type": "Polygon", "coordinates": 5})), "without coordinates"),
        (collection(feature({"type": "MultiPolygon", "coordinates": [[]]})), "without coordinates"),
        (
            collection(feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})),
            "fewer than three corners",
        ),
        (collection(feature(point(1, 1), classification="x" * 201)), "class name of 201"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (
            '{"type": "GeometryCollection", "geometries": [' * 100_000,
            "nested too deeply",
        ),
    ],
)
def test_what_is_not_geojson_is_refused_in_words(
    tmp_path: Path, content: object, match: str
) -> None:
    with pytest.raises(ExchangeError, match=match):
        read(tmp_path, content)


def test_binary_and_damaged_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "in.geojson"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExchangeError, match="not UTF-8"):
        read_geojson(path)
    path.write_bytes(gzip.compress(b"[]" * 5000)[:-20])
    with pytest.raises(ExchangeError, match="compression is damaged"):
        read_geojson(path)
    with pytest.raises(ExchangeError, match="Check the name and the folder"):
        read_geojson(tmp_path / "none.geojson")


def test_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.exchange.json_file.LARGEST", 1000)
    path = tmp_path / "bomb.geojson.gz"
    path.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(ExchangeError, match="larger than"):
        read_geojson(path)


def test_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    assert len(read(tmp_path, "\ufeff" + json.dumps(GOOD))) == 1


def test_our_own_annotations_come_back_as_they_were(
    tmp_path: Path, annotations: Annotations, classes: list[CellClass]
) -> None:
    path = tmp_path / "a.geojson.gz"
    write_geojson(path, annotations=annotations, classes=classes, slide_name="s")
    found = read_geojson(path)
    assert found.points.tolist() == [[5, 6], [7, 8], [2, 2]]
    assert found.labels.tolist() == ["lymphocyte", "background", "tumour"]
    assert found.colors["lymphocyte"] == "#ff8000"
    assert sorted(found.polygons[2].tolist()) == sorted(annotations.polygons[2].tolist())
    (region,) = found.regions
    assert sorted(region.tolist()) == sorted(annotations.polygons[3].tolist())


def test_region_set_aside_comes_back_as_one(
    tmp_path: Path, annotations: Annotations, classes: list[CellClass]
) -> None:
    path = tmp_path / "a.geojson"
    aside = replace(annotations, set_aside=annotations.kinds == "region")
    write_geojson(path, annotations=aside, classes=classes, slide_name="s")
    found = read_geojson(path)
    assert (len(found.regions), len(found.set_aside)) == (0, 1)


def test_reviewed_region_is_known_by_name_alone(tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}
    found = read(tmp_path, feature(square, name="reviewed region"))
    assert (len(found), len(found.regions)) == (0, 1)


names = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=20
).map(lambda name: " ".join(name.split()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cells=st.lists(
        st.tuples(
            st.floats(-10, 250_000), st.floats(-10, 250_000), names.filter(bool), st.floats(0, 1)
        ),
        max_size=8,
    ),
    color=st.from_regex(r"\A#[0-9a-f]{6}\Z"),
    origin=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    suffix=st.sampled_from([".geojson", ".geojson.gz"]),
)
def test_detections_come_back_where_they_were(
    tmp_path: Path, cells: list, color: str, origin: tuple[int, int], suffix: str
) -> None:
    y, x, labels, scores = zip(*cells, strict=True) if cells else ((), (), (), ())
    written = Detections(np.column_stack([y, x]), labels, scores, np.ones(len(y)))
    path = tmp_path / f"a{suffix}"
    classes = [CellClass(1, name, color, None) for name in set(labels)]
    write_geojson(path, detections=written, classes=classes, slide_name="s", origin=origin)
    found = read_geojson(path, origin=origin)
    assert np.allclose(found.points, written.points, rtol=0, atol=6e-4)
    assert found.labels.tolist() == list(labels)
    assert found.colors == dict.fromkeys(labels, color)
