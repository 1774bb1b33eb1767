"""The section "Files": exports and imports beside the window, with a bar and Cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.notifications import Notification, notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_xce import exchange
from napari_xce.annotations import CellClass
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session
from napari_xce.slides.slide import Slide

pytestmark = pytest.mark.usefixtures("fake_engine")

CONTROL = Qt.KeyboardModifier.ControlModifier
TABLE = "y_px,x_px,class\n100,120,tumour\n200,220,cell\n"


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    """Forget what earlier tests were told."""
    notification_manager.records.clear()


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "in.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have files of points read only once this is called."""
    event, read_points = threading.Event(), exchange.read_points

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        event.wait(60)
        return read_points(*args, **kwargs)

    monkeypatch.setattr(exchange, "read_points", slow)
    return event.set


def _told(words: str) -> int:
    return sum(words in record.message for record in notification_manager.records)


def _result(window: Any) -> str:
    """Return what the dock says came of the last job."""
    bar = window.dock.job_bar
    return str(bar.result.text()) if bar.result.isVisible() else ""


def _wait(window: Any, done: Callable[[], bool]) -> None:
    window.qtbot.waitUntil(done, timeout=30_000)


def test_points_come_in_and_cells_go_out(window: Any, noise: Slide, table: str) -> None:
    window.show(noise)
    window.dock.export.imported.emit(table)
    _wait(window, lambda: len(window.layer("xce: clicks").data) == 2)
    assert "tumour" in [c.name for c in window.session.classes]
    said = "2 annotations read from in.csv; Ctrl+Z takes them back"
    _wait(window, lambda: _result(window) == said)
    window.engine.find(window.binding.slide_id, [[150, 160]])
    out = Path(table).with_name("out.geojson")
    window.dock.export.exported.emit(str(out))
    _wait(window, lambda: _result(window) == f"Exported out.geojson to {out.parent}")
    assert out.exists()
    assert not notification_manager.records
    window.dock.job_bar.close_result.click()
    window.settle()
    assert not window.dock.job_bar.isVisible()


@pytest.mark.parametrize("kind", [".geojson", ".json", ".csv"])
def test_points_of_each_kind_of_file_come_in(
    window: Any, noise: Slide, tmp_path: Path, kind: str
) -> None:
    with Session.create(tmp_path / "other.xce") as other:
        slide = Slide.from_array(np.zeros((600, 800, 3), np.uint8), mpp=0.5, name="noise")
        other.annotate("cell", [[10, 20], [30, 40]], slide=other.add_slide(slide))
        with pytest.warns(match="Nothing has been predicted"):
            other.export(tmp_path / f"said{kind}")
    window.show(noise)
    window.dock.export.imported.emit(str(tmp_path / f"said{kind}"))
    _wait(window, lambda: len(window.session.annotations()) == 2)
    assert window.session.annotations().points.tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize("kind", [".geojson", ".json", ".csv"])
def test_cells_of_each_kind_of_file_come_in(
    window: Any, noise: Slide, tmp_path: Path, kind: str
) -> None:
    cells = Detections([[100, 120], [200, 220]], ["tumour", "cell"], [0.75, 0.5], [16, 18])
    path, classes = tmp_path / f"found{kind}", [CellClass(1, "cell", "#ff0000", None)]
    tumour = CellClass(2, "tumour", "#00ff00", None)
    exchange.write(path, detections=cells, classes=[*classes, tumour], shape=(600, 800))
    window.show(noise)
    window.dock.export.cells_imported.emit(str(path))
    _wait(window, lambda: "2 cells read from" in _result(window))
    assert len(window.session.annotations()) == 0
    assert window.session.measure().counts == {"cell": 1, "tumour": 1}
    _wait(window, lambda: len(window.layer("xce: cells").data) == 2)


def test_class_that_the_file_has_is_shown_from_afar(
    window: Any, noise: Slide, tmp_path: Path
) -> None:
    path = tmp_path / "found.csv"
    rows = "".join(f"{y},{y},{name}\n" for y, name in enumerate("abb", start=100))
    path.write_text(f"y,x,class\n{rows}", encoding="utf-8")
    window.show(noise)
    assert window.binding.current == "cell"  # of which the file has none
    window.dock.export.cells_imported.emit(str(path))
    _wait(window, lambda: window.binding.heat.layer is not None)
    assert window.binding.current == "b"
    assert window.layer("xce: heat").data[-1].any()


def test_imported_cells_are_seen_where_they_are_too_small_for_rings(
    window: Any, tmp_path: Path
) -> None:
    """Also where the heat's finest levels, which no file fills, would be fine enough."""
    window.show(Slide.from_array(np.full((3200, 3200, 3), 230, np.uint8), mpp=0.5, name="bright"))
    window.viewer.reset_view()
    rows = "".join(f"{y},{x}\n" for y in range(1500, 1700, 20) for x in range(1500, 1700, 20))
    path = tmp_path / "found.csv"
    path.write_text(f"y,x\n{rows}", encoding="utf-8")
    window.settle()
    assert window.binding.cells.diameter_px * window.viewer.scene.camera.zoom * 0.5 < 3
    window.dock.export.cells_imported.emit(str(path))

    def tinted() -> bool:
        pixels = window.viewer.screenshot(canvas_only=True, flash=False)
        middle = np.array(pixels.shape[:2]) // 2
        near = pixels[middle[0] - 10 : middle[0] + 10, middle[1] - 10 : middle[1] + 10, :3]
        return bool(np.ptp(near.mean((0, 1))) > 30)  # no grey any more

    _wait(window, tinted)
    assert len(window.layer("xce: cells").data) == 0


def test_window_goes_on_while_points_are_read(
    window: Any, noise: Slide, table: str, let_go: Callable[[], None]
) -> None:
    window.show(noise)
    window.dock.export.imported.emit(table)
    bar = window.dock.job_bar
    _wait(window, bar.cancel.isVisible)
    assert bar.words.full_text() == "Reading in.csv"
    window.click((300, 300))  # the window is not blocked: a click is taken, and is on the disk
    assert len(window.session.annotations()) == 1
    let_go()
    _wait(window, lambda: len(window.session.annotations()) == 3)
    _wait(window, lambda: not bar.bar.isVisible())
    window.press(Qt.Key.Key_Z, CONTROL)
    assert len(window.session.annotations()) == 1
    assert [c.name for c in window.session.classes] == ["background", "cell"]


def test_cancelled_import_leaves_the_session_as_it_was(
    window: Any, noise: Slide, table: str, let_go: Callable[[], None]
) -> None:
    window.show(noise)
    revision = window.session.store.revision
    window.dock.export.imported.emit(table)
    _wait(window, window.dock.job_bar.cancel.isVisible)
    window.dock.job_bar.cancel.click()
    let_go()
    _wait(window, lambda: _result(window) == "Cancelled: reading in.csv")
    assert window.session.store.revision == revision
    assert not window.dock.job_bar.bar.isVisible()
    assert not notification_manager.records


def test_import_that_was_over_before_cancel_is_shown(
    window: Any, noise: Slide, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.show(noise)
    done, go_on = threading.Event(), threading.Event()
    import_points = window.session.import_points

    def slow_to_return(*args: Any, **kwargs: Any) -> int:
        count = import_points(*args, **kwargs)
        done.set()
        go_on.wait(60)
        return count

    monkeypatch.setattr(window.session, "import_points", slow_to_return)
    window.dock.export.imported.emit(table)
    _wait(window, done.is_set)
    window.dock._jobs.cancel()
    go_on.set()
    _wait(window, lambda: "2 annotations read from in.csv" in _result(window))
    assert len(window.session.annotations()) == 2


def test_bad_file_is_told_once_in_one_sentence(window: Any, noise: Slide, tmp_path: Path) -> None:
    window.show(noise)
    (tmp_path / "bad.geojson").write_text("{", encoding="utf-8")
    window.dock.export.imported.emit(str(tmp_path / "bad.geojson"))
    _wait(window, lambda: _told("bad.geojson was not read: it is not valid JSON") == 1)
    window.settle()
    assert len(notification_manager.records) == 1
    assert _result(window) == ""  # it is not being read any more
    assert len(window.session.annotations()) == 0


def test_more_points_than_can_teach_are_refused(
    window: Any, noise: Slide, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.widgets.file_desk.MOST_POINTS", 1)
    window.show(noise)
    window.dock.export.imported.emit(table)
    _wait(window, lambda: _told("more than 1 points, too many to learn from") == 1)
    assert len(window.session.annotations()) == 0


def test_import_into_a_session_that_was_left_is_forgotten(
    window: Any, noise: Slide, table: str, tmp_path: Path, let_go: Callable[[], None]
) -> None:
    Session.create(tmp_path / "other.xce").close()
    window.show(noise)
    window.dock.export.imported.emit(table)
    _wait(window, window.dock.job_bar.cancel.isVisible)
    window.dock.open_session(tmp_path / "other.xce")
    let_go()
    window.dock._jobs._pool.submit(int).result(timeout=60)  # the one before it has ended
    window.settle()
    assert len(window.session.annotations()) == 0
    assert not notification_manager.records


def test_long_export_shows_a_bar_and_can_be_cancelled(
    window: Any, noise: Slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.show(noise)
    let_go = threading.Event()
    export, path = window.session.export, tmp_path / "cells.csv"
    path.write_text("as it was", encoding="utf-8")

    def slow(*args: Any, **kwargs: Any) -> Path:
        let_go.wait(60)
        return export(*args, **kwargs)

    monkeypatch.setattr(window.session, "export", slow)
    window.dock.files.export(str(path))
    bar = window.dock.job_bar
    window.qtbot.waitUntil(lambda: bar.cancel.isVisible(), timeout=20_000)
    assert "Exporting" in bar.words.full_text()
    bar.cancel.click()
    let_go.set()
    _wait(window, lambda: _result(window) == "Cancelled: exporting cells.csv")
    assert not bar.bar.isVisible()
    assert path.read_text(encoding="utf-8") == "as it was"


def _notes(window: Any) -> list[Any]:
    """Return napari's notes over the slide."""
    found = window.canvas.findChildren(NapariQtNotification)
    return [note for note in found if note.isVisible()]


@pytest.fixture
def notes(window: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have napari show its notes for a tenth of a second, over an active window."""
    monkeypatch.setattr(NapariQtNotification, "DISMISS_AFTER", 100)
    window.viewer.window._qt_window.activateWindow()
    window.qtbot.waitUntil(window.canvas.isActiveWindow)
    yield window
    for note in _notes(window):
        note.close()


def _say_three(window: Any) -> None:
    for number in range(3):
        note = Notification(f"Exported {number}", "info")
        NapariQtNotification.from_notification(note, window.canvas).show()
    assert len(_notes(window)) == 3


def test_notes_told_one_after_the_other_all_go(notes: Any) -> None:
    _say_three(notes)
    notes.dock.tick()
    _wait(notes, lambda: not _notes(notes))


def test_notes_stay_while_another_window_is_active(
    notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(QWidget, "isActiveWindow", lambda widget: False)
        _say_three(notes)
        notes.dock.tick()
        notes.qtbot.wait(500)
        assert len(_notes(notes)) == 3
    notes.dock.tick()
    _wait(notes, lambda: not _notes(notes))


def test_a_note_that_was_opened_out_stays(notes: Any) -> None:
    _say_three(notes)
    _notes(notes)[0].expand()
    notes.dock.tick()
    _wait(notes, lambda: len(_notes(notes)) == 1)


def test_napari_alone_keeps_notes_told_one_after_the_other(notes: Any) -> None:
    """Contract: when this fails, ``let_notes_go`` can go."""
    notes.dock._timer.stop()
    _say_three(notes)
    notes.qtbot.wait(1000)
    assert len(_notes(notes)) == 2
