"""The demo without a window: click, learn, predict, export, measure. Runs on the caller's thread.

Everything goes through ``Session``, as a script of a user would; only the truth that the simulated
person clicks from, and that the result is measured against, is the sample slide's own.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import napari_xce
from napari_xce.demo.machine import describe_machine
from napari_xce.demo.overlay import write_overlay
from napari_xce.demo.person import Person, Said, in_region
from napari_xce.demo.sample import write_sample
from napari_xce.demo.scoring import score_cells
from napari_xce.errors import ExchangeError
from napari_xce.predictions.detections import Detections
from napari_xce.session import MATCH_RADIUS, FitReport, Session
from napari_xce.slides import open_slide
from napari_xce.slides.synthetic import Region, SyntheticSlide, Truth

#: Side of the sample slide, level-0 pixels, 0.5 um each.
SIDE = 2048
#: Clicks of each class before the first answer, and mistakes of a sort put right in each round.
CLICKS_PER_CLASS, ROUNDS, CORRECTIONS = 8, 2, 2
#: Cells count as away from the clicks when they are this far outside the window, level-0 pixels.
MARGIN = 64.0


@dataclass(frozen=True, slots=True)
class PreparedDemo:
    """Where the demo's slide and session are, and the window, level-0 pixels, with its clicks."""

    slide: Path
    session: Path
    window: Region


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What came of learning."""

    said: list[Said]
    first_prediction: float
    seconds: float
    fit: FitReport


def run_demo(
    out: Path, *, side: int = SIDE, seed: int = 0, learn_seconds: float = 20.0
) -> dict[str, Any]:
    """Do the main job on a synthetic slide and write what a user would have at the end.

    Parameters
    ----------
    out : Path
        Folder for ``slide.tif``, ``cells.geojson``, ``cells.csv``, ``mask.ome.tif``,
        ``overlay.png`` and ``report.json``; files of these names are replaced.
    side : int
        Of the slide, level-0 pixels.
    seed : int
        Of the slide and of the clicks.
    learn_seconds : float
        How long to learn after the last click.

    Returns
    -------
    dict
        What ``report.json`` holds.

    Raises
    ------
    XceError
        The folder cannot be written to.

    Notes
    -----
    ``f1``, ``precision`` and ``recall`` count a cell as found when it is found within 6 um with the
    right class, all classes together, outside the window of the clicks; ``whole_slide`` holds the
    same for the whole slide. ``seconds_to_first_prediction`` runs from the start of the first
    learning call to the first predicted tile.
    """
    started = time.perf_counter()
    _make_folder(out)
    sample = SyntheticSlide((side, side), seed)
    truth = sample.truth()
    write_sample(out / "slide.tif", sample)
    sample.close()
    person = Person(truth, (side, side), MATCH_RADIUS, seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "demo.xce", classes=_classes(truth)) as session,
    ):
        session.add_slide(open_slide(out / "slide.tif"))
        learnt = _learn(session, person, learn_seconds)
        before = time.perf_counter()
        cells = session.predict()
        predicting = time.perf_counter() - before
        scores = _score(truth, cells, person)
        for name in ("cells.geojson", "cells.csv", "mask.ome.tif"):
            session.export(out / name)
        write_overlay(
            out / "overlay.png",
            next(iter(session.slides.values())),
            cells,
            session.annotations(),
            session.classes,
            person.window,
            _title(scores, learnt),
        )
    report = {
        **_count_clicks(learnt.said),
        **scores,
        "seconds_to_first_prediction": round(learnt.first_prediction, 3),
        "seconds_learning": round(learnt.seconds, 3),
        "seconds_predicting": round(predicting, 3),
        "seconds_total": round(time.perf_counter() - started, 3),
        "slide": {"shape": [side, side], "seed": seed, "mpp": 0.5, "cells": len(truth)},
        "cells_found": len(cells),
        "fine_tuning": {"steps": learnt.fit.steps, "outcome": learnt.fit.words},
        "machine": describe_machine(),
        "version": napari_xce.__version__,
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def prepare_demo(folder: Path, *, side: int = SIDE, seed: int = 0) -> PreparedDemo:
    """Lay out the sample slide and a session with a few clicks, ready to press "Learn".

    Parameters
    ----------
    folder : Path
        For ``slide.tif`` and ``slide.xce``. A session that is there is left as it is.
    side, seed : int
        As for ``run_demo``.

    Returns
    -------
    PreparedDemo

    Raises
    ------
    XceError
        The folder cannot be written to.
    """
    _make_folder(folder)
    slide_path, session_path = folder / "slide.tif", folder / "slide.xce"
    sample = SyntheticSlide((side, side), seed)
    truth = sample.truth()
    person = Person(truth, (side, side), MATCH_RADIUS, seed)
    if not session_path.exists():
        write_sample(slide_path, sample)
        with Session.create(session_path, classes=_classes(truth)) as session:
            session.add_slide(open_slide(slide_path))
            _tell(session, person.first_clicks(CLICKS_PER_CLASS))
    sample.close()
    return PreparedDemo(slide_path, session_path, person.window)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExchangeError(
            f"The folder {folder} cannot be made ({error.strerror}). Choose another one."
        ) from error


def _classes(truth: Truth) -> list[str]:
    """Return the names of the classes that the slide has."""
    return [name for name in SyntheticSlide.class_names if (truth.labels == name).any()]


def _tell(session: Session, said: Said) -> Said:
    """Put what the person said into the session."""
    for name, points in said.clicks.items():
        session.annotate(name, points)
    if len(said.rejections):
        session.reject(said.rejections)
    return said


def _learn(session: Session, person: Person, seconds: float) -> _Learnt:
    """Click, learn, look, put right, learn on."""
    said = [_tell(session, person.first_clicks(CLICKS_PER_CLASS))]
    started = time.perf_counter()
    session.fit(seconds=0)
    y, x = next(iter(said[0].clicks.values()))[0]
    session.predict(region=((y - 1, x - 1), (y + 1, x + 1)))  # one tile
    first_prediction = time.perf_counter() - started
    for _ in range(ROUNDS):
        correction = person.corrections(session.predict(region=person.window), CORRECTIONS)
        if not len(correction):
            break
        said.append(_tell(session, correction))
        session.fit(seconds=0)
    fit = session.fit(seconds=seconds)
    return _Learnt(said, first_prediction, time.perf_counter() - started, fit)


def _score(truth: Truth, cells: Detections, person: Person) -> dict[str, Any]:
    """Score away from the clicks, which is what counts, and on the whole slide."""
    window, radius = person.window, MATCH_RADIUS
    away = (
        ~in_region(truth.points, window, MARGIN),
        ~in_region(cells.points, window, MARGIN),
    )
    whole = np.ones(len(truth), bool), np.ones(len(cells), bool)
    return {
        **score_cells(truth, cells, radius, *away),
        "measured_on": (
            f"cells more than {MARGIN:.0f} px outside the window of the clicks, matched within "
            f"{radius / 2:.0f} um; f1, precision and recall ask for the right class too"
        ),
        "window": [list(corner) for corner in window],
        "whole_slide": score_cells(truth, cells, radius, *whole),
    }


def _count_clicks(said: list[Said]) -> dict[str, Any]:
    """Count everything the person said."""
    by_class: dict[str, int] = {}
    for one in said:
        for name, points in one.clicks.items():
            by_class[name] = by_class.get(name, 0) + len(points)
    by_class["rejected"] = sum(len(one.rejections) for one in said)
    return {
        "clicks": sum(by_class.values()),
        "clicks_by_kind": by_class,
        "clicks_by_round": [len(one) for one in said],
    }


def _title(scores: dict[str, Any], learnt: _Learnt) -> str:
    """Return the picture's headline."""
    clicks = sum(len(said) for said in learnt.said)
    return (
        f"napari-xce demo, synthetic H&E: {clicks} clicks, F1 {scores['f1']:.2f} away from them "
        f"(precision {scores['precision']:.2f}, recall {scores['recall']:.2f})"
    )
