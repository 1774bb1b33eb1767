"""What napari's File > Save does with our formats: points and label layers, one at a time.

A layer is written as it is, in its own pixels, which for the layers of this plugin are level-0
pixels of the slide. The dock's Export writes a whole slide; this writes what a layer holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.annotations.records import (
    BACKGROUND,
    HUMAN,
    POINT,
    REJECTION,
    Annotations,
    CellClass,
)
from napari_xce.errors import ExchangeError
from napari_xce.exchange import write
from napari_xce.predictions.detections import Detections

Attributes = Mapping[str, Any]  # of napari's LayerDataTuple


def write_points(path: str, data: ArrayLike, attributes: Attributes) -> list[str]:
    """Write a points layer as GeoJSON for QuPath or as CSV.

    Points with a column "score" in the layer's features are written as detections, others as
    annotations. Their class is the column "class", or else the name of the layer.

    Parameters
    ----------
    path : str
        Ends in ``.geojson``, ``.geojson.gz`` or ``.csv``.
    data : float, shape (N, 2)
        The layer's points, (y, x).
    attributes : mapping
        The layer's attributes, as napari hands them to a writer.

    Returns
    -------
    list of str
        The path written.

    Raises
    ------
    ExchangeError
        If the layer is not two-dimensional, or the file cannot be written.
    """
    points = np.asarray(data, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ExchangeError("Only points in two dimensions can be written as cells of a slide.")
    features = attributes.get("features", {})
    name = str(attributes.get("name", "points"))
    labels = np.asarray(features["class"] if "class" in features else [name] * len(points), str)
    found = "score" in features
    write(
        path,
        detections=_detections(points, labels, attributes) if found else None,
        annotations=None if found else _annotations(points, labels),
        classes=_classes(labels, attributes),
        slide_name=name,
        mpp=_pixel_size(attributes),
    )
    return [path]


def write_labels(path: str, data: Any, attributes: Attributes) -> list[str]:
    """Write a labels layer as a mask that knows its pixel size, OME-TIFF or OME-Zarr.

    Parameters
    ----------
    path : str
        Ends in ``.ome.tif``, ``.ome.tiff`` or ``.zarr``.
    data : int, shape (H, W), or a list of such
        The layer's labels; of a multiscale layer the finest level is written.
    attributes : mapping
        The layer's attributes, as napari hands them to a writer.

    Returns
    -------
    list of str
        The path written.

    Raises
    ------
    ExchangeError
        If the layer is not two-dimensional, or the file cannot be written.
    """
    finest = data[0] if attributes.get("multiscale") else data
    name = str(attributes.get("name", "labels"))
    write(path, labels=np.asarray(finest), slide_name=name, mpp=_pixel_size(attributes))
    return [path]


def _pixel_size(attributes: Attributes) -> tuple[float, float] | None:
    """Return micrometres per pixel of the layer, (y, x), or None when its units are no lengths."""
    scale = attributes.get("scale", ())
    units = attributes.get("units") or ()
    if len(scale) < 2 or len(units) != len(scale):
        return None
    if not all(unit.is_compatible_with("micrometer") for unit in units):
        return None
    y, x = (
        (value * unit).to("micrometer").magnitude for value, unit in zip(scale, units, strict=True)
    )
    return float(y), float(x)


def _detections(
    points: NDArray[np.float64], labels: NDArray[np.str_], attributes: Attributes
) -> Detections:
    """Return the points as detections, with their scores and drawn sizes."""
    sizes = np.broadcast_to(np.asarray(attributes.get("size", np.nan), np.float32), len(points))
    scores = np.asarray(attributes["features"]["score"], np.float32)
    return Detections(points, labels, scores, sizes)


def _annotations(points: NDArray[np.float64], labels: NDArray[np.str_]) -> Annotations:
    """Return the points as a person's clicks; those of the background are rejections."""
    count = len(points)
    return Annotations(
        ids=np.arange(count).astype(str),
        points=points,
        labels=labels,
        kinds=np.where(labels == BACKGROUND, REJECTION, POINT),
        provenances=np.full(count, HUMAN),
        polygons=(None,) * count,
        slides=np.full(count, ""),
        created=np.full(count, np.nan),
        set_aside=np.zeros(count, bool),
    )


def _classes(labels: NDArray[np.str_], attributes: Attributes) -> list[CellClass]:
    """Return the classes of the layer, each in the colour of its first point."""
    count = len(labels)
    if not count:  # napari then gives colours that are none
        return []
    names, first = np.unique(labels, return_index=True)
    faces = np.broadcast_to(attributes.get("face_color", (1.0, 1.0, 1.0, 1.0)), (count, 4))
    borders = np.broadcast_to(attributes.get("border_color", (1.0, 1.0, 1.0, 1.0)), (count, 4))
    colors = np.where(faces[:, 3:] > 0, faces, borders)  # a ring shows its border only
    return [
        CellClass(number, str(name), _hex(colors[index]), None)
        for number, (name, index) in enumerate(zip(names, first, strict=True), start=1)
    ]


def _hex(rgba: NDArray[np.float64]) -> str:
    """Return a colour in [0, 1] as "#rrggbb"."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in rgba[:3])
