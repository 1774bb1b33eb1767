"""The objects of a GeoJSON file, one at a time, as QuPath means them.

The file is hostile until it is read: every number is checked, every refusal names the feature.
Rules, from QuPath's own reader and writer (qupath/qupath, `qupath.lib.io`: QuPathTypeAdapters,
ROITypeAdapters, GsonTools):

- The type of an object is `objectType`, before 0.4 `object_type` or the class in `id`; without one
  it is an annotation. Children are in `childObjects` or `children` of the properties.
- A classification is a name, or an object with `name` or, for derived classes, `names`; `color` is
  [r, g, b] or [r, g, b, a]. Before 0.4 it was `colorRGB`, one signed number, with `parentClass`.
- Measurements are an object; before 0.4 a list of names and values. NaN and Infinity occur.
- A cell has its nucleus in `nucleusGeometry` beside `geometry`. An ellipse is a polygon, too.
- A geometry off the first plane has `plane` with c, z and t. Cores of tissue arrays have
  `isMissing`; they, tiles and the root are no cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.errors import ExchangeError
from napari_xce.exchange.geojson import REVIEWED_REGION, TEST_REGION
from napari_xce.exchange.imported import FARTHEST, clean_name
from napari_xce.exchange.json_file import open_text
from napari_xce.exchange.json_stream import iter_items
from napari_xce.exchange.outlines import Area

_DIMENSIONS = {"Point": 1, "MultiPoint": 2, "Polygon": 3, "MultiPolygon": 4}
_LINES = ("LineString", "MultiLineString")
_TYPES = {  # as they are written, now and before 0.4
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
    "tma_core": "tmaCore",
    "PathRootObject": "root",
}
ANNOTATION, DETECTION, CELL = "annotation", "detection", "cell"
CONTAINERS = {"tile": "tiles", "tmaCore": "cores of tissue arrays"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One object of a file.

    `number` counts from 1 in the order of the file, parents before children. `kind` is QuPath's
    object type. `geometry` is unchecked; of a cell with a nucleus it is the nucleus.
    """

    number: int
    kind: str
    geometry: Any
    properties: dict[str, Any]

    # ---- what the properties say

    @property
    def region(self) -> str | None:
        """Which kind of reviewed region of ours it is, also after a trip through QuPath."""
        name, metadata = self.properties.get("name"), self.properties.get("metadata")
        if name in (REVIEWED_REGION, TEST_REGION):
            return str(name)
        is_region = isinstance(metadata, dict) and metadata.get("kind") == "region"
        return REVIEWED_REGION if is_region else None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it lies on another plane of a stack or at another time."""
        plane = self.geometry.get("plane") if isinstance(self.geometry, dict) else None
        return isinstance(plane, dict) and any(plane.get(axis) not in (None, 0) for axis in "zt")

    @property
    def name(self) -> str:
        """What the object itself is called; "" for nothing."""
        name = self.properties.get("name")
        return clean_name(name, f"Feature {self.number}") if isinstance(name, str) else ""

    def classification(self) -> tuple[str, str | None]:
        """Return the class name ("" for none) and its colour as "#rrggbb", or None."""
        entry = self.properties.get("classification")
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict):
            return "", None
        name = _class_name(entry)
        return clean_name(name, f"Feature {self.number}") if name else "", _color(entry)

    def measurement(self, *names: str) -> float:
        """Return the first of these measurements that the object has; NaN for none."""
        found = self.properties.get("measurements")
        if isinstance(found, list):
            found = {str(m.get("name")): m.get("value") for m in found if isinstance(m, dict)}
        for name in names:
            value = found.get(name) if isinstance(found, dict) else None
            if isinstance(value, float):
                return value
        return float("nan")

    # ---- the shape

    def shapes(self) -> Iterator[tuple[str, Any]]:
        """Yield the kind and the coordinates of each simple geometry; "line" for lines."""
        yield from self._simple(self.geometry)

    def _simple(self, geometry: Any) -> Iterator[tuple[str, Any]]:
        kind = str(geometry.get("type")) if isinstance(geometry, dict) else None
        if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
            for part in geometry["geometries"]:
                yield from self._simple(part)
        elif kind in _LINES:
            yield "line", None
        elif kind in _DIMENSIONS:
            yield str(kind), geometry.get("coordinates")
        else:
            raise self.refusal(f"has a geometry of unknown type {str(kind)[:40]!r}")

    def points(self, kind: str, coordinates: Any) -> NDArray[np.float64]:
        """Return the coordinates (x, y) of a Point or MultiPoint, float64, shape (K, 2)."""
        return self._numbers(coordinates, _DIMENSIONS[kind])

    def polygon(self, kind: str, coordinates: Any) -> Area:
        """Return a Polygon or MultiPolygon in the file's frame."""
        parts = [coordinates] if kind == "Polygon" else coordinates
        if not isinstance(parts, list) or not parts or not all(isinstance(p, list) for p in parts):
            raise self.refusal("has a polygon without coordinates")
        polygons = []
        for rings in parts:
            shell, *holes = [self._ring(ring) for ring in rings] or [np.empty((0, 2))]
            polygons.append(shapely.Polygon(shell, holes))
        shape: Area = polygons[0] if kind == "Polygon" else shapely.MultiPolygon(polygons)
        if shape.is_empty:
            raise self.refusal("has a polygon without coordinates")
        return shape

    def _ring(self, ring: Any) -> NDArray[np.float64]:
        """Return one ring of a polygon, (M, 2)."""
        positions = self._numbers(ring, 2)
        if len(positions) < 3:
            raise self.refusal("has a polygon of fewer than three corners")
        return positions

    def _numbers(self, coordinates: Any, dimensions: int) -> NDArray[np.float64]:
        """Return coordinates as finite numbers (K, 2), without a third coordinate."""
        try:
            numbers = np.asarray(coordinates)
        except ValueError:  # lists of different lengths
            numbers = np.empty((), dtype=object)
        if numbers.shape == (0,) and dimensions == 2:
            return np.empty((0, 2))
        if (
            numbers.dtype.kind not in "fi"
            or numbers.ndim != dimensions
            or numbers.shape[-1] not in (2, 3)
        ):
            raise self.refusal("has coordinates that are not pairs of numbers")
        numbers = np.atleast_2d(numbers)[:, :2]
        if not (np.abs(numbers) <= FARTHEST).all():  # not True of NaN either
            raise self.refusal("has a coordinate that is not finite or outside any slide")
        return numbers.astype(np.float64)

    def refusal(self, what: str) -> ExchangeError:
        """Return the error for this feature."""
        return ExchangeError(
            f"feature {self.number} {what}. Correct or remove that object and export again."
        )


def iter_features(path: Path | str) -> Iterator[Feature]:
    """Yield the objects of a GeoJSON file, gzipped or not; children after their parents.

    Parameters
    ----------
    path : path
        A FeatureCollection, a Feature, a list of either's features, or a bare geometry.

    Raises
    ------
    ExchangeError
        If it is not GeoJSON or far too large; what comes before the fault was yielded. Read within
        `sentences`, which names the file and catches what else a file can cause.
    """
    number = 0
    with open_text(Path(path)) as read:
        for item, node in enumerate(iter_items(read, "features"), start=1):
            for feature in _with_children(node, item):
                number += 1
                kind = _object_type(feature)
                yield Feature(number, kind, _geometry(feature, kind), _properties(feature))


def _with_children(node: Any, item: int) -> Iterator[dict[str, Any]]:
    """Yield a feature and the children in it, a bare geometry as a feature."""
    if not isinstance(node, dict) or "type" not in node:
        raise ExchangeError(f"item {item} is not a GeoJSON feature. Export it again as GeoJSON.")
    if node["type"] == "FeatureCollection":
        raise ExchangeError("it has no list of features. Export it again as GeoJSON.")
    if node["type"] != "Feature":
        yield {"geometry": node}
        return
    yield node
    properties = _properties(node)
    children = properties.get("childObjects", properties.get("children"))
    for child in children if isinstance(children, list) else ():
        yield from _with_children(child, item)


def _properties(node: dict[str, Any]) -> dict[str, Any]:
    properties = node.get("properties")
    return properties if isinstance(properties, dict) else {}


def _object_type(node: dict[str, Any]) -> str:
    """Return QuPath's type of object; an annotation where none is said."""
    properties = _properties(node)
    for said in (*map(properties.get, ("objectType", "object_type", "type")), node.get("id")):
        if isinstance(said, str):
            kind = _TYPES.get(said, said)
            if kind in _TYPES.values():
                return kind
    return ANNOTATION


def _geometry(node: dict[str, Any], kind: str) -> Any:
    """Return the geometry of an object, of a cell that of its nucleus if there is one."""
    nucleus = node.get("nucleusGeometry")
    return nucleus if kind == CELL and isinstance(nucleus, dict) else node.get("geometry")


def _class_name(entry: dict[str, Any]) -> str:
    """Return the name of a class; of a derived one "base: derived", as QuPath shows it."""
    names = entry.get("names")
    if isinstance(names, list):
        return ": ".join(map(str, names))
    name, parent = entry.get("name"), entry.get("parentClass")
    parts = [_class_name(parent)] if isinstance(parent, dict) else []
    return ": ".join([*filter(None, parts), name]) if isinstance(name, str) else ""


def _color(entry: dict[str, Any]) -> str | None:
    """Return "#rrggbb" from QuPath's `color` or older `colorRGB`; None if there is none."""
    rgb, packed = entry.get("color"), entry.get("colorRGB")
    if isinstance(rgb, list) and len(rgb) in (3, 4) and all(isinstance(v, float) for v in rgb):
        if all(0 <= value <= 255 for value in rgb):
            return "#" + "".join(f"{int(value):02x}" for value in rgb[:3])
    elif isinstance(packed, float) and abs(packed) < 2**32:
        return f"#{int(packed) & 0xFFFFFF:06x}"  # 32 bits, alpha first, as a signed number
    return None
