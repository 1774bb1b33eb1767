"""Rebuild a damaged session from its journal and from what can still be read of its tables.

The journal holds the rows after each action, the tables hold what stands: one of them is enough.
A damaged page belongs to one of them. Where the first page is damaged, which only says where the
tables begin, that of an empty session takes its place: all sessions begin alike. Tables that came
with a later schema are told by the journal alone then.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from napari_xce.annotations.images import COLUMNS, Image, Row, from_json, put
from napari_xce.annotations.migrations import Migration, take_up_areas
from napari_xce.annotations.schema import (
    build_at,
    connect,
    pragma,
    put_in_place,
    transaction,
    write_checkpoint,
)

_JOURNAL = ("id", "time", "kind", "action", "words", "before", "after")
_PAGE = 4096
#: Bytes; no session is smaller.
SMALLEST = 8 * _PAGE
_WORDS = "Repair the session after damage"
#: The first schema whose journal holds what a repair needs; all sessions begin as it made them.
_FIRST_VERSION = 3
#: The schema that brought a table that came later. Where it lies in the file, only page 1 says.
_LATER = {"areas": 4}


@dataclass(slots=True)
class _Rescued:
    """What could be read: journal entries, rows by table, and which of these are complete."""

    entries: list[Row] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    settings: list[Row] = field(default_factory=list)
    complete: set[str] = field(default_factory=set)


def replay(connection: sqlite3.Connection, entries: Iterable[tuple[int, str | None]]) -> None:
    """Tell a history, entries of (id, rows after it), into an empty session."""
    with transaction(connection):
        for _, after in entries:
            for table, image in from_json(after or "{}").items():
                put(connection, table, image)


def repair(path: Path, migrations: Sequence[Migration]) -> str:
    """Put a sound session in the place of a damaged one, which is kept beside it.

    Returns
    -------
    str
        What was done and what may be lost, for the user.

    Raises
    ------
    sqlite3.Error
        Too little can be read; the damaged file stays where it is.
    OSError
        The disk does not let itself be written.
    """
    new, scratch = (path.with_name(path.name + ending) for ending in (".new", ".rescue"))
    try:
        _copy(path, scratch)
        rescued = _rescue(scratch, migrations)
        build_at(new, migrations)
        with closing(connect(new)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            _fill(connection, rescued)
        kept = _free_name(path)
        _copy(path, kept)
        for ending in ("-wal", "-shm"):  # the log is part of what was rescued
            path.with_name(path.name + ending).unlink(missing_ok=True)
        put_in_place(new, path)
    finally:
        new.unlink(missing_ok=True)
        for ending in ("-shm", "-wal", ""):
            scratch.with_name(scratch.name + ending).unlink(missing_ok=True)
    return (
        f"The session {path} was damaged and has been repaired: {_say(rescued)}. The damaged file "
        f"is kept as {kept.name}. Check the disk: it may fail."
    )


def _say(rescued: _Rescued) -> str:
    """Say how much was rescued."""
    if "journal" in rescued.complete:
        words = "nothing of what was said is lost"
    elif set(COLUMNS) <= rescued.complete:
        words = "what was said is complete, but its history has gaps, before which undo cannot go"
    else:
        words = "some of what was said may be lost. Look it over"
    if "settings" not in rescued.complete:
        words += ". Set thresholds and head again: they may be the usual ones now"
    return words


def _copy(path: Path, copy: Path) -> None:
    """Copy a file and its log of the last actions."""
    for ending in ("-wal", ""):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + ending))


def _free_name(path: Path) -> Path:
    """Return a name for the damaged file."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return kept


def _rescue(path: Path, migrations: Sequence[Migration]) -> _Rescued:
    """Read what can be read; where that is nothing, once more with the first page of a sound file.

    Closing merges the log of the last actions into the file.
    """
    try:
        return _read(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        _replace_first_pages(path, [m for m in migrations if m.version <= _FIRST_VERSION])
        rescued = _read(path)
        rescued.complete -= set(_LATER)
        return rescued


def _read(path: Path) -> _Rescued:
    """Read all tables as far as possible."""
    rescued = _Rescued()
    with closing(connect(path)) as connection:
        version = pragma(connection, "user_version")
        if version < _FIRST_VERSION:
            raise sqlite3.DatabaseError("its journal is of an older version")
        connection.execute("PRAGMA cell_size_check = ON")
        entries, whole = _readable(connection, "journal", _JOURNAL)
        rescued.entries = [entry for entry in entries if _is_sound(entry)]
        numbers = [entry[0] for entry in rescued.entries]
        if whole and numbers == list(range(1, len(entries) + 1)):
            rescued.complete.add("journal")
        for table, columns in COLUMNS.items():
            whole = True
            if version >= _LATER.get(table, version):  # else there was nothing of the kind yet
                rescued.tables[table], whole = _readable(connection, table, columns)
            if whole:
                rescued.complete.add(table)
        rescued.settings, whole = _readable(connection, "settings", ("key", "value"))
        if whole:
            rescued.complete.add("settings")
    if not (rescued.entries or rescued.tables["slides"] or rescued.tables["annotations"]):
        raise sqlite3.DatabaseError("nothing can be read of it")
    return rescued


def _readable(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...]
) -> tuple[list[Row], bool]:
    """Return the rows that can be read, from both ends and then one by one; and if these are all.

    Raises
    ------
    sqlite3.DatabaseError
        There is no such table: the first page is damaged.
    """
    statement = f"SELECT {', '.join(columns)} FROM {table}"
    connection.execute(f"EXPLAIN {statement}")
    found: dict[object, Row] = {}
    ends = []
    for order in ("", "DESC"):
        rows = []
        try:
            for row in connection.execute(f"{statement} ORDER BY {columns[0]} {order}"):
                rows.append(row)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            ends.append(rows[-1][0] if rows else None)
            found |= {row[0]: row for row in rows}
        else:
            return sorted(rows, key=_number), True
    low, high = ends
    if isinstance(low, int) and isinstance(high, int):
        for number in range(low + 1, high):
            try:
                row = connection.execute(
                    f"{statement} WHERE {columns[0]} = ?", (number,)
                ).fetchone()
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                continue
            if row is not None:
                found[number] = row
    return sorted(found.values(), key=_number), False


def _number(row: Row) -> int:
    """Return the number of a row; a damaged one, or one of a table without, has none."""
    return row[0] if isinstance(row[0], int) else 0


def _is_sound(entry: Row) -> bool:
    """Tell whether a journal entry says what rows it changed."""
    try:
        from_json(entry[5])
        from_json(entry[6] or "{}")
    except (TypeError, ValueError):
        return False
    return True


def _fill(connection: sqlite3.Connection, rescued: _Rescued) -> None:
    """Write what was rescued into an empty session, ending with a checkpoint."""
    replay(connection, [(entry[0], entry[6]) for entry in rescued.entries])
    with transaction(connection):
        if "journal" not in rescued.complete:
            for table, rows in rescued.tables.items():
                whole = table in rescued.complete
                runs = [(0, 1 << 62)] if whole else [(row[0], row[0]) for row in rows]
                put(connection, table, Image(runs, COLUMNS[table], rows))
        places = ", ".join("?" * len(_JOURNAL))
        connection.executemany(f"INSERT INTO journal VALUES ({places})", rescued.entries)
        connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rescued.settings)
        take_up_areas(connection)
        for table in COLUMNS:  # not the journal: an undo may outlive the entry it took back
            if connection.execute(f"PRAGMA foreign_key_check({table})").fetchone() is not None:
                raise sqlite3.DatabaseError("classes or slides are lost")
        write_checkpoint(connection, _WORDS)


def _replace_first_pages(path: Path, migrations: Sequence[Migration]) -> None:
    """Write what says where the tables begin, as in an empty session, over a damaged file.

    Raises
    ------
    sqlite3.DatabaseError
        The file is too small to be a session.
    """
    fresh = path.with_name(path.name + ".new")
    build_at(fresh, migrations)
    with closing(connect(fresh)) as connection:
        roots = {row[0] for row in connection.execute("SELECT rootpage FROM sqlite_master")}
        count = pragma(connection, "page_count")
    sound = bytearray(fresh.read_bytes())
    fresh.unlink()
    size = path.stat().st_size
    if size < count * _PAGE:
        raise sqlite3.DatabaseError("it is no session, or its end is missing")
    sound[18:20] = b"\x02\x02"  # in WAL mode
    sound[28:32] = (size // _PAGE).to_bytes(4, "big")
    sound[32:40] = bytes(8)  # no free pages: nothing will be written into it
    with path.open("rb+") as file:
        for number in {1} | (set(range(1, count + 1)) - roots):
            file.seek((number - 1) * _PAGE)
            file.write(sound[(number - 1) * _PAGE : number * _PAGE])
