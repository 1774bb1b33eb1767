"""Time and memory of files out and in: ``python benchmarks/exchange.py --cells 1000000``.

A slide in memory with so many cells of two classes, as a session holds them, is exported to each
format and read in again. Every measurement runs in a process of its own; memory is the highest
resident size while it runs, above what the process had just before (with the session and, for an
export, its cells already in it). ``--json FILE`` writes the figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_xce import exchange
from napari_xce.demo import describe_machine
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session
from napari_xce.slides import Slide

CLASSES = ("lymphocyte", "tumour")
OUT = ("cells.geojson", "cells.geojson.gz", "cells.csv", "cells.json")
IN = ("cells.geojson", "cells.geojson.gz", "cells.csv")
PX_PER_CELL = 4000.0  # level-0 pixels squared: a cell of 8 um every 16 um
SAMPLE_SECONDS = 0.01


def main(words: Sequence[str] | None = None) -> None:
    """Measure every format and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where the files go; by default a passing one")
    parser.add_argument("--measure", choices=("out", "in"), help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.measure:  # in a process of its own
        job = _export if arguments.measure == "out" else _import
        print(json.dumps(job(arguments.cells, arguments.folder / arguments.file)))
        return
    with tempfile.TemporaryDirectory() as passing:
        report = measure_all(arguments.cells, arguments.folder or Path(passing))
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def measure_all(cells: int, folder: Path) -> dict[str, Any]:
    """Return the figures of all formats, out and in."""
    report: dict[str, Any] = {"cells": cells, "machine": describe_machine(), "out": {}, "in": {}}
    for direction, names in (("out", OUT), ("in", IN)):
        for name in names:
            command = [sys.executable, __file__, "--measure", direction, "--file", name]
            command += ["--cells", str(cells), "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{direction} {name} failed:\n{done.stderr}")
            report[direction][name] = json.loads(done.stdout)
    return report


def _export(count: int, path: Path) -> dict[str, float]:
    """Export the cells of a session."""
    with tempfile.TemporaryDirectory() as folder, _session(Path(folder), count) as session:
        id = next(iter(session.slides))
        predictions = session.predictions[id]
        predictions.detections.fill(session._by_tile(id, _cells(count)))
        measured = _measure(lambda: session.export(path))
    return measured | {"megabytes_on_disk": round(path.stat().st_size / 1e6, 1)}


def _import(count: int, path: Path) -> dict[str, float]:
    """Read cells in: GeoJSON as cells that were found, a table as points."""
    with tempfile.TemporaryDirectory() as folder, _session(Path(folder), count) as session:
        if path.suffix == ".csv":
            read: list[int] = []
            measured = _measure(
                lambda: read.append(len(exchange.read_points(path, mpp=(0.5, 0.5))))
            )
        else:
            read = []
            measured = _measure(lambda: read.append(session.import_cells(path)))
            counts = session.measure().counts
            assert sum(counts.values()) == count, counts
    assert read == [count], read
    return measured


def _measure(job: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of a job and by how many megabytes memory rose meanwhile."""
    process, highest, ended = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not ended.wait(SAMPLE_SECONDS):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            job()
    finally:
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
    highest = max(highest, process.memory_info().rss)
    return {
        "seconds": round(seconds, 2),
        "megabytes_above_start": round((highest - before) / 1e6, 1),
        "megabytes_at_start": round(before / 1e6, 1),
    }


def _side(count: int) -> int:
    """Return the side of the slide, pixels, a multiple of 64."""
    return 64 * max(8, round((count * PX_PER_CELL) ** 0.5 / 64))


def _session(folder: Path, count: int) -> Session:
    """Return a session on a slide that takes no memory: the same grey everywhere."""
    side = _side(count)
    levels = [
        np.broadcast_to(np.uint8(180), (side // down, side // down, 3)) for down in (1, 8, 32, 64)
    ]
    session = Session.create(folder / "case.xce", classes=CLASSES)
    session.add_slide(Slide.from_array(levels, mpp=0.5, name="grey"))
    return session


def _cells(count: int) -> Detections:
    """Return cells all over the slide."""
    rng = np.random.default_rng(0)
    return Detections(
        rng.uniform(0, _side(count) - 1, (count, 2)),
        np.array(CLASSES)[rng.integers(0, 2, count)],
        rng.uniform(0.6, 1, count),
        rng.uniform(10, 25, count),
    )


if __name__ == "__main__":
    main()
