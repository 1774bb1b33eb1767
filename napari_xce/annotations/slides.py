"""What the session remembers of slides: their rows, and what their fields may hold."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_xce.annotations.images import COLUMNS
from napari_xce.annotations.journal import JournalledStore
from napari_xce.annotations.records import SlideRecord
from napari_xce.annotations.shapes import Points, on_slide
from napari_xce.errors import SessionError

FIELDS = ("name", "path", "fingerprint", "shape", "mpp", "mpp_source", "cell_diameter_px")
_PREFIX = "slide-"  # so that an id also does as the name of a folder
_COLUMNS = ", ".join(COLUMNS["slides"])


class SlideStore(JournalledStore):
    """The part of the store that remembers slides; they are outside undo."""

    def add_slide(
        self,
        name: str,
        path: str | os.PathLike[str] | None,
        fingerprint: str,
        shape: tuple[int, int],
        mpp: tuple[float, float] | None,
        mpp_source: str,
        cell_diameter_px: float | None = None,
    ) -> str:
        """Remember a slide; return its id.

        `shape` is (H, W) in level-0 pixels, `mpp` micrometres per pixel (y, x), None if unknown.

        Raises
        ------
        SessionError
            A size is not above 0 and finite.
        """
        values = (name, path, fingerprint, shape, mpp, mpp_source, cell_diameter_px)
        columns = _checked(dict(zip(FIELDS, values, strict=True))) | {"created": time.time()}
        with self._journal.note() as note:
            (number,) = note.creates("slides", 1)
            columns["number"] = number
            places = ", ".join("?" * len(columns))
            note.connection.execute(
                f"INSERT INTO slides ({', '.join(columns)}) VALUES ({places})",
                tuple(columns.values()),
            )
            note.words = f"Add slide {name}"
        return slide_id(number)

    def slides(self) -> dict[str, SlideRecord]:
        """Return the slides by id, in the order in which they were added."""
        with self._database.reading() as connection:
            return all_slides(connection)

    def update_slide(self, id: str, **fields: Any) -> None:
        """Change fields of a slide, named as in `add_slide`.

        Raises
        ------
        SessionError
            No such slide or field, or a size is not above 0 and finite.
        """
        if not fields:
            return
        columns = _checked(fields)
        with self._journal.note() as note:
            number, name = find_slide(note.connection, id)
            note.changes("slides", [number])
            note.connection.execute(
                f"UPDATE slides SET {', '.join(f'{column} = ?' for column in columns)} "
                "WHERE number = ?",
                (*columns.values(), number),
            )
            note.words = f"Change {', '.join(fields)} of slide {name}"


def all_slides(connection: sqlite3.Connection) -> dict[str, SlideRecord]:
    """Return the slides by id, in the order in which they were added."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM slides ORDER BY number")
    return {record.id: record for record in map(_record, rows)}


def slide_id(number: int) -> str:
    """Return the id of the slide in the row of that number."""
    return f"{_PREFIX}{number}"


def find_slide(connection: sqlite3.Connection, slide: str) -> tuple[int, str]:
    """Return the number of the row and the name of the slide of that id.

    Raises
    ------
    SessionError
        There is none; the sentence lists those that there are.
    """
    number = re.fullmatch(_PREFIX + "([1-9][0-9]{0,17})", str(slide))
    if number is not None:
        statement = "SELECT number, name FROM slides WHERE number = ?"
        found: tuple[int, str] | None = connection.execute(statement, (number[1],)).fetchone()
        if found is not None:
            return found
    known = ", ".join(all_slides(connection)) or "none yet"
    raise SessionError(f"There is no slide {slide!r} in this session (slides: {known}).")


def refuse_outside(connection: sqlite3.Connection, number: int, points: Points) -> None:
    """Refuse points (N, 2) that lie more than a pixel off the slide.

    Raises
    ------
    SessionError
        Some do; the sentence counts them.
    """
    name, *shape = connection.execute(
        "SELECT name, height, width FROM slides WHERE number = ?", (number,)
    ).fetchone()
    count = int((~on_slide(points, (shape[0], shape[1]))).sum())
    if count:
        raise SessionError(
            f"{count:,} of {len(points):,} points lie outside the slide {name} ({shape[0]:,} x "
            f"{shape[1]:,} pixels, y and x), so none was taken. Were they made on another slide?"
        )


def _record(row: tuple[Any, ...]) -> SlideRecord:
    number, name, path, fingerprint, height, width, mpp_y, mpp_x, source, diameter, created = row
    if not (isinstance(height, int) and isinstance(width, int)):
        raise SessionError(
            f"The size of slide {name!r} is damaged: another program wrote it. Restore the session "
            "from a backup."
        )
    return SlideRecord(
        id=slide_id(number),
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
