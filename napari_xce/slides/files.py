"""Read bytes at a place of a file from any thread, on every system, and close it under readers."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

from napari_xce.errors import SlideError


class ReadGuard:
    """Let any number of threads read, and close only when none of them does.

    A context manager around each read. Without it a thread could read from a descriptor that has
    just been closed and given to another file.

    Parameters
    ----------
    name
        What is read, for the message.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._readers = 0
        self._closed = False
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise SlideError(f"{self._name} has been closed; open the slide again.")
            self._readers += 1

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def close(self) -> bool:
        """Refuse new readers, wait for those at work; True for the one call that shall release."""
        with self._changed:
            first, self._closed = not self._closed, True
            self._changed.wait_for(lambda: self._readers == 0)
        return first


class PositionedFile:
    """A file read at absolute positions from any number of threads.

    Where the system has ``os.pread`` one descriptor serves all threads; elsewhere (Windows) each
    thread opens its own handle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = ReadGuard(path.name)
        self._lock = threading.Lock()
        self._handles: list[BinaryIO] = []
        self._local = threading.local()
        self._shared = path.open("rb", buffering=0) if hasattr(os, "pread") else None
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on.

        Raises
        ------
        SlideError
            If the file is closed, cannot be reached any more, or ends before.
        """
        with self._guard:
            try:
                data = self._read(offset, count)
            except OSError as error:
                raise SlideError(
                    f"{self._path.name} cannot be reached any more ({error.strerror or error}). Is "
                    "its drive or network share connected? Connect it and go on."
                ) from error
        if len(data) < count:
            raise SlideError(f"{self._path.name} ends too early: it is incomplete. Copy it again.")
        return data

    def close(self) -> None:
        """Close all handles, after the reads at work. Closing twice does nothing."""
        if not self._guard.close():
            return
        for handle in self._handles:
            handle.close()
        if self._shared is not None:
            self._shared.close()

    def _read(self, offset: int, count: int) -> bytes:
        """Read by the shared descriptor, or by the handle of this thread."""
        if self._shared is not None:
            return os.pread(self._shared.fileno(), count, offset)
        handle = self._own_handle()
        handle.seek(offset)
        return handle.read(count)

    def _own_handle(self) -> BinaryIO:
        """Return the handle of this thread."""
        handle: BinaryIO | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._path.open("rb", buffering=0)
            self._local.handle = handle
            with self._lock:
                self._handles.append(handle)
        return handle
