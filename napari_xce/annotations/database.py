"""The SQLite file of a session: made whole, opened by one owner, changed in transactions.

Every commit is on the disk when it returns (WAL, `synchronous=FULL`), so a process killed at any
moment keeps everything it acknowledged. Any thread may call; one connection, guarded by `lock`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from napari_xce.annotations.lock import SessionLock
from napari_xce.annotations.migrations import MIGRATIONS, Migration
from napari_xce.annotations.repair import SMALLEST, repair
from napari_xce.annotations.schema import (
    APPLICATION_ID,
    back_up_if_older,
    build,
    connect,
    migrate,
    pragma,
    transaction,
)
from napari_xce.errors import SessionError, XceWarning

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
            connection = _open_sound(path, migrations)
            try:
                _set_up(connection)
                back_up_if_older(connection, path, migrations)
                migrate(connection, migrations)
                connection.execute("PRAGMA foreign_keys = ON")  # after: a step may rebuild tables
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._identity = _identity(path)

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
            build(resolved, migrations)
            return cls(resolved, session_lock, migrations)
        except BaseException:
            session_lock.release()
            raise

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], migrations: Sequence[Migration] = MIGRATIONS
    ) -> Database:
        """Open a session file, bringing an older schema up to date.

        A session of schema 1 is first copied to ``session.sqlite.v1`` beside it, and so on. A
        damaged one is repaired from its journal, with an `XceWarning` that says what was saved.

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

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection is None

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
            The session is closed, its file is gone, or SQLite fails (a full disk, say): nothing
            was changed.
        """
        with self.reading() as connection:
            self._refuse_gone()
            with transaction(connection):
                yield connection

    def _refuse_gone(self) -> None:
        """Acknowledge nothing where the file was taken away: SQLite would write on into nowhere."""
        try:
            gone = _identity(self.path) != self._identity
        except OSError:
            gone = True
        if gone:
            raise SessionError(
                f"The session {self.path} is gone: its folder was moved or deleted, or its drive "
                "is not connected. The last action was not kept; put it back and repeat it."
            )


def holds_slide(path: Path, fingerprint: str) -> bool | None:
    """Tell whether a session that cannot be opened holds a slide; None where that cannot be read.

    Nothing is changed, and another program that has the session is not disturbed.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT fingerprint FROM slides").fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    return (fingerprint,) in found


@contextmanager
def _as_session_error(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise SessionError(f"The session {path} cannot be used ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise SessionError(
            f"The session {path}: {_WHY[sqlite3.SQLITE_CORRUPT]} ({error})."
        ) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
        why = _WHY.get(code, "SQLite refused")
        raise SessionError(f"The session {path}: {why} ({error}).") from error


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells this file from another one of the same name."""
    found = path.stat()
    return found.st_dev, found.st_ino


class _Damage(sqlite3.DatabaseError):
    """SQLite's own check found damaged pages."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _open_sound(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Open a session file, repaired where it is damaged."""
    try:
        return _open_checked(path, migrations)
    except sqlite3.DatabaseError as damage:
        code = getattr(damage, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        try:
            words = repair(path, migrations)
        except (sqlite3.Error, UnicodeDecodeError):
            raise damage from None
    warnings.warn(words, XceWarning, stacklevel=6)
    return _open_checked(path, migrations)


def _open_checked(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Open a session file, or say what is wrong with it."""
    connection = connect(path)
    try:
        _check(connection, path, migrations)
    except UnicodeDecodeError as error:
        connection.close()
        raise _Damage(f"a text is damaged: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check_header(path: Path) -> None:
    """Refuse what is no SQLite file before anything is written beside it."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"There is no session file {path}. Was it moved or renamed?") from error
    except OSError as error:
        raise SessionError(f"The session {path} cannot be read ({error.strerror}).") from error
    if magic != _SQLITE_MAGIC and size < SMALLEST:
        raise SessionError(f"{path} is not a napari-xce session, or its beginning is damaged.")


def _check(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Refuse a file of another program, of a newer napari-xce, or with damaged pages."""
    if pragma(connection, "application_id") != APPLICATION_ID:
        raise SessionError(
            f"{path} is an SQLite file of another program, not a napari-xce session."
        )
    version = pragma(connection, "user_version")
    known = migrations[-1].version
    if version > known:
        raise SessionError(
            f"The session {path} was written by a newer napari-xce (schema {version}; this one "
            f"knows {known}). Update napari-xce to open it."
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _Damage(verdict)


def _set_up(connection: sqlite3.Connection) -> None:
    """Make commits durable, and find out now whether the file can be written."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache
    connection.execute("BEGIN")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # as it is; fails if read-only
    connection.execute("ROLLBACK")
