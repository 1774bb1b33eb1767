"""Long scripted use of a real window: does it hold on to memory, threads or files?

A synthetic slide, learning switched on, and over and over what a person does: click, pan, zoom,
switch the class, undo, export. Every round the process is asked what it holds. Growth is judged
from the second quarter on, when caches and libraries have filled. What the C library has handed out
is told beside what the process holds: the rest of the growth is freed memory between what stays.
"""

from __future__ import annotations

import ctypes
import gc
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_xce.bench.report import begin

if TYPE_CHECKING:
    from napari_xce.bench.window import Window

SIDE = 3072
ROUND_SECONDS = 5.0
#: What is asked every round.
HELD = ("rss_mib", "allocated_mib", "threads", "files", "annotations")


def soak(minutes: float, side: int = SIDE, seed: int = 0) -> dict[str, Any]:
    """Use a window for some time.

    Parameters
    ----------
    minutes : float
        How long.
    side : int
        Of the slide, level-0 pixels.
    seed : int
        Of the slide and of what is done.

    Returns
    -------
    dict
        Fit for JSON. ``samples`` hold one number a round of each: memory of the process, what of it
        the C library has handed out (None where it does not say), threads, open files, and
        annotations that stand. The ``..._growth`` are the difference between the medians of the
        last and the second quarter, the ``..._growth_late`` of the last and the third.
    """
    from napari_xce.bench.window import Window
    from napari_xce.demo.job import prepare_demo

    report = begin("soak")
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_demo(Path(folder), side=side, seed=seed)
        window = Window(prepared.session)
        try:
            use = _Use(window, side, Path(folder) / "cells.csv", seed)
            began = time.monotonic()
            while time.monotonic() - began < 60 * minutes:
                use.round()
                seconds = round(time.monotonic() - began, 1)
                rounds.append({"seconds": seconds, **_held(), "annotations": use.standing})
        finally:
            window.close()
        left = [t.name for t in threading.enumerate() if t.name.startswith("xce")]
    return {
        **report,
        "minutes": minutes,
        "rounds": len(rounds),
        "done": use.done,
        **{f"{name}_growth": _growth(rounds, name, 1) for name in HELD},
        **{f"{name}_growth_late": _growth(rounds, name, 2) for name in HELD},
        "rss_mib_most": max(r["rss_mib"] for r in rounds),
        "threads_left": left,
        "samples": rounds,
    }


def rows_of(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what people want to see of a report."""
    return [
        ("minutes", float(report["minutes"])),
        ("things done", sum(report["done"].values())),
        ("memory at most, MiB", report["rss_mib_most"]),
        ("growth of memory, MiB", report["rss_mib_growth"]),
        ("of it in the last half", report["rss_mib_growth_late"]),
        ("growth in threads", report["threads_growth"]),
        ("growth in open files", report["files_growth"]),
        ("threads left when closed", len(report["threads_left"])),
    ]


def _held() -> dict[str, Any]:
    """Return what this process holds now."""
    gc.collect()
    process = psutil.Process()
    files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return {
        "rss_mib": round(process.memory_info().rss / 2**20, 1),
        "allocated_mib": _allocated_mib(),
        "threads": process.num_threads(),
        "files": files,
    }


class _MallInfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def _allocated_mib() -> float | None:
    """Return what the C library has handed out and not got back; None where it does not say.

    Small objects of Python are not in it, nor are large blocks (they are mapped one by one).
    """
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if tell is None:
        return None
    tell.restype = _MallInfo
    return round(tell().uordblks / 2**20, 1)


def _growth(rounds: list[dict[str, Any]], name: str, since: int) -> float | None:
    """Return the median of the last quarter less that of an earlier one, counted from 0."""
    values = [held[name] for held in rounds]
    if None in values:
        return None
    quarter = max(1, len(values) // 4)
    early = values[since * quarter : (since + 1) * quarter] or values[:quarter]
    return round(float(np.median(values[-quarter:]) - np.median(early)), 1)


class _Use:
    """A person at work, with dice."""

    def __init__(self, window: Window, side: int, file: Path, seed: int) -> None:
        self._window = window
        self._side = side
        self._file = file
        self._random = random.Random(seed)
        self.done: dict[str, int] = {}
        window.look_at((side / 2, side / 2), 1.0)
        window.wait(0.3)
        window.dock.toggle_learning()

    def round(self) -> None:
        """Do a few things for some seconds, the export last."""
        acts = [self._pan, self._click, self._click, self._zoom, self._switch, self._undo]
        began = time.monotonic()
        while time.monotonic() - began < ROUND_SECONDS:
            act = self._random.choice(acts)
            act()
            self._count(act.__name__.strip("_"))
            self._window.wait(0.2)
        self._window.dock.files.export(str(self._file))
        self._count("export")
        self._window.wait(0.3)

    @property
    def standing(self) -> int:
        """How many annotations stand."""
        return len(self._window.session.annotations())

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _place(self) -> tuple[float, float]:
        """Return a place in the middle half of the view, level-0 pixels."""
        box = self._window.binding.box
        if box is None:
            return self._side / 2, self._side / 2
        y, x = (self._random.uniform(0.25, 0.75) for _ in range(2))
        return box[0] + y * (box[2] - box[0]), box[1] + x * (box[3] - box[1])

    def _pan(self) -> None:
        y, x = (self._random.uniform(0.2, 0.8) * self._side for _ in range(2))
        self._window.look_at((y, x), self._random.choice([0.5, 1.0, 1.0, 2.0]))

    def _zoom(self) -> None:
        self._window.look_at(self._place(), self._random.choice([0.25, 0.5, 1.0, 2.0, 4.0]))

    def _click(self) -> None:
        self._window.click(self._place(), after=0.0)
        self._window.eye.rest()

    def _switch(self) -> None:
        name = self._random.choice(self._window.session.class_names)
        self._window.binding.set_class(name)

    def _undo(self) -> None:
        self._window.binding.undo()
