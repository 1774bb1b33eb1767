"""The append-only journal: every action with its time, and undo and redo without end.

One mechanism serves all actions. An entry holds the rows it changed as they were *before* it. To
undo an action is to put those rows back, which is itself an entry that holds what it replaced; to
redo is to put *that* back. So nothing is ever deleted from the journal, the present state plus the
journal gives every past state (`at`), and what can be undone is found again by reading it
(`_find_steps`). An entry holds the rows as they were *after* it, too: the journal alone gives the
present state, from which a damaged session is rebuilt (`repair`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from threading import get_ident
from typing import TypeVar

from napari_xce.annotations.database import Database
from napari_xce.annotations.images import (
    COLUMNS,
    Image,
    Row,
    Runs,
    from_json,
    put,
    runs_of,
    take,
    take_all,
    to_json,
)
from napari_xce.annotations.records import JournalEntry
from napari_xce.annotations.repair import replay
from napari_xce.annotations.schema import empty_copy
from napari_xce.errors import SessionError


class Change:
    """An action while it is done: its words, and the rows it touches as they were before.

    The action is kept if `words` is set by the end; otherwise it is taken to have done nothing.
    An action inside another one writes into the same `before`.
    """

    def __init__(
        self, connection: sqlite3.Connection, before: dict[str, Image] | None = None
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
        self._keep(table, Image([(first, first + count - 1)], COLUMNS[table], []))
        return range(first, first + count)

    def changes(self, table: str, ids: Iterable[int]) -> list[Row]:
        """Keep these rows as they are, before they are changed or deleted; return them by id."""
        image = take(self.connection, table, runs_of(ids))
        self._keep(table, image)
        return image.rows

    def _keep(self, table: str, image: Image) -> None:
        """Keep rows for undo, unless they were kept earlier in this action: then that counts."""
        kept = self.before.get(table)
        if kept is not None:
            known = {id_ for first, last in kept.runs for id_ in range(first, last + 1)}
            ids = {id_ for first, last in image.runs for id_ in range(first, last + 1)}
            rows = kept.rows + [row for row in image.rows if row[0] not in known]
            image = Image(runs_of(known | ids), image.columns, rows)
        self.before[table] = image


class Journal:
    """Write actions down, undo and redo them. Any thread may call; `database.lock` guards it.

    Attributes
    ----------
    revision : int
        The number of the latest entry; grows with every change, also with undo and redo.
    replaced : dict of str to list of rows
        By table, the rows that the latest undo or redo took away and those that it put there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.revision = 0
        self.replaced: dict[str, list[Row]] = {}
        self._open: Change | None = None  # the action that others are part of
        self._opener = 0  # the thread that does it
        self._heed: Callable[[int, dict[str, Runs]], None] = lambda entry, touched: None
        # (action, entry that holds the rows to put back), the latest last
        self._done: list[tuple[int, int]] = []
        self._undone: list[tuple[int, int]] = []
        self._find_steps()

    @property
    def is_open(self) -> bool:
        """Whether this thread is making one action of several: what it sees may be taken back."""
        return self._open is not None and self._opener == get_ident()

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
            self._advance(entry, change.before)

    def heed(self, hear: Callable[[int, dict[str, Runs]], None]) -> None:
        """Have an entry's number and the ids it touched, by table, told before `revision` is it.

        It is told on the thread that wrote, which holds the lock, so that what was read can be
        brought up to date before others know that it is old.
        """
        self._heed = hear

    def _advance(self, entry: int, before: dict[str, Image]) -> None:
        """Make an entry the latest one."""
        self._heed(entry, {table: image.runs for table, image in before.items()})
        self.revision = entry

    @contextmanager
    def together(self, words: str) -> Iterator[None]:
        """Make one action of all that the block does, in one transaction, with these words.

        Where the block does nothing, the action is none. Only what can be undone may be done in it.
        """
        with self.action() as change:
            outer, self._open, self._opener = self._open, change, get_ident()
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
                entry = _append(connection, "note", None, change.words, change.before)
            self._advance(entry, change.before)

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
                replaced = {t: take(connection, t, image.runs) for t, image in before.items()}
                for table, image in before.items():
                    put(connection, table, image)
                new = _append(connection, kind, action, words, replaced)
            source.pop()
            target.append((action, new))
            self._advance(new, before)
            self.replaced = {t: [*replaced[t].rows, *before[t].rows] for t in before}
            return words

    @contextmanager
    def at(self, revision: int) -> Iterator[sqlite3.Connection]:
        """Hold the tables of what can be undone as they were after that entry, to read them.

        Raises
        ------
        SessionError
            The history is damaged or lost so far back.
        """
        with self._database.lock, self._database.reading() as connection:
            connection.execute("BEGIN")
            try:
                for entry in range(self.revision, revision, -1):
                    for table, image in _read(connection, entry)[1].items():
                        put(connection, table, image)
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def audit(self) -> None:
        """Tell the whole history anew, and compare its end with what stands.

        Raises
        ------
        SessionError
            The history is damaged; or they differ, because the file was damaged, or changed by
            another program.
        """
        with self._database.reading() as connection:
            entries = connection.execute("SELECT id, after FROM journal ORDER BY id")
            with closing(empty_copy()) as told:
                try:
                    replay(told, entries)
                except ValueError as error:
                    raise SessionError(
                        f"The session {self._database.path}: a part of its history is damaged. "
                        "What was said stands; export it, and check the disk."
                    ) from error
                told_images = take_all(told)
            for table, image in take_all(connection).items():
                if image.rows != told_images[table].rows:
                    raise SessionError(
                        f"The session {self._database.path}: its {table} are not what its journal "
                        "says. It was damaged, or changed by another program; restore a backup."
                    )

    def _find_steps(self) -> None:
        """Find out what can be undone and redone, from the order of the entries.

        Where entries are missing, lost to damage, nothing before them can be undone.
        """
        with self._database.reading() as connection:
            for entry, kind, action in connection.execute(
                "SELECT id, kind, action FROM journal ORDER BY id"
            ):
                if entry != self.revision + 1:
                    self._done.clear()
                    self._undone.clear()
                if kind == "do":
                    self._done.append((entry, entry))
                    self._undone.clear()
                elif kind == "undo":
                    self._done[-1:] = []
                    self._undone.append((action, entry))
                elif kind == "redo":
                    self._undone[-1:] = []
                    self._done.append((action, entry))
                self.revision = entry


K = TypeVar("K")
V = TypeVar("V")


class JournalledStore:
    """What each part of the store stands on: the open database and its journal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database)

    def _read(
        self, kept: dict[K, tuple[int, V]], key: K, read: Callable[[sqlite3.Connection], V]
    ) -> V:
        """Return what is read from the tables, kept by key with its revision while that stands.

        What is kept is returned without waiting for another thread that writes.
        """
        settled = not self._journal.is_open
        if settled and key in kept and not self._database.closed:
            revision, known = kept[key]
            if revision == self._journal.revision:
                return known
        with self._database.reading() as connection:
            revision = self._journal.revision
            made = read(connection)
        if settled:
            kept[key] = (revision, made)
        return made


def counted(number: int, noun: str) -> str:
    """Return "1 point", "2 points", "1,000 points", for the words of an action."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _append(
    connection: sqlite3.Connection,
    kind: str,
    action: int | None,
    words: str,
    before: dict[str, Image],
) -> int:
    after = {table: take(connection, table, image.runs) for table, image in before.items()}
    cursor = connection.execute(
        "INSERT INTO journal (time, kind, action, words, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        (time.time(), kind, action, words, to_json(before), to_json(after)),
    )
    assert cursor.lastrowid is not None  # an INSERT has one; for the type checker
    return cursor.lastrowid


def _read(connection: sqlite3.Connection, entry: int) -> tuple[str, dict[str, Image]]:
    """Return the words of an entry, and the rows as they were before it."""
    try:
        words, before = connection.execute(
            "SELECT words, before FROM journal WHERE id = ?", (entry,)
        ).fetchone()
        return words, from_json(before)
    except (TypeError, ValueError) as error:
        raise SessionError(
            f"Entry {entry} of the session's history is damaged or lost, so it cannot be undone. "
            "What was said still stands."
        ) from error
