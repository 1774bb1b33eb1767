"""Tests that open a window: marked ``gui``, skipped where there is no display to open it on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari import Viewer
from napari.layers import Image, Layer
from numpy.typing import ArrayLike
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_xce.engine import Message, Painted
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session
from napari_xce.slides.slide import Slide
from napari_xce.viewer.binding import Binding
from napari_xce.viewer.slide_layer import add_slide_layer
from napari_xce.widgets.dock import AnnotatorDock

LEFT, NO_MODIFIER = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

HERE = Path(__file__).parent


def _why_no_window() -> str | None:
    """Say why no window with OpenGL can be opened here, or None when one can."""
    if os.environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal")):
        return "QT_QPA_PLATFORM has no OpenGL; run scripts/test, or pytest under xvfb-run"
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        return "no display; run scripts/test, or pytest under xvfb-run"
    return None


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them without a display."""
    reason = _why_no_window()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gui)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home of its own: the sessions of slides without a file are kept there."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    return home


@pytest.fixture
def svs(shared_data: Path, tmp_path: Path) -> Path:
    """Return a copy of the small real slide, in a folder where a session may be kept beside it."""
    return Path(shutil.copy(shared_data / "slides" / "CMU-1-Small-Region.svs", tmp_path))


@pytest.fixture
def noise() -> Slide:
    """Return a slide of 600 x 800 pixels of noise, 0.5 um/px, kept in memory."""
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    return Slide.from_array(pixels, mpp=0.5, name="noise")


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an engine without thread or model in the place of the real one."""
    monkeypatch.setattr("napari_xce.widgets.annotator.Engine", FakeEngine)


@pytest.fixture
def window(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> Window:
    """Return a viewer on screen with the dock in it."""
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    return Window(viewer, qtbot)


class FakeEngine:
    """Notes what it is told, and says what a test tells it to say."""

    def __init__(self, session: Session, wake: Callable[[], None] | None = None) -> None:
        self.session = session
        self.told: list[tuple[Any, ...]] = []
        self._outbox: list[Message] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        known = ("start", "shutdown", "set_viewport", "annotations_changed", "pause", "resume")
        known += (
            "set_head",
            "undo_promotion",
            "suggest",
            "predict_slide",
            "cancel_predict",
            "pause_predict",
            "rest",
        )
        if name not in known:
            raise AttributeError(name)
        return lambda *args: self.told.append((name, *args))

    def poll(self) -> list[Message]:
        said, self._outbox = self._outbox, []
        return said

    def say(self, *messages: Message) -> None:
        """Have these fetched at the next tick."""
        self._outbox += messages

    def times(self, name: str) -> int:
        """Return how often it was told this."""
        return sum(told[0] == name for told in self.told)

    def find(self, slide_id: str, points: ArrayLike, label: str = "cell") -> None:
        """Publish cells of one class in the slide's first tile, and heat all over it."""
        points = np.asarray(points, dtype=float)
        count = len(points)
        cells = Detections(
            points, [label] * count, np.full(count, 0.9), np.full(count, 16.0), revision=1
        )
        heat = {label: np.full((112, 112), 200, np.uint8)}
        predictions = self.session.predictions[slide_id]
        predictions.publish((0, 0), heat, cells)
        self.say(Painted(slide_id, predictions.grid.core_box((0, 0)), 1))


class Window:
    """A viewer with our dock, and hands to use them: real mouse and key events on the canvas."""

    def __init__(self, viewer: Viewer, qtbot: QtBot) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        self.dock = AnnotatorDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="XCE Annotator", area="right")
        self.settle()

    @property
    def binding(self) -> Binding:
        assert self.dock.annotator.binding is not None
        return self.dock.annotator.binding

    @property
    def engine(self) -> Any:
        return self.dock.annotator.engine

    @property
    def session(self) -> Session:
        assert self.dock.annotator.session is not None
        return self.dock.annotator.session

    @property
    def canvas(self) -> QWidget:
        return self.viewer.window._qt_viewer.canvas.native

    def show(self, slide: Slide) -> Image:
        """Show a slide and work on it."""
        layer = add_slide_layer(self.viewer, slide)
        self.dock._use_layer(layer)
        self.settle()
        return layer

    def settle(self) -> None:
        """Let what is waiting happen: draw, and tick once."""
        self.qtbot.wait(30)
        self.dock.tick()
        self.qtbot.wait(30)

    def count(self) -> None:
        """Have the cells counted anew, and wait for that."""
        self.dock._recount = True
        self.dock.tick()
        self.qtbot.waitUntil(lambda: not self.dock._counter.busy, timeout=60_000)

    def layer(self, name: str) -> Layer:
        return self.viewer.layers[name]

    def spot(self, yx: tuple[float, float]) -> QPoint:
        """Return where a level-0 place of the slide is on the canvas."""
        camera = self.viewer.scene.camera
        world = np.array(self.binding.slide_layer.data_to_world(yx)[-2:])
        size = np.array(self.viewer.canvas.size)
        y, x = (world - camera.center[-2:]) * camera.zoom + size / 2
        return QPoint(round(x), round(y))

    def click(self, yx: tuple[float, float]) -> None:
        """Click on a place of the slide."""
        spot = self.spot(yx)
        QTest.mouseMove(self.canvas, spot)
        self.qtbot.wait(10)
        QTest.mouseClick(self.canvas, LEFT, NO_MODIFIER, spot)
        self.qtbot.wait(10)

    def drag(self, start: QPoint, dx: int, steps: int = 4) -> None:
        """Press, move to the right and let go."""
        QTest.mousePress(self.canvas, LEFT, NO_MODIFIER, start)
        for step in range(1, steps + 1):
            QTest.mouseMove(self.canvas, start + QPoint(dx * step // steps, 0))
            self.qtbot.wait(8)  # napari throttles moves to one in 5 ms
        QTest.mouseRelease(self.canvas, LEFT, NO_MODIFIER, start + QPoint(dx, 0))
        self.qtbot.wait(30)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier | None = None) -> None:
        """Press a key on the canvas."""
        QTest.keyClick(self.canvas, key, NO_MODIFIER if modifier is None else modifier)
        self.qtbot.wait(10)

    def hover(self, yx: tuple[float, float]) -> None:
        """Move the mouse over a place of the slide."""
        QTest.mouseMove(self.canvas, self.spot(yx) + QPoint(3, 3))
        self.qtbot.wait(15)
        QTest.mouseMove(self.canvas, self.spot(yx))
        self.qtbot.wait(15)
