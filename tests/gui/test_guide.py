"""Where next and how good: the strip and its answers, the way through a region, the figures."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_xce.engine import SuggestionsReady
from napari_xce.evaluation.progress import Measured
from napari_xce.evaluation.quality import measure
from napari_xce.session import Session
from napari_xce.slides.slide import Slide
from napari_xce.suggestions import Suggestion
from napari_xce.viewer.region_walk import FIELD
from napari_xce.widgets.quality_box import NOT_YET

pytestmark = pytest.mark.usefixtures("fake_engine")

PLACES = [(100.0, 150.0), (300.0, 400.0), (500.0, 700.0)]


@pytest.fixture
def asked(window: Any, noise: Slide) -> Any:
    """Return a window that asks about the first of three places; the model calls them cells."""
    window.show(noise)
    window.dock.suggest.next.click()
    slide_id = window.binding.slide_id
    offered = tuple(Suggestion(yx, f"Reason {i}", 1.0, "cell") for i, yx in enumerate(PLACES))
    window.engine.say(SuggestionsReady(slide_id, offered))
    window.settle()
    return window


def _said(window: Any) -> list[tuple[str, str, list[float]]]:
    stands = window.session.annotations()
    return [
        (str(kind), str(label), point)
        for kind, label, point in zip(
            stands.kinds, stands.labels, stands.points.tolist(), strict=True
        )
    ]


def _current(window: Any) -> int | None:
    window.dock.tick()
    return window.dock.guide.tour.current


def test_pictures_come_from_a_worker_and_are_grey_until_then(asked: Any) -> None:
    strip = asked.dock.suggest.strip
    assert [slot.isVisible() for slot in strip.slots] == [True, True, True, False, False]
    asked.qtbot.waitUntil(lambda: asked.dock.tick() or strip.has_picture(2), timeout=20_000)


def test_accepting_says_the_class_and_goes_on(asked: Any) -> None:
    asked.press(Qt.Key.Key_A)
    assert _said(asked) == [("point", "cell", [100, 150])]
    assert asked.session.annotations().provenances.tolist() == ["accepted"]
    assert _current(asked) == 1
    assert asked.layer("xce: look here").data.tolist() == [[300, 400]]
    assert asked.dock.suggest.reason.text().startswith("Reason 1")
    assert "A yes · X no" in asked.dock.suggest.reason.text()


def test_digit_gives_the_place_another_class(asked: Any) -> None:
    asked.session.add_class("tumour", key="2")
    asked.settle()
    asked.dock.suggest.strip.slots[0].click()
    asked.press(Qt.Key.Key_2)
    assert _said(asked) == [("point", "tumour", [100, 150])]


def test_x_rejects_the_place_wherever_the_mouse_is(asked: Any) -> None:
    asked.press(Qt.Key.Key_X)
    assert _said(asked) == [("rejection", "background", [100, 150])]


def test_nothing_here_reviews_a_square_around_the_place(asked: Any) -> None:
    asked.press(Qt.Key.Key_E)
    stands = asked.session.annotations()
    assert stands.kinds.tolist() == ["region"]
    assert not stands.set_aside.any()
    np.testing.assert_allclose(np.ptp(stands.polygons[0], axis=0), (48, 48))  # three cells of 16
    assert asked.session.undo() is not None  # one step
    assert len(asked.session.annotations()) == 0


def test_skip_says_nothing_and_the_last_place_asks_for_more(asked: Any) -> None:
    for _ in PLACES:
        asked.press(Qt.Key.Key_Space)
    assert _said(asked) == []
    assert asked.engine.times("suggest") == 2


def test_buttons_say_the_same_as_the_keys(asked: Any) -> None:
    asked.dock.suggest.answers["A"].click()
    asked.dock.suggest.answers["X"].click()
    assert [said[0] for said in _said(asked)] == ["point", "rejection"]


def test_picture_clicked_is_looked_at(asked: Any) -> None:
    asked.dock.suggest.strip.slots[2].click()
    assert _current(asked) == 2
    assert asked.layer("xce: look here").data.tolist() == [[500, 700]]


def test_keys_are_the_canvas_s_again_after_a_click_or_escape(asked: Any) -> None:
    asked.click((300, 420))  # the user clicks a cell instead of answering
    asked.press(Qt.Key.Key_A)
    assert len(_said(asked)) == 1
    asked.dock.suggest.next.click()
    asked.press(Qt.Key.Key_Escape)
    assert not asked.dock.suggest.answers["A"].isVisible()
    asked.press(Qt.Key.Key_A)
    assert len(_said(asked)) == 1


def test_without_a_guess_yes_is_not_offered(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.press(Qt.Key.Key_N)
    place = Suggestion((100.0, 150.0), "A typical cell: which class is it?", 1.0)
    window.engine.say(SuggestionsReady(window.binding.slide_id, (place,)))
    window.settle()
    assert not window.dock.suggest.answers["A"].isEnabled()
    assert "A yes" not in window.dock.suggest.reason.text()
    assert "X no" in window.dock.suggest.reason.text()
    window.press(Qt.Key.Key_A)
    assert _said(window) == []


def test_whole_slide_asks_without_the_view(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.suggest.whole.setChecked(True)
    window.dock.suggest.next.click()
    assert window.engine.told[-1][-1] is None


def test_region_is_gone_through_part_by_part(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.quality.region.click()
    assert "Draw a rectangle" in window.dock.quality.task.text()
    side = FIELD * 16  # cells are 16 pixels wide here
    window.dock.guide.walk.begin((0.0, 0.0, side, 2 * side))
    assert "Part 1 of 2" in window.dock.quality.task.text()
    assert not window.dock.quality.complete.isEnabled()
    box = window.binding.box
    window.dock.quality.onward.click()
    window.settle()
    assert window.binding.box[1] > box[1]
    assert window.dock.quality.complete.isEnabled()


def test_completed_region_accepts_what_was_found_and_not_rejected(
    window: Any, noise: Slide
) -> None:
    window.show(noise)
    window.engine.find(window.binding.slide_id, [[50, 50], [50, 100], [350, 350]])
    window.session.reject([[50, 101]])
    window.dock.quality.region.click()
    window.dock.guide.walk.begin((0.0, 0.0, 200.0, 200.0))
    window.dock.quality.purpose.setCurrentIndex(1)  # teaches
    window.dock.quality.complete.click()
    assert _said(window)[1:2] == [("point", "cell", [50, 50])]
    assert window.session.annotations().kinds.tolist() == ["rejection", "point", "region"]
    assert not window.session.annotations().set_aside.any()
    assert "xce: region to review" not in window.viewer.layers
    window.session.undo()
    assert window.session.annotations().kinds.tolist() == ["rejection"]


def test_cancelled_region_leaves_nothing_behind(window: Any, noise: Slide) -> None:
    window.show(noise)
    window.dock.quality.region.click()
    window.dock.quality.cancel.click()
    assert "xce: region to review" not in window.viewer.layers
    assert len(window.session.annotations()) == 0
    assert window.viewer.layers.selection.active is window.binding.clicks.layer


def test_figures_confusions_and_doubts_are_shown(window: Any, noise: Slide) -> None:
    window.show(noise)
    box = window.dock.quality
    assert box.words.text() == NOT_YET
    quality = measure(
        [[0, 0], [0, 50]], ["a", "b"], [0, 0], [[0, 1]], ["a"], [0.9], [0], 5.0,
        {"a": 0.5, "b": 0.5}, n_regions=1, tested=True,
    )  # fmt: skip
    box.show_quality(quality, ["Too little to judge b."])
    assert "In 1 test region." in box.words.text()
    assert "Too little" in box.words.text()
    assert box.scores.item(0, 1).text().startswith("1.00 (")
    assert box.scores.item(1, 2).text() == "–"  # nothing was found of it
    assert [box.confusion.item(1, c).text() for c in range(4)] == ["b", "0", "0", "1"]


def test_curve_and_forecast_are_shown_when_there_are_some(window: Any, noise: Slide) -> None:
    window.show(noise)
    box = window.dock.quality
    assert not box.curve.isVisible()
    box.show_open(True)
    box.show_curve([Measured(10, 1, 0.5, 0.4, 0.6, "r")], "More clicks will gain little now.")
    assert box.curve.isVisible()
    assert box.forecast.text() == "More clicks will gain little now."


def test_blurred_view_is_told_in_words(window: Any) -> None:
    """Noise blurred so much that nothing in it is sharp, as dark as tissue."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(120, 200, (16, 16, 3)).repeat(40, 0).repeat(40, 1)
    from scipy import ndimage

    pixels = ndimage.gaussian_filter(coarse.astype(float), (12, 12, 0)).astype(np.uint8)
    window.show(Slide.from_array(pixels, mpp=0.5, name="blurred"))
    window.qtbot.waitUntil(
        lambda: window.dock.tick() or "blurred" in window.dock.unlike.text(), timeout=20_000
    )
    assert window.dock.unlike.isVisible()


def test_jobs_of_a_session_that_was_closed_are_dropped(
    window: Any, noise: Slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Session.create(tmp_path / "other.xce").close()
    notification_manager.records.clear()
    begun, go_on = threading.Event(), threading.Event()
    look = Session.unlike

    def late(session: Session, *args: Any) -> list[str]:
        begun.set()
        go_on.wait(60)
        look(session, *args)  # of a session that is closed by now: raises
        return ["The colour here is unlike"]

    monkeypatch.setattr(Session, "unlike", late)
    window.show(noise)
    window.qtbot.waitUntil(begun.is_set, timeout=20_000)
    window.dock.guide.measure()  # waits behind it
    window.dock.open_session(tmp_path / "other.xce")
    go_on.set()
    window.dock.guide.jobs._pool.submit(int).result(timeout=60)  # all before it have ended
    window.settle()
    assert not notification_manager.records
    assert not window.dock.unlike.isVisible()
    assert not window.dock.guide._measuring
