"""The rows of annotations: insert, find, change, delete, make arrays of them, say what they are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from napari_xce.annotations.classes import all_classes
from napari_xce.annotations.images import COLUMNS, EVERY_ID, Row, Runs
from napari_xce.annotations.journal import Change, counted
from napari_xce.annotations.records import (
    HUMAN,
    MASK,
    POINT,
    REGION,
    REJECTION,
    Annotations,
)
from napari_xce.annotations.shapes import Points, centroid
from napari_xce.annotations.slides import slide_id
from napari_xce.errors import SessionError

ID, SLIDE, CLASS, KIND, _, Y, X, POLYGON, _, _ = range(10)  # places in a row
_NAMES = ", ".join(COLUMNS["annotations"])


def select_rows(
    connection: sqlite3.Connection, slide: int | None, run: tuple[int, int] = EVERY_ID
) -> list[Row]:
    """Return the rows of one slide or of all, in the order of creation; of a run of ids."""
    statement = f"SELECT {_NAMES} FROM annotations WHERE id BETWEEN ? AND ?"
    if slide is None:
        return connection.execute(f"{statement} ORDER BY id", run).fetchall()
    return connection.execute(f"{statement} AND slide = ? ORDER BY id", (*run, slide)).fetchall()


def arrays_of_rows(rows: Sequence[Row], names: Mapping[int, str]) -> Annotations:
    """Make read-only arrays of rows; `names` are those of the classes, by number."""
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * 10
    ids, slides, classes, kinds, provenances, y, x, polygons, created, set_aside = columns
    slide_ids = {number: slide_id(number) for number in set(slides)}
    annotations = Annotations(
        ids=np.array(ids, dtype=np.int64).astype(str),
        points=np.column_stack([np.array(y, dtype=np.float64), np.array(x, dtype=np.float64)]),
        labels=np.array([names[number] for number in classes], dtype=str),
        kinds=np.array(kinds, dtype=str),
        provenances=np.array(provenances, dtype=str),
        polygons=tuple(None if blob is None else _vertices(blob) for blob in polygons),
        slides=np.array([slide_ids[number] for number in slides], dtype=str),
        created=np.array(created, dtype=np.float64),
        set_aside=np.array(set_aside, dtype=bool),
    )
    return _read_only(annotations)


def replace_runs(annotations: Annotations, runs: Runs, fresh: Sequence[Annotations]) -> Annotations:
    """Put others in the place of those with ids in these runs, which are in order and apart."""
    numbers = annotations.ids.astype(np.int64)
    begins = np.searchsorted(numbers, [first for first, _ in runs], side="left")
    ends = np.searchsorted(numbers, [last for _, last in runs], side="right")
    if (begins == ends).all() and not any(map(len, fresh)):
        return annotations  # they are of another slide
    kept = zip([0, *ends.tolist()], [*begins.tolist(), len(numbers)], strict=True)
    parts = [_part(annotations, slice(*bounds)) for bounds in kept]
    pieces = [piece for pair in zip(parts, [*fresh, None], strict=True) for piece in pair if piece]
    if not pieces:
        return parts[0]
    joined = {
        field.name: np.concatenate([getattr(piece, field.name) for piece in pieces])
        for field in fields(Annotations)
        if field.name != "polygons"
    }
    polygons = tuple(polygon for piece in pieces for polygon in piece.polygons)
    return _read_only(Annotations(**joined, polygons=polygons))


def _part(annotations: Annotations, where: slice) -> Annotations:
    """Return some successive ones."""
    return Annotations(**{f.name: getattr(annotations, f.name)[where] for f in fields(Annotations)})


def _read_only(annotations: Annotations) -> Annotations:
    for field in fields(annotations):
        if field.name != "polygons":
            getattr(annotations, field.name).flags.writeable = False
    return annotations


def insert_points(
    change: Change, slide: int, number: int, kind: str, points: Points, provenance: str
) -> list[str]:
    """Insert one row for each point (N, 2), N > 0; return their ids."""
    now = time.time()
    ids = change.creates("annotations", len(points))
    change.connection.executemany(
        f"INSERT INTO annotations ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, 0)",
        [
            (id_, slide, number, kind, provenance, y, x, now)
            for id_, (y, x) in zip(ids, points.tolist(), strict=True)
        ],
    )
    return [str(id_) for id_ in ids]


def insert_polygons(
    change: Change,
    slide: int,
    number: int,
    kind: str,
    polygons: Sequence[Points],
    provenance: str = HUMAN,
    set_aside: bool = False,
) -> list[str]:
    """Insert a mask or region for each polygon (M, 2), at least one; return their ids."""
    now = time.time()
    ids = change.creates("annotations", len(polygons))
    change.connection.executemany(
        f"INSERT INTO annotations ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(id_, slide, number, kind, provenance),
                *centroid(polygon).tolist(),
                polygon.astype("<f8").tobytes(),
                now,
                int(set_aside),
            )
            for id_, polygon in zip(ids, polygons, strict=True)
        ],
    )
    return [str(id_) for id_ in ids]


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
    if isinstance(ids, str):  # else "17" would be taken for annotations 1 and 7
        raise SessionError(f"Give ids as a list: [{ids!r}].")
    numbers = {_number(id_) for id_ in ids}
    rows = change.changes("annotations", numbers)
    if len(rows) < len(numbers):
        missing = min(numbers - {row[ID] for row in rows})
        raise SessionError(f"There is no annotation {missing}; it may have been deleted or undone.")
    return rows


def describe(connection: sqlite3.Connection, rows: Sequence[Row]) -> str:
    """Say what rows are: "3 lymphocyte points"; where they differ, "5 annotations"."""
    if len({(row[CLASS], row[KIND]) for row in rows}) > 1:
        return counted(len(rows), "annotation")
    kind = rows[0][KIND]
    if kind == REJECTION:
        return counted(len(rows), "rejection")
    if kind == REGION:
        return counted(len(rows), "reviewed region")
    names = {cell_class.id: cell_class.name for cell_class in all_classes(connection)}
    return counted(len(rows), f"{names[rows[0][CLASS]]} {kind}")


def moved(row: Row, place: Sequence[float]) -> Row:
    """Return the row at a new place (y, x), its polygon carried along."""
    new = list(row)
    new[Y], new[X] = place
    if row[POLYGON] is not None:
        shift = np.array([new[Y] - row[Y], new[X] - row[X]])
        new[POLYGON] = (_vertices(row[POLYGON]) + shift).astype("<f8").tobytes()
    return tuple(new)


def reshaped(row: Row, polygon: Points) -> Row:
    """Return the row with another outline (M, 2)."""
    if row[POLYGON] is None:
        raise SessionError("A point has no outline; it cannot be given one.")
    new = list(row)
    new[Y], new[X] = centroid(polygon).tolist()
    new[POLYGON] = polygon.astype("<f8").tobytes()
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


def _vertices(blob: bytes) -> Points:
    """Return the read-only vertices (M, 2) kept in a row."""
    return np.frombuffer(blob, dtype="<f8").reshape(-1, 2)


def _number(id_: str) -> int:
    """Return the row's number of an id as the store gives them: a decimal without more."""
    text = str(id_)
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise SessionError(f"There is no annotation {text!r}; ids come from the store.")
    return int(text)
