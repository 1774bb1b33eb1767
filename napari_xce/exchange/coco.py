"""COCO JSON, for training other people's detectors (format: https://cocodataset.org, Data format).

One slide is one image. Coordinates are (x, y), full-resolution pixels from the corner of the first
pixel. Every cell has its centre as a keypoint, since points without a size have no box.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from napari_xce.annotations.records import BACKGROUND, MASK, POINT, Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.aside import write_text
from napari_xce.exchange.frames import refuse_not_finite, to_corner_xy
from napari_xce.exchange.outlines import Area, Outline
from napari_xce.predictions.detections import Detections


def write_coco(
    path: Path | str,
    *,
    detections: Detections | None = None,
    annotations: Annotations | None = None,
    polygons: Iterable[Outline] | None = None,
    classes: Sequence[CellClass],
    slide_name: str,
    shape: tuple[int, int],
) -> None:
    """Write the cells of one slide as COCO JSON.

    Parameters
    ----------
    path : path
        The `.json` file.
    detections : Detections, optional
        Boxes as wide as the diameter, with "score"; of zero width where the diameter is unknown.
    annotations : Annotations, optional
        Points, as boxes of zero width, and masks, as polygons. Rejections, masks of background
        and reviewed regions are no cells and are left out.
    polygons : iterable of Outline, optional
        Instances. COCO polygons know no holes: outer outlines are written, `area` counts holes
        out.
    classes : sequence of CellClass
        The categories, background apart, under their own ids.
    slide_name : str
        File name of the image.
    shape : (int, int)
        Height and width of the slide, level-0 pixels.

    Raises
    ------
    ExchangeError
        If a cell is of a class that is not among `classes`, a coordinate is not finite, or the
        file cannot be written.
    """
    categories = {c.name: c.id for c in classes if c.id != 0}
    cells = _cells(detections, annotations, polygons)
    write_text(path, _document(cells, categories, slide_name, shape))


def _document(
    cells: Iterator[dict[str, Any]],
    categories: dict[str, int],
    slide_name: str,
    shape: tuple[int, int],
) -> Iterator[str]:
    """Yield the text of the file, piece by piece."""
    head = {
        "info": {"description": f"Cells of {slide_name}, written by napari-xce"},
        "images": [{"id": 1, "file_name": slide_name, "height": shape[0], "width": shape[1]}],
        "categories": [
            {"id": number, "name": name, "keypoints": ["centre"], "skeleton": []}
            for name, number in categories.items()
        ],
    }
    yield json.dumps(head)[:-1] + ', "annotations": ['
    separator = "\n"
    for number, cell in enumerate(cells, start=1):
        label = cell.pop("label")
        if label not in categories:
            raise ExchangeError(
                f"Cell {number} is of the class {label!r}, which is not among the classes given. "
                "Add the class or leave the cell out."
            )
        place = {"id": number, "image_id": 1, "category_id": categories[label], "iscrowd": 0}
        yield separator + json.dumps(place | cell, separators=(",", ":"), allow_nan=False)
        separator = ",\n"
    yield "\n]}\n"


def _cells(
    detections: Detections | None,
    annotations: Annotations | None,
    polygons: Iterable[Outline] | None,
) -> Iterator[dict[str, Any]]:
    """Yield the cells of all sources."""
    if annotations is not None:
        refuse_not_finite(annotations.points, "Annotation")
        cells = np.isin(annotations.kinds, (POINT, MASK)) & (annotations.labels != BACKGROUND)
        for i in np.flatnonzero(cells):
            polygon = annotations.polygons[i]
            label = str(annotations.labels[i])
            if annotations.kinds[i] == MASK and polygon is not None and len(polygon) > 2:
                yield _polygon_cell(shapely.Polygon(to_corner_xy(polygon)), label)
            else:
                x, y = to_corner_xy(annotations.points[i])[0]
                yield _point_cell(x, y, 0.0, label)
    for outline in polygons or ():
        shifted = shapely.transform(outline.polygon, lambda xy: xy + 0.5)
        score = {} if outline.score is None else {"score": outline.score}
        yield _polygon_cell(shifted, outline.label) | score
    if detections is not None:
        refuse_not_finite(detections.points, "Detection")
        xy = to_corner_xy(detections.points)
        rows = zip(xy, detections.labels, detections.scores, detections.diameters, strict=True)
        for (x, y), label, score, diameter in rows:
            size = float(diameter) if math.isfinite(diameter) else 0.0
            cell = _point_cell(x, y, size, str(label))
            yield cell | {"score": round(float(score), 4)}


def _point_cell(x: float, y: float, diameter: float, label: str) -> dict[str, Any]:
    """Return a cell of which the centre and perhaps the size are known."""
    return {
        "label": label,
        "bbox": _rounded([x - diameter / 2, y - diameter / 2, diameter, diameter]),
        "area": round(math.pi * (diameter / 2) ** 2, 3),
        "segmentation": [],
        "keypoints": [*_rounded([x, y]), 2],
        "num_keypoints": 1,
    }


def _polygon_cell(polygon: Area, label: str) -> dict[str, Any]:
    """Return a cell of which the outline is known."""
    x0, y0, x1, y1 = polygon.bounds
    centre = polygon.centroid
    shells = [part.exterior.coords for part in shapely.get_parts(polygon)]
    return {
        "label": label,
        "bbox": _rounded([x0, y0, x1 - x0, y1 - y0]),
        "area": round(polygon.area, 3),
        "segmentation": [_rounded(np.asarray(shell)[:-1].ravel().tolist()) for shell in shells],
        "keypoints": [*_rounded([centre.x, centre.y]), 2],
        "num_keypoints": 1,
    }


def _rounded(values: list[float]) -> list[float]:
    """Return the values as plain numbers, to a thousandth of a pixel."""
    return [round(float(value), 3) for value in values]
