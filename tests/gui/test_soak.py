"""A short soak: the window in scripted use holds on to no thread and no file."""

from __future__ import annotations

from napari_xce.bench import soak as bench


def test_use_leaves_no_threads_and_files_behind(monkeypatch) -> None:
    monkeypatch.setattr(bench, "ROUND_SECONDS", 2.0)
    report = bench.soak(0.5, side=1024)
    assert report["rounds"] >= 1
    assert report["done"]["export"] == report["rounds"]
    assert report["threads_growth"] <= 2  # of libraries' pools
    assert report["files_growth"] <= 4
    assert report["threads_left"] == []
