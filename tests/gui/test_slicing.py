"""Contract: what is painted while the window is open reaches its screen, however napari slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings

from napari_xce.engine import Painted
from napari_xce.predictions.detections import Detections
from napari_xce.slides.slide import Slide

pytestmark = pytest.mark.usefixtures("fake_engine")


@pytest.fixture(params=[False, True], ids=["sliced at once", "sliced in a thread"])
def slicing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Slice layers at once, or in a thread, as with NAPARI_ASYNC=1."""
    settings = get_settings().experimental
    before, settings.async_ = settings.async_, request.param
    yield
    settings.async_ = before


@pytest.mark.parametrize("zoom", [2.0, 0.3], ids=["close", "all of it"])
@pytest.mark.usefixtures("slicing")
def test_each_painting_of_a_tile_reaches_the_screen(window: Any, noise: Slide, zoom: float) -> None:
    window.show(noise)
    window.viewer.scene.camera.center = (0, 112, 112)  # um: the middle of the first tile
    window.viewer.scene.camera.zoom = zoom
    window.settle()
    id = window.binding.slide_id
    window.engine.find(id, [[200, 200]])
    window.qtbot.waitUntil(lambda: "xce: heat" in window.viewer.layers)
    window.binding.show("cells", visible=False)  # heat alone
    bright = _settled(window)
    predictions = window.session.predictions[id]
    for revision, heat in ((2, 40), (3, 200)):  # from afar 80 is the full colour
        block = np.full((112, 112), heat, np.uint8)
        predictions.publish((0, 0), {"cell": block}, Detections.empty(revision))
        before = _screen(window)
        window.engine.say(Painted(id, predictions.grid.core_box((0, 0)), revision))
        window.qtbot.waitUntil(lambda before=before: _differs(window, before), timeout=20_000)
    window.qtbot.waitUntil(lambda: not _differs(window, bright), timeout=20_000)


def _screen(window: Any) -> np.ndarray:
    """Return the middle of the canvas."""
    pixels = window.viewer.screenshot(canvas_only=True, flash=False)
    y, x = pixels.shape[0] // 2, pixels.shape[1] // 2
    return pixels[y - 10 : y + 10, x - 10 : x + 10, :3].astype(int)


def _differs(window: Any, before: np.ndarray) -> bool:
    return bool(np.abs(_screen(window) - before).mean() > 10)


def _settled(window: Any) -> np.ndarray:
    """Return the screen once two looks at it agree."""
    looks = [_screen(window)]

    def same() -> bool:
        looks.append(_screen(window))
        return np.array_equal(looks[-1], looks[-2])

    window.qtbot.wait(300)
    window.qtbot.waitUntil(same, timeout=20_000)
    return looks[-1]
