"""The rows of annotations: insert, find, change, delete, and say in words what they are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

import numpy as np

from napari_xce.annotations.classes import all_classes
from napari_xce.annotations.journal import COLUMNS, Change, Row
from napari_xce.annotations.records import (
    HUMAN,
    MASK,
    POINT,
    REGION,
    REJECTION,
    polygon_to_blob,
)
from napari_xce.annotations.shapes import Points, centroid
from napari_xce.errors import SessionError

ID, _, CLASS, KIND, _, Y, X, POLYGON, _ = range(9)  # places in a row
_NAMES = ", ".join(COLUMNS["annotations"])


def select_rows(connection: sqlite3.Connection, slide: str | None) -> list[Row]:
    """Return the rows of one slide or of all, in the order of creation."""
    statement = f"SELECT {_NAMES} FROM annotations"
    if slide is None:
        return connection.execute(f"{statement} ORDER BY id").fetchall()
    return connection.execute(f"{statement} WHERE slide = ? ORDER BY id", (slide,)).fetchall()


def ids_of_class(connection: sqlite3.Connection, number: int) -> list[int]:
    """Return the ids of the annotations of a class."""
    rows = connection.execute("SELECT id FROM annotations WHERE class = ?", (number,))
    return [row[0] for row in rows]


def insert_points(
    change: Change, slide: str, number: int, kind: str, points: Points, provenance: str
) -> list[str]:
    """Insert one row for each point (N, 2), N > 0; return their ids."""
    now = time.time()
    ids = new_ids(change.connection, "annotations", len(points))
    change.creates("annotations", ids)
    change.connection.executemany(
        f"INSERT INTO annotations ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        [
            (id_, slide, number, kind, provenance, y, x, now)
            for id_, (y, x) in zip(ids, points.tolist(), strict=True)
        ],
    )
    return [str(id_) for id_ in ids]


def insert_polygon(change: Change, slide: str, number: int, kind: str, polygon: Points) -> str:
    """Insert a mask or region with vertices (M, 2); return its id."""
    ids = new_ids(change.connection, "annotations", 1)
    change.creates("annotations", ids)
    y, x = centroid(polygon).tolist()
    change.connection.execute(
        f"INSERT INTO annotations ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (ids[0], slide, number, kind, HUMAN, y, x, polygon_to_blob(polygon), time.time()),
    )
    return str(ids[0])


def update_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write class, kind, place and polygon of these rows back under their ids."""
    connection.executemany(
        "UPDATE annotations SET class = ?, kind = ?, y = ?, x = ?, polygon = ? WHERE id = ?",
        [(row[CLASS], row[KIND], row[Y], row[X], row[POLYGON], row[ID]) for row in rows],
    )


def delete_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Delete these rows."""
    connection.executemany("DELETE FROM annotations WHERE id = ?", [(row[ID],) for row in rows])


def rows_to_change(change: Change, ids: Sequence[str]) -> list[Row]:
    """Return the rows of these ids, ordered by id, keeping them for undo.

    Raises
    ------
    SessionError
        One of them is not there (any more).
    """
    numbers = {_number(id_) for id_ in ids}
    rows = change.changes("annotations", numbers)
    if len(rows) < len(numbers):
        missing = min(numbers - {row[ID] for row in rows})
        raise SessionError(f"There is no annotation {missing}; it may have been deleted or undone.")
    return rows


def new_ids(connection: sqlite3.Connection, table: str, count: int) -> range:
    """Return the next `count` ids of a table; an id is never used twice, also not after undo."""
    found = connection.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
    ).fetchone()
    first = (found[0] if found else 0) + 1
    return range(first, first + count)


def describe(connection: sqlite3.Connection, rows: Sequence[Row]) -> str:
    """Say what rows are: "3 lymphocyte points", "1 rejection", "5 annotations" where they differ."""
    if len({(row[CLASS], row[KIND]) for row in rows}) > 1:
        return counted(len(rows), "annotation")
    kind = rows[0][KIND]
    if kind == REJECTION:
        return counted(len(rows), "rejection")
    if kind == REGION:
        return counted(len(rows), "reviewed region")
    names = {cell_class.id: cell_class.name for cell_class in all_classes(connection)}
    return counted(len(rows), f"{names[rows[0][CLASS]]} {kind}")


def counted(number: int, noun: str) -> str:
    """Return "1 point", "2 points"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moved(row: Row, place: Sequence[float]) -> Row:
    """Return the row at a new place (y, x), its polygon carried along."""
    new = list(row)
    new[Y], new[X] = place
    if row[POLYGON] is not None:
        shift = np.tile((new[Y] - row[Y], new[X] - row[X]), len(row[POLYGON]) // 16)
        new[POLYGON] = (np.frombuffer(row[POLYGON], dtype="<f8") + shift).astype("<f8").tobytes()
    return tuple(new)


def relabelled(row: Row, number: int) -> Row:
    """Return the row with the class of that number."""
    if row[KIND] == REGION:
        raise SessionError("A reviewed region has no class; it cannot be given one.")
    new = list(row)
    new[CLASS] = number
    if row[KIND] != MASK:
        new[KIND] = POINT if number else REJECTION
    return tuple(new)


def _number(id_: str) -> int:
    """Return the row's number of an id as the store gives them: a decimal without more."""
    text = str(id_)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise SessionError(f"There is no annotation {text!r}; ids come from the store.")
    return int(text)
