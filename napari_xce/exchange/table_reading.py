"""Tables in, as clicks or as cells that were found: our own, QuPath's, napari's points.

Rows go by one at a time, so that a million of them do not stand in memory.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from napari_xce.annotations.records import MASK, POINT, REGION, REJECTION
from napari_xce.errors import ExchangeError
from napari_xce.exchange.imported import (
    FARTHEST,
    CellCollector,
    ImportedCells,
    ImportedPoints,
    PointCollector,
    clean_name,
)
from napari_xce.exchange.sentences import naming
from napari_xce.exchange.stopping import ask_stop, tell_share
from napari_xce.exchange.tables import plain_name

_BATCH = 4096  # lines read between two looks at whether to stop
_ANNOTATIONS = (POINT, REJECTION, MASK, REGION)  # kinds of rows of our own tables


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


class _Row(NamedTuple):
    """What a row says of one object: place in level-0 pixels, score and diameter NaN if unknown."""

    y: float
    x: float
    label: str
    kind: str
    score: float
    diameter: float


@dataclass(slots=True)
class _Columns:
    """Where in a row what is said; None where the table has no such column."""

    y: int
    x: int
    scale: tuple[float, float]  # what the positions are divided by, (y, x)
    shift: float
    label: int | None
    kind: int | None
    score: int | None
    diameter: int | None
    diameter_scale: float
    names: dict[str, str]  # class names by what the file calls them

    @classmethod
    def of(cls, header: Sequence[str], mpp: tuple[float, float] | None) -> Self:
        """Find the columns by their names in the header."""
        position = _find_position(header, mpp)
        mean_mpp = math.nan if mpp is None else math.sqrt(mpp[0] * mpp[1])
        in_um = "diameter_px" not in header
        return cls(
            y=header.index(position.y),
            x=header.index(position.x),
            scale=mpp if position.micrometres and mpp is not None else (1.0, 1.0),
            shift=position.shift,
            label=_first(header, "class", "classification", "label"),
            kind=_first(header, "kind"),
            score=_first(header, "score", "detection probability"),
            diameter=_first(header, "diameter_px", "diameter_um"),
            diameter_scale=mean_mpp if in_um else 1.0,
            names={},
        )

    def read(self, row: Sequence[str], separator: str, where: str) -> _Row:
        """Return what a row says; `where` names it in sentences."""
        label = "" if self.label is None else row[self.label]
        if label not in self.names:
            self.names[label] = clean_name(plain_name(label), where)
        return _Row(
            _finite(row[self.y], separator, where) / self.scale[0] + self.shift,
            _finite(row[self.x], separator, where) / self.scale[1] + self.shift,
            self.names[label],
            "" if self.kind is None else row[self.kind],
            math.nan if self.score is None else _number(row[self.score], separator),
            math.nan
            if self.diameter is None
            else _number(row[self.diameter], separator) / self.diameter_scale,
        )


def _first(header: Sequence[str], *names: str) -> int | None:
    """Return the place of the first of these columns that there is."""
    return next((header.index(name) for name in names if name in header), None)


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
    collector = PointCollector(most)
    with _sentences(path):
        for row in _iter_rows(path, mpp):
            if row.kind == REGION:
                collector.leave_out("reviewed regions, since a table has no outlines")
            else:
                collector.add_one(row.y, row.x, row.label)
    return collector.finish()


def read_csv_cells(path: Path | str, *, mpp: tuple[float, float] | None = None) -> ImportedCells:
    """Read the rows of a table as cells that were found.

    Parameters
    ----------
    path, mpp
        As for :func:`read_csv`.

    Returns
    -------
    ImportedCells
        The score is the column "score" or "Detection probability", 1 where there is none or it is
        not in [0, 1]; the diameter is "diameter_px", else "diameter_um". Rows that our own tables
        call annotations are left out, and `notes` says so.

    Raises
    ------
    ExchangeError
        As for :func:`read_csv`.
    """
    collector = CellCollector()
    with _sentences(path):
        for row in _iter_rows(path, mpp):
            if row.kind in _ANNOTATIONS:
                collector.leave_out("annotations")
            else:
                collector.add_cell(row.y, row.x, row.label, row.score, row.diameter)
    return collector.finish_cells()


@contextmanager
def _sentences(path: Path | str) -> Iterator[None]:
    """Say in words why a table was not read."""
    with naming(path):
        try:
            yield
        except UnicodeDecodeError:
            raise ExchangeError("it is not UTF-8 text. Save it as CSV in UTF-8.") from None
        except csv.Error as error:
            raise ExchangeError(f"it is not a table ({error}). Save it as CSV in UTF-8.") from None


def _iter_rows(path: Path | str, mpp: tuple[float, float] | None) -> Iterator[_Row]:
    """Yield what the rows say, one at a time."""
    with (
        Path(path).open("rb") as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
    ):
        head = file.readline(1 << 16)
        separator = max(",;\t", key=head.count)
        file.seek(0)
        rows = csv.reader(file, delimiter=separator)
        header = [name.strip().casefold().replace("\u03bc", "µ") for name in next(rows, [])]
        columns = _Columns.of(header, mpp)
        for row in _watched(rows, raw, path):
            where = f"line {rows.line_num}"
            if len(row) < len(header):
                raise ExchangeError(f"{where} has too few columns. Correct it in the file.")
            yield columns.read(row, separator, where)


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
        value = _float(text, separator)
    except ValueError:
        raise ExchangeError(f"{where}: {text[:40]!r} is not a number. Correct it.") from None
    if not abs(value) <= FARTHEST:  # not True of NaN either
        raise ExchangeError(f"{where}: {text[:40]!r} is not finite or outside any slide.")
    return value


def _number(text: str, separator: str) -> float:
    """Return the number in a cell of the table that need not hold one."""
    try:
        return _float(text, separator)
    except ValueError:
        return math.nan


def _float(text: str, separator: str) -> float:
    """Read a number; where commas do not separate columns, one may be the decimal comma."""
    return float(text if separator == "," else text.replace(",", "."))
