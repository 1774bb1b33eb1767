from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xce.annotations.records import CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange import read_cells, read_points, write, write_coco
from napari_xce.predictions.detections import Detections

TUMOUR = {"id": 7, "name": "tumour"}


def written(path: Path, *annotations: dict[str, Any], **others: Any) -> Path:
    """Write a COCO file of one image."""
    whole = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [TUMOUR], **others}
    path.write_text(json.dumps({"annotations": annotations, **whole}), encoding="utf-8")
    return path


def test_boxes_become_their_middles(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"image_id": 1, "category_id": 7, "bbox": [10, 20, 4, 8]})
    found = read_points(path)
    assert found.points.tolist() == [[23.5, 11.5]]  # the corner of the first pixel is at -0.5
    assert found.labels.tolist() == ["tumour"]
    assert found.polygons == (None,)


def test_outlines_come_along_and_the_largest_part_counts(tmp_path: Path) -> None:
    rings = [[0, 0, 2, 0, 2, 2, 0, 2], [10, 10, 20, 10, 20, 20, 10, 20]]
    path = written(tmp_path / "a.json", {"image_id": 1, "category_id": 7, "segmentation": rings})
    found = read_points(path)
    assert found.points.tolist() == [[14.5, 14.5]]
    (outline,) = found.polygons
    assert outline is not None
    assert sorted(outline.tolist()) == [[9.5, 9.5], [9.5, 19.5], [19.5, 9.5], [19.5, 19.5]]


def test_what_we_write_comes_back(
    tmp_path: Path, detections: Detections, classes: list[CellClass]
) -> None:
    write(tmp_path / "a.json", detections=detections, classes=classes, shape=(300, 400))
    found = read_points(tmp_path / "a.json")
    np.testing.assert_allclose(found.points, detections.points, atol=1e-3)
    assert found.labels.tolist() == detections.labels.tolist()


def test_crowds_and_objects_without_a_place_are_left_out(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.json",
        {"image_id": 1, "category_id": 7, "iscrowd": 1, "bbox": [0, 0, 9, 9]},
        {"image_id": 1, "category_id": 7, "segmentation": {"counts": "abc", "size": [9, 9]}},
        {"image_id": 1, "category_id": 7, "keypoints": [0, 0, 0]},
    )
    found = read_points(path)
    assert len(found) == 0
    assert found.notes == ("Left out: 1 crowds.", "Left out: 2 objects without a place.")


def test_only_objects_of_the_slide_are_read(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "case/b.svs"}]
    path = written(
        tmp_path / "a.json",
        {"image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2]},
        {"image_id": 2, "category_id": 7, "bbox": [4, 4, 2, 2]},
        images=images,
    )
    assert read_points(path, slide_name="b.svs").points.tolist() == [[4.5, 4.5]]
    with pytest.raises(ExchangeError, match="2 images, and none of them is called 'c'"):
        read_points(path, slide_name="c")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param({"category_id": 8, "bbox": [0, 0, 1, 1]}, "does not name", id="category"),
        pytest.param({"category_id": 7, "bbox": [0, None, 1, 1]}, "no number", id="coordinate"),
        pytest.param({"category_id": 7, "segmentation": [[1, 2, 3]]}, "outline", id="outline"),
        pytest.param(5, "is no object", id="number"),
    ],
)
def test_what_is_wrong_is_said_with_its_number(tmp_path: Path, entry: Any, words: str) -> None:
    good = {"category_id": 7, "bbox": [0, 0, 1, 1]}
    with pytest.raises(ExchangeError, match=f"annotation 2 .*{words}"):
        read_points(written(tmp_path / "a.json", good, entry))


def test_order_of_the_parts_of_the_file_does_not_matter(tmp_path: Path) -> None:
    """COCO's own files name the images before the objects, and the categories behind them."""
    objects = [
        {"image_id": image, "category_id": 7, "keypoints": [10 * image, 20, 2]} for image in (1, 2)
    ]
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    parts = {"images": images, "annotations": objects, "categories": [TUMOUR]}
    for order in (("images", "annotations", "categories"), ("categories", "annotations", "images")):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({name: parts[name] for name in order}), encoding="utf-8")
        found = read_points(path, slide_name="b.svs")
        assert found.points.tolist() == [[19.5, 19.5]]
        assert found.labels.tolist() == ["tumour"]


def test_our_cells_come_back_with_score_and_size(tmp_path: Path) -> None:
    cells = Detections([[1.5, 2.25], [30, 4]], ["a", "b"], [0.25, 1.0], [16.5, 8])
    classes = [CellClass(1, "a", "#ff0000", None), CellClass(2, "b", "#00ff00", None)]
    path = tmp_path / "cells.json"
    write_coco(path, detections=cells, classes=classes, slide_name="s", shape=(100, 100))
    found = read_cells(path).cells
    assert found.points.tolist() == [[1.5, 2.25], [30, 4]]
    assert found.labels.tolist() == ["a", "b"]
    assert (found.scores.tolist(), found.diameters.tolist()) == ([0.25, 1.0], [16.5, 8])


def test_outline_and_box_tell_the_size_of_a_cell(tmp_path: Path) -> None:
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    objects = [
        {"category_id": 1, "segmentation": [square], "bbox": [0, 0, 10, 10], "score": 0.5},
        {"category_id": 1, "bbox": [4, 6, 10, 20]},
        {"category_id": 1, "keypoints": [5, 7, 2]},
        {"category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
    ]
    document = {"annotations": objects, "categories": [{"id": 1, "name": "cell"}]}
    path = tmp_path / "found.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    found, _, notes = read_cells(path)
    assert found.points.tolist() == [[4.5, 4.5], [15.5, 8.5], [6.5, 4.5]]
    expected = [math.sqrt(400 / math.pi), 15, math.nan]  # a disc of 100 px^2; the mean side
    np.testing.assert_allclose(found.diameters, expected, rtol=1e-6)
    assert (found.scores.tolist(), notes) == ([0.5, 1, 1], ("Left out: 1 crowds.",))
