"""Make a session's SQLite file, whole or not at all, and bring its schema up to date."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from napari_xce.annotations.images import take_all, to_json
from napari_xce.annotations.migrations import MIGRATIONS, Migration

APPLICATION_ID = 0x4E584345  # "NXCE", in the header of every session


def connect(path: Path | str) -> sqlite3.Connection:
    """Open an SQLite file; transactions are ours, any thread may use it."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or take it back where it or the commit fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back after a full disk
            connection.execute("ROLLBACK")
        raise


def build(path: Path, migrations: Sequence[Migration]) -> None:
    """Make a complete, empty session beside `path` and move it there in one step."""
    new = path.with_name(path.name + ".new")
    build_at(new, migrations)
    put_in_place(new, path)


def build_at(path: Path, migrations: Sequence[Migration]) -> None:
    """Make a complete, empty session at `path`, in the place of whatever was left there."""
    for leftover in (path, path.with_name(path.name + "-journal")):
        leftover.unlink(missing_ok=True)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(connection, migrations)


def empty_copy(migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Return an empty session in memory."""
    connection = connect(":memory:")
    migrate(connection, migrations)
    return connection


def put_in_place(new: Path, path: Path) -> None:
    """Give a complete file, already on the disk, its name in one step."""
    os.replace(new, path)
    if os.name == "posix":  # the name, too, must outlive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def back_up_if_older(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]
) -> None:
    """Copy a session that is about to be brought up to date, to be had back if that goes wrong."""
    version = pragma(connection, "user_version")
    if version >= migrations[-1].version:
        return
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with closing(connect(new)) as copy:
        copy.execute("PRAGMA synchronous = FULL")
        connection.backup(copy)
    put_in_place(new, path.with_name(f"{path.name}.v{version}"))


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply the steps that the file has not seen, each in one transaction with its number.

    The last one ends with a checkpoint in the journal, as it may have changed what stands.
    """
    before = pragma(connection, "user_version")
    for migration in migrations:
        if migration.version > pragma(connection, "user_version"):
            with transaction(connection):
                migration.apply(connection)
                connection.execute(f"PRAGMA user_version = {migration.version}")
                if before and migration is migrations[-1]:
                    write_checkpoint(connection, f"Bring up to schema {migration.version}")


def write_checkpoint(connection: sqlite3.Connection, words: str) -> None:
    """Write all that stands into the journal, so that it can be told anew from here on."""
    connection.execute(
        "INSERT INTO journal (time, kind, words, before, after) VALUES (?, 'note', ?, '{}', ?)",
        (time.time(), words, to_json(take_all(connection))),
    )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return a number that SQLite keeps with the file."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
