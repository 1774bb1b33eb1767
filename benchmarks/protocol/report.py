"""Tables and plots of the measured cells, however many there are yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import stats

from protocol.cells import PROTOCOL, TRIVIAL
from protocol.tasks import FRACTIONS, TASKS

FEW: Final = (0.05, 0.1, 0.2)
#: A loss is behind another from this difference of F1 on.
BEHIND: Final = 0.01
#: With a tenth of the annotations a task is solved from this share of full F1 on.
KEPT: Final = 0.95

Row = dict[str, Any]
Place = tuple[str, float, int]  # task, fraction, seed


class Entry(NamedTuple):
    """A line of the tables: a loss at a threshold that a user could have."""

    label: str
    loss: str
    threshold: str


ENTRIES: Final = (
    Entry("all foreground", TRIVIAL, "natural"),
    Entry("cross-entropy", "ce", "natural"),
    Entry("cross-entropy, calibrated", "ce", "calibrated"),
    Entry("class-balanced", "balanced", "natural"),
    Entry("focal", "focal", "natural"),
    Entry("nnPU, true prior", "nnpu", "natural"),
    Entry("XCE as published", "xce published", "natural"),
    Entry("XCE ours", "xce", "natural"),
    Entry("XCE ours, calibrated", "xce", "calibrated"),
)
OURS: Final = ("XCE ours", "XCE ours, calibrated")


class Results:
    """The rows of one start and head, by loss and place; of rows for one cell the last counts."""

    def __init__(self, rows: Iterable[Row], start: str, head: str) -> None:
        self.rows: dict[tuple[str, Place], Row] = {}
        for row in rows:
            if (row["start"], row["head"]) == (start, head):
                place = (row["task"], row["fraction"], row["seed"])
                self.rows[row["loss"], place] = row
        self.start, self.head = start, head

    def value(self, entry: Entry, place: Place, radius: str = "6um") -> float | None:
        """Return F1 of an entry, None if it was not measured."""
        row = self._row(entry, place)
        figures = None if row is None else row["points"][radius].get(entry.threshold)
        return None if figures is None else figures["f1"]

    def mask_value(self, entry: Entry, place: Place, name: str) -> float | None:
        """Return Dice or F1 of instances, None if there is none."""
        row = self._row(entry, place)
        figures = None if row is None else row.get("masks", {}).get(entry.threshold)
        return None if figures is None else figures[name]

    def _row(self, entry: Entry, place: Place) -> Row | None:
        if entry.loss == TRIVIAL:  # needs neither annotations nor a seed
            place = (place[0], 1.0, 0)
        return self.rows.get((entry.loss, place))

    def complete(self, fractions: Iterable[float]) -> list[Place]:
        """Return the places where every entry was measured."""
        seeds = sorted({place[2] for _, place in self.rows})
        places = product((task.name for task in TASKS), fractions, seeds)
        return [p for p in places if all(self.value(e, p) is not None for e in ENTRIES)]


def best(entry: Entry) -> Entry:
    """Return the loss of an entry at the threshold that is best on the test images."""
    return entry._replace(threshold="best")


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval (Student's t); NaN for one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan")
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, float(stats.t.ppf(0.975, len(values) - 1)) * error


def mean_over_tasks(
    places: list[Place], value: Callable[[Place], float | None]
) -> tuple[float, float]:
    """Return the mean over places, and the interval that the seeds' means give it."""
    by_seed: dict[int, list[float]] = {}
    for place in places:
        found = value(place)
        assert found is not None
        by_seed.setdefault(place[2], []).append(found)
    return interval([float(np.mean(values)) for values in by_seed.values()])


def mean_over_seeds(values: Iterable[float | None]) -> float | None:
    """Return the mean of what was measured, None if nothing was."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def seeds_of(results: Results) -> list[int]:
    """Return the seeds that were measured."""
    return sorted({place[2] for _, place in results.rows})


def at(results: Results, entry: Entry, task: str, fraction: float) -> float | None:
    """Return F1 within 6 um, mean over seeds."""
    seeds = seeds_of(results)
    return mean_over_seeds(results.value(entry, (task, fraction, seed)) for seed in seeds)


# ---- tables


def words(value: float | None, digits: int = 3) -> str:
    """Write a figure; a dash stands for what was not measured."""
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def table(head: list[str], lines: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def few_table(results: Results) -> str:
    """Compare the losses on the mean over tasks at 5, 10 and 20 %."""
    places = results.complete(FEW)
    seeds = len({place[2] for place in places})
    whole = len(TASKS) * len(FEW) * max(seeds, 1)
    text = f"Mean over tasks at 5, 10 and 20 % ({len(places)} of {whole} cells, {seeds} seeds):\n\n"
    if not places:
        return text + "nothing complete yet.\n"
    lines = []
    for entry in ENTRIES:
        line = [entry.label]
        for radius in ("6um", "3um"):
            for e in (entry, best(entry)):
                mean, half = mean_over_tasks(
                    places, lambda p, e=e, r=radius: results.value(e, p, r)
                )
                line.append(f"{words(mean)} ± {words(half)}")
        lines.append(line)
    head = ["loss", "F1 6 µm", "at best threshold", "F1 3 µm", "at best threshold"]
    return text + table(head, lines)


def fraction_table(results: Results, fraction: float) -> str:
    """Show F1 of each task at a fraction, at the live and at the best threshold."""
    names = [task.name for task in TASKS]
    lines = [
        [e.label]
        + [
            f"{words(at(results, e, n, fraction))} / {words(at(results, best(e), n, fraction))}"
            for n in names
        ]
        for e in ENTRIES
    ]
    return f"F1 within 6 µm at {fraction:.0%}, live / best threshold, mean over seeds:\n\n" + table(
        ["loss", *names], lines
    )


def ratio(results: Results, entry: Entry, task: str) -> float | None:
    """Return F1 at 10 % over F1 at 100 %."""
    few, all_ = at(results, entry, task, 0.1), at(results, entry, task, 1.0)
    return None if few is None or not all_ else few / all_


def ratio_table(results: Results) -> str:
    """Show what a tenth of the annotations is worth, by task."""
    names = [task.name for task in TASKS]
    lines = [
        [e.label]
        + [
            f"{words(ratio(results, e, n), 2)} / {words(ratio(results, best(e), n), 2)}"
            for n in names
        ]
        for e in ENTRIES
        if e.loss != TRIVIAL
    ]
    return "F1 at 10 % over F1 at 100 % of the same loss, live / best threshold:\n\n" + table(
        ["loss", *names], lines
    )


def goal(results: Results, ours: str) -> dict[str, int]:
    """Count the tasks where ours keeps 95 % at 10 % of the annotations.

    Returns
    -------
    dict of str to int
        ``tasks`` measured; of them ``of_own``, against the same loss at 100 %, and ``of_best``,
        against the best loss at 100 % (a loss that is bad with all annotations keeps much easily).
    """
    mine = next(entry for entry in ENTRIES if entry.label == ours)
    tasks = of_own = of_best = 0
    for task in TASKS:
        few, own = (at(results, mine, task.name, fraction) for fraction in (0.1, 1.0))
        full = [at(results, entry, task.name, 1.0) for entry in ENTRIES]
        if few is not None and own is not None:
            tasks += 1
            of_own += few >= KEPT * own
            of_best += few >= KEPT * max(f1 for f1 in full if f1 is not None)
    return {"tasks": tasks, "of_own": of_own, "of_best": of_best}


def goal_text(results: Results) -> str:
    """Say on how many tasks a tenth of the annotations is enough, at live thresholds."""
    text = ""
    for ours in OURS:
        count = goal(results, ours)
        text += (
            f"**{ours}** at 10 % reaches {KEPT:.0%} of its own F1 at 100 % on {count['of_own']} of "
        )
        text += (
            f"{count['tasks']} tasks, and {KEPT:.0%} of the best loss's on {count['of_best']}.\n\n"
        )
    return text


def mask_table(results: Results) -> str:
    """Show Dice and F1 of instances where masks are known."""
    names = [task.name for task in TASKS if task.has_masks]
    lines = []
    for entry, fraction in product(ENTRIES, (0.1, 1.0)):
        line = [entry.label, f"{fraction:.0%}"]
        for name, e in product(names, (entry, best(entry))):
            pair = [
                mean_over_seeds(
                    results.mask_value(e, (name, fraction, seed), figure)
                    for seed in seeds_of(results)
                )
                for figure in ("dice", "instance_f1")
            ]
            line.append(f"{words(pair[0])} / {words(pair[1])}")
        lines.append(line)
    head = ["loss", "annotated"]
    head += [f"{name}, {at_}" for name, at_ in product(names, ("live", "best"))]
    return "Dice / F1 of instances (IoU above 1/2):\n\n" + table(head, lines)


def losing_places(results: Results, ours: str) -> list[dict[str, Any]]:
    """Return where another loss is ahead of ours, at thresholds that a user could have."""
    mine = next(entry for entry in ENTRIES if entry.label == ours)
    found = []
    for task, fraction in product((task.name for task in TASKS), FRACTIONS):
        value = at(results, mine, task, fraction)
        others = {
            e.label: f1
            for e in ENTRIES
            if e.label not in OURS and (f1 := at(results, e, task, fraction)) is not None
        }
        if value is None or not others:
            continue
        label = max(others, key=lambda k: others[k])
        if others[label] - value > BEHIND:
            found.append(
                {
                    "task": task,
                    "fraction": fraction,
                    "f1": value,
                    "best": label,
                    "its_f1": others[label],
                }
            )
    return found


def losing_text(results: Results) -> str:
    """Say plainly where ours is behind."""
    text = ""
    for ours in OURS:
        lost = losing_places(results, ours)
        measured = sum(
            at(results, ENTRIES[[e.label for e in ENTRIES].index(ours)], task.name, f) is not None
            for task, f in product(TASKS, FRACTIONS)
        )
        text += f"**{ours}** is behind the best other loss by more than {BEHIND} in {len(lost)} of "
        text += f"{measured} tasks and fractions"
        parts = [
            f"{p['task']} at {p['fraction']:.0%} ({p['f1']:.3f}; {p['best']} {p['its_f1']:.3f})"
            for p in lost
        ]
        text += ": " + "; ".join(parts) + ".\n\n" if parts else ".\n\n"
    return text


def summary(results: Results) -> dict[str, Any]:
    """Return the figures of the tables for JSON."""
    places = results.complete(FEW)
    losses: dict[str, Any] = {}
    for entry in ENTRIES:
        few = {}
        for name, e in (("live", entry), ("best", best(entry))):
            if places:
                mean, half = mean_over_tasks(places, lambda p, e=e: results.value(e, p))
                few[name] = {"f1": mean, "half_interval": None if np.isnan(half) else half}
        losses[entry.label] = {
            "mean_over_tasks_at_5_to_20_percent": few,
            "by_task": {
                task.name: {
                    f"{f:.0%}": {
                        "live": at(results, entry, task.name, f),
                        "best": at(results, best(entry), task.name, f),
                    }
                    for f in FRACTIONS
                }
                for task in TASKS
            },
            "f1_at_10_over_100_percent": {
                task.name: {
                    "live": ratio(results, entry, task.name),
                    "best": ratio(results, best(entry), task.name),
                }
                for task in TASKS
            },
        }
    behind = {ours: losing_places(results, ours) for ours in OURS}
    goals = {ours: goal(results, ours) for ours in OURS}
    return {
        "cells": len(results.rows),
        "complete_places": len(places),
        "losses": losses,
        "behind": behind,
        "keeps_95_percent_at_10_percent": goals,
    }


TITLES: Final = {
    ("trunk", "yollo"): "Shipped trunk, YOLLO head",
    ("trunk", "unet"): "Shipped trunk, UNet head",
    ("scratch", "yollo"): "From scratch, YOLLO head",
    ("scratch", "unet"): "From scratch, UNet head",
}


def write_report(rows: list[Row], out: Path) -> list[Path]:
    """Write ``sparse_shot.md``, ``.json`` and one plot a start and head; return the files.

    Parameters
    ----------
    rows : list of dict
        As `measure` gives them; of other protocols than today's nothing is used.
    out : Path
        An existing folder.
    """
    rows = [row for row in rows if row["key"].startswith(f"{PROTOCOL}|")]
    parts = {title: Results(rows, *k) for k, title in TITLES.items()}
    parts = {title: results for title, results in parts.items() if results.rows}
    text = "# Sparse-shot learning on nine tasks\n\n" + about(rows)
    written = []
    for title, results in parts.items():
        text += f"\n## {title}\n\n" + few_table(results)
        for fraction in (0.1, 1.0):
            text += "\n" + fraction_table(results, fraction)
        text += "\n" + ratio_table(results)
        if results.head == "unet":
            text += "\n" + mask_table(results)
        text += "\n" + goal_text(results) + losing_text(results)
        plot = out / f"sparse_shot_{results.start}_{results.head}.svg"
        draw(results, title, plot)
        text += f"![F1 against the share of annotated cells, by task and loss]({plot.name})\n"
        written.append(plot)
    markdown, plain = out / "sparse_shot.md", out / "sparse_shot.json"
    markdown.write_text(text, encoding="utf-8")
    figures = {title: summary(results) for title, results in parts.items()}
    plain.write_text(json.dumps({"about": facts(rows), "results": figures}, indent=1) + "\n")
    return [markdown, plain, *written]


def facts(rows: list[Row]) -> dict[str, Any]:
    """Return what the figures stand on: machines, weights, and what these had seen."""
    trunk = {
        (row["task"], row["weights_file"], row["weights"], row["trunk_saw"])
        for row in rows
        if row["start"] == "trunk"
    }
    machines = {json.dumps(row["machine"], sort_keys=True) for row in rows}
    return {
        "cells": len(rows),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows)),
        "machines": [json.loads(machine) for machine in sorted(machines)],
        "weights": [
            {"task": task, "file": file, "sha256": digest, "trunk_saw": saw}
            for task, file, digest, saw in sorted(trunk)
        ],
    }


def about(rows: list[Row]) -> str:
    """Say in words what the figures stand on."""
    known = facts(rows)
    machines = "; ".join(
        f"{m['cpu']}, {m['cores']} cores, torch {m['torch']}" for m in known["machines"]
    )
    text = f"{known['cells']} cells measured, {known['cpu_seconds']} s of processor time. "
    text += f"Machine: {machines}.\n"
    text += '"Live" is a threshold that a user has: 0.5, or where it says so the calibrated one.\n'
    if known["weights"]:
        text += "\nTrunk of each task, and what its training had seen of it:\n\n"
        text += table(
            ["task", "weights", "SHA-256", "seen"],
            [[w["task"], w["file"], w["sha256"], w["trunk_saw"]] for w in known["weights"]],
        )
    return text


# ---- plots


def draw(results: Results, title: str, path: Path) -> None:
    """Draw F1 within 6 um against the share of annotated cells: a panel a task, a line a loss."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "napari-xce"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(11, 9), sharex=True, sharey=True)
    for axis, task in zip(axes.flat, TASKS, strict=True):
        for k, entry in enumerate(ENTRIES):
            points = [(100 * f, at(results, entry, task.name, f)) for f in FRACTIONS]
            known = [(x, y) for x, y in points if y is not None]
            if known:
                style = "-" if entry.label in OURS else "--" if entry.loss != TRIVIAL else ":"
                colour = (
                    ("black", "0.5")[OURS.index(entry.label)] if entry.label in OURS else f"C{k}"
                )
                axis.plot(
                    *zip(*known, strict=True), style, marker=".", color=colour, label=entry.label
                )
        axis.set(title=task.name, xscale="log", ylim=(0, 1))
        axis.set_xticks([100 * f for f in FRACTIONS], [f"{100 * f:.0f}" for f in FRACTIONS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False)
    figure.supxlabel("annotated cells, %", y=0.075)
    figure.supylabel("F1 within 6 µm, live threshold")
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
