"""One program at a time has a session; a killed one does not keep it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_xce.annotations import Store
from napari_xce.annotations.lock import SessionLock
from napari_xce.errors import SessionError

HOLD = """
import sys
from napari_xce.annotations import Store
store = Store.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
store.close()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            yield child
        finally:
            child.kill()


def test_second_program_is_told_who_has_the_session(store: Store, path: Path) -> None:
    store.close()
    with held_by_another_process(path) as child:
        with pytest.raises(SessionError) as refusal:
            Store.open(path)
        assert f"process {child.pid} on {socket.gethostname()}, since 20" in str(refusal.value)


def test_session_is_free_once_the_other_program_closed_it(store: Store, path: Path) -> None:
    store.close()
    with held_by_another_process(path) as child:
        child.communicate("")
        assert child.returncode == 0
        Store.open(path).close()


def test_killed_program_leaves_no_lock(store: Store, path: Path) -> None:
    store.close()
    with held_by_another_process(path) as child:
        child.kill()
        child.wait()
        Store.open(path).close()


def test_second_opening_in_this_program_is_refused(store: Store, path: Path) -> None:
    with pytest.raises(SessionError, match="open in this program already"):
        Store.open(path)
    store.add_points("slide-1", "lymphocyte", [[1, 2]])  # the first goes on


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_session_is_recognised_by_another_name(store: Store, path: Path) -> None:
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    with pytest.raises(SessionError, match="open in this program already"):
        Store.open(link)


def test_refused_opening_does_not_free_the_session(store: Store, path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SessionError, match="open in this program already"):
            Store.open(path)


def test_text_left_by_a_dead_owner_does_not_matter(path: Path) -> None:
    path.with_name("session.sqlite.lock").write_text('{"pid": 1, "host": "gone", "time": 0}')
    Store.create(path).close()


def test_unreadable_text_still_gives_a_sentence(path: Path) -> None:
    lock = SessionLock(path)
    path.with_name("session.sqlite.lock").write_text("not JSON")
    with pytest.raises(SessionError, match="open in another program"):
        SessionLock(path)
    lock.release()
    SessionLock(path).release()
