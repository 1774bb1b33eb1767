"""GeoJSON that QuPath 0.4 and later opens (File > Import objects, or drag and drop).

Source of the form: what QuPath's reader takes and its writer gives (qupath/qupath, qupath-core,
`qupath.lib.io`: QuPathTypeAdapters, ROITypeAdapters, PathIO). What is easily missed:

- Coordinates are (x, y), full-resolution pixels from the corner of the first pixel (`frames`).
- `id` must be a UUID. Ours depend only on what is exported, so QuPath recognises an object that it
  imports a second time.
- A classification that is an object must have a colour, or QuPath refuses the whole file. Without
  one it is written as the bare name.
- `name` must not be null, and a measurement neither null nor text; both are left out instead.
- QuPath reads a file in the platform's character set before Java 18. Text is therefore written
  as ASCII with escapes.
- Gzipped files are read since QuPath 0.4.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from napari_xce.annotations.records import MASK, REGION, REJECTION, Annotations, CellClass
from napari_xce.exchange.aside import write_text
from napari_xce.exchange.frames import CORNER, Origin, refuse_not_finite, to_corner_xy
from napari_xce.exchange.outlines import Outline
from napari_xce.predictions.detections import Detections

REVIEWED_REGION, TEST_REGION = "reviewed region", "test region"
REJECTED = "rejected"
_DECIMALS = 3  # of coordinates; QuPath itself writes two


def write_geojson(
    path: Path | str,
    *,
    detections: Detections | None = None,
    annotations: Annotations | None = None,
    polygons: Iterable[Outline] | None = None,
    classes: Sequence[CellClass],
    slide_name: str,
    origin: Origin = CORNER,
) -> None:
    """Write cells, masks and annotations of one slide as GeoJSON; `.gz` at the end compresses.

    Parameters
    ----------
    path : path
        `.geojson` or `.geojson.gz`.
    detections : Detections, optional
        Each becomes a point, object type "detection", with the measurements "score" and, where
        known, "diameter px".
    annotations : Annotations, optional
        Of this slide. Each becomes an object of type "annotation": points; rejections, of class
        background and named "rejected"; masks, as polygons; reviewed regions, as polygons without
        class, named "reviewed region" or, set aside, "test region". Their kind and provenance are
        in `metadata`.
    polygons : iterable of Outline, optional
        Instances; each becomes a polygon, object type "detection". May be a generator: features
        are written as they come.
    classes : sequence of CellClass
        Gives the colours. A class that is not in it is written without one.
    slide_name : str
        Written beside the features, and part of what the ids depend on.
    origin : (float, float)
        Level-0 pixel (y, x) at the corner of the image in QuPath, see :mod:`.frames`.

    Raises
    ------
    ExchangeError
        If a coordinate is not finite or the file cannot be written.
    """
    looks = {cell_class.name: cell_class.color for cell_class in classes}
    features = _features(detections, annotations, polygons, looks, slide_name, origin)
    write_text(path, _collection(features, slide_name), gz=str(path).lower().endswith(".gz"))


def _collection(features: Iterable[str], slide_name: str) -> Iterator[str]:
    """Yield the text of the file, piece by piece."""
    yield '{"type":"FeatureCollection","slide":' + json.dumps(slide_name) + ',"features":['
    separator = "\n"
    for feature in features:
        yield separator + feature
        separator = ",\n"
    yield "\n]}\n"


def _features(
    detections: Detections | None,
    annotations: Annotations | None,
    polygons: Iterable[Outline] | None,
    colors: Mapping[str, str],
    slide_name: str,
    origin: Origin,
) -> Iterator[str]:
    """Yield all features, the annotations first, as they are fewest."""
    if annotations is not None:
        yield from _annotation_features(annotations, colors, slide_name, origin)
    if polygons is not None:
        yield from _outline_features(polygons, colors, slide_name, origin)
    if detections is not None:
        yield from _detection_features(detections, colors, slide_name, origin)


def _detection_features(
    detections: Detections, colors: Mapping[str, str], slide_name: str, origin: Origin
) -> Iterator[str]:
    """Yield a point for each detection. One f-string each: there may be a million."""
    xy = to_corner_xy(detections.points, origin)
    refuse_not_finite(xy, "Detection")
    classes = {name: _classification(name, colors) for name in np.unique(detections.labels)}
    ids = _content_ids(slide_name, detections)
    rows = zip(ids, xy, detections.labels, detections.scores, detections.diameters, strict=True)
    for identity, (x, y), label, score, diameter in rows:
        measured = _measurements({"score": score, "diameter px": diameter})
        yield (
            f'{{"type":"Feature","id":"{identity}",'
            f'"geometry":{{"type":"Point","coordinates":[{x:.3f},{y:.3f}]}},'
            f'"properties":{{"objectType":"detection"{classes[label]}{measured}}}}}'
        )


def _outline_features(
    polygons: Iterable[Outline], colors: Mapping[str, str], slide_name: str, origin: Origin
) -> Iterator[str]:
    """Yield a polygon for each instance."""
    shift = 0.5 - np.asarray(origin)[::-1]
    for number, outline in enumerate(polygons):
        polygon = shapely.transform(outline.polygon, lambda xy: (xy + shift).round(_DECIMALS))
        refuse_not_finite(shapely.get_coordinates(polygon), "Polygon", number)
        score = math.nan if outline.score is None else outline.score
        yield _feature(
            _derived_id(slide_name, "polygon", number, polygon.wkb_hex),
            polygon,
            '"objectType":"detection"'
            + _classification(outline.label, colors)
            + _measurements({"score": score}),
        )


def _annotation_features(
    annotations: Annotations, colors: Mapping[str, str], slide_name: str, origin: Origin
) -> Iterator[str]:
    """Yield an object for each annotation."""
    for i, kind in enumerate(annotations.kinds):
        geometry = _annotation_geometry(annotations, i, origin)
        refuse_not_finite(shapely.get_coordinates(geometry), "Annotation", i)
        parts = ['"objectType":"annotation"']
        if kind == REGION:
            name = TEST_REGION if annotations.set_aside[i] else REVIEWED_REGION
            parts.append(f',"name":"{name}"')
        elif kind == REJECTION:
            parts.append(f',"name":"{REJECTED}"')
        if kind != REGION:
            parts.append(_classification(annotations.labels[i], colors))
        metadata = {"kind": str(kind), "provenance": str(annotations.provenances[i])}
        parts.append(',"metadata":' + json.dumps(metadata, separators=(",", ":")))
        identity = _derived_id(slide_name, "annotation", annotations.ids[i])
        yield _feature(identity, geometry, "".join(parts))


def _annotation_geometry(annotations: Annotations, index: int, origin: Origin) -> shapely.Geometry:
    """Return the point or the valid polygon of an annotation, in QuPath's frame."""
    polygon = annotations.polygons[index]
    if annotations.kinds[index] in (MASK, REGION) and polygon is not None and len(polygon) > 2:
        drawn = shapely.Polygon(to_corner_xy(polygon, origin).round(_DECIMALS))
        # a scribble may cross itself: keep what it encloses
        valid = shapely.make_valid(drawn, method="structure", keep_collapsed=False)
        if not valid.is_empty:
            return valid
    return shapely.Point(to_corner_xy(annotations.points[index], origin)[0].round(_DECIMALS))


def _feature(identity: str, geometry: shapely.Geometry, properties: str) -> str:
    """Return one feature as text."""
    if isinstance(geometry, shapely.Polygon):
        geometry = orient(geometry)  # RFC 7946, 3.1.6: shells anticlockwise
    return (
        f'{{"type":"Feature","id":"{identity}","geometry":{shapely.to_geojson(geometry)},'
        f'"properties":{{{properties}}}}}'
    )


def _classification(name: str, colors: Mapping[str, str]) -> str:
    """Return `,"classification":...`, or nothing for no class."""
    if not name:
        return ""
    entry: str | dict[str, str | list[int]] = str(name)
    if name in colors:
        color = list(bytes.fromhex(colors[name].removeprefix("#")))
        entry = {"name": str(name), "color": color}
    return ',"classification":' + json.dumps(entry, separators=(",", ":"))


def _measurements(values: Mapping[str, float]) -> str:
    """Return `,"measurements":...` of the values that are finite, or nothing."""
    known = [f'"{name}":{value:.4f}' for name, value in values.items() if math.isfinite(value)]
    return f',"measurements":{{{",".join(known)}}}' if known else ""


def _content_ids(slide_name: str, detections: Detections) -> Iterator[str]:
    """Yield a UUID for each detection; the same detections of the same slide get the same ones."""
    digest = hashlib.sha256(slide_name.encode())
    for array in (detections.points, np.char.encode(detections.labels, "utf-8")):
        digest.update(np.ascontiguousarray(array).tobytes())
    random = np.random.default_rng(np.frombuffer(digest.digest(), dtype=np.uint32))
    for begin in range(0, len(detections), 10_000):
        block = random.bytes(16 * min(10_000, len(detections) - begin)).hex()
        for i in range(0, len(block), 32):
            h = block[i : i + 32]
            yield f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:]}"


def _derived_id(*parts: object) -> str:
    """Return the UUID that stands for these words."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "napari-xce/" + "/".join(map(str, parts))))
