"""The throughput benchmark runs to its end at a tiny size; its times are not looked at."""

from __future__ import annotations

import json

from napari_xce.bench.throughput import measure_throughput, rows_of

KEYS = ("end_to_end_mpx_s", "network_mpx_s", "decode_mpx_s", "paper_unet_mpx_s")


def test_report_holds_the_figures_and_the_machine(monkeypatch):
    monkeypatch.setattr("napari_xce.bench.throughput.FILTERED", 64)
    report = json.loads(json.dumps(measure_throughput(side=1000, rounds=1)))
    assert all(report[key] > 0 for key in (*KEYS, "instanseg_unet_mpx_s", "filter_bank_mpx_s"))
    assert report["machine"]["cpu"]
    assert report["cells"] > 0
    assert len(rows_of(report)) == 11
