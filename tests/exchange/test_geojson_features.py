"""Objects as QuPath 0.2 to 0.6 writes them: the files below follow its published rules by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from napari_xce.annotations.records import CellClass
from napari_xce.exchange import read_areas, read_cells, read_geojson, write_geojson
from napari_xce.predictions.detections import Detections

SQUARE = [[[10, 20], [14, 20], [14, 24], [10, 24], [10, 20]]]
UUID = "0d5cb6b5-9b1b-4ea2-9cbb-7a7dd7d1b2f1"


def feature(geometry: Any, properties: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": UUID, "geometry": geometry, **more, "properties": properties}


def polygon(coordinates: Any = SQUARE, **more: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": coordinates, **more}


def point(x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y], **more}


def save(tmp_path: Path, *features: Any) -> Path:
    """Write a file as QuPath does: one object, pretty-printed, NaN as NaN."""
    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}, indent=2))
    return path


def cell(**properties: Any) -> dict[str, Any]:
    """Return a cell of QuPath's cell detection: boundary, nucleus, measurements."""
    outer = polygon([[[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]])
    return feature(outer, {"objectType": "cell", **properties}, nucleusGeometry=polygon())


def test_cell_is_read_by_its_nucleus(tmp_path: Path) -> None:
    found = read_geojson(save(tmp_path, cell()))
    assert found.points.tolist() == [[21.5, 11.5]]  # of the nucleus, not of the boundary
    assert found.polygons[0] is not None
    assert found.polygons[0].max(axis=0).tolist() == [23.5, 13.5]


def test_cell_without_nucleus_is_read_by_its_boundary(tmp_path: Path) -> None:
    bare = cell()
    del bare["nucleusGeometry"]
    assert read_geojson(save(tmp_path, bare)).points.tolist() == [[19.5, 19.5]]


def test_detections_and_cells_come_back_as_cells_with_scores_and_sizes(tmp_path: Path) -> None:
    ours = {"score": 0.75, "diameter px": 17.5}
    path = save(
        tmp_path,
        feature(point(10.5, 20.5), {"objectType": "detection", "measurements": ours}),
        cell(measurements={"Nucleus: Area": math.nan, "Detection probability": 0.5}),
        feature(polygon(), {"objectType": "detection", "measurements": {"Area": 3.0}}),
    )
    cells, _, notes = read_cells(path)
    assert cells.points.tolist() == [[20, 10], [21.5, 11.5], [21.5, 11.5]]
    assert cells.scores.tolist() == [0.75, 0.5, 1.0]
    disc = 2 * math.sqrt(16 / math.pi)  # as large as the nucleus of 4 x 4 pixels
    assert cells.diameters.tolist() == pytest.approx([17.5, disc, disc])
    assert notes == ()


def test_measurements_before_0_4_are_a_list(tmp_path: Path) -> None:
    listed = [{"name": "Area", "value": 3.5}, {"name": "score", "value": 0.25}]
    path = save(tmp_path, feature(point(1, 1), {"objectType": "detection", "measurements": listed}))
    assert read_cells(path).cells.scores.tolist() == [0.25]


def test_object_types_of_all_versions_are_known(tmp_path: Path) -> None:
    old_id = feature(point(1, 1), {})
    old_id["id"] = "PathDetectionObject"  # 0.2
    path = save(
        tmp_path,
        old_id,
        feature(point(2, 2), {"object_type": "detection"}),  # 0.3
        feature(point(3, 3), {"objectType": "detection"}),
        feature(point(4, 4), {"objectType": "annotation"}),
        feature(point(5, 5), {}),  # an annotation where none is said
    )
    found = read_cells(path)
    assert (found.cells.points[:, 0] + 0.5).tolist() == [1, 2, 3]
    assert found.notes == ("Left out: 2 annotations.",)


def test_tissue_cores_tiles_and_root_are_no_cells(tmp_path: Path) -> None:
    core = polygon(isEllipse=True)
    path = save(
        tmp_path,
        feature(core, {"objectType": "tmaCore", "name": "A-1", "isMissing": True}),
        feature(core, {"objectType": "tmaCore", "name": "A-2", "isMissing": False}),
        feature(polygon(), {"objectType": "tile"}),
        feature(None, {"objectType": "root"}),
        feature(point(3.5, 2.5), {"objectType": "annotation"}),
    )
    found = read_geojson(path)
    assert found.points.tolist() == [[2, 3]]
    assert found.notes == ("Left out: 2 cores of tissue arrays.", "Left out: 1 tiles.")


def test_children_in_a_hierarchy_are_read_from_either_name(tmp_path: Path) -> None:
    child = feature(point(3.5, 2.5), {"objectType": "detection"})
    path = save(
        tmp_path,
        feature(polygon(), {"objectType": "annotation", "childObjects": [child]}),
        feature(
            polygon(),
            {"objectType": "annotation", "children": [feature(polygon(), {"children": [child]})]},
        ),
    )
    assert read_cells(path).cells.points.tolist() == [[2, 3]] * 2


def test_objects_on_other_planes_are_left_out(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        feature(point(1.5, 1.5, plane={"c": -1, "z": 0, "t": 0}), {}),
        feature(point(2.5, 2.5, plane={"c": 2, "z": 0, "t": 0}), {}),  # of one channel
        feature(point(3.5, 3.5, plane={"c": -1, "z": 3, "t": 0}), {}),
        feature(point(4.5, 4.5, plane={"c": -1, "z": 0, "t": 1}), {}),
    )
    found = read_geojson(path)
    assert found.points.tolist() == [[1, 1], [2, 2]]
    assert found.notes == ("Left out: 2 objects on other planes (z or t).",)


@pytest.mark.parametrize(
    ("entry", "name", "color"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor", "#c80000"),
        ({"name": "Tumor", "color": [200, 0, 0, 128]}, "Tumor", "#c80000"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive", "#010203"),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor", "#c80000"),  # 0xFFC80000, signed
        (
            {"name": "Positive", "colorRGB": -1, "parentClass": {"name": "Tumor", "colorRGB": -2}},
            "Tumor: Positive",
            "#ffffff",
        ),
        ("Tumor: Positive", "Tumor: Positive", None),
        ({}, "", None),
        (None, "", None),
    ],
)
def test_classifications_of_all_versions_are_read(
    tmp_path: Path, entry: Any, name: str, color: str | None
) -> None:
    found = read_geojson(save(tmp_path, feature(point(1, 1), {"classification": entry})))
    assert found.labels.tolist() == [name]
    assert found.colors == ({name: color} if color else {})


def test_areas_keep_holes_parts_and_names(tmp_path: Path) -> None:
    shell = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    hole = [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]
    two = {"type": "MultiPolygon", "coordinates": [[shell, hole], SQUARE]}
    path = save(
        tmp_path,
        feature(two, {"objectType": "annotation", "name": "invasive front"}),
        feature(polygon(), {"objectType": "annotation", "classification": "Tumor"}),
        feature(polygon(), {"objectType": "detection"}),
        feature(polygon(), {"objectType": "annotation", "name": "reviewed region"}),
        feature(point(1, 1), {"objectType": "annotation"}),
    )
    (first, second), notes = read_areas(path, origin=(100, 1000))
    assert (first[0], second[0]) == ("invasive front", "Tumor")
    assert first[1].area == 100 - 4 + 16
    assert first[1].bounds == (999.5, 99.5, 1013.5, 123.5)
    assert notes == (
        "Left out: 2 cells and reviewed regions.",
        "Left out: 1 points and lines.",
    )


@pytest.mark.parametrize("shape", ["hole", "two parts"])
def test_areas_are_the_same_polygons_as_written(tmp_path: Path, shape: str) -> None:
    disc = shapely.Point(50, 50).buffer(20)
    other = shapely.Point(50, 50).buffer(9) if shape == "hole" else shapely.box(90, 90, 99, 99)
    drawn = disc.difference(other) if shape == "hole" else disc.union(other)
    moved = shapely.transform(drawn, lambda xy: xy + 0.5)
    path = save(tmp_path, feature(shapely.geometry.mapping(moved), {"name": "a"}))
    ((_, back),), _ = read_areas(path)
    assert back.symmetric_difference(drawn).area == pytest.approx(0, abs=1e-6)


def test_cells_come_back_with_class_colour_score_and_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = Detections(
        rng.uniform(0, 1e5, (2000, 2)).round(2),
        rng.choice(["tumour", "lymphocyte"], 2000),
        rng.uniform(0, 1, 2000).round(4),
        rng.uniform(5, 30, 2000).round(2),
    )
    classes = [CellClass(1, "tumour", "#0000ff", None), CellClass(2, "lymphocyte", "#ff8000", None)]
    path = tmp_path / "cells.geojson.gz"
    write_geojson(path, detections=written, classes=classes, slide_name="s", origin=(7, 9))
    found = read_cells(path, origin=(7, 9))
    assert np.allclose(found.cells.points, written.points, rtol=0, atol=6e-4)
    assert found.cells.labels.tolist() == written.labels.tolist()
    assert np.allclose(found.cells.scores, written.scores, atol=6e-5)
    assert np.allclose(found.cells.diameters, written.diameters, atol=6e-5)
    assert found.colors == {"tumour": "#0000ff", "lymphocyte": "#ff8000"}
