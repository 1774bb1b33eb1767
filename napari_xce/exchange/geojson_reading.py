"""Read points, and polygons as their centroids, from GeoJSON written by QuPath or by us.

The file is hostile until it is read: every number is checked, every refusal names the feature.
Features are boiled down while the parser runs (`object_hook`), so that a million of them do not
stand in memory as dictionaries.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.errors import ExchangeError
from napari_xce.exchange.frames import CORNER, Origin, from_corner_xy
from napari_xce.exchange.geojson import REVIEWED_REGION, TEST_REGION
from napari_xce.exchange.imported import FARTHEST, ImportedPoints, PointCollector, clean_name
from napari_xce.exchange.outlines import Area

LARGEST = 2 << 30  # bytes of text, unpacked; ten million cells

_DIMENSIONS = {"Point": 1, "MultiPoint": 2, "Polygon": 3, "MultiPolygon": 4}
_LINES = ("LineString", "MultiLineString")
_TAKEN = object()  # stands in the parsed tree for a feature that was collected


def read_geojson(path: Path | str, *, origin: Origin = CORNER) -> ImportedPoints:
    """Read the points of a GeoJSON file, gzipped or not.

    Parameters
    ----------
    path : path
        A FeatureCollection, a Feature, a list of either's features, or a bare geometry.
    origin : (float, float)
        Level-0 pixel (y, x) at the corner of the image in the program that wrote the file, see
        :mod:`.frames`.

    Returns
    -------
    ImportedPoints
        One point for each Point and for each part of a MultiPoint, and the centroid of each
        Polygon and MultiPolygon. Lines and features without geometry are left out, and `notes`
        says so. The children of QuPath's hierarchy exports are read like the others.

    Raises
    ------
    ExchangeError
        If the file cannot be read, is not GeoJSON, is nested too deeply, is larger than 2 GiB, or
        holds a coordinate that is no finite number; with the number of the feature.
    """
    reader = _FeatureReader(origin)
    try:
        tree = json.loads(_text(Path(path)), object_hook=reader.take, parse_int=float)
        reader.check(tree)
    except ExchangeError as error:
        raise ExchangeError(f"{path} was not read: {error}") from None
    except RecursionError:
        raise ExchangeError(
            f"{path} was not read: it is nested too deeply to be GeoJSON. Export it again."
        ) from None
    except ValueError as error:
        raise ExchangeError(
            f"{path} was not read: it is not valid JSON ({error}). Export it again."
        ) from None
    return reader.collector.finish()


def _text(path: Path) -> str:
    """Return the content of the file as text, unpacked where needed."""
    try:
        with path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            content = (gzip.GzipFile(fileobj=raw) if zipped else raw).read(LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ExchangeError(
            "its compression is damaged. Copy it again, or export it again."
        ) from None
    except OSError as error:
        raise ExchangeError(f"{error.strerror or error}. Check the name and the folder.") from None
    if len(content) > LARGEST:
        raise ExchangeError("it is larger than 2 GiB. Split it, for instance by region.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExchangeError("it is not UTF-8 text. Export it again as GeoJSON.") from None


class _FeatureReader:
    """Takes features from the parser as they are completed."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.collector = PointCollector()
        self.number = 0

    def take(self, node: dict[str, Any]) -> Any:
        """Collect a feature and let go of it; hand anything else back."""
        if node.get("type") != "Feature":
            return node
        self.number += 1
        properties = node.get("properties")
        self._add(node.get("geometry"), properties if isinstance(properties, dict) else {})
        return _TAKEN

    def check(self, tree: Any) -> None:
        """Refuse what is JSON, but not GeoJSON; take geometries that stand alone."""
        if isinstance(tree, dict) and tree.get("type") == "FeatureCollection":
            tree = tree.get("features")
            if not isinstance(tree, list):
                raise ExchangeError("it has no list of features. Export it again as GeoJSON.")
        for number, item in enumerate(tree if isinstance(tree, list) else [tree], start=1):
            if item is _TAKEN:
                continue
            if not isinstance(item, dict) or "type" not in item:
                raise ExchangeError(
                    f"item {number} is not a GeoJSON feature. Export it again as GeoJSON."
                )
            self.number = number
            self._add(item, {})

    def _add(self, geometry: Any, properties: dict[str, Any]) -> None:
        """Collect the points of one geometry."""
        if geometry is None:
            self.collector.leave_out("objects without a shape")
            return
        label = self._label(properties)
        region = _region(properties)
        for kind, coordinates in self._simple(geometry):
            if kind in ("Point", "MultiPoint"):
                positions = self._numbers(coordinates, _DIMENSIONS[kind])
                self.collector.add(from_corner_xy(positions, self.origin), label)
                continue
            shape = self._polygon(kind, coordinates)
            outline = _outer_outline(shape, self.origin)
            if region:
                aside = region == TEST_REGION
                (self.collector.set_aside if aside else self.collector.regions).append(outline)
            else:
                centre = shapely.get_coordinates(shape.centroid)
                self.collector.add(from_corner_xy(centre, self.origin), label, outline)

    def _simple(self, geometry: Any) -> Iterator[tuple[str, Any]]:
        """Yield the kind and the coordinates of each geometry in a geometry."""
        kind = str(geometry.get("type")) if isinstance(geometry, dict) else None
        if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
            for part in geometry["geometries"]:
                yield from self._simple(part)
        elif kind in _LINES:
            self.collector.leave_out("lines")
        elif kind in _DIMENSIONS:
            yield kind, geometry.get("coordinates")
        else:
            raise self._refusal(f"has a geometry of unknown type {str(kind)[:40]!r}")

    def _polygon(self, kind: str, coordinates: Any) -> Area:
        """Return a polygon in the file's frame."""
        parts = [coordinates] if kind == "Polygon" else coordinates
        if not isinstance(parts, list) or not parts or not all(isinstance(p, list) for p in parts):
            raise self._refusal("has a polygon without coordinates")
        polygons = []
        for rings in parts:
            shell, *holes = [self._ring(ring) for ring in rings] or [np.empty((0, 2))]
            polygons.append(shapely.Polygon(shell, holes))
        shape: Area = polygons[0] if kind == "Polygon" else shapely.MultiPolygon(polygons)
        if shape.is_empty:
            raise self._refusal("has a polygon without coordinates")
        return shape

    def _ring(self, ring: Any) -> NDArray[np.float64]:
        """Return one ring of a polygon, (M, 2)."""
        positions = self._numbers(ring, 2)
        if len(positions) < 3:
            raise self._refusal("has a polygon of fewer than three corners")
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
            raise self._refusal("has coordinates that are not pairs of numbers")
        numbers = np.atleast_2d(numbers)[:, :2]
        if not (np.abs(numbers) <= FARTHEST).all():  # not True of NaN either
            raise self._refusal("has a coordinate that is not finite or outside any slide")
        return numbers.astype(np.float64)

    def _label(self, properties: dict[str, Any]) -> str:
        """Return the class name of a feature and note its colour."""
        entry = properties.get("classification")
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict):
            return ""
        names = entry.get("names")
        name = ": ".join(map(str, names)) if isinstance(names, list) else entry.get("name")
        if not isinstance(name, str):
            return ""
        name = clean_name(name, f"Feature {self.number}")
        color = _color(entry)
        if name and color:
            self.collector.colors.setdefault(name, color)
        return name

    def _refusal(self, what: str) -> ExchangeError:
        """Return the error for the feature at hand."""
        return ExchangeError(
            f"feature {self.number} {what}. Correct or remove that object and export again."
        )


def _region(properties: dict[str, Any]) -> str | None:
    """Return which kind of reviewed region of ours it is, also after a trip through QuPath."""
    name, metadata = properties.get("name"), properties.get("metadata")
    if name in (REVIEWED_REGION, TEST_REGION):
        return str(name)
    is_region = isinstance(metadata, dict) and metadata.get("kind") == "region"
    return REVIEWED_REGION if is_region else None


def _outer_outline(shape: Area, origin: Origin) -> NDArray[np.float64]:
    """Return the shell of the polygon, or of its largest part, in our frame and not closed."""
    largest = max(shapely.get_parts(shape), key=lambda part: part.area)
    return from_corner_xy(shapely.get_coordinates(largest.exterior)[:-1], origin)


def _color(entry: dict[str, Any]) -> str | None:
    """Return "#rrggbb" from QuPath's `color` or older `colorRGB`; None if there is none."""
    rgb, packed = entry.get("color"), entry.get("colorRGB")
    if isinstance(rgb, list) and len(rgb) == 3 and all(isinstance(v, float) for v in rgb):
        if all(0 <= value <= 255 for value in rgb):
            return "#" + "".join(f"{int(value):02x}" for value in rgb)
    elif isinstance(packed, float) and abs(packed) < 2**32:
        return f"#{int(packed) & 0xFFFFFF:06x}"  # 32 bits, alpha first, as a signed number
    return None
