"""What the session remembers of slides: their rows, and what their fields may hold."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_xce.annotations.records import SlideRecord
from napari_xce.errors import SessionError

FIELDS = ("name", "path", "fingerprint", "shape", "mpp", "mpp_source", "cell_diameter_px")
_COLUMNS = "id, name, path, fingerprint, height, width, mpp_y, mpp_x, mpp_source, cell_diameter_px, created"


def all_slides(connection: sqlite3.Connection) -> dict[str, SlideRecord]:
    """Return the slides by id, in the order in which they were added."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM slides ORDER BY number")
    return {row[0]: _record(row) for row in rows}


def find_slide(connection: sqlite3.Connection, slide: str) -> SlideRecord:
    """Return the slide of that id.

    Raises
    ------
    SessionError
        There is none; the sentence lists those that there are.
    """
    statement = f"SELECT {_COLUMNS} FROM slides WHERE id = ?"
    row = connection.execute(statement, (str(slide),)).fetchone()
    if row is None:
        known = ", ".join(all_slides(connection)) or "none yet"
        raise SessionError(f"There is no slide {slide!r} in this session (slides: {known}).")
    return _record(row)


def insert_slide(connection: sqlite3.Connection, fields: dict[str, Any]) -> str:
    """Insert a slide with all of `FIELDS`; return its id."""
    (latest,) = connection.execute("SELECT coalesce(max(number), 0) FROM slides").fetchone()
    columns = {"id": f"slide-{latest + 1}", "created": time.time()} | _checked(fields)
    connection.execute(
        f"INSERT INTO slides ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        tuple(columns.values()),
    )
    return str(columns["id"])


def update_slide(connection: sqlite3.Connection, slide: str, fields: dict[str, Any]) -> None:
    """Change some of `FIELDS` of a slide."""
    columns = _checked(fields)
    connection.execute(
        f"UPDATE slides SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?",
        (*columns.values(), slide),
    )


def _record(row: tuple[Any, ...]) -> SlideRecord:
    id_, name, path, fingerprint, height, width, mpp_y, mpp_x, source, diameter, created = row
    return SlideRecord(
        id=id_,
        name=name,
        path=None if path is None else Path(path),
        fingerprint=fingerprint,
        shape=(height, width),
        mpp=None if mpp_y is None else (mpp_y, mpp_x),
        mpp_source=source,
        cell_diameter_px=diameter,
        created=created,
    )


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of these fields, or say which field is not as it must be."""
    columns: dict[str, Any] = {}
    for field, value in fields.items():
        if field == "shape":
            height, width = _positive_pair(field, value)
            columns |= {"height": int(height), "width": int(width)}
        elif field == "mpp":
            y, x = (None, None) if value is None else _positive_pair(field, value)
            columns |= {"mpp_y": y, "mpp_x": x}
        elif field == "cell_diameter_px":
            columns[field] = None if value is None else _positive(field, value)
        elif field == "path":
            columns[field] = None if value is None else os.fspath(value)
        elif field in FIELDS:
            columns[field] = str(value)
        else:
            raise SessionError(f"A slide has no {field!r}; what it has is {', '.join(FIELDS)}.")
    return columns


def _positive_pair(field: str, value: Sequence[float]) -> tuple[float, float]:
    try:
        first, second = value
    except (TypeError, ValueError) as error:
        raise SessionError(
            f"A slide's {field} must be two numbers (y, x), not {value!r}."
        ) from error
    return _positive(field, first), _positive(field, second)


def _positive(field: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SessionError(f"A slide's {field} must be a number, not {value!r}.") from error
    if not (math.isfinite(number) and number > 0):
        raise SessionError(f"A slide's {field} must be above 0 and finite, not {value!r}.")
    return number
