"""Table and plot of what benchmarks/suggestions.py has measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WAYS = ("suggestions", "random", "uncertainty")
SHARES = (0.90, 0.95)
COLOURS = dict(zip(WAYS, ("#0072b2", "#e69f00", "#cc79a7"), strict=True))
Rows = Sequence[dict[str, Any]]


def clicks_needed(points: Sequence[dict[str, Any]], target: float) -> float:
    """Return after how many clicks F1 reaches a target; infinity where it never does."""
    return next((float(p["n"]) for p in points if p["f1"] >= target - 1e-9), np.inf)


def summary(rows: Rows) -> list[dict[str, Any]]:
    """Return for each trunk and way the median clicks needed over the seeds, and beside random."""
    result = []
    for trunk in dict.fromkeys(row["trunk"] for row in rows):
        full = {
            row["seed"]: row["points"][0]["f1"]
            for row in rows
            if row["trunk"] == trunk and row["way"] == "full"
        }
        lines: dict[str, dict[str, Any]] = {}
        for way in WAYS:
            mine = [r for r in rows if r["trunk"] == trunk and r["way"] == way]
            mine = [r for r in mine if r["seed"] in full]
            if not mine:
                continue
            line: dict[str, Any] = {"trunk": trunk, "way": way, "seeds": len(mine)}
            line["full_f1"] = round(float(np.mean([full[r["seed"]] for r in mine])), 4)
            for share in SHARES:
                needed = [clicks_needed(r["points"], share * full[r["seed"]]) for r in mine]
                line[f"clicks_to_{share:.0%}"] = _finite(float(np.median(needed)))
                line[f"each_{share:.0%}"] = [_finite(n) for n in needed]
            lines[way] = line
        for line in lines.values():
            for share in SHARES:
                name = f"clicks_to_{share:.0%}"
                mine, theirs = line[name], lines.get("random", {}).get(name)
                line[f"of_random_{share:.0%}"] = (
                    round(mine / theirs, 2) if mine and theirs else None
                )
            result.append(line)
    return result


def _finite(n: float) -> float | None:
    """Return None for "never", as JSON has no infinity."""
    return None if np.isinf(n) else n


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the summary as a Markdown table; "–" where the share was never reached."""
    head = "| trunk | way | seeds | F1 of full supervision | clicks to 90 % | of random | "
    text = [head + "clicks to 95 % | of random |", "|---|---|---|---|---|---|---|---|"]
    for line in lines:
        cells = [line["trunk"], line["way"], line["seeds"], f"{line['full_f1']:.3f}"]
        for share in SHARES:
            needed, of_random = line[f"clicks_to_{share:.0%}"], line[f"of_random_{share:.0%}"]
            cells += ["–" if needed is None else f"{needed:.0f}"]
            cells += ["–" if of_random is None else f"{of_random:.2f}"]
        text.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(text) + "\n"


def shares(rows: Rows, trunk: str) -> dict[str, dict[int, float]]:
    """Return for each way the F1 as a share of full supervision, at each mark all seeds have."""
    own = [row for row in rows if row["trunk"] == trunk]
    full = {row["seed"]: row["points"][0]["f1"] for row in own if row["way"] == "full"}
    result = {}
    for way in WAYS:
        curves = [
            {p["n"]: p["f1"] / full[row["seed"]] for p in row["points"]}
            for row in own
            if row["way"] == way and row["seed"] in full
        ]
        marks = sorted(set.intersection(*map(set, curves))) if curves else []
        result[way] = {n: float(np.mean([curve[n] for curve in curves])) for n in marks}
    return result


def _share_table(rows: Rows, trunk: str) -> str:
    """Return the shares as a Markdown table, in percent."""
    of_way = shares(rows, trunk)
    marks = sorted(set().union(*of_way.values()))
    text = [f"## Trunk: {trunk}\n", "| way | " + " | ".join(map(str, marks)) + " |"]
    text.append("|---" * (len(marks) + 1) + "|")
    for way, share in of_way.items():
        cells = [f"{100 * share[n]:.0f}" if n in share else "–" for n in marks]
        text.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


HEAD = """# Clicks with and without suggestions

Made by `python benchmarks/suggestions.py --table`; see benchmarks/README.md. Clicks
needed are the median over the seeds, where never counts as infinity; each seed's stand in
`suggestions.json`.

"""
BELOW = """
Below: mean F1 at the live threshold in percent of full supervision, the mean over the seeds.
Columns: clicks.
"""


def write_report(rows: Rows, out: Path) -> None:
    """Write ``suggestions.json``, ``suggestions.md`` and a plot for each trunk; print the table."""
    lines = summary(rows)
    trunks = list(dict.fromkeys(row["trunk"] for row in rows))
    machines = sorted({json.dumps(row["machine"]) for row in rows})
    facts = {"summary": lines, "machines": [json.loads(m) for m in machines]}
    (out / "suggestions.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    parts = [HEAD + table(lines) + BELOW, *(_share_table(rows, trunk) for trunk in trunks)]
    (out / "suggestions.md").write_text("\n".join(parts), encoding="utf-8")
    print(table(lines))
    for trunk in trunks:
        _draw([row for row in rows if row["trunk"] == trunk], trunk, out)


def _draw(rows: Rows, trunk: str, out: Path) -> None:
    """Draw F1 against clicks: the mean over seeds and each seed faintly."""
    figure, axes = plt.subplots(figsize=(6, 4))
    full = [row["points"][0]["f1"] for row in rows if row["way"] == "full"]
    for way in WAYS:
        curves = [{p["n"]: p["f1"] for p in row["points"]} for row in rows if row["way"] == way]
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), color=COLOURS[way], alpha=0.25, lw=0.8)
        shared = sorted(set.intersection(*map(set, curves))) if curves else []
        if shared:
            mean = [float(np.mean([curve[n] for curve in curves])) for n in shared]
            axes.plot(shared, mean, color=COLOURS[way], lw=2, label=way)
    for share in SHARES if full else ():
        level = share * float(np.mean(full))
        axes.axhline(level, color="grey", lw=0.8, ls=":")
        axes.annotate(
            f"{share:.0%} of full", (0, level), ha="left", va="bottom"
        )  # the curves are low here
    axes.set(xlabel="clicks", ylabel="mean F1", title=f"brca_m2c val, trunk: {trunk}")
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    path = out / f"suggestions_{trunk.replace(' ', '_')}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
