"""The table of docs/scale.md follows from the measured speed."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_hours_and_bytes_follow_from_the_speed(repository: Path) -> None:
    script = runpy.run_path(str(repository / "benchmarks" / "cohort_costs.py"))
    machine = {"cpu": "a processor", "cores": 2}
    throughput = {"end_to_end_mpx_s": 8.0, "machine": machine, "precision": "bfloat16"}
    scale = {"detections": 5_000_000, "rss_gib_over_napari": 1.5}
    words = "\n".join(script["lines"](throughput, scale))
    # 800 megapixels at 8 a second are 100 s; 1,000 slides 27.8 h, 100,000 of them on 8: 14.5 days
    assert "100 s a slide" in words
    assert "| 1,000 | 27.8 h | 3.5 h | 0.4 h | 1.5 TB | 0.5 billion | 14 GB or 30 GB |" in words
    assert "| 100,000 | 116 days | 14 days |" in words


def test_page_has_the_marks_that_the_script_writes_between(repository: Path) -> None:
    script = runpy.run_path(str(repository / "benchmarks" / "cohort_costs.py"))
    page = (repository / "docs" / "scale.md").read_text(encoding="utf-8")
    assert page.index(script["BEGIN"]) < page.index(script["END"])
