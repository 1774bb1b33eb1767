"""The append-only journal: every action with its time, and undo and redo without end.

One mechanism serves all actions. An entry holds the rows it changed as they were *before* it. To
undo an action is to put those rows back, which is itself an entry that holds what it replaced; to
redo is to put *that* back. So nothing is ever deleted from the journal, the present state plus the
journal gives every past state, and what can be undone is found again by reading it (`_replay`).
"""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_xce.annotations.database import Database
from napari_xce.annotations.records import JournalEntry

Row = tuple[Any, ...]
Runs = list[tuple[int, int]]  # first and last id of each run of successive ids

# The tables whose changes can be undone; the first column is the primary key.
COLUMNS = {
    "classes": ("id", "name", "color", "key"),
    "annotations": (
        "id",
        "slide",
        "class",
        "kind",
        "provenance",
        "y",
        "x",
        "polygon",
        "created",
        "set_aside",
    ),
}


@dataclass(frozen=True, slots=True)
class _Image:
    """Rows of one table at one moment: the ids looked at, and the rows that there were.

    The names of the columns are kept, too: a later schema may have more of them.
    """

    runs: Runs
    columns: tuple[str, ...]
    rows: list[Row]


class Change:
    """An action while it is done: its words, and the rows it touches as they were before.

    The action is kept if `words` is set by the end; otherwise it is taken to have done nothing.
    An action inside another one writes into the same `before`.
    """

    def __init__(
        self, connection: sqlite3.Connection, before: dict[str, _Image] | None = None
    ) -> None:
        self.connection = connection
        self.words = ""
        self.before = {} if before is None else before

    def creates(self, table: str, count: int) -> range:
        """Return ids for rows about to be inserted; none is used twice, also not after undo."""
        found = self.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
        ).fetchone()
        first = (found[0] if found else 0) + 1
        self._keep(table, _Image([(first, first + count - 1)], COLUMNS[table], []))
        return range(first, first + count)

    def changes(self, table: str, ids: Iterable[int]) -> list[Row]:
        """Keep these rows as they are, before they are changed or deleted; return them by id."""
        image = _take(self.connection, table, _runs(ids))
        self._keep(table, image)
        return image.rows

    def _keep(self, table: str, image: _Image) -> None:
        """Keep rows for undo, unless they were kept earlier in this action: then that counts."""
        kept = self.before.get(table)
        if kept is not None:
            known = {id_ for first, last in kept.runs for id_ in range(first, last + 1)}
            ids = {id_ for first, last in image.runs for id_ in range(first, last + 1)}
            rows = kept.rows + [row for row in image.rows if row[0] not in known]
            image = _Image(_runs(known | ids), image.columns, rows)
        self.before[table] = image


class Journal:
    """Write actions down, undo and redo them. Any thread may call; `database.lock` guards it.

    Attributes
    ----------
    revision : int
        The number of the latest entry; grows with every change, also with undo and redo.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.revision = 0
        self._open: Change | None = None  # the action that others are part of
        # (action, entry that holds the rows to put back), the latest last
        self._done: list[tuple[int, int]] = []
        self._undone: list[tuple[int, int]] = []
        self._replay()

    @property
    def is_open(self) -> bool:
        """Whether several actions are being made one: what stands may still be taken back."""
        return self._open is not None

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone action to redo."""
        return bool(self._undone)

    @contextmanager
    def action(self) -> Iterator[Change]:
        """Do one action in one transaction; a failure inside leaves everything as it was.

        Within `together` it is a part of that action.
        """
        with self._database.lock:
            if self._open is not None:
                part = Change(self._open.connection, self._open.before)
                yield part
                self._open.words = self._open.words or part.words
                return
            with self._database.transaction() as connection:
                change = Change(connection)
                yield change
                if not change.words:
                    return
                entry = _append(connection, "do", None, change.words, change.before)
            self._done.append((entry, entry))
            self._undone.clear()
            self.revision = entry

    @contextmanager
    def together(self, words: str) -> Iterator[None]:
        """Make one action of all that the block does, in one transaction, with these words.

        Where the block does nothing, the action is none. Only what can be undone may be done in it.
        """
        with self.action() as change:
            outer, self._open = self._open, change
            try:
                yield
            finally:
                self._open = outer
            if change.words:
                change.words = words

    @contextmanager
    def note(self) -> Iterator[Change]:
        """Do something that cannot be undone, and write it down; undo and redo stay as they are."""
        with self._database.lock:
            with self._database.transaction() as connection:
                change = Change(connection)
                yield change
                entry = _append(connection, "note", None, change.words, {})
            self.revision = entry

    def undo(self) -> str | None:
        """Take the latest action back; return its words, or None where there is none."""
        return self._step("undo", self._done, self._undone)

    def redo(self) -> str | None:
        """Do the action undone last once more; return its words, or None where there is none."""
        return self._step("redo", self._undone, self._done)

    def entries(self) -> list[JournalEntry]:
        """Return the whole journal, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, time, kind, action, words FROM journal ORDER BY id"
            )
            return [JournalEntry(*row) for row in rows]

    def _step(
        self, kind: str, source: list[tuple[int, int]], target: list[tuple[int, int]]
    ) -> str | None:
        with self._database.lock:
            if not source:
                return None
            action, entry = source[-1]
            with self._database.transaction() as connection:
                words, before = _read(connection, entry)
                replaced = {table: _put_back(connection, table, before[table]) for table in before}
                new = _append(connection, kind, action, words, replaced)
            source.pop()
            target.append((action, new))
            self.revision = new
            return words

    def _replay(self) -> None:
        """Find out what can be undone and redone, from the order of the entries."""
        with self._database.reading() as connection:
            for entry, kind, action in connection.execute(
                "SELECT id, kind, action FROM journal ORDER BY id"
            ):
                if kind == "do":
                    self._done.append((entry, entry))
                    self._undone.clear()
                elif kind == "undo":
                    self._done.pop()
                    self._undone.append((action, entry))
                elif kind == "redo":
                    self._undone.pop()
                    self._done.append((action, entry))
                self.revision = entry


class JournalledStore:
    """What each part of the store stands on: the open database and its journal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database)


def counted(number: int, noun: str) -> str:
    """Return "1 point", "2 points", "1,000 points", for the words of an action."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _append(
    connection: sqlite3.Connection,
    kind: str,
    action: int | None,
    words: str,
    before: dict[str, _Image],
) -> int:
    cursor = connection.execute(
        "INSERT INTO journal (time, kind, action, words, before) VALUES (?, ?, ?, ?, ?)",
        (time.time(), kind, action, words, _to_json(before)),
    )
    assert cursor.lastrowid is not None  # an INSERT has one; for the type checker
    return cursor.lastrowid


def _read(connection: sqlite3.Connection, entry: int) -> tuple[str, dict[str, _Image]]:
    words, before = connection.execute(
        "SELECT words, before FROM journal WHERE id = ?", (entry,)
    ).fetchone()
    return words, _from_json(before)


def _take(connection: sqlite3.Connection, table: str, runs: Runs) -> _Image:
    columns = COLUMNS[table]
    statement = f"SELECT {', '.join(columns)} FROM {table} WHERE id BETWEEN ? AND ?"
    return _Image(
        runs, columns, [row for run in runs for row in connection.execute(statement, run)]
    )


def _put_back(connection: sqlite3.Connection, table: str, image: _Image) -> _Image:
    """Make the rows of `image` what they were; return what they are now."""
    replaced = _take(connection, table, image.runs)
    connection.executemany(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", image.runs)
    places = ", ".join("?" * len(image.columns))
    connection.executemany(
        f"INSERT INTO {table} ({', '.join(image.columns)}) VALUES ({places})", image.rows
    )
    return replaced


def _runs(ids: Iterable[int]) -> Runs:
    """Return ids as runs of successive ones: [1, 2, 3, 7] is [(1, 3), (7, 7)]."""
    numbers = np.unique(np.fromiter(ids, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = np.concatenate([numbers[:1], numbers[breaks + 1]])
    lasts = np.concatenate([numbers[breaks], numbers[-1:]])
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _to_json(before: dict[str, _Image]) -> str:
    return json.dumps(
        {
            table: {"ids": image.runs, "columns": image.columns, "rows": image.rows}
            for table, image in before.items()
        },
        default=lambda blob: {"base64": base64.b64encode(blob).decode()},
    )


def _from_json(text: str) -> dict[str, _Image]:
    return {
        table: _Image(
            [(first, last) for first, last in image["ids"]],
            tuple(image["columns"]),
            [tuple(row) for row in image["rows"]],
        )
        for table, image in json.loads(text, object_hook=_blob_or_object).items()
    }


def _blob_or_object(found: dict[str, Any]) -> Any:
    """Give a blob back its bytes; everything else in a row is a number, a text or None."""
    return base64.b64decode(found["base64"]) if "base64" in found else found
