"""Reports name the machine and hold percentiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_xce.bench.report import begin, finish, percentiles
from napari_xce.errors import ExchangeError


def test_percentiles_of_one_to_hundred_are_known() -> None:
    found = percentiles(range(1, 102))
    assert (found["n"], found["p50"], found["p95"], found["max"]) == (101, 51.0, 96.0, 101.0)


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([])["p95"] is None


def test_report_is_written_with_its_machine(tmp_path: Path) -> None:
    finish(begin("latency"), "Latency", [("click", 1.0)], tmp_path / "latency.json")
    report = json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))
    assert report["benchmark"] == "latency"
    assert report["machine"]["cores"] >= 1


def test_file_that_cannot_be_written_is_told_after_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExchangeError, match="cannot be written"):
        finish(begin("latency"), "Latency", [("click", 12.0)], tmp_path / "none" / "a.json")
    assert "12" in capsys.readouterr().out
