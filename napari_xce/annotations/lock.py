"""One owner of a session at a time: an exclusive lock of the operating system beside the database.

The system drops the lock with the process, however it ends, so a killed owner leaves none behind.
The file's text only tells a second program who has the session. The file stays when the session
is closed: to remove it would let two programs lock two files of the same name.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
from pathlib import Path

from napari_xce.errors import SessionError

if sys.platform == "win32":
    import msvcrt

    _BEYOND_TEXT = 1 << 30  # msvcrt locks bytes against reading too: lock one past the text

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, _BEYOND_TEXT, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLOCK):
                return False
            raise
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND_TEXT, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class SessionLock:
    """Hold the session at `path` until `release`, or until this process ends.

    Raises
    ------
    SessionError
        It is held already (the sentence says by whom), or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        lock_path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SessionError(
                f"The session {path} cannot be used because its folder cannot be written "
                f"({error.strerror}). Copy the session to a folder of your own."
            ) from error
        try:
            if not _lock(self._descriptor):
                raise SessionError(_who_has_it(path, lock_path))
            self._write_owner()
        except OSError as error:
            os.close(self._descriptor)
            raise SessionError(
                f"The session {path} cannot be locked ({error.strerror})."
            ) from error
        except SessionError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Give the session back; call it once."""
        with contextlib.suppress(OSError):  # only the text: a full disk must not keep the lock
            os.ftruncate(self._descriptor, 0)
        _unlock(self._descriptor)
        os.close(self._descriptor)

    def _write_owner(self) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()}
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, json.dumps(owner).encode())


def _who_has_it(path: Path, lock_path: Path) -> str:
    """Say who holds the lock, from what its owner wrote into the file."""
    try:
        owner = json.loads(lock_path.read_text(encoding="utf-8"))
        pid, host = int(owner["pid"]), str(owner["host"])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["time"]))
    except (OSError, ValueError, KeyError, TypeError):
        return f"The session {path} is open in another program. Close it there first."
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return f"The session {path} is open in this program already, since {since}. Close it first."
    return (
        f"The session {path} is open in another program: process {pid} on {host}, since {since}. "
        "Close it there first."
    )
