"""F1 against clicks, beside rivals on the same clicks: ``python benchmarks/clicks.py --data DIR``.

The ten patients of brca_m2c's validation split are dealt in two: one half is clicked on, the other
half judges. Three ways to click; three classes together and each class alone. A curve of the plot
takes some ten seconds and is one line of ``clicks.jsonl``, written when it is done: kill the run at
any time, the same command goes on where it was. ``--weights FILE --name left-out`` measures
another trunk, one that has never seen brca_m2c for instance; ``--table`` draws what is done so far.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clicking.methods import (
    Forest,
    Proposals,
    background_clicks,
    ignore_unlabelled,
    logistic,
    plain_cross_entropy,
)
from clicking.people import Person, Said
from clicking.report import write_report
from clicking.scenes import found_by, halves, score, session_on
from protocol.rows import RowFile

import napari_xce as xce
from napari_xce.demo import describe_machine
from napari_xce.learning.datasets import BRCA_CLASSES, LabelledImage, read_brca
from napari_xce.learning.shipped import WEIGHTS

RESULTS = Path(__file__).parent / "results"
CLICKS = (1, 2, 5, 10, 20, 50, 100)
WAYS = ("random", "clustered", "corrections")
GROUPS = (tuple(BRCA_CLASSES), *((name,) for name in BRCA_CLASSES))
#: Clicks of each class after which background fine-tuning is measured too.
TUNED_AT = (5, 20, 100)


class Scene:
    """One deal of the images, one group of classes, one trunk."""

    def __init__(
        self, images: list[LabelledImage], classes: Sequence[str], seed: int, weights: Path
    ) -> None:
        self.clicked, self.judged = halves(images, seed)
        self.classes, self.seed, self.weights = list(classes), seed, weights
        self.ours = list(range(len(self.clicked)))
        self.theirs = [len(self.clicked) + i for i in range(len(self.judged))]

    def session(self) -> Any:
        return session_on([*self.clicked, *self.judged], self.classes, self.weights)

    def score(self, found: Any, thresholds: dict[str, float]) -> dict[str, Any]:
        return score(found, self.judged, self.classes, thresholds)

    def fixed(self, threshold: float) -> dict[str, float]:
        return dict.fromkeys(self.classes, threshold)


def curve_of_tool(scene: Scene, how: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Click more and more and measure the tool itself, through its public interface."""
    person = Person(scene.clicked, scene.classes, how, scene.seed)
    with scene.session() as session:
        slides = list(session.slides)

        def shown(image: int) -> Any:
            cells = session.predict(slide=slides[image])
            return cells.points, np.asarray(cells.labels, dtype=str)

        for n in CLICKS:
            say(session, slides, person.clicks(n))
            session.fit(seconds=0)
            while not person.is_done(n):
                say(session, slides, person.clicks(n, shown))
                session.fit(seconds=0)
            yield measured(scene, session, slides, "tool", n, 0.0)
            if seconds and n in TUNED_AT:
                report = session.fit(seconds=seconds)
                row = measured(scene, session, slides, f"tool, {seconds:g} s later", n, seconds)
                yield {**row, "promoted": report.promoted, "steps": report.steps}


def say(session: xce.Session, slides: Sequence[str], said: Sequence[Said]) -> None:
    """Say it to the session."""
    for one in said:
        if one.label is None:
            session.reject([one.point], slide=slides[one.image])
        else:
            session.annotate(one.label, [one.point], slide=slides[one.image])


def measured(
    scene: Scene, session: xce.Session, slides: Sequence[str], method: str, n: int, seconds: float
) -> dict[str, Any]:
    """Predict the judging images and score them; time one update (a fit without fine-tuning)."""
    found = found_by(session, [slides[i] for i in scene.theirs])
    if not seconds:
        started = time.process_time()
        session.live.learn()
        seconds = time.process_time() - started
    scores = scene.score(found, session.thresholds)
    return {"method": method, "n": n, "scores": scores, "seconds": round(seconds, 3)}


def curves_of_rivals(scene: Scene, how: str, forest: bool) -> Iterator[dict[str, Any]]:
    """Measure the rivals on the very same clicks, and on all labels."""
    rng = np.random.default_rng(scene.seed)
    with scene.session() as session:
        seen = Proposals(session)
    x, test = seen.rows(scene.ours), seen.rows(scene.theirs)
    size = len(scene.classes)
    bank = Forest([*scene.clicked, *scene.judged]) if forest else None
    person, said = Person(scene.clicked, scene.classes, how, scene.seed), list[Said]()
    ground: list[Said] = []
    for before, n in pairwise((0, *CLICKS)):
        said += person.clicks(n)
        ground += background_clicks(scene.clicked, (n - before) * size, rng)
        labels = seen.labels(scene.ours, said, scene.classes)
        none = background_of(scene, seen, labels, n * size)
        for method in ("plain cross-entropy", "ignore + background clicks"):
            started = time.process_time()
            if method == "plain cross-entropy":
                p = plain_cross_entropy(x, labels, test, size)
            else:
                p = ignore_unlabelled(x, labels, none, test, size)
            seconds = time.process_time() - started
            scores = scene.score(seen.found(scene.theirs, p, scene.classes), scene.fixed(0.5))
            yield {"method": method, "n": n, "scores": scores, "seconds": round(seconds, 3)}
        if bank is not None:
            found, seconds = bank.found([*said, *ground], scene.classes, scene.theirs, scene.seed)
            scores = scene.score(found, scene.fixed(0.5))
            row = {"method": "random forest + background clicks", "n": n}
            yield {**row, "scores": scores, "seconds": round(seconds, 3)}
    labels = seen.truth(scene.ours, scene.clicked, scene.classes)
    p = logistic(x, labels, test, size, balanced=False, strength=0.1)
    scores = scene.score(seen.found(scene.theirs, p, scene.classes), scene.fixed(0.5))
    yield {"method": "full supervision", "n": None, "scores": scores, "seconds": None}


def background_of(scene: Scene, seen: Proposals, labels: Any, n: int) -> Any:
    """Choose ``n`` proposals that are of none of the classes, as a user who clicks background."""
    truth = seen.truth(scene.ours, scene.clicked, scene.classes)
    free = np.flatnonzero((truth == 0) & (labels < 0))
    chosen = np.random.default_rng(scene.seed).permutation(free)[:n]
    return np.isin(np.arange(len(labels)), chosen)


def cells(seeds: int, quick: bool) -> Iterator[tuple[tuple[str, ...], str, int, str]]:
    """Yield what can be measured: classes, way of clicking, seed, whom."""
    for seed in range(1 if quick else seeds):
        for how in WAYS[:1] if quick else WAYS:
            for group in GROUPS[:2] if quick else GROUPS:
                yield group, how, seed, "tool"
                if how != "corrections":
                    yield group, how, seed, "rivals"


def measure(
    images: list[LabelledImage], cell: tuple[tuple[str, ...], str, int, str], options: Any
) -> list[dict[str, Any]]:
    """Measure one curve of the tool, or those of the rivals."""
    group, how, seed, whom = cell
    scene = Scene(images, group, seed, options.weights)
    if whom == "tool":
        tune = options.tune if how == "random" else 0.0
        return list(curve_of_tool(scene, how, tune))
    return list(curves_of_rivals(scene, how, forest=len(group) > 1))


def main() -> None:
    """Measure what is not measured yet, then write table and plot."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("XCE_DATA", "../shared/data"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the trunk")
    parser.add_argument("--name", default="shipped", help="of the trunk, in tables")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", type=float, default=0.0, help="also fine-tune so many seconds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one seed, random clicks")
    parser.add_argument("--table", action="store_true", help="only draw what is done")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = RowFile(options.out / "clicks.jsonl")
    if not options.table:
        images, machine = read_brca(options.data, "val"), describe_machine()
        done = {row["key"] for row in rows.read()}
        for cell in cells(options.seeds, options.quick):
            group, how, seed, whom = cell
            key = "|".join([options.name, "+".join(group), how, str(seed), whom])
            if whom == "tool" and how == "random" and options.tune:
                key += f"|{options.tune:g}"
            if key not in done:
                points = measure(images, cell, options)
                row = {"key": key, "trunk": options.name, "classes": group, "how": how}
                row |= {"seed": seed, "points": points, "machine": machine}
                rows.append(row)
                print(key, flush=True)
    write_report(rows.read(), options.out)


if __name__ == "__main__":
    main()
