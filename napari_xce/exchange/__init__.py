"""Files of other programs, out and in. The format goes by the end of the name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from napari_xce.annotations.records import Annotations, CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.coco import write_coco
from napari_xce.exchange.coco_reading import is_coco, read_coco, read_coco_cells
from napari_xce.exchange.frames import CORNER, Origin
from napari_xce.exchange.geojson import write_geojson
from napari_xce.exchange.geojson_reading import read_areas, read_geojson, read_geojson_cells
from napari_xce.exchange.imported import ImportedCells, ImportedPoints
from napari_xce.exchange.label_tiff import write_label_tiff
from napari_xce.exchange.label_zarr import write_label_zarr
from napari_xce.exchange.labels import LazyLabels
from napari_xce.exchange.outlines import Outline, outlines
from napari_xce.exchange.table_reading import read_csv, read_csv_cells
from napari_xce.exchange.tables import write_csv
from napari_xce.predictions.detections import Detections

__all__ = [
    "FORMATS",
    "MASK_FORMATS",
    "ImportedCells",
    "ImportedPoints",
    "LazyLabels",
    "Outline",
    "format_of",
    "outlines",
    "read_areas",
    "read_cells",
    "read_csv",
    "read_geojson",
    "read_points",
    "write",
    "write_coco",
    "write_csv",
    "write_geojson",
    "write_label_tiff",
    "write_label_zarr",
]

FORMATS = {
    ".geojson": "GeoJSON (QuPath)",
    ".geojson.gz": "GeoJSON, compressed (QuPath)",
    ".csv": "Table (CSV)",
    ".ome.tif": "Label mask (OME-TIFF)",
    ".ome.tiff": "Label mask (OME-TIFF)",
    ".zarr": "Label mask (OME-Zarr)",
    ".json": "COCO",
}
MASK_FORMATS = (".ome.tif", ".ome.tiff", ".zarr")
_READABLE = (".geojson", ".geojson.gz", ".json", ".csv", ".tsv")


def format_of(path: Path | str) -> str:
    """Return the key of :data:`FORMATS` that a file's name ends with.

    Raises
    ------
    ExchangeError
        If there is none; the sentence lists them.
    """
    return _suffix(path, tuple(FORMATS), "written")


def write(
    path: Path | str,
    *,
    detections: Detections | None = None,
    annotations: Annotations | None = None,
    polygons: Iterable[Outline] | None = None,
    labels: ArrayLike | LazyLabels | None = None,
    classes: Sequence[CellClass] = (),
    slide_name: str = "",
    shape: tuple[int, int] | None = None,
    mpp: tuple[float, float] | None = None,
    origin: Origin = CORNER,
) -> None:
    """Write what is known of one slide, in the format that the file's name asks for.

    Parameters
    ----------
    path : path
        Ends with one of :data:`FORMATS`.
    detections, annotations, polygons
        What tables, GeoJSON and COCO hold; at least one is needed. CSV takes no polygons.
    labels : int, shape (H, W), or LazyLabels
        What OME-TIFF and OME-Zarr hold.
    classes : sequence of CellClass
        For colours and COCO's categories.
    slide_name : str
    shape : (int, int)
        Of the slide, level-0 pixels; COCO needs it.
    mpp : (float, float) or None
        Micrometres per pixel, (y, x): of the slide for CSV, of the mask for OME-TIFF and OME-Zarr.
    origin : (float, float)
        For GeoJSON, see :mod:`.frames`.

    Raises
    ------
    ExchangeError
        If the format is unknown, what it needs is missing, or it cannot be written.
    """
    suffix = format_of(path)
    if suffix in MASK_FORMATS:
        if labels is None:
            raise ExchangeError(f"A {suffix} file holds a mask, and there is none. Segment first.")
        write_mask = write_label_zarr if suffix == ".zarr" else write_label_tiff
        write_mask(path, labels, mpp, name=slide_name or "labels")
    elif detections is None and annotations is None and (polygons is None or suffix == ".csv"):
        raise ExchangeError(f"There are no cells to write to {path}. Predict or annotate first.")
    elif suffix == ".csv":
        write_csv(path, detections=detections, annotations=annotations, mpp=mpp)
    elif suffix == ".json":
        if shape is None:
            raise ExchangeError("COCO needs the size of the slide, and it is not known.")
        write_coco(
            path,
            detections=detections,
            annotations=annotations,
            polygons=polygons,
            classes=classes,
            slide_name=slide_name,
            shape=shape,
        )
    else:
        write_geojson(
            path,
            detections=detections,
            annotations=annotations,
            polygons=polygons,
            classes=classes,
            slide_name=slide_name,
            origin=origin,
        )


def read_points(
    path: Path | str,
    *,
    mpp: tuple[float, float] | None = None,
    origin: Origin = CORNER,
    slide_name: str = "",
    most: int | None = None,
) -> ImportedPoints:
    """Read points from GeoJSON, COCO or a table, written by napari-xce, QuPath, napari and others.

    Parameters
    ----------
    path : path
        `.geojson`, `.geojson.gz`, `.json` (GeoJSON or COCO), `.csv` or `.tsv`.
    mpp : (float, float), optional
        Micrometres per level-0 pixel, (y, x); needed for tables in micrometres.
    origin : (float, float)
        For GeoJSON, see :mod:`.frames`.
    slide_name : str
        For COCO of several images.
    most : int, optional
        Refuse a file of more points.

    Returns
    -------
    ImportedPoints

    Raises
    ------
    ExchangeError
        If the format is unknown or the file is not as it must be; says what, where, and what to do.
    """
    suffix = _suffix(path, _READABLE, "read")
    if suffix in (".csv", ".tsv"):
        return read_csv(path, mpp=mpp, most=most)
    if suffix == ".json" and is_coco(path):
        return read_coco(path, slide_name, most=most)
    return read_geojson(path, origin=origin, most=most)


def read_cells(
    path: Path | str,
    *,
    mpp: tuple[float, float] | None = None,
    origin: Origin = CORNER,
    slide_name: str = "",
) -> ImportedCells:
    """Read cells that were found from GeoJSON, COCO or a table; parameters as for `read_points`.

    Raises
    ------
    ExchangeError
        If the format is unknown or the file is not as it must be; says what, where, and what to do.
    """
    suffix = _suffix(path, _READABLE, "read")
    if suffix in (".csv", ".tsv"):
        return read_csv_cells(path, mpp=mpp)
    if suffix == ".json" and is_coco(path):
        return read_coco_cells(path, slide_name)
    return read_geojson_cells(path, origin=origin)


def _suffix(path: Path | str, known: Sequence[str], verb: str) -> str:
    """Return the longest of the known endings that the name has."""
    name = Path(path).name.lower()
    for suffix in sorted(known, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return suffix
    raise ExchangeError(
        f"{path} cannot be {verb}: its format is unknown. The name must end with one of: "
        f"{', '.join(known)}."
    )
