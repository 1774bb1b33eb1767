"""Files are read at places from any thread, and closed only when nobody reads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from napari_xce.errors import SlideError
from napari_xce.slides.files import PositionedFile, ReadGuard


def test_reads_are_at_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(100)))
    file = PositionedFile(tmp_path / "a.bin")
    assert file.read(10, 3) == bytes([10, 11, 12])
    with pytest.raises(SlideError, match="incomplete"):
        file.read(98, 5)
    file.close()
    with pytest.raises(SlideError, match="closed"):
        file.read(0, 1)


def test_close_waits_for_the_reader() -> None:
    guard = ReadGuard("slide")
    reading, finish, closed = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        with guard:
            reading.set()
            finish.wait(10)

    def close() -> None:
        assert guard.close()
        closed.set()

    threads = [threading.Thread(target=read), threading.Thread(target=close)]
    threads[0].start()
    assert reading.wait(10)
    threads[1].start()
    assert not closed.wait(0.05)
    finish.set()
    assert closed.wait(10)
    for thread in threads:
        thread.join()
    assert not guard.close()  # the second call has nothing to release
