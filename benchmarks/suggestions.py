"""Clicks needed with and without suggestions: ``python benchmarks/suggestions.py --data DIR``.

The ten patients of brca_m2c's validation split are dealt in two. One half is laid side by side as
one slide and clicked on by a simulated user, who answers truly of each place asked about: its
class, or that it is none. The other half judges. Places are chosen by ``Session.suggest``, at
random among the nuclei, or by plain uncertainty (smallest margin). A curve is one line of
``suggestions.jsonl``, written when it is done: kill the run at any time, the same command goes on
where it was. ``--weights FILE --name left-out`` measures a trunk that has never seen brca_m2c;
``--speed`` times a slide of a million cells instead; ``--table`` draws what is done so far.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clicking.methods import Proposals, logistic
from clicking.scenes import RADII, found_by, halves, score, session_on
from numpy.typing import NDArray
from protocol.rows import RowFile
from scipy.spatial import cKDTree
from steering.report import write_report
from steering.speed import time_suggestions

import napari_xce as xce
from napari_xce.demo import describe_machine
from napari_xce.learning.datasets import BRCA_CLASSES, LabelledImage, read_brca
from napari_xce.learning.shipped import WEIGHTS

RESULTS = Path(__file__).parent / "results"
MARKS = (*range(4, 44, 4), 50, 60, 80, 100)
QUICK_MARKS = MARKS[:4]
#: Places answered before the model learns anew.
BATCH = 4
RADIUS = "6um"

Points = NDArray[np.float64]
Choose = Callable[[xce.Session, str, np.random.Generator], Points]


def side_by_side(images: list[LabelledImage]) -> LabelledImage:
    """Lay images out as one slide, in rows of three, each cut to the smallest one.

    Without gaps: a cell beside bare glass that no slide has looks odd, and would be asked about.
    """
    height, width = np.min([image.pixels.shape[:2] for image in images], axis=0)
    columns = min(len(images), 3)
    rows = -(-len(images) // columns)
    pixels = np.full((rows * height, columns * width, 3), 255, np.uint8)
    points, labels = [], []
    for k, image in enumerate(images):
        y, x = k // columns * height, k % columns * width
        pixels[y : y + height, x : x + width] = image.pixels[:height, :width]
        kept = (image.points < (height - 0.5, width - 0.5)).all(axis=1)
        points.append(image.points[kept] + (y, x))
        labels.append(image.labels[kept])
    unknown = np.full(sum(map(len, labels)), np.nan)
    return LabelledImage(
        "side by side", "", pixels, np.concatenate(points), np.concatenate(labels), unknown
    )


# ---- ways to choose


def suggested(session: xce.Session, slide: str, rng: np.random.Generator) -> Points:
    """Ask the tool."""
    return np.array([place.yx for place in session.suggest(BATCH, slide)]).reshape(-1, 2)


def at_random(session: xce.Session, slide: str, rng: np.random.Generator) -> Points:
    """Choose among the likely nuclei, each alike."""
    points, _ = _unsaid(session, slide)
    return points[rng.permutation(len(points))[:BATCH]]


def uncertain(session: xce.Session, slide: str, rng: np.random.Generator) -> Points:
    """Choose where the two likeliest answers are nearest; at random before there are any."""
    points, probabilities = _unsaid(session, slide)
    if not session.has_learnt:
        return at_random(session, slide, rng)
    two = np.sort(probabilities, axis=1)[:, -2:]
    return points[np.argsort(two[:, 1] - two[:, 0], kind="stable")[:BATCH]]


def _unsaid(session: xce.Session, slide: str) -> tuple[Points, NDArray[np.float64]]:
    """Return the cells of which nothing was said, with their probabilities."""
    points, probabilities, *_ = session.live.candidates(slide)
    said = session.annotations(slide).points
    if len(said):
        open_ = cKDTree(said).query(points)[0] > 8.0
        points, probabilities = points[open_], probabilities[open_]
    return points, probabilities


WAYS: dict[str, Choose] = {"suggestions": suggested, "random": at_random, "uncertainty": uncertain}


# ---- measuring


def answer(session: xce.Session, slide: str, image: LabelledImage, places: Points) -> None:
    """Say truly of each place what is there."""
    away, nearest = cKDTree(image.points).query(places)
    for place, distance, k in zip(places, away, nearest, strict=True):
        if distance <= RADII[RADIUS]:
            session.annotate(BRCA_CLASSES[image.labels[k]], [place], slide)
        else:
            session.reject([place], slide)


def mean_f1(session: xce.Session, slides: list[str], images: list[LabelledImage]) -> float:
    """Return the mean F1 of the classes at the live threshold, on images not clicked on."""
    found = found_by(session, slides)
    scores = score(found, images, BRCA_CLASSES, session.thresholds)
    return float(np.mean([of_class[RADIUS]["live"] for of_class in scores.values()]))


def full_supervision(
    image: LabelledImage, judged: list[LabelledImage], weights: Path
) -> list[dict[str, Any]]:
    """Measure what all labels give: to the tool, and to logistic regression; the better counts."""
    with session_on([image, *judged], BRCA_CLASSES, weights) as session:
        seen = Proposals(session)
        slide, *others = session.slides
        for k, name in enumerate(BRCA_CLASSES):
            session.annotate(name, image.points[image.labels == k], slide)
        session.review(((0, 0), image.pixels.shape[:2]), slide)
        session.fit(seconds=0)
        tool = mean_f1(session, others, judged)
    theirs = list(range(1, len(judged) + 1))
    truth = seen.truth([0], [image], BRCA_CLASSES)
    p = logistic(
        seen.rows([0]), truth, seen.rows(theirs), len(BRCA_CLASSES), balanced=False, strength=0.1
    )
    found = seen.found(theirs, p, BRCA_CLASSES)
    scores = score(found, judged, BRCA_CLASSES, dict.fromkeys(BRCA_CLASSES, 0.5))
    rival = float(np.mean([of_class[RADIUS]["live"] for of_class in scores.values()]))
    n = len(image.points)
    return [{"n": n, "f1": max(tool, rival), "tool": tool, "logistic regression": rival}]


def curve(
    way: str, images: list[LabelledImage], seed: int, weights: Path, marks: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Click by one way and measure F1 at each mark; "full" says everything at once."""
    clicked, judged = halves(images, seed)
    image, rng = side_by_side(clicked), np.random.default_rng(seed)
    if way == "full":
        return full_supervision(image, judged, weights)
    points = []
    with session_on([image, *judged], BRCA_CLASSES, weights) as session:
        slide, *others = session.slides
        for tile in session.predictions[slide].grid.tiles_in((0, 0, *image.pixels.shape[:2])):
            session.live.observe((slide, tile))
        said = 0
        while said < marks[-1]:
            places = WAYS[way](session, slide, rng)
            if not len(places):
                break
            answer(session, slide, image, places)
            before, said = said, said + len(places)
            if any(np.isin(session.annotations(slide).labels, BRCA_CLASSES)):
                session.fit(seconds=0)
                if any(before < mark <= said for mark in marks):
                    points.append({"n": said, "f1": mean_f1(session, others, judged)})
    return points


def main() -> None:
    """Measure what is not measured yet, then write table and plot."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("XCE_DATA", "../shared/data"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the trunk")
    parser.add_argument("--name", default="shipped", help="of the trunk, in tables")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one seed, few clicks")
    parser.add_argument("--table", action="store_true", help="only draw what is done")
    parser.add_argument("--speed", action="store_true", help="time a slide of a million cells")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.speed:
        times = {**time_suggestions(options.quick), "machine": describe_machine()}
        words = json.dumps(times, indent=2)
        (options.out / "suggestions_speed.json").write_text(words + "\n", encoding="utf-8")
        print(words)
        return
    rows = RowFile(options.out / "suggestions.jsonl")
    if not options.table:
        _measure(rows, options)
    write_report(rows.read(), options.out)


def _measure(rows: RowFile, options: argparse.Namespace) -> None:
    """Measure the curves that are not in the file."""
    images, machine = read_brca(options.data, "val"), describe_machine()
    done = {row["key"] for row in rows.read()}
    marks = QUICK_MARKS if options.quick else MARKS
    for seed in range(1 if options.quick else options.seeds):
        for way in ("full", *WAYS):
            key = "|".join([options.name, way, str(seed), str(marks[-1])])
            if key not in done:
                started = time.perf_counter()
                points = curve(way, images, seed, options.weights, marks)
                row = {"key": key, "trunk": options.name, "way": way, "seed": seed}
                row |= {"points": points, "machine": machine}
                rows.append({**row, "seconds": round(time.perf_counter() - started, 1)})
                print(key, *(f"{p['n']}: {p['f1']:.3f}" for p in points), flush=True)


if __name__ == "__main__":
    main()
