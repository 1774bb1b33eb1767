"""Tables and plots of what ``napari-xce bench`` measured: ``python benchmarks/speed.py``.

Reads latency.json, throughput.json, scale.json and soak.json in ``benchmarks/results``, those that
are there, and writes speed.md and speed.svg beside them. Measures nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
PICTURE = "![Latency, throughput, cost of a tile, memory over an hour of use](speed.svg)"
Report = dict[str, Any]
#: Of each benchmark: key of the report, what it is, the aim and whether more is better.
AIMS: dict[str, list[tuple[str, str, float | None, bool]]] = {
    "latency": [
        ("first_change_ms_p50", "click to first change, median (ms)", 100, False),
        ("first_change_ms_p95", "click to first change, 95 % (ms)", 250, False),
        ("settled_ms_p95", "click to view settled, 95 % (ms)", 1000, False),
        ("new_area_ms_p95", "moved view predicted, 95 % (ms)", None, False),
        ("loop_delay_p99_ratio", "main loop while learning / paused, 99 %", 1.5, False),
        ("import_s", "import napari_xce (s)", 0.3, False),
        ("start_to_dock_s", "start of the process to the dock (s)", None, False),
    ],
    "throughput": [
        ("end_to_end_mpx_s", "all together: decode, predict, merge, store (MPx/s)", 12, True),
        ("network_mpx_s", "network alone (MPx/s)", None, True),
        ("decode_mpx_s", "decoding alone (MPx/s)", None, True),
        ("paper_unet_mpx_s", "UNet of the paper, network alone (MPx/s)", None, True),
        ("instanseg_unet_mpx_s", "InstanSeg's UNet, network alone (MPx/s)", None, True),
        ("random_forest_mpx_s", "random forest on a filter bank (MPx/s)", None, True),
        ("end_to_end_of_network", "all together / network alone", 0.85, True),
        ("times_paper_unet", "all together / UNet of the paper", 10, True),
        ("times_instanseg_unet", "all together / InstanSeg's UNet", 10, True),
    ],
    "scale": [
        ("detections", "cells on the slide", 5_000_000, True),
        ("open_s", "slide and session opened, window ready (s)", 2, False),
        ("rss_gib_over_napari", "memory above an empty napari (GiB)", 2, False),
        ("query_ms_p95", "cells of a view, 95 % (ms)", 10, False),
        ("density_s", "density of the whole slide (s)", None, False),
    ],
    "soak": [
        ("minutes", "minutes of use", 60, True),
        (
            "rss_mib_growth",
            "growth of memory from the second to the last quarter (MiB)",
            None,
            False,
        ),
        ("rss_mib_growth_late", "of it in the last half, third to last quarter (MiB)", None, False),
        ("annotations_growth", "annotations more, second to last quarter", None, False),
        ("rss_mib_most", "memory at most (MiB)", None, False),
        ("threads_growth", "growth of threads", 0, False),
        ("files_growth", "growth of open files", 0, False),
    ],
}


def table(name: str, report: Report) -> list[str]:
    """Return the lines of one table: what was measured, the aim, whether it is met."""
    machine = report["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}"
    when = f"{report['measured'][:10]}, {where}; load of the machine before: {report['load']}."
    lines = [f"## {name}", "", when, ""]
    lines += ["| | measured | aim | |", "|---|---|---|---|"]
    for key, words, aim, more in AIMS[name]:
        value = report[key]
        verdict = ""
        if aim is not None:
            verdict = "met" if (value >= aim if more else value <= aim) else "missed"
        goal = "" if aim is None else _number(aim)
        lines.append(f"| {words} | {_number(value)} | {goal} | {verdict} |")
    return [*lines, ""]


def _number(value: float) -> str:
    """Return a number as people read it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def draw_latency(axes: plt.Axes, report: Report) -> None:
    """Draw which share of the clicks was answered within which time."""
    for key, words in (
        ("first_change_ms", "first change"),
        ("settled_ms", "view settled"),
        ("new_area_ms", "moved view predicted"),
    ):
        times = np.sort(report["samples"][key])
        axes.step(times, np.arange(1, len(times) + 1) / len(times), where="post", label=words)
    axes.axvline(250, color="grey", linestyle=":", linewidth=1)
    axes.axvline(1000, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="ms after the click or move", ylabel="share", xlim=(0, None), ylim=(0, 1))
    axes.set_title("Latency (dotted: aims at 95 %)")
    axes.legend(frameon=False, loc="lower right")


def draw_throughput(axes: plt.Axes, report: Report) -> None:
    """Draw megapixels a second beside each other."""
    bars = {
        "all together": "end_to_end_mpx_s",
        "our network": "network_mpx_s",
        "paper's UNet": "paper_unet_mpx_s",
        "InstanSeg's UNet": "instanseg_unet_mpx_s",
        "random forest": "random_forest_mpx_s",
    }
    values = [report[key] for key in bars.values()]
    axes.barh(list(bars), values, color=["C0", "C0", "C7", "C7", "C7"])
    axes.bar_label(axes.containers[0], fmt="%.2f", padding=3)
    axes.axvline(12, color="grey", linestyle=":", linewidth=1)
    axes.invert_yaxis()
    axes.set(xlabel="MPx/s at 0.5 µm/px", xlim=(0, max(13.0, 1.15 * max(values))))
    axes.set_title("Throughput (dotted: aim for all together)")


def draw_scale(axes: plt.Axes, report: Report) -> None:
    """Draw the cost of a tile against the side of the slide."""
    sides = sorted(report["by_side"], key=int)
    axes.plot([int(s) for s in sides], [report["by_side"][s]["tile_ms"] for s in sides], "o-")
    axes.set(xscale="log", ylim=(0, None), xlabel="side of the slide, px", ylabel="ms a tile")
    axes.set_title("Cost of a tile as slides grow")


def draw_soak(axes: plt.Axes, report: Report) -> None:
    """Draw memory over the time of a soak."""
    samples = report["samples"]
    axes.plot([s["seconds"] / 60 for s in samples], [s["rss_mib"] / 1024 for s in samples])
    axes.set(ylim=(0, None), xlabel="minutes of use", ylabel="memory, GiB")
    axes.set_title("Soak")


DRAWN: dict[str, Callable[[plt.Axes, Report], None]] = {
    "latency": draw_latency,
    "throughput": draw_throughput,
    "scale": draw_scale,
    "soak": draw_soak,
}


def write_report(folder: Path) -> Sequence[Path]:
    """Write speed.md and speed.svg of the reports in a folder."""
    reports = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in DRAWN
        if (path := folder / f"{name}.json").exists()
    }
    if not reports:
        raise SystemExit(f"Nothing in {folder} yet: napari-xce bench latency --json FILE, say.")
    words = ["# Speed", "", "Made by `python benchmarks/speed.py`; see benchmarks/README.md.", ""]
    for name in AIMS:
        words += table(name, reports[name]) if name in reports else []
    text, picture = folder / "speed.md", folder / "speed.svg"
    text.write_text("\n".join([*words, PICTURE, ""]), encoding="utf-8")
    figure, axes = plt.subplots(
        1, len(reports), figsize=(4.6 * len(reports), 3.2), layout="constrained", squeeze=False
    )
    for (name, report), own in zip(reports.items(), axes[0], strict=True):
        DRAWN[name](own, report)
    matplotlib.rcParams["svg.hashsalt"] = "napari-xce"  # the same figures give the same file
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)
    return text, picture


def main() -> None:
    """Write tables and plots."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the reports are")
    for path in write_report(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
