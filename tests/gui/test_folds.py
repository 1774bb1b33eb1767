"""How the dock is laid out: the main job pinned, sections that fold and are remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_xce.slides.slide import Slide

pytestmark = pytest.mark.usefixtures("fake_engine")


def _is_wholly_seen(widget: QWidget) -> bool:
    return widget.visibleRegion().boundingRect() == widget.rect()


def test_main_job_is_seen_whole_at_800_pixels(window: Any, noise: Slide) -> None:
    window.show(noise)
    for name in ("tumour", "stroma", "plasma cell"):
        window.session.add_class(name)
    window.settle()
    window.qtbot.wait(50)
    assert window.viewer.window._qt_window.height() == 800
    dock = window.dock
    for part in (dock.hint, dock.slide.open, dock.classes.table, dock.learn.toggle, dock.status):
        assert _is_wholly_seen(part)


def test_no_section_is_wider_than_the_dock(window: Any, noise: Slide) -> None:
    window.show(noise)
    for fold in window.dock._folds():
        fold.show_open(True)
    window.qtbot.wait(50)
    area = window.dock.findChild(QScrollArea)
    assert area.widget().width() <= area.viewport().width()


def test_sections_below_scroll_while_the_main_job_stays(window: Any, noise: Slide) -> None:
    window.show(noise)
    for fold in window.dock._folds():
        fold.show_open(True)
    window.viewer.window._qt_window.resize(1280, 700)
    window.qtbot.wait(50)
    bar = window.dock.findChild(QScrollArea).verticalScrollBar()
    assert bar.maximum() > 0
    bar.setValue(bar.maximum())
    window.qtbot.wait(50)
    assert _is_wholly_seen(window.dock.learn.toggle)
    assert _is_wholly_seen(window.dock.export.export)


def test_title_folds_a_section_away_and_opens_it(window: Any, noise: Slide) -> None:
    window.show(noise)
    fold = window.dock.counts
    fold.show_open(True)
    fold.heading.click()
    assert not fold.is_open
    assert not fold.whole.isVisible()
    fold.heading.click()
    assert fold.whole.isVisible()


def test_session_remembers_which_sections_are_open(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.show_box.heading.click()
    chosen = [fold.is_open for fold in window.dock._folds()]
    path = Path(window.session.path)
    window.dock.annotator.shutdown()
    for fold in window.dock._folds():
        fold.show_open(not fold.is_open)
    window.dock.open_session(path)
    assert [fold.is_open for fold in window.dock._folds()] == chosen
