"""Rows of the session's tables at one moment: taken, put back, and written into the journal."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = tuple[Any, ...]
Runs = list[tuple[int, int]]  # first and last id of each run of successive ids

#: The tables whose changes the journal keeps; the first column is the primary key.
COLUMNS = {
    "slides": (
        *("number", "name", "path", "fingerprint", "height", "width", "mpp_y", "mpp_x"),
        *("mpp_source", "cell_diameter_px", "created"),
    ),
    "classes": ("id", "name", "color", "key"),
    "annotations": (
        *("id", "slide", "class", "kind", "provenance", "y", "x", "polygon", "created"),
        "set_aside",
    ),
    "areas": ("id", "slide", "name", "outline"),
}
_AT_ONCE = 2_000  # rows encoded in one go
EVERY_ID = (0, (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Image:
    """Rows of one table at one moment: the ids looked at, and the rows that there were.

    The names of the columns are kept, too: a later schema may have more of them.
    """

    runs: Runs
    columns: tuple[str, ...]
    rows: list[Row]


def take(
    connection: sqlite3.Connection, table: str, runs: Runs, columns: tuple[str, ...] | None = None
) -> Image:
    """Return the rows that there are now of these runs of ids."""
    columns = columns or COLUMNS[table]
    statement = f"SELECT {', '.join(columns)} FROM {table} WHERE {columns[0]} BETWEEN ? AND ?"
    return Image(runs, columns, [row for run in runs for row in connection.execute(statement, run)])


def take_all(connection: sqlite3.Connection) -> dict[str, Image]:
    """Return all rows of all tables, whatever columns their schema has."""
    images = {}
    for table in COLUMNS:
        described = connection.execute(f"PRAGMA table_info({table})")
        columns = tuple(str(column[1]) for column in described)
        images[table] = take(connection, table, [EVERY_ID], columns)
    return images


def put(connection: sqlite3.Connection, table: str, image: Image) -> None:
    """Make the rows of an image what they were, and let no others stand among its ids."""
    key = COLUMNS[table][0]
    connection.executemany(f"DELETE FROM {table} WHERE {key} BETWEEN ? AND ?", image.runs)
    places = ", ".join("?" * len(image.columns))
    connection.executemany(
        f"INSERT INTO {table} ({', '.join(image.columns)}) VALUES ({places})", image.rows
    )


def runs_of(ids: Iterable[int]) -> Runs:
    """Return ids as runs of successive ones: [1, 2, 3, 7] is [(1, 3), (7, 7)]."""
    numbers = np.unique(np.fromiter(ids, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = np.concatenate([numbers[:1], numbers[breaks + 1]])
    lasts = np.concatenate([numbers[breaks], numbers[-1:]])
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def to_json(images: Mapping[str, Image]) -> str:
    """Return images as the text that the journal keeps."""
    members = (
        f'{json.dumps(table)}: {{"ids": {json.dumps(image.runs)}, '
        f'"columns": {json.dumps(image.columns)}, "rows": {_rows_to_json(image.rows)}}}'
        for table, image in images.items()
    )
    return f"{{{', '.join(members)}}}"


def _rows_to_json(rows: list[Row]) -> str:
    """Return rows as a list, some at a time: the encoder lets no other thread work meanwhile."""
    parts = (
        json.dumps(rows[start : start + _AT_ONCE], default=_blob_to_json)[1:-1]
        for start in range(0, len(rows), _AT_ONCE)
    )
    return f"[{', '.join(parts)}]"


def _blob_to_json(blob: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(blob).decode()}


def from_json(text: str) -> dict[str, Image]:
    """Return the images that a text of the journal holds.

    Raises
    ------
    ValueError
        The text is damaged.
    """
    try:
        return {
            table: Image(
                [(first, last) for first, last in image["ids"]],
                tuple(image["columns"]),
                [tuple(row) for row in image["rows"]],
            )
            for table, image in json.loads(text, object_hook=_blob_or_object).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no rows of tables: {error}") from error


def _blob_or_object(found: dict[str, Any]) -> Any:
    """Give a blob back its bytes; everything else in a row is a number, a text or None."""
    return base64.b64decode(found["base64"]) if "base64" in found else found
