"""The whole job in a window: real clicks on a real slide, a real engine, heat that changes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_xce.session import Session
from napari_xce.slides.slide import Slide
from napari_xce.widgets.dock import AnnotatorDock

# Nuclei of the slide's epithelium, and a place without, found by eye: level-0 (y, x).
NUCLEI = [(992, 1229), (1027, 1230), (1092, 1179), (1114, 1195)]
NO_NUCLEUS = (1060, 1195)
PATIENCE_MS = 60_000


@pytest.fixture
def clicked(window: Any, svs: Path) -> Any:
    """Return a window with the real slide, zoomed in, and four real clicks on nuclei."""
    window.dock._open_file(str(svs))
    layer = window.binding.slide_layer
    window.viewer.scene.camera.center = (0, *layer.data_to_world((1060, 1190)))
    window.viewer.scene.camera.zoom = 2.5
    window.settle()
    for place in NUCLEI:
        window.click(place)
    assert len(window.session.annotations()) == len(NUCLEI)
    return window


def _heat(window: Any) -> np.ndarray | None:
    heat = window.binding.overlays.heat.layer
    return None if heat is None else heat._slice.image.raw


def _painted(window: Any) -> bool:
    heat = _heat(window)
    return heat is not None and bool(heat.max() > 1)


def _engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("xce-engine")]


def test_clicks_become_heat_and_cells_in_view(clicked: Any) -> None:
    assert _heat(clicked) is None
    clicked.dock.learn.toggle.click()
    clicked.qtbot.waitUntil(lambda: _painted(clicked), timeout=PATIENCE_MS)
    clicked.qtbot.waitUntil(lambda: len(clicked.layer("xce: cells").data) > 0, timeout=PATIENCE_MS)
    clicked.qtbot.waitUntil(lambda: clicked.session.model_revision > 0, timeout=PATIENCE_MS)
    before, revision = _heat(clicked).copy(), clicked.session.model_revision
    clicked.press(Qt.Key.Key_0)
    clicked.click(NO_NUCLEUS)  # more is said: the picture changes
    clicked.qtbot.waitUntil(
        lambda: (
            clicked.session.model_revision > revision and not np.array_equal(_heat(clicked), before)
        ),
        timeout=PATIENCE_MS,
    )
    assert "revision" in clicked.dock.status.speed.toolTip()


def test_everything_may_be_touched_while_it_learns(clicked: Any, noise: Slide) -> None:
    window = clicked
    window.dock.learn.toggle.click()
    window.qtbot.waitUntil(lambda: _painted(window), timeout=PATIENCE_MS)
    window.dock.classes.add.click()
    window.click((900, 1200))
    window.qtbot.waitUntil(lambda: _painted(window), timeout=PATIENCE_MS)
    window.dock.learn.head_chosen.emit("unet")
    window.viewer.layers.remove("xce: heat")
    window.viewer.layers.remove("xce: cells")
    window.viewer.scene.camera.zoom = 4.0
    window.settle()
    window.qtbot.waitUntil(lambda: window.session.head == "unet", timeout=PATIENCE_MS)
    window.qtbot.waitUntil(lambda: "xce: masks" in window.viewer.layers, timeout=PATIENCE_MS)
    window.dock.learn.toggle.click()  # pause
    window.qtbot.waitUntil(lambda: window.dock.status.state.text() == "Paused", timeout=PATIENCE_MS)
    window.dock.learn.toggle.click()
    window.show(noise)  # another slide
    window.settle()
    assert not any(layer.name == "xce: masks" for layer in window.viewer.layers)
    window.viewer.layers.remove(window.binding.slide_layer)
    window.settle()
    assert window.dock.annotator.binding is None


def test_closing_while_it_learns_leaves_nothing_but_the_session(clicked: Any, svs: Path) -> None:
    clicked.dock.learn.toggle.click()
    clicked.qtbot.waitUntil(lambda: _painted(clicked), timeout=PATIENCE_MS)
    assert _engine_threads()
    clicked.viewer.window.remove_dock_widget(clicked.dock)  # what the dock's own cross does
    assert not _engine_threads()
    assert [layer.name for layer in clicked.viewer.layers] == [svs.name]
    with Session.open(svs.with_suffix(".xce")) as again:
        assert len(again.annotations()) == len(NUCLEI)
        assert again.live.has_learnt


def test_closing_the_window_while_it_learns_saves_and_ends(
    make_napari_viewer: Any, svs: Path, qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    dock = AnnotatorDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock._open_file(str(svs))
    dock.annotator.binding.clicks.layer.add(NUCLEI)
    dock.tick()
    dock.learn.toggle.click()
    session = dock.annotator.session
    qtbot.waitUntil(lambda: session.model_revision > 0, timeout=PATIENCE_MS)
    del dock
    viewer.close()
    qtbot.waitUntil(lambda: not _engine_threads(), timeout=PATIENCE_MS)
    with Session.open(svs.with_suffix(".xce")) as again:
        assert len(again.annotations()) == len(NUCLEI)
        assert again.live.has_learnt


def test_suggestion_flies_there_with_a_reason(clicked: Any) -> None:
    clicked.dock.learn.toggle.click()
    clicked.qtbot.waitUntil(lambda: _painted(clicked), timeout=PATIENCE_MS)
    clicked.dock.suggest.next.click()
    clicked.qtbot.waitUntil(lambda: "xce: look here" in clicked.viewer.layers, timeout=PATIENCE_MS)
    assert clicked.dock.suggest.reason.text()
