"""What a cohort costs, from measured speed: fills the table in docs/scale.md.

napari-xce bench throughput --json benchmarks/results/throughput.json
xvfb-run -a napari-xce bench scale --json benchmarks/results/scale.json
python benchmarks/cohort_costs.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
#: A slide as hospitals scan them: tissue, cells in it, and the file; see docs/scale.md.
TISSUE_MM2, CELLS_PER_MM2, FILE_GB = 200.0, 2500.0, 1.5
#: Pixels of 0.5 um in a square millimetre, in millions.
MPX_PER_MM2 = 4.0
#: Bytes of a cell: in the store, in a session's cache and in a CSV.
BYTES = {"memory": 27, "session": 27, "csv": 60}
COHORTS, WORKERS = (1_000, 100_000), (1, 8, 64)


def main() -> None:
    """Write the table between the marks of the page."""
    throughput, scale = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("throughput", "scale")
    )
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    words = "\n".join([BEGIN, *lines(throughput, scale), END])
    PAGE.write_text(before + words + after, encoding="utf-8")


def lines(throughput: dict[str, Any], scale: dict[str, Any]) -> list[str]:
    """Return the lines of the table."""
    speed, machine = throughput["end_to_end_mpx_s"], throughput["machine"]
    slide_s = TISSUE_MM2 * MPX_PER_MM2 / speed
    cells = TISSUE_MM2 * CELLS_PER_MM2
    head = "| slides | " + " | ".join(f"{n} worker{'s' * (n > 1)}" for n in WORKERS)
    rows = [
        f"{head} | slide files read | cells | sessions or CSV |",
        "|---" * (4 + len(WORKERS)) + "|",
    ]
    for slides in COHORTS:
        hours = " | ".join(_hours(slides * slide_s / 3600 / n) for n in WORKERS)
        rows.append(
            f"| {slides:,} | {hours} | {slides * FILE_GB / 1e3:,.1f} TB "
            f"| {slides * cells / 1e9:,.1f} billion | {_bytes(slides * cells * BYTES['session'])} "
            f"or {_bytes(slides * cells * BYTES['csv'])} |"
        )
    words = (
        f"A worker is a machine like the one measured ({machine['cpu']}, {machine['cores']} cores, "
        f"{throughput['precision']}): {speed:.1f} megapixels a second from file to stored cells, "
        f"{slide_s:.0f} s a slide; {scale['detections']:,} cells took "
        f"{scale['rss_gib_over_napari']:.2f} GiB above an empty napari."
    )
    return [words, "", *rows]


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.0f} GB" if count < 1e12 else f"{count / 1e12:,.1f} TB"


if __name__ == "__main__":
    main()
