"""A click and the model's answer come in one frame; no click waits long for its mark."""

from __future__ import annotations

from typing import Any

import pytest

from napari_xce.engine import Status
from napari_xce.slides.slide import Slide
from napari_xce.viewer import one_frame

pytestmark = pytest.mark.usefixtures("fake_engine")
LEARNING, PAUSED = (Status(state, 0, 0, 0.0, 0.0, "") for state in ("learning", "paused"))


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the canvas for ever, so that no test depends on how busy the machine is."""
    monkeypatch.setattr(one_frame, "HOLD_MS", 10_000_000)


@pytest.fixture
def ready(window: Any, noise: Slide) -> Any:
    """Return a window with a slide in full size, and a list that grows with every frame."""
    window.show(noise)
    window.viewer.scene.camera.zoom = 2
    window.settle()
    window.frames = []
    window.canvas.frameSwapped.connect(lambda: window.frames.append(None))
    window.cells_drawn = lambda: len(window.layer("xce: cells").data)
    return window


@pytest.mark.usefixtures("patience")
def test_answer_is_in_the_first_frame_after_a_click(ready: Any) -> None:
    ready.engine.say(LEARNING)
    ready.settle()
    ready.click((300, 400))
    ready.settle()  # a tick without an answer
    assert not ready.canvas.updatesEnabled()
    assert len(ready.session.annotations()) == 1  # said, though not drawn
    assert not ready.cells_drawn()
    ready.engine.find(ready.binding.slide_id, [(200, 300), (220, 310)])
    ready.settle()
    assert ready.canvas.updatesEnabled()
    assert ready.cells_drawn() == 2


@pytest.mark.usefixtures("patience")
def test_late_predictions_of_the_model_before_are_no_answer(ready: Any) -> None:
    ready.engine.say(LEARNING)
    ready.settle()
    ready.session.live.revision = 5
    ready.click((300, 400))
    ready.engine.find(ready.binding.slide_id, [(200, 300)])  # of revision 1
    ready.settle()
    assert not ready.canvas.updatesEnabled()


def test_click_without_an_answer_is_drawn_soon(ready: Any) -> None:
    ready.engine.say(LEARNING)
    ready.settle()
    ready.frames.clear()
    ready.click((300, 400))
    ready.qtbot.waitUntil(lambda: ready.canvas.updatesEnabled() and bool(ready.frames))


@pytest.mark.usefixtures("patience")
def test_nothing_is_held_while_learning_is_paused(ready: Any) -> None:
    ready.engine.say(LEARNING, PAUSED)
    ready.settle()
    ready.click((300, 400))
    assert ready.canvas.updatesEnabled()


@pytest.mark.usefixtures("patience")
def test_slide_let_go_is_drawn_again(ready: Any) -> None:
    ready.engine.say(LEARNING)
    ready.settle()
    ready.click((300, 400))
    assert not ready.canvas.updatesEnabled()
    ready.dock.annotator.release_slide()
    assert ready.canvas.updatesEnabled()


@pytest.mark.usefixtures("patience")
def test_engine_rests_until_the_answer_is_on_the_screen(ready: Any) -> None:
    def rests() -> list[float]:
        return [told[1] for told in ready.engine.told if told[0] == "rest"]

    ready.engine.say(LEARNING)
    ready.settle()
    ready.click((300, 400))
    ready.settle()
    assert rests() == []
    ready.engine.find(ready.binding.slide_id, [(200, 300)])
    ready.qtbot.waitUntil(lambda: len(rests()) == 2)
    assert rests() == [one_frame.REST_SECONDS, 0.0]
