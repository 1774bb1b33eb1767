from __future__ import annotations

import json

import pytest
import sparse_shot
from protocol.cells import Bench, Cell, every_cell
from protocol.report import Results, goal, interval, losing_places, write_report
from protocol.rows import RowFile
from protocol.tasks import FRACTIONS, TASKS


def row(loss, f1, task="dsb violet", fraction=0.1, seed=0, **thresholds):
    cell = Cell(task, "scratch", "yollo", loss, fraction, seed)
    figures = {"natural": f1, "best": f1, **thresholds}
    at = {k: {"f1": v, "threshold": 0.5} for k, v in figures.items()}
    machine = {"cpu": "a processor", "cores": 2, "torch": "2"}
    return {
        "key": cell.key("none"),
        **{name: getattr(cell, name) for name in cell.__slots__},
        "points": {"6um": at, "3um": at},
        "cpu_seconds": 1.0,
        "machine": machine,
    }


@pytest.fixture
def bench(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"these weights")
    return Bench(tmp_path, tuple((name, weights) for name in sparse_shot.DATASETS))


def test_rerun_does_only_what_is_missing(bench, tmp_path, monkeypatch):
    asked = []

    def measured(cells, bench, jobs, threads):
        asked.append(list(cells))
        for cell in cells[:2]:  # as if killed after two
            yield cell, {"key": bench.key(cell), **row(cell.loss, 0.5)} | {"key": bench.key(cell)}

    monkeypatch.setattr(sparse_shot, "_measured", measured)
    rows, cells = RowFile(tmp_path / "rows.jsonl"), every_cell(1)[:5]
    for _ in range(3):
        assert sparse_shot.run(cells, bench, rows, 1, 1) == 0
    assert asked == [cells, cells[2:], cells[4:]]
    assert [r["key"] for r in rows.read()] == [bench.key(cell) for cell in cells]


def test_failed_cell_is_told_and_tried_again(bench, tmp_path, monkeypatch, capsys):
    def measured(cells, bench, jobs, threads):
        for cell in cells:
            yield cell, ValueError("no such image")

    monkeypatch.setattr(sparse_shot, "_measured", measured)
    rows, cells = RowFile(tmp_path / "rows.jsonl"), every_cell(1)[:1]
    assert sparse_shot.run(cells, bench, rows, 1, 1) == 1
    assert "no such image" in capsys.readouterr().err
    assert rows.read() == []


def test_line_cut_off_by_a_kill_costs_only_itself(tmp_path):
    rows = RowFile(tmp_path / "rows.jsonl")
    rows.append({"key": "a"})
    with rows.path.open("a") as file:
        file.write('{"key": "b", "tas')
    assert rows.read() == [{"key": "a"}]
    rows.append({"key": "c"})
    assert rows.read() == [{"key": "a"}, {"key": "c"}]


def test_other_weights_ask_for_the_cells_on_the_trunk_anew(bench):
    on_trunk, scratch = (Cell("dsb violet", s, "yollo", "ce", 0.1, 0) for s in ("trunk", "scratch"))
    before = bench.key(on_trunk), bench.key(scratch)
    other = bench.data / "other"
    other.write_bytes(b"other weights")
    bench = Bench(bench.data, tuple((name, other) for name in sparse_shot.DATASETS))
    assert bench.key(on_trunk) != before[0]
    assert bench.key(scratch) == before[1]


def test_cells_cover_the_protocol_once():
    cells = every_cell(3)
    assert len(set(cells)) == len(cells) == 9 * 2 * 2 * (6 * 5 * 3 + 1)
    assert {cell.task for cell in sparse_shot.quick(cells)} == set(sparse_shot.QUICK_TASKS)


def test_interval_is_students():
    mean, half = interval([0.5, 0.6, 0.7])
    assert mean == pytest.approx(0.6)
    assert half == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_what_loses_is_named():
    rows = [
        row("ce", 0.2, calibrated=0.8),
        row("xce", 0.5, calibrated=0.795),
        row("focal", 0.9, task="brca tumour"),
    ]
    results = Results(rows, "scratch", "yollo")
    (lost,) = losing_places(results, "XCE ours")
    assert (lost["task"], lost["best"]) == ("dsb violet", "cross-entropy, calibrated")
    assert losing_places(results, "XCE ours, calibrated") == []  # within a hundredth


def test_goal_counts_tasks_that_keep_enough_with_a_tenth():
    rows = [
        row("xce", few, name, fraction)
        for name, few, full in [("dsb violet", 0.76, 0.8), ("cbc red cells", 0.6, 0.8)]
        for fraction, few in [(0.1, few), (1.0, full)]
    ]
    rows.append(row("focal", 0.9, "dsb violet", 1.0))
    counts = goal(Results(rows, "scratch", "yollo"), "XCE ours")
    assert counts == {"tasks": 2, "of_own": 1, "of_best": 0}


def test_report_is_written_of_a_part_and_of_the_whole(tmp_path):
    part = [row("ce", 0.2, calibrated=0.4)]
    whole = [
        row(loss, 0.5, task.name, fraction, seed, calibrated=0.5)
        for task in TASKS
        for fraction in FRACTIONS
        for seed in range(2)
        for loss in ("ce", "balanced", "focal", "nnpu", "xce published", "xce")
    ] + [row("all foreground", 0.1, task.name, 1.0) for task in TASKS]
    for rows in (part, whole):
        files = write_report(rows, tmp_path)
        assert all(path.stat().st_size > 0 for path in files)
    text = (tmp_path / "sparse_shot.md").read_text(encoding="utf-8")
    assert "54 of 54 cells, 2 seeds" in text
    assert "| cross-entropy | 0.500 ± 0.000 |" in text
    figures = json.loads((tmp_path / "sparse_shot.json").read_text())
    of_ours = figures["results"]["From scratch, YOLLO head"]["losses"]["XCE ours"]
    assert of_ours["f1_at_10_over_100_percent"]["dsb violet"]["live"] == 1
