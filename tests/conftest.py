"""What every test stands on: a home of its own, the development data, and no thread left behind."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Threads that a library starts once and keeps for the life of the program.
LIBRARY_THREADS = ("asyncio_", "zarr_")


def _move_home() -> None:
    """Give this run a home of its own, before anything reads settings from the user's."""
    home = Path(tempfile.mkdtemp(prefix="xce-test-home-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    authority = Path.home() / ".Xauthority"
    if authority.exists():  # a real display finds its key in the real home
        os.environ.setdefault("XAUTHORITY", str(authority))
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ[variable] = str(home / variable.lower())
    os.environ["NAPARI_CONFIG"] = str(home / "napari" / "settings.yaml")


_move_home()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the development data: XCE_DATA, or shared/data beside the repository."""
    data = Path(os.environ.get("XCE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not data.is_dir():
        pytest.skip(f"the development data is not at {data}; set XCE_DATA to its folder")
    return data


@pytest.fixture
def session_dir(tmp_path: Path) -> Path:
    """Return where a session may be created: a path that does not exist yet, ending in .xce."""
    return tmp_path / "case.xce"


def _ours(thread: threading.Thread) -> bool:
    """Tell whether a thread is one that our code must end: named xce*, or holding up the exit."""
    if thread.name.startswith("xce"):
        return True
    return not thread.daemon and not thread.name.startswith(LIBRARY_THREADS)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread of ours running, and name it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    left = [thread for thread in threading.enumerate() if thread not in before and _ours(thread)]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in left if thread.is_alive()]
    assert not left, f"threads left running: {', '.join(left)}; end them before the test returns"
