"""The latency of the window: from a click, or a moved view, to the picture on the screen.

A synthetic H&E slide, a session with 24 clicks, a canvas of 1600 x 1000 at one canvas pixel for
each 0.5 um, learning switched on. Clicks are real mouse events on true cells in view; each is made
when the view has settled from the one before.

- First change: from the moment that a click was due to the first swapped frame that differs, more
  than 40 pixels away from the click, from the frame before. That is an answer of the model. No
  click is made while something else is about to be drawn: that would count as its answer.
- Stages of that: until the engine is told, until the window has the model that learnt the click,
  until it has that model's first tile, until that is on the screen.
- Settled: to the last frame that differs, once all in view is of the model that learnt the click.
- New area: from a view moved by half its width to the last frame that differs, once all in view is
  predicted.
- Loop delay: the time between two beats of a 5 ms timer while the view pans by itself; the longest
  that an event had to wait. Learning and paused, by turns, in the same window.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_xce.bench.report import begin, percentiles
from napari_xce.bench.stages import STAGES, Stages
from napari_xce.bench.startup import import_seconds, seconds_to_dock

if TYPE_CHECKING:
    from napari_xce.bench.window import Window

SIDE = 4096  # of the slide, level-0 pixels
ZOOM = 1.0
MOVES = 10
SETTLE = 0.6  # seconds in which calibration may call for another repaint, and frames come late
#: Turns of learning and paused, and seconds of each, for the loop's delay.
TURNS, TURN_SECONDS = 4, 6.0
BEAT_MS, PAN_MS, PAN_PX = 5, 16, 8


def measure_latency(
    clicks: int = 40,
    moves: int = MOVES,
    side: int = SIDE,
    turn_seconds: float = TURN_SECONDS,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure; see the module.

    Parameters
    ----------
    clicks, moves : int
        How many to time.
    side : int
        Of the slide, level-0 pixels.
    turn_seconds : float
        Of each of the turns in which the loop's delay is measured.
    seed : int
        Of the slide, and of where is clicked.

    Returns
    -------
    dict
        Fit for JSON: the figures of the goals, all percentiles, and every sample.
    """
    from napari_xce.bench.window import Window
    from napari_xce.demo.job import prepare_demo

    report = begin("latency")
    imported, heavy = import_seconds()
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_demo(Path(folder), side=side, seed=seed)
        starts = seconds_to_dock(prepared.session)
        window = Window(prepared.session)
        try:
            (y0, x0), (y1, x1) = prepared.window
            run = _Run(window, ((y0 + y1) / 2, (x0 + x1) / 2), side, seed)
            run.begin()
            run.time_clicks(clicks)
            run.time_moves(moves)
            run.time_loop(turn_seconds)
            steps = window.dock.annotator.engine is not None
            canvas = window.canvas_size
        finally:
            window.close()
    return {
        **report,
        **_figures(run),
        "import_s": round(imported, 3),
        "import_loads": heavy,
        "start_to_dock_s": round(float(np.median(starts)), 2),
        "learning": steps,
        "canvas": list(canvas),
        "slide": {"shape": [side, side], "mpp": 0.5, "seed": seed},
        "samples": {name: [round(x, 1) for x in values] for name, values in run.samples.items()},
    }


def rows_of(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what people want to see of a report."""
    return [
        ("click to first change, median, ms", report["first_change_ms_p50"]),
        ("click to first change, 95 %, ms", report["first_change_ms_p95"]),
        *((f"  of which until {n}, median, ms", report["stages_ms_p50"][n]) for n in STAGES),
        ("click to view settled, median, ms", report["settled_ms_p50"]),
        ("click to view settled, 95 %, ms", report["settled_ms_p95"]),
        ("moved view predicted, 95 %, ms", report["new_area_ms_p95"]),
        ("loop delay while learning / paused, 99 %", report["loop_delay_p99_ratio"]),
        ("import napari_xce, s", report["import_s"]),
        ("start of the process to dock, s", report["start_to_dock_s"]),
    ]


def _figures(run: _Run) -> dict[str, Any]:
    """Return the figures of the goals, and the percentiles behind them."""
    found = {name: percentiles(values) for name, values in run.samples.items()}
    first, settled, moved = (found[n] for n in ("first_change_ms", "settled_ms", "new_area_ms"))
    busy, idle = found["loop_learning_ms"]["p99"], found["loop_paused_ms"]["p99"]
    return {
        "first_change_ms_p50": first["p50"],
        "first_change_ms_p95": first["p95"],
        "settled_ms_p50": settled["p50"],
        "settled_ms_p95": settled["p95"],
        "new_area_ms_p50": moved["p50"],
        "new_area_ms_p95": moved["p95"],
        "stages_ms_p50": {n: found[f"stage_{n}_ms"]["p50"] for n in STAGES},
        "loop_delay_p99_ratio": round(busy / idle, 2) if busy and idle else None,
        "percentiles": found,
    }


class _Run:
    """The measurements in one window, and their samples."""

    def __init__(self, window: Window, home: tuple[float, float], side: int, seed: int) -> None:
        self.window = window
        self.home = home
        self.side = side
        self.samples: dict[str, list[float]] = {
            name: []
            for name in (
                "first_change_ms",
                "settled_ms",
                "new_area_ms",
                "loop_learning_ms",
                "loop_paused_ms",
                *(f"stage_{name}_ms" for name in STAGES),
            )
        }
        self._seed = seed
        self._random = random.Random(seed)

    def begin(self) -> None:
        """Look at the clicks, learn, and wait for the first picture."""
        window = self.window
        window.look_at(self.home, ZOOM)
        window.wait(0.3)
        window.dock.toggle_learning()
        window.wait_until(
            lambda: window.session.model_revision > 0 and window.view_is_painted(), 300
        )
        window.wait(1.5)

    def time_clicks(self, count: int) -> None:
        """Click on true cells in view, one after the other."""
        window = self.window
        engine = window.dock.annotator.engine
        assert engine is not None
        stages = Stages(engine)
        for yx, label in self._cells_in_view(count):
            window.binding.set_class(label)
            window.wait(0.3)
            window.wait_until(window.view_is_painted)
            window.wait(0.3)
            revision = window.session.model_revision
            stages.begin()
            due = window.click(yx, after=0.2 + 0.5 * self._random.random(), at_rest=True)
            self._wait_painted(revision)
            eye = window.eye
            if eye.first is not None and eye.last is not None:
                self.samples["first_change_ms"].append(1000 * (eye.first - due))
                self.samples["settled_ms"].append(1000 * (eye.last - due))
                for name, stage in stages.since(due, eye.first).items():
                    self.samples[f"stage_{name}_ms"].append(stage)
            eye.rest()
        stages.close()

    def _wait_painted(self, revision: int) -> None:
        """Wait until the view is of a later revision, and drawn, and stays so for a moment."""
        window = self.window
        while True:
            window.wait_until(
                lambda: window.session.model_revision > revision and window.view_is_painted()
            )
            painted = window.session.model_revision
            window.wait(SETTLE)
            if window.session.model_revision == painted and window.view_is_painted():
                return

    def _cells_in_view(self, count: int) -> list[tuple[tuple[float, float], str]]:
        """Return cells well inside the view and not clicked yet, with their classes."""
        from napari_xce.slides.synthetic import SyntheticSlide

        box = self.window.binding.box
        assert box is not None
        margin = 60.0
        region = ((box[0] + margin, box[1] + margin), (box[2] - margin, box[3] - margin))
        truth = SyntheticSlide((self.side, self.side), self._seed).truth(region)
        said = self.window.session.annotations().points
        far = [
            i
            for i, point in enumerate(truth.points)
            if not len(said) or np.linalg.norm(said - point, axis=1).min() > 12
        ]
        chosen = self._random.sample(far, min(count, len(far)))
        return [
            ((float(truth.points[i, 0]), float(truth.points[i, 1])), str(truth.labels[i]))
            for i in chosen
        ]

    def time_moves(self, count: int) -> None:
        """Move the view by half its width, back and forth over the slide."""
        window = self.window
        step = window.canvas_size[0] / ZOOM / 2
        y, x = self.home
        direction = 1
        for _ in range(count):
            if not step <= x + direction * step <= self.side - step:
                direction = -direction
                y = (y + step) % (self.side - step)
            x += direction * step
            window.wait_until(window.view_is_painted)
            window.wait(0.3)
            window.eye.watch()
            window.wait(0.05)
            began = time.perf_counter()
            window.look_at((y, x), ZOOM)
            window.wait(0.01)
            window.wait_until(window.view_is_painted)
            window.wait(SETTLE)
            if window.eye.last is not None:
                self.samples["new_area_ms"].append(1000 * (window.eye.last - began))
            window.eye.rest()

    def time_loop(self, seconds: float) -> None:
        """Pan for some seconds, learning and paused by turns."""
        window = self.window
        for turn in range(TURNS):
            learning = turn % 2 == 0
            if learning != window.dock.annotator.learning:
                window.dock.toggle_learning()
            window.look_at(self.home, ZOOM)
            if learning:  # something new to learn from, so that training does not run out
                (yx, label), *_ = self._cells_in_view(1)
                window.session.annotate(label, [yx])
            window.wait(1.0)
            name = "loop_learning_ms" if learning else "loop_paused_ms"
            self.samples[name] += self._pan(seconds)
        if not window.dock.annotator.learning:
            window.dock.toggle_learning()

    def _pan(self, seconds: float) -> list[float]:
        """Pan round and round; return the milliseconds between the beats of the loop."""
        from qtpy.QtCore import Qt, QTimer

        window = self.window
        beats: list[float] = []
        pan, beat = QTimer(), QTimer()
        began = time.perf_counter()

        def move() -> None:
            turned = (time.perf_counter() - began) * PAN_PX * 1000 / PAN_MS / 200
            y, x = self.home
            window.look_at((y + 200 * np.sin(turned), x + 200 * np.cos(turned)), ZOOM)

        pan.timeout.connect(move)
        beat.timeout.connect(lambda: beats.append(time.perf_counter()))
        beat.setTimerType(Qt.TimerType.PreciseTimer)
        pan.start(PAN_MS)
        beat.start(BEAT_MS)
        window.wait(seconds)
        pan.stop()
        beat.stop()
        return [1000 * gap for gap in np.diff(beats)]
