"""CSV out, and points from CSV back in: our own, QuPath's measurement tables, napari's points.

Numbers have a decimal point and the separator is a comma, whatever the locale. In our own files
y_px and x_px are level-0 pixels with pixel centres at integers, as in napari, and the micrometres
are those times the pixel size.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from napari_xce.annotations.records import REGION, Annotations
from napari_xce.errors import ExchangeError
from napari_xce.exchange.aside import write_text
from napari_xce.exchange.frames import refuse_not_finite
from napari_xce.exchange.imported import FARTHEST, ImportedPoints, PointCollector, clean_name
from napari_xce.exchange.stopping import Stopped, ask_stop, tell_share
from napari_xce.predictions.detections import Detections

COLUMNS = (
    *("y_px", "x_px", "y_um", "x_um", "class", "score", "diameter_px", "diameter_um"),
    *("kind", "provenance"),
)
_BATCH = 4096  # lines read between two looks at whether to stop
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
    an apostrophe in front, which :func:`read_csv` takes away again.
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


class _Position(NamedTuple):
    """A pair of columns that says where a cell is."""

    y: str
    x: str
    micrometres: bool
    shift: float  # what turns the file's pixels into ours


_POSITIONS = (
    _Position("y_px", "x_px", False, 0.0),
    _Position("centroid y px", "centroid x px", False, -0.5),  # QuPath, pixel size unknown
    _Position("axis-0", "axis-1", False, 0.0),  # napari's own points
    _Position("y", "x", False, 0.0),
    _Position("y_um", "x_um", True, 0.0),
    _Position("centroid y µm", "centroid x µm", True, -0.5),  # QuPath
)
_CLASS_COLUMNS = ("class", "classification", "label")


def read_csv(
    path: Path | str, *, mpp: tuple[float, float] | None = None, most: int | None = None
) -> ImportedPoints:
    """Read the points of a table.

    Parameters
    ----------
    path : path
        A table with a header; separated by comma, semicolon or tab; UTF-8. Understood are our own
        columns, QuPath's ("Centroid X px" or "Centroid X µm", "Classification"), napari's
        ("axis-0", "axis-1") and plain "y", "x", in that order of preference.
    mpp : (float, float), optional
        Micrometres per level-0 pixel, (y, x); needed where the table has micrometres only.
    most : int, optional
        Refuse a table of more points.

    Returns
    -------
    ImportedPoints
        Rows of kind "region" are left out, since a table has no outlines; `notes` says so.

    Raises
    ------
    ExchangeError
        If the file cannot be read, no columns say where the cells are, or a row holds no finite
        number there; with the number of the line.
    """
    try:
        with (
            Path(path).open("rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
        ):
            return _read_table(file, raw, path, mpp, most).finish()
    except Stopped:
        raise
    except ExchangeError as error:
        raise ExchangeError(f"{path} was not read: {error}") from None
    except UnicodeDecodeError:
        raise ExchangeError(
            f"{path} was not read: it is not UTF-8 text. Save it as CSV in UTF-8."
        ) from None
    except csv.Error as error:
        raise ExchangeError(
            f"{path} was not read: it is not a table ({error}). Save it as CSV in UTF-8."
        ) from None
    except OSError as error:
        raise ExchangeError(
            f"{path} was not read: {error.strerror or error}. Check the name and the folder."
        ) from None


def _read_table(
    file: io.TextIOWrapper,
    raw: BinaryIO,
    path: Path | str,
    mpp: tuple[float, float] | None,
    most: int | None,
) -> PointCollector:
    """Read the header, then row by row."""
    head = file.readline(1 << 16)
    separator = max(",;\t", key=head.count)
    file.seek(0)
    rows = csv.reader(file, delimiter=separator)
    header = [name.strip().casefold().replace("\u03bc", "µ") for name in next(rows, [])]
    position = _find_position(header, mpp)
    y, x = header.index(position.y), header.index(position.x)
    label = next((header.index(name) for name in _CLASS_COLUMNS if name in header), None)
    kind = header.index("kind") if "kind" in header else None
    scale_y, scale_x = mpp if position.micrometres and mpp is not None else (1.0, 1.0)
    collector = PointCollector(most)
    for row in _watched(rows, raw, path):
        where = f"line {rows.line_num}"
        if len(row) < len(header):
            raise ExchangeError(f"{where} has too few columns. Correct it in the file.")
        if kind is not None and row[kind] == REGION:
            collector.leave_out("reviewed regions, since a table has no outlines")
            continue
        collector.add_one(
            _finite(row[y], separator, where) / scale_y + position.shift,
            _finite(row[x], separator, where) / scale_x + position.shift,
            "" if label is None else clean_name(_plain(row[label]), where),
        )
    return collector


def _watched(rows: Iterator[list[str]], raw: BinaryIO, path: Path | str) -> Iterator[list[str]]:
    """Yield the rows that are not empty; that can be stopped, and tells how far it is."""
    size = max(os.fstat(raw.fileno()).st_size, 1)
    for number, row in enumerate(rows):
        if number % _BATCH == 0:
            ask_stop(f"{path} was not read: it was stopped.")
            tell_share(raw.tell() / size)
        if any(row):
            yield row


def _find_position(header: Sequence[str], mpp: tuple[float, float] | None) -> _Position:
    """Return the columns to read the position from."""
    found = [p for p in _POSITIONS if p.y in header and p.x in header]
    if not found:
        raise ExchangeError(
            "no columns say where the cells are. Name them y_px and x_px (or y_um and x_um)."
        )
    if found[0].micrometres and mpp is None:
        raise ExchangeError(
            "its positions are in micrometres, but the pixel size of the slide is unknown. Set "
            "the slide's pixel size first."
        )
    return found[0]


def _finite(text: str, separator: str, where: str) -> float:
    """Return the number in a cell of the table."""
    try:
        # where commas do not separate columns, one may be the decimal comma
        value = float(text if separator == "," else text.replace(",", "."))
    except ValueError:
        raise ExchangeError(f"{where}: {text[:40]!r} is not a number. Correct it.") from None
    if not abs(value) <= FARTHEST:  # not True of NaN either
        raise ExchangeError(f"{where}: {text[:40]!r} is not finite or outside any slide.")
    return value


def _plain(name: str) -> str:
    """Return the name that `_safe` made safe."""
    guarded = name.startswith("'") and name[1:].startswith(_FORMULA_STARTS)
    return name[1:] if guarded else name
