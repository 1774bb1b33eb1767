from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.coco import write_coco
from napari_xce.exchange.outlines import outlines
from napari_xce.predictions.detections import Detections


def write(path: Path, classes: list[CellClass], **parts: Any) -> dict[str, Any]:
    write_coco(path, classes=classes, slide_name="slide.svs", shape=(300, 400), **parts)
    return json.loads(path.read_text(encoding="utf-8"))


def test_image_and_categories(tmp_path: Path, classes: list[CellClass]) -> None:
    found = write(tmp_path / "a.json", classes)
    assert found["images"] == [{"id": 1, "file_name": "slide.svs", "height": 300, "width": 400}]
    assert [(c["id"], c["name"]) for c in found["categories"]] == [(1, "lymphocyte"), (2, "tumour")]
    assert found["annotations"] == []


def test_detections_have_boxes_and_centres(
    tmp_path: Path, classes: list[CellClass], detections: Detections
) -> None:
    first, second = write(tmp_path / "a.json", classes, detections=detections)["annotations"]
    assert first == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [12.5, 2.5, 16.0, 16.0],
        "area": 201.062,
        "segmentation": [],
        "keypoints": [20.5, 10.5, 2],
        "num_keypoints": 1,
        "score": 0.9375,
    }
    assert second["bbox"] == [8.0, 3.75, 0.0, 0.0]


def test_instances_have_outlines(tmp_path: Path, classes: list[CellClass]) -> None:
    mask = np.zeros((4, 4), int)
    mask[1:3, 1:4] = 1
    parts = {"polygons": outlines(mask, "tumour", {1: 0.5})}
    (only,) = write(tmp_path / "a.json", classes, **parts)["annotations"]
    assert only["bbox"] == [1.0, 1.0, 3.0, 2.0]
    assert (only["area"], only["score"], only["category_id"]) == (6.0, 0.5, 2)
    (ring,) = only["segmentation"]
    assert sorted(zip(ring[::2], ring[1::2], strict=True)) == [(1, 1), (1, 3), (4, 1), (4, 3)]


def test_only_cells_are_taken_from_annotations(
    tmp_path: Path, classes: list[CellClass], annotations: Annotations
) -> None:
    found = write(tmp_path / "a.json", classes, annotations=annotations)["annotations"]
    assert [cell["category_id"] for cell in found] == [1, 2]
    assert found[1]["area"] == 16.0


def test_class_that_is_not_given_is_refused(tmp_path: Path, detections: Detections) -> None:
    with pytest.raises(ExchangeError, match="Cell 1 is of the class 'lymphocyte'"):
        write(tmp_path / "a.json", [], detections=detections)
    assert list(tmp_path.iterdir()) == []


def test_coordinate_that_is_not_finite_is_refused(tmp_path: Path, classes: list[CellClass]) -> None:
    cells = Detections([[np.nan, 0]], ["tumour"], [1], [1])
    with pytest.raises(ExchangeError, match="Detection 1"):
        write(tmp_path / "a.json", classes, detections=cells)
