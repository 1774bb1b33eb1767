"""What it costs to begin: importing the package, and opening a window with the dock.

Each figure is taken in a fresh process, for what is imported once is never imported again.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from napari_xce.errors import XceError

_IMPORT = """
import sys, time
before = time.perf_counter()
import napari_xce
seconds = time.perf_counter() - before
heavy = [name for name in ("torch", "qtpy", "napari", "numpy") if name in sys.modules]
print(seconds, *heavy)
"""
_WINDOW = "import sys; from napari_xce.bench.startup import show; show(sys.argv[1])"
_TIMEOUT = 300


def import_seconds(repeats: int = 7) -> tuple[float, list[str]]:
    """Time ``import napari_xce`` in fresh interpreters.

    Returns
    -------
    float
        Median seconds of the import statement alone; the interpreter's own start is not counted.
    list of str
        Which of torch, qtpy, napari and numpy it loaded; none should be.
    """
    said = [_run(_IMPORT).split() for _ in range(repeats)]
    return statistics.median(float(words[0]) for words in said), said[0][1:]


def seconds_to_dock(session: Path, repeats: int = 3) -> list[float]:
    """Time from the start of a process to a dock that can be used, for each of some processes.

    Parameters
    ----------
    session : Path
        A session with one slide.
    repeats : int
        How many processes.

    Returns
    -------
    list of float
        Seconds until the window is drawn, the session is open in the dock, and the event loop
        has nothing left to do; the interpreter's start and every import are counted.
    """
    seconds = []
    for _ in range(repeats):
        before = time.time()
        seconds.append(float(_run(_WINDOW, str(session))) - before)
    return seconds


def show(session: str) -> None:
    """Open a session in a window and print the time (`time.time`) when the dock can be used."""
    from qtpy.QtCore import QTimer

    from napari_xce.session import Session
    from napari_xce.widgets.launch import open_viewer, run

    viewer = open_viewer(session=Session.open(session))

    def usable() -> None:
        print(time.time(), flush=True)
        viewer.close()

    QTimer.singleShot(0, lambda: QTimer.singleShot(0, usable))  # after what waits, drawing included
    run()


def _run(script: str, *words: str) -> str:
    """Run a script in a fresh interpreter; return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise XceError(f"A fresh Python could not start napari-xce: {done.stderr.strip()[-500:]}")
    return done.stdout.strip().splitlines()[-1]
