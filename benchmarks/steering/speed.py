"""How long suggestions take on a slide of a million cells, all of it predicted."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import napari_xce as xce
from napari_xce.learning.click_learner import fit_clicks
from napari_xce.learning.heads import CELL_SIZE, KIND_SIZE
from napari_xce.learning.memory import MOST_TILES, Click, Observation
from napari_xce.predictions.detections import Detections
from napari_xce.slides.synthetic import SyntheticSlide

CLASSES = ("lymphocyte", "tumour", "stroma")
CELLS, CLICKS, ASKED, ROUNDS = 1_000_000, 60, 10, 15


def time_suggestions(quick: bool = False) -> dict[str, Any]:
    """Return milliseconds of ``Session.suggest(10)``, for the whole slide and for a view.

    The tiles are filled with drawn cells instead of predicted ones; everything from the request
    to the answer is timed: reading what was said, choosing, and writing down what was suggested.
    """
    cells, rng = CELLS // (50 if quick else 1), np.random.default_rng(0)
    with (
        TemporaryDirectory() as folder,
        xce.Session.create(Path(folder) / "speed.xce", classes=CLASSES) as session,
    ):
        side = 32_000 if not quick else 5_000
        slide = session.add_slide(SyntheticSlide((side, side), seed=0))
        session.tissue(slide)
        _fill(session, slide, cells, rng)
        view = (side * 0.4, side * 0.4, side * 0.4 + 1000, side * 0.4 + 1500)
        return {
            "cells": sum(session.predictions[slide].detections.counts().values()),
            "whole_slide_ms": _time(lambda: session.suggest(ASKED, slide)),
            "view_ms": _time(lambda: session.suggest(ASKED, slide, box=view)),
            "suggestions": ASKED,
        }


def _time(ask: Any) -> dict[str, float]:
    """Return median and worst of some calls, milliseconds; the first warms up."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        assert len(ask()) == ASKED
        times.append(1000 * (time.perf_counter() - started))
    times = times[1:]
    return {"median": round(float(np.median(times)), 1), "worst": round(max(times), 1)}


def _fill(session: xce.Session, slide: str, cells: int, rng: np.random.Generator) -> None:
    """Let the session have predicted every tile, and learnt from some clicks."""
    live, predictions = session.live, session.predictions[slide]
    grid = predictions.grid
    tiles = [(row, column) for row in range(grid.rows) for column in range(grid.cols)]
    centres = rng.normal(0, 2, (6, CELL_SIZE)).astype(np.float32)
    each = -(-cells // len(tiles))
    seen = []
    for number, tile in enumerate(tiles):
        y0, x0, y1, x1 = grid.core_box(tile)
        points = rng.uniform((y0, x0), (y1, x1), (each, 2))
        labels = rng.choice(CLASSES, each)
        scores = rng.uniform(0.2, 1, each)
        predictions.detections.replace(
            tile, Detections(points, labels, scores, np.full(each, 16.0), live.revision)
        )
        vectors = centres[rng.integers(0, 6, each)] + rng.normal(0, 1, (each, CELL_SIZE))
        ground = rng.normal(0, 1, (96, CELL_SIZE)).astype(np.float32)
        observed = Observation(
            points,
            rng.uniform(0.4, 1, each).astype(np.float32),
            np.full(each, 16, np.float32),
            vectors.astype(np.float32),
            rng.uniform((y0, x0), (y1, x1), (96, 2)),
            ground,
            16.0,
        )
        live._looking.pool.take((slide, tile), observed)
        if number >= len(tiles) - MOST_TILES:
            live.memory.observe((slide, tile), observed)
            seen.append((tile, observed))
    _click(session, slide, seen, rng)


def _click(session: xce.Session, slide: str, seen: list[Any], rng: np.random.Generator) -> None:
    """Click some of the cells, and fit classes to them."""
    live = session.live
    for k in range(CLICKS):
        tile, observed = seen[int(rng.integers(len(seen)))]
        point = observed.points[0]
        (id,) = session.annotate(CLASSES[k % len(CLASSES)], [point], slide)
        none = np.empty((0, CELL_SIZE), np.float32)
        place = (float(point[0]), float(point[1]))
        click = Click(place, observed.vectors[0], np.empty((0, 2)), none, (slide, tile))
        live.memory.remember_click(id, click)
    vectors = rng.normal(0, 2, (200, KIND_SIZE))
    fit = fit_clicks(vectors, rng.integers(0, 4, 200), np.ones(200), 3)
    live.model.layers.set("proposed", [0, 1, 2], fit)
