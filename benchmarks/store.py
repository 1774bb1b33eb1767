"""What a session's store costs: ``python benchmarks/store.py --points 100000``.

So many points, once clicked one by one and once imported in one action: size on disk, seconds to
open the session (with the check of all its pages) and to load what stands, milliseconds of one
more click, seconds to tell the whole history anew (``Store.audit``). A click waits for the disk;
``--folder`` says which one is measured. ``--json FILE`` writes the figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_xce.annotations import Store
from napari_xce.demo import describe_machine

SIDE = 200_000
CLICKS = 200  # of which the median and the slowest of a hundred are told


def main(words: Sequence[str] | None = None) -> None:
    """Measure both ways and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the session goes; by default passing")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(words)
    report: dict[str, Any] = {"points": arguments.points, "machine": describe_machine()}
    for way, fill in (("clicked", _click), ("imported", _import)):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            report[way] = measure(Path(folder) / "session.sqlite", fill, arguments.points)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def measure(path: Path, fill: Callable[[Store, Any], None], count: int) -> dict[str, float]:
    """Fill a store and return its figures."""
    points = np.random.default_rng(0).uniform(0, SIDE, (count, 2))
    with Store.create(path) as store:
        store.add_slide("slide", None, "", (SIDE, SIDE), (0.25, 0.25), "user")
        store.add_class("cell")
        filling = _seconds(lambda: fill(store, points))
    started = time.perf_counter()
    with Store.open(path) as store:
        opened = time.perf_counter()
        assert len(store.annotations()) == count
        loaded = time.perf_counter()
        clicks = [
            1000 * _seconds(lambda: store.add_points("slide-1", "cell", [[1, 2]]))
            for _ in range(CLICKS)
        ]
        auditing = _seconds(store.audit)
    return {
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "seconds_to_fill": round(filling, 2),
        "seconds_to_open": round(opened - started, 3),
        "seconds_to_load": round(loaded - opened, 3),
        "milliseconds_a_click": round(float(np.median(clicks)), 2),
        "milliseconds_a_click_p99": round(float(np.quantile(clicks, 0.99)), 2),
        "seconds_to_audit": round(auditing, 2),
    }


def _click(store: Store, points: Any) -> None:
    for point in points:
        store.add_points("slide-1", "cell", [point])


def _import(store: Store, points: Any) -> None:
    store.add_points("slide-1", "cell", points, provenance="imported")


def _seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
