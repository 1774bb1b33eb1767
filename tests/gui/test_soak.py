"""A short soak: the window in scripted use holds on to no thread and no file."""

from __future__ import annotations

from pathlib import Path

from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.notifications import show_info

from napari_xce.bench import soak as bench
from napari_xce.bench.window import Window
from napari_xce.demo.job import prepare_demo


def test_use_leaves_no_threads_and_files_behind(monkeypatch) -> None:
    monkeypatch.setattr(bench, "ROUND_SECONDS", 2.0)
    report = bench.soak(0.5, side=1024)
    assert report["rounds"] >= 1
    assert report["done"]["export"] == report["rounds"]
    assert report["threads_growth"] <= 2  # of libraries' pools
    assert report["files_growth"] <= 4
    assert report["threads_left"] == []


def test_notes_of_napari_go_by_themselves_from_the_window_that_is_measured(tmp_path: Path) -> None:
    window = Window(prepare_demo(tmp_path, side=512, seed=0).session)
    show_info("Exported")
    window.wait_until(lambda: len(NapariQtNotification._instances) == 1)
    window.wait_until(lambda: not NapariQtNotification._instances)
    window.close()
