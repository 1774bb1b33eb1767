"""Tables and a plot of what benchmarks/clicks.py has measured."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

METHODS = (
    "tool",
    "ignore + background clicks",
    "plain cross-entropy",
    "random forest + background clicks",
)
RADIUS = "6um"
Rows = Sequence[dict[str, Any]]
#: (trunk, classes, way of clicking, method, clicks or None) to class to seed to (live, best).
Values = dict[tuple[Any, ...], dict[str, dict[int, tuple[float, float]]]]


def values_of(rows: Rows) -> Values:
    """Sort the figures by what they belong to."""
    values: Values = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for point in row["points"]:
            place = (
                row["trunk"],
                tuple(row["classes"]),
                row["how"],
                point["method"],
                point["n"],
            )
            for name, by_radius in point["scores"].items():
                figures = by_radius[RADIUS]
                values[place][name][row["seed"]] = (figures["live"], figures["best"])
    return values


def mean(values: Values, place: tuple[Any, ...], which: int) -> float | None:
    """Return the mean over classes and seeds of F1 at the live (0) or the best threshold (1)."""
    of_place = values.get(place)
    if not of_place:
        return None
    return float(np.mean([f[which] for seeds in of_place.values() for f in seeds.values()]))


def words(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def curve_table(values: Values, trunk: str, group: tuple[str, ...], how: str) -> list[str]:
    """Return the lines of one table: methods by clicks, live / best."""
    places = [p for p in values if p[:3] == (trunk, group, how)]
    clicks = sorted({p[4] for p in places if p[4] is not None})
    methods = [m for m in METHODS if any(p[3] == m for p in places)]
    methods += sorted({p[3] for p in places} - {*METHODS, "full supervision"})
    lines = [
        f"| method | {' | '.join(str(n) for n in clicks)} |",
        "|---" * (len(clicks) + 1) + "|",
    ]
    for method in methods:
        pairs = [
            [words(mean(values, (trunk, group, how, method, n), which)) for which in (0, 1)]
            for n in clicks
        ]
        cells = " | ".join(f"{a} / {b}" if a else "" for a, b in pairs)
        lines.append(f"| {method} | {cells} |")
    full = mean(values, (trunk, group, how, "full supervision", None), 1)
    if full is not None:
        lines += ["", f"Full supervision, best threshold: {words(full)}."]
    return [*lines, ""]


def share_table(values: Values, trunk: str, how: str) -> list[str]:
    """Return the live F1 of the tool over that of full supervision, by class."""
    group = next((p[1] for p in values if p[0] == trunk and len(p[1]) > 1), ())
    lines = ["| class | full supervision | 5 clicks | 10 clicks | 20 clicks |", "|---" * 5 + "|"]
    for name in group:
        full = values.get((trunk, group, how, "full supervision", None), {}).get(name)
        if not full:
            continue
        parts = [f"{np.mean([f[1] for f in full.values()]):.3f}"]
        for n in (5, 10, 20):
            mine = values.get((trunk, group, how, "tool", n), {}).get(name, {})
            shares = [mine[s][0] / full[s][1] for s in mine if s in full]
            parts.append(f"{np.mean(shares):.0%}" if shares else "")
        lines.append(f"| {name} | {' | '.join(parts)} |")
    return [*lines, ""]


def seconds_line(rows: Rows) -> str:
    """Return the median seconds of one update, by method."""
    seconds = defaultdict(list)
    for row in rows:
        for point in row["points"]:
            if point["seconds"] is not None and "later" not in point["method"]:
                seconds[point["method"]].append(point["seconds"])
    parts = [f"{m} {np.median(seconds[m]):.2f} s" for m in METHODS if seconds[m]]
    return "Median CPU time of one update: " + ", ".join(parts) + "."


def text_of(rows: Rows) -> str:
    """Return the whole report as Markdown."""
    values = values_of(rows)
    machines = sorted({json.dumps(row["machine"], sort_keys=True) for row in rows})
    lines = [
        "# F1 against clicks",
        "",
        "Made by `python benchmarks/clicks.py --table`; see benchmarks/README.md. Entries are F1",
        "at the live threshold / at the best there is, matched within 6 um, the mean over classes",
        "and deals of ten patients (brca_m2c val). Columns: clicks of each class.",
        "",
        *(f"Machine: {machine}" for machine in machines),
        "",
        seconds_line(rows),
        "",
    ]
    for trunk in sorted({p[0] for p in values}, reverse=True):
        deals = len({row["seed"] for row in rows if row["trunk"] == trunk})
        lines += [f"## Trunk: {trunk} ({deals} deals)", ""]
        lines += ["F1 of the tool at the live threshold over full supervision at the best:", ""]
        lines += share_table(values, trunk, "random")
        places = sorted({p[1:3] for p in values if p[0] == trunk}, key=lambda p: (-len(p[0]), p))
        for group, how in places:
            title = "three classes together" if len(group) > 1 else f"{group[0]} alone"
            lines += [f"### {title}, {how} clicks", "", *curve_table(values, trunk, group, how)]
    return "\n".join(lines)


def draw(values: Values, path: Path) -> None:
    """Draw F1 at the live threshold against clicks, three classes together."""
    trunks = sorted({p[0] for p in values}, reverse=True)
    figure, axes = plt.subplots(1, len(trunks), figsize=(5.2 * len(trunks), 4), squeeze=False)
    for axis, trunk in zip(axes[0], trunks, strict=True):
        group = max((p[1] for p in values if p[0] == trunk), key=len)
        for how, style in (("random", "-"), ("clustered", ":"), ("corrections", "--")):
            for k, method in enumerate(METHODS):
                points = sorted(
                    (p[4], mean(values, p, 0))
                    for p in values
                    if p[:4] == (trunk, group, how, method)
                )
                if points:
                    n, f1 = zip(*points, strict=True)
                    axis.plot(n, f1, style, color=f"C{k}", label=f"{method}, {how}")
        full = mean(values, (trunk, group, "random", "full supervision", None), 1)
        if full is not None:
            axis.axhline(full, color="0.5", lw=1, label="full supervision")
        axis.set(xscale="log", xlabel="clicks of each class", ylabel="F1 (6 um)", ylim=(0, 1))
        axis.set_title(f"trunk: {trunk}")
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write_report(rows: Rows, out: Path) -> None:
    """Write clicks.md and clicks.svg beside the rows."""
    if rows:
        (out / "clicks.md").write_text(text_of(rows), encoding="utf-8")
        draw(values_of(rows), out / "clicks.svg")
