"""Read bytes at a place of a file from any thread, on every system."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

from napari_xce.errors import SlideError


class PositionedFile:
    """A file read at absolute positions from any number of threads.

    Where the system has ``os.pread`` one descriptor serves all threads; elsewhere (Windows) each
    thread opens its own handle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        self._handles: list[BinaryIO] = []
        self._local = threading.local()
        self._shared = path.open("rb", buffering=0) if hasattr(os, "pread") else None
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on.

        Raises
        ------
        SlideError
            If the file is closed, or ends before.
        """
        if self._closed:
            raise SlideError(f"{self._path.name} has been closed; open the slide again.")
        if self._shared is not None:
            data = os.pread(self._shared.fileno(), count, offset)
        else:
            handle = self._own_handle()
            handle.seek(offset)
            data = handle.read(count)
        if len(data) < count:
            raise SlideError(f"{self._path.name} ends too early: it is incomplete. Copy it again.")
        return data

    def close(self) -> None:
        """Close all handles. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.close()
        if self._shared is not None:
            self._shared.close()

    def _own_handle(self) -> BinaryIO:
        """Return the handle of this thread."""
        handle: BinaryIO | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._path.open("rb", buffering=0)
            self._local.handle = handle
            with self._lock:
                self._handles.append(handle)
        return handle
