"""GeoJSON in, written by QuPath or by us: as clicks, as cells that were found, or as areas.

Features go by one at a time, so that a million of them do not stand in memory as dictionaries.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.exchange.frames import CORNER, Origin, from_corner_xy
from napari_xce.exchange.geojson import TEST_REGION
from napari_xce.exchange.geojson_features import (
    ANNOTATION,
    CELL,
    CONTAINERS,
    DETECTION,
    Feature,
    iter_features,
)
from napari_xce.exchange.imported import (
    FARTHEST,
    CellCollector,
    ImportedCells,
    ImportedPoints,
    PointCollector,
)
from napari_xce.exchange.json_file import sentences
from napari_xce.exchange.outlines import Area

SCORES = ("score", "Detection probability")
DIAMETERS = ("diameter px",)
_ELSEWHERE = "objects on other planes (z or t)"


class ImportedAreas(NamedTuple):
    """Outlines with their names, as they come from a file.

    Each area is its name ("" for none) and a shapely outline in (x, y), level-0 pixels, our frame.
    """

    areas: list[tuple[str, Area]]
    notes: tuple[str, ...]


def read_geojson(
    path: Path | str, *, origin: Origin = CORNER, most: int | None = None
) -> ImportedPoints:
    """Read the objects of a GeoJSON file as points, gzipped or not.

    Parameters
    ----------
    path : path
        A FeatureCollection, a Feature, a list of either's features, or a bare geometry.
    origin : (float, float)
        Level-0 pixel (y, x) at the corner of the image in the program that wrote the file, see
        :mod:`.frames`.
    most : int, optional
        Refuse a file of more points.

    Returns
    -------
    ImportedPoints
        One point for each Point and for each part of a MultiPoint, and the centroid of each
        Polygon and MultiPolygon; of a cell with a nucleus, the nucleus. Lines, features without
        geometry, those on other planes, tiles and cores of tissue arrays are left out, and `notes`
        says so. The children of QuPath's hierarchy exports are read like the others.

    Raises
    ------
    ExchangeError
        If the file cannot be read, is not GeoJSON, is nested too deeply, or holds a coordinate
        that is no finite number; with the number of the feature.
    """
    collector = PointCollector(most)
    with sentences(path):
        for feature in iter_features(path):
            if not _left_out(feature, collector):
                _add_points(feature, collector, origin)
    return collector.finish()


def _left_out(feature: Feature, collector: PointCollector) -> bool:
    """Tell whether an object is none that can be read in, and count it if so."""
    if feature.kind == "root":
        return True
    if feature.kind in CONTAINERS:
        collector.leave_out(CONTAINERS[feature.kind])
    elif feature.geometry is None:
        collector.leave_out("objects without a shape")
    elif feature.is_elsewhere:
        collector.leave_out(_ELSEWHERE)
    else:
        return False
    return True


def _label(feature: Feature, collector: PointCollector) -> str:
    """Return the class name of a feature and note its colour."""
    name, color = feature.classification()
    if name and color:
        collector.colors.setdefault(name, color)
    return name


def _add_points(feature: Feature, collector: PointCollector, origin: Origin) -> None:
    """Collect the points of one feature."""
    label = _label(feature, collector)
    for kind, coordinates in feature.shapes():
        if kind == "line":
            collector.leave_out("lines")
        elif kind in ("Point", "MultiPoint"):
            collector.add(from_corner_xy(feature.points(kind, coordinates), origin), label)
        else:
            shape = feature.polygon(kind, coordinates)
            outline = _outer_outline(shape, origin)
            if feature.region is not None:
                aside = feature.region == TEST_REGION
                (collector.set_aside if aside else collector.regions).append(outline)
            else:
                centre = shapely.get_coordinates(shape.centroid)
                collector.add(from_corner_xy(centre, origin), label, outline)


def _outer_outline(shape: Area, origin: Origin) -> NDArray[np.float64]:
    """Return the shell of the polygon, or of its largest part, in our frame and not closed."""
    largest = max(shapely.get_parts(shape), key=lambda part: part.area)
    return from_corner_xy(shapely.get_coordinates(largest.exterior)[:-1], origin)


def read_geojson_cells(path: Path | str, *, origin: Origin = CORNER) -> ImportedCells:
    """Read the detections and cells of a GeoJSON file as cells that were found.

    Parameters
    ----------
    path, origin
        As for :func:`read_geojson`.

    Returns
    -------
    ImportedCells
        The score is the measurement "score" or "Detection probability", 1 where there is none or
        it is not in [0, 1]; the diameter is "diameter px", else that of a disc of the outline's
        area. Annotations are left out, and `notes` says so.

    Raises
    ------
    ExchangeError
        As for :func:`read_geojson`.
    """
    collector = CellCollector()
    shift_y, shift_x = (value - 0.5 for value in origin)
    with sentences(path):
        for feature in iter_features(path):
            if _left_out(feature, collector):
                continue
            if feature.kind not in (DETECTION, CELL):
                collector.leave_out("annotations")
                continue
            label = _label(feature, collector)
            score, diameter = feature.measurement(*SCORES), feature.measurement(*DIAMETERS)
            for x, y, size in _centres(feature, collector):
                collector.add_cell(
                    y + shift_y, x + shift_x, label, score, diameter if diameter > 0 else size
                )
    return collector.finish_cells()


def _centres(feature: Feature, collector: PointCollector) -> list[tuple[float, float, float]]:
    """Return x, y and diameter (NaN where unknown) of what a feature shows, in the file's frame."""
    found = []
    for kind, coordinates in feature.shapes():
        if kind == "line":
            collector.leave_out("lines")
        elif kind == "Point" and _is_plain(coordinates):  # most of a million go by here
            found.append((coordinates[0], coordinates[1], math.nan))
        elif kind in ("Point", "MultiPoint"):
            points = feature.points(kind, coordinates).tolist()
            found += [(x, y, math.nan) for x, y in points]
        else:
            shape = feature.polygon(kind, coordinates)
            centre = shape.centroid
            found.append((centre.x, centre.y, 2 * math.sqrt(shape.area / math.pi)))
    return found


def _is_plain(coordinates: object) -> bool:
    """Tell whether these are just two numbers in range."""
    return (
        type(coordinates) is list
        and len(coordinates) == 2
        and all(type(value) is float and -FARTHEST <= value <= FARTHEST for value in coordinates)
    )


def read_areas(path: Path | str, *, origin: Origin = CORNER) -> ImportedAreas:
    """Read the annotated polygons of a GeoJSON file as areas, with holes and all parts.

    Parameters
    ----------
    path, origin
        As for :func:`read_geojson`.

    Returns
    -------
    ImportedAreas
        Named after the object, else after its class. Points, detections, cells and reviewed
        regions are left out, and `notes` says so.

    Raises
    ------
    ExchangeError
        As for :func:`read_geojson`.
    """
    collector = PointCollector()
    areas: list[tuple[str, Area]] = []
    dy, dx = (value - 0.5 for value in origin)
    with sentences(path):
        for feature in iter_features(path):
            if _left_out(feature, collector):
                continue
            if feature.kind != ANNOTATION or feature.region is not None:
                collector.leave_out("cells and reviewed regions")
                continue
            for kind, coordinates in feature.shapes():
                if kind in ("Polygon", "MultiPolygon"):
                    shape = shapely.transform(
                        feature.polygon(kind, coordinates), lambda xy: xy + (dx, dy)
                    )
                    areas.append((feature.name or feature.classification()[0], shape))
                else:
                    collector.leave_out("points and lines")
    return ImportedAreas(areas, collector.notes)
