"""Tables and plots of the speed benchmarks."""

import json
from pathlib import Path

import pytest
from speed import write_report

MACHINE = {"cpu": "a processor", "cores": 2, "torch": "2.13.0"}
HEAD = {"measured": "2026-11-25T00:00:00+0000", "machine": MACHINE, "load": 0.1}
THROUGHPUT = {
    **HEAD,
    "end_to_end_mpx_s": 13.0,
    "network_mpx_s": 20.0,
    "decode_mpx_s": 100.0,
    "paper_unet_mpx_s": 2.0,
    "instanseg_unet_mpx_s": 1.0,
    "random_forest_mpx_s": 0.4,
    "end_to_end_of_network": 0.65,
    "times_paper_unet": 6.5,
    "times_instanseg_unet": 13.0,
}


def test_table_says_which_aims_are_met(tmp_path: Path) -> None:
    (tmp_path / "throughput.json").write_text(json.dumps(THROUGHPUT))
    text, picture = write_report(tmp_path)
    lines = text.read_text(encoding="utf-8").splitlines()
    assert any("store (MPx/s) | 13 | 12 | met |" in line for line in lines)
    assert any("network alone | 0.65 | 0.85 | missed |" in line for line in lines)
    assert not any("latency" in line for line in lines)
    assert picture.stat().st_size > 1000


def test_nothing_measured_yet_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="napari-xce bench latency"):
        write_report(tmp_path)
