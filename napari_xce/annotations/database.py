"""The SQLite file of a session: made whole, opened by one owner, changed in transactions.

Every commit is on the disk when it returns (WAL, `synchronous=FULL`), so a process killed at any
moment keeps everything it acknowledged. Any thread may call; one connection, guarded by `lock`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from napari_xce.annotations.lock import SessionLock
from napari_xce.annotations.migrations import MIGRATIONS, Migration
from napari_xce.errors import SessionError

APPLICATION_ID = 0x4E584345  # "NXCE", in the header of every session
_SQLITE_MAGIC = b"SQLite format 3\x00"

_WHY = {
    sqlite3.SQLITE_FULL: "the disk is full. The last action was not kept; make room and repeat it",
    sqlite3.SQLITE_READONLY: "it cannot be written. Copy it to a folder of your own",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or its folder cannot be written",
    sqlite3.SQLITE_BUSY: "another program is writing into it. Close that program",
    sqlite3.SQLITE_IOERR: "the disk does not answer as it should. The last action was not kept",
    sqlite3.SQLITE_CORRUPT: "it is damaged. Restore it from a backup, or rescue what is left with "
    "`sqlite3 session.sqlite .recover`",
    sqlite3.SQLITE_NOTADB: "it is not a napari-xce session, or its beginning is damaged",
}


class Database:
    """An open session file.

    Attributes
    ----------
    path : Path
        Absolute, links resolved.
    lock : threading.RLock
        Hold it to read or change several things as one.
    """

    def __init__(self, path: Path, session_lock: SessionLock, migrations: Sequence[Migration]):
        self.path = path
        self.lock = threading.RLock()
        self._session_lock = session_lock
        self._connection: sqlite3.Connection | None = None
        with _as_session_error(path):
            connection = _connect(path)
            try:
                _check(connection, path, migrations)
                _set_up(connection)
                _back_up_if_older(connection, path, migrations)
                _migrate(connection, migrations)
                connection.execute("PRAGMA foreign_keys = ON")  # after: a step may rebuild tables
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], migrations: Sequence[Migration] = MIGRATIONS
    ) -> Database:
        """Make a new session file and open it; a kill on the way leaves no half-made session.

        Raises
        ------
        SessionError
            There is something of that name, or the folder is missing or cannot be written.
        """
        resolved = Path(path).resolve()
        if not resolved.parent.is_dir():
            raise SessionError(f"There is no folder {resolved.parent} to put the session into.")
        session_lock = SessionLock(resolved)
        try:
            for taken in (resolved, resolved.with_name(resolved.name + "-wal")):
                if taken.exists():
                    raise SessionError(
                        f"There is {taken} already. Open it, or choose another name."
                    )
            _build(resolved, migrations)
            return cls(resolved, session_lock, migrations)
        except BaseException:
            session_lock.release()
            raise

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], migrations: Sequence[Migration] = MIGRATIONS
    ) -> Database:
        """Open a session file, bringing an older schema up to date.

        A session of schema 1 is first copied to ``session.sqlite.v1`` beside it, and so on.

        Raises
        ------
        SessionError
            The file is missing, no session, damaged, of a newer version, not writable or in use.
        """
        resolved = Path(path).resolve()
        _check_header(resolved)
        session_lock = SessionLock(resolved)
        try:
            return cls(resolved, session_lock, migrations)
        except BaseException:
            session_lock.release()
            raise

    def close(self) -> None:
        """Close the file and let others open it; a second call does nothing."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._session_lock.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection to read from it.

        Raises
        ------
        SessionError
            The session is closed, or SQLite fails.
        """
        with self.lock, _as_session_error(self.path):
            if self._connection is None:
                raise SessionError(f"The session {self.path} is closed; open it again.")
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one action: all of it is on the disk at the end, or none.

        Raises
        ------
        SessionError
            The session is closed, or SQLite fails (a full disk, say): nothing was changed.
        """
        with self.reading() as connection, _transaction(connection):
            yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or take it back where it or the commit fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back after a full disk
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _as_session_error(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise SessionError(f"The session {path} cannot be used ({error.strerror}).") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        why = _WHY.get(code, "SQLite refused")
        raise SessionError(f"The session {path}: {why} ({error}).") from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _build(path: Path, migrations: Sequence[Migration]) -> None:
    """Make a complete, empty session beside `path` and move it there in one step."""
    new = path.with_name(path.name + ".new")
    with _as_session_error(path):
        for leftover in (new, new.with_name(new.name + "-journal")):
            leftover.unlink(missing_ok=True)
        with closing(_connect(new)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _migrate(connection, migrations)
        _put_in_place(new, path)


def _put_in_place(new: Path, path: Path) -> None:
    """Give a complete file, already on the disk, its name in one step."""
    os.replace(new, path)
    if os.name == "posix":  # the name, too, must outlive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _check_header(path: Path) -> None:
    """Refuse what is no SQLite file before anything is written beside it."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"There is no session file {path}. Was it moved or renamed?") from error
    except OSError as error:
        raise SessionError(f"The session {path} cannot be read ({error.strerror}).") from error
    if magic != _SQLITE_MAGIC:
        raise SessionError(f"{path} is not a napari-xce session, or its beginning is damaged.")


def _check(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Refuse a file of another program, of a newer napari-xce, or with damaged pages."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise SessionError(
            f"{path} is an SQLite file of another program, not a napari-xce session."
        )
    version = _pragma(connection, "user_version")
    known = migrations[-1].version
    if version > known:
        raise SessionError(
            f"The session {path} was written by a newer napari-xce (schema {version}; this one "
            f"knows {known}). Update napari-xce to open it."
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise SessionError(f"The session {path}: {_WHY[sqlite3.SQLITE_CORRUPT]} ({verdict}).")


def _set_up(connection: sqlite3.Connection) -> None:
    """Make commits durable, and find out now whether the file can be written."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache
    connection.execute("BEGIN")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # as it is; fails if read-only
    connection.execute("ROLLBACK")


def _back_up_if_older(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]
) -> None:
    """Copy a session that is about to be brought up to date, to be had back if that goes wrong."""
    version = _pragma(connection, "user_version")
    if version >= migrations[-1].version:
        return
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with closing(_connect(new)) as copy:
        copy.execute("PRAGMA synchronous = FULL")
        connection.backup(copy)
    _put_in_place(new, path.with_name(f"{path.name}.v{version}"))


def _migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply the steps that the file has not seen, each in one transaction with its number."""
    for migration in migrations:
        if migration.version > _pragma(connection, "user_version"):
            with _transaction(connection):
                migration.apply(connection)
                connection.execute(f"PRAGMA user_version = {migration.version}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
