"""A real window to measure in: hands that click and move the view, and an eye on its pixels.

GUI thread only. The eye reads every drawn frame back from OpenGL and takes the time when Qt has
handed it to the window system, so that a change counts when it can be seen, not when it was
computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from vispy import gloo

from napari_xce.errors import XceError
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.session import Session
from napari_xce.viewer.binding import Binding
from napari_xce.widgets.dock import AnnotatorDock, dock_of
from napari_xce.widgets.launch import open_viewer

#: Width and height of the canvas, pixels.
CANVAS = (1600, 1000)
#: Changes nearer to a click than this, canvas pixels, are the click's own mark, not an answer.
MARK_PX = 40
CHECK_MS = 5
MOST_TRIES = 40


class Window:
    """A viewer with the dock on a session; close it when done.

    Parameters
    ----------
    session : Path
        A session with one slide.

    """

    def __init__(self, session: Path) -> None:
        self.viewer = open_viewer(session=Session.open(session))
        dock = dock_of(self.viewer)
        assert dock is not None
        self.dock: AnnotatorDock = dock
        self._canvas: Any = self.viewer.window._qt_viewer.canvas
        self._widget: QWidget = self._canvas.native
        self._fit_canvas()
        self.viewer.window._qt_window.activateWindow()  # else napari's notes stay for ever
        self.wait(0.2)
        self.eye = Eye(self._canvas)

    @property
    def binding(self) -> Binding:
        """The dock's binding of viewer, slide and session."""
        binding = self.dock.annotator.binding
        assert binding is not None
        return binding

    @property
    def session(self) -> Session:
        """The session in the dock."""
        return self.binding.session

    @property
    def predictions(self) -> SlidePredictions:
        """What is predicted of the slide."""
        return self.session.predictions[self.binding.slide_id]

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Width and height of the canvas, pixels."""
        height, width = self.viewer.canvas.size
        return int(width), int(height)

    def close(self) -> None:
        """Close the viewer, which ends the engine and saves."""
        self.eye.close()
        self.viewer.close()
        self.wait(0.05)

    # ---- time

    def wait(self, seconds: float) -> None:
        """Let the window live for some time."""
        loop = QEventLoop()
        QTimer.singleShot(round(seconds * 1000), loop.quit)
        loop.exec()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let the window live until something holds.

        Raises
        ------
        XceError
            If it does not hold in time.
        """
        loop, timer = QEventLoop(), QTimer()
        deadline = time.perf_counter() + seconds
        held = False

        def look() -> None:
            nonlocal held
            held = condition()  # once: a moment later it may not hold any more
            if held or time.perf_counter() > deadline:
                loop.quit()

        timer.timeout.connect(look)
        timer.start(CHECK_MS)
        loop.exec()
        timer.stop()
        if not held:
            raise XceError(f"The window was not done after {seconds:.0f} s; is the machine busy?")

    # ---- hands

    def look_at(self, yx: tuple[float, float], zoom: float) -> None:
        """Bring a place, level-0 pixels, to the middle, at so many canvas pixels for each."""
        camera = self.viewer.scene.camera
        layer = self.binding.slide_layer
        camera.center = (*camera.center[:-2], *layer.data_to_world(yx)[-2:])
        camera.zoom = zoom / float(np.mean(np.abs(layer.scale)))

    def spot(self, yx: tuple[float, float]) -> QPoint:
        """Return where a place of the slide, level-0 pixels, is on the canvas."""
        camera = self.viewer.scene.camera
        world = np.array(self.binding.slide_layer.data_to_world(yx)[-2:])
        y, x = (world - camera.center[-2:]) * camera.zoom + np.array(self.viewer.canvas.size) / 2
        return QPoint(round(x), round(y))

    def click(self, yx: tuple[float, float], after: float, at_rest: bool = False) -> float:
        """Click on a place; return when, `time.perf_counter`.

        Notes
        -----
        The click is due after some seconds, and that is the time returned: where the event loop
        is busy then, the wait counts, as it does for a person. With ``at_rest`` it is put off by as
        long again where something else is about to be drawn, which would count as the answer.
        """
        spot = self.spot(yx)
        QTest.mouseMove(self._widget, spot)
        self.wait(0.05)
        self.eye.watch(spot)
        for _ in range(MOST_TRIES):
            due = time.perf_counter() + after
            if self._press(spot, due, at_rest):
                return due
        raise XceError("The window was never at rest; is the machine busy?")

    def _press(self, spot: QPoint, due: float, at_rest: bool) -> bool:
        """Click at that time; return False if something else is about to be drawn instead."""
        loop, clicked = QEventLoop(), False

        def press() -> None:
            nonlocal clicked
            clicked = not at_rest or self.view_is_painted()
            if clicked:
                self.eye.begin()
                QTest.mouseClick(
                    self._widget,
                    Qt.MouseButton.LeftButton,
                    Qt.KeyboardModifier.NoModifier,
                    spot,
                )
            loop.quit()

        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.setSingleShot(True)
        timer.timeout.connect(press)
        timer.start(max(0, round((due - time.perf_counter()) * 1000)))
        loop.exec()
        return clicked

    # ---- what is on screen

    def view_is_painted(self) -> bool:
        """Tell whether all in view is predicted by the present model, and drawn or about to be."""
        binding = self.binding
        if binding.box is None or binding._view._changed:
            return False
        heat, cells = binding.overlays.heat, binding.overlays.cells
        painted = binding.overlays.is_painted(binding.box)
        return painted and heat.is_drawn(binding.box) and not cells._dirty

    def _fit_canvas(self) -> None:
        """Give the canvas its size, as far as the screen allows."""
        window = self.viewer.window._qt_window
        self.viewer.window._qt_viewer.dockLayerList.setVisible(False)
        self.viewer.window._qt_viewer.dockLayerControls.setVisible(False)
        self.wait(0.2)
        for _ in range(2):  # docks take what they want in the first round
            width, height = self.canvas_size
            window.resize(window.width() + CANVAS[0] - width, window.height() + CANVAS[1] - height)
            self.wait(0.2)


class Eye:
    """Notes when the pixels of a canvas change.

    Attributes
    ----------
    first, last : float or None
        When the first and the latest frame that differs, away from the click, was swapped to the
        window system (`time.perf_counter`), since `watch`.
    frames : int
        Frames swapped since `watch`.
    """

    def __init__(self, canvas: Any) -> None:
        self._canvas = canvas
        self._scene = canvas._scene_canvas
        self._watching = False
        self._hole = (slice(0), slice(0))
        self._before: NDArray[np.uint32] | None = None  # the frame when the watch began
        self._latest: NDArray[np.uint32] | None = None
        self._differs = self._moved = False  # of the frame drawn, but not swapped yet
        self.first: float | None = None
        self.last: float | None = None
        self.frames = 0
        self._scene.events.draw.connect(self._drawn, position="last")
        canvas.native.frameSwapped.connect(self._swapped)

    def watch(self, spot: QPoint | None = None) -> None:
        """Compare with what is on screen now; near a spot, changes do not count."""
        self.first = self.last = self._before = self._latest = None
        self._differs = self._moved = False
        self.frames = 0
        self._hole = (slice(0), slice(0))
        self._watching = True
        if spot is not None:
            low = np.maximum((spot.y() - MARK_PX, spot.x() - MARK_PX), 0)
            self._hole = (
                slice(low[0], spot.y() + MARK_PX),
                slice(low[1], spot.x() + MARK_PX),
            )
        self._scene.update()  # the frame to compare with

    def begin(self) -> None:
        """Compare with the latest frame from now on: what came before is no answer."""
        self._before = self._latest
        self.first = self.last = None
        self._differs = self._moved = False

    def rest(self) -> None:
        """Watch no longer: reading frames back takes time."""
        self._watching = False

    def close(self) -> None:
        """Stop listening."""
        self._watching = False
        self._scene.events.draw.disconnect(self._drawn)
        self._canvas.native.frameSwapped.disconnect(self._swapped)

    def _drawn(self, event: Any) -> None:
        if not self._watching:
            return
        frame = gloo.read_pixels(alpha=True)  # (h, w, 4), the top row first
        pixels = np.ascontiguousarray(frame).view(np.uint32)[..., 0]
        pixels[self._hole] = 0
        if self._before is None or self._latest is None or self._before.shape != pixels.shape:
            self._before = pixels
        else:
            self._differs |= not np.array_equal(pixels, self._before)
            self._moved |= not np.array_equal(pixels, self._latest)
        self._latest = pixels

    def _swapped(self) -> None:
        if not self._watching:
            return
        now = time.perf_counter()
        self.frames += 1
        if self._differs and self.first is None:
            self.first = now
        if self._moved:
            self.last = now
        self._moved = False
