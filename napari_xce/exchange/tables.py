"""CSV out.

Numbers have a decimal point and the separator is a comma, whatever the locale. In our own files
y_px and x_px are level-0 pixels with pixel centres at integers, as in napari, and the micrometres
are those times the pixel size.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from napari_xce.annotations.records import REGION, Annotations
from napari_xce.exchange.aside import write_text
from napari_xce.exchange.frames import refuse_not_finite
from napari_xce.predictions.detections import Detections

COLUMNS = (
    *("y_px", "x_px", "y_um", "x_um", "class", "score", "diameter_px", "diameter_um"),
    *("kind", "provenance"),
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")

Row = tuple[str, ...]


def write_csv(
    path: Path | str,
    *,
    detections: Detections | None = None,
    annotations: Annotations | None = None,
    mpp: tuple[float, float] | None,
) -> None:
    """Write cells as a table, one row each, annotations first.

    Parameters
    ----------
    path : path
        The `.csv` file.
    detections : Detections, optional
        Rows of kind "detection".
    annotations : Annotations, optional
        Rows of their own kind; of masks and reviewed regions the centroid.
    mpp : (float, float) or None
        Micrometres per level-0 pixel, (y, x). None leaves the columns in micrometres empty.

    Raises
    ------
    ExchangeError
        If a coordinate is not finite or the file cannot be written.

    Notes
    -----
    A class name that a spreadsheet would run as a formula (it begins with = + - @ or a tab) gets
    an apostrophe in front, which :func:`plain_name` takes away again.
    """
    write_text(path, _csv_lines(_rows(detections, annotations, mpp)))


def write_rows(path: Path | str, rows: Iterable[Row]) -> None:
    """Write any rows of text as CSV; what a spreadsheet would run as a formula is made harmless.

    Raises
    ------
    ExchangeError
        If the file cannot be written.
    """
    write_text(path, _csv_lines(tuple(map(_safe, row)) for row in rows))


def _csv_lines(rows: Iterator[Row]) -> Iterator[str]:
    """Yield each row as a line, quoted where needed."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _rows(
    detections: Detections | None,
    annotations: Annotations | None,
    mpp: tuple[float, float] | None,
) -> Iterator[Row]:
    """Yield the header and the rows."""
    yield COLUMNS
    if annotations is not None:
        refuse_not_finite(annotations.points, "Annotation")
        names = {name: _safe(name) for name in np.unique(annotations.labels)}
        for (y, x), label, kind, provenance in zip(
            annotations.points,
            annotations.labels,
            annotations.kinds,
            annotations.provenances,
            strict=True,
        ):
            name = "" if kind == REGION else names[label]
            yield (*_place(y, x, mpp), name, "", "", "", kind, provenance)
    if detections is not None:
        refuse_not_finite(detections.points, "Detection")
        names = {name: _safe(name) for name in np.unique(detections.labels)}
        mean_mpp = math.nan if mpp is None else math.sqrt(mpp[0] * mpp[1])
        for (y, x), label, score, diameter in zip(
            detections.points,
            detections.labels,
            detections.scores,
            detections.diameters,
            strict=True,
        ):
            sizes = (_number(score, 4), _number(diameter, 3), _number(diameter * mean_mpp, 3))
            yield (*_place(y, x, mpp), names[label], *sizes, "detection", "")


def _place(y: float, x: float, mpp: tuple[float, float] | None) -> Row:
    """Return the first four columns."""
    if mpp is None:
        return f"{y:.3f}", f"{x:.3f}", "", ""
    return f"{y:.3f}", f"{x:.3f}", f"{y * mpp[0]:.3f}", f"{x * mpp[1]:.3f}"


def _number(value: float, decimals: int) -> str:
    """Return a number, or nothing where it is unknown."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""


def _safe(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(_FORMULA_STARTS) else str(name)


def plain_name(name: str) -> str:
    """Return the name that `_safe` made safe."""
    guarded = name.startswith("'") and name[1:].startswith(_FORMULA_STARTS)
    return name[1:] if guarded else name
