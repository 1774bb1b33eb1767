"""The engine with its real thread: what the GUI leaves and what it hears."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_xce.engine import (
    Engine,
    Failed,
    ModelReady,
    Painted,
    Progress,
    Segmented,
    Status,
    SuggestionsReady,
)
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import LEFT, MIDDLE, RIGHT, SECONDS, Ear, broken, tumour_cells


def _columns(session: Session, messages: list[Painted]) -> list[int]:
    """Return the tile columns that were painted, in order."""
    return [round((message.box[1] + 0.5) / 448) for message in messages]


def test_clicks_become_a_model_and_a_painted_view(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ready = ear.wait_for(ModelReady)
    painted = ear.wait_for(Painted)
    assert ready.revision == painted.revision == session.model_revision
    assert set(ready.thresholds) == {"tumour"}
    predictions = session.predictions[slide_id]
    assert predictions.revisions[(0, 0)] == painted.revision
    assert predictions.heat["tumour"].levels[0].max() > 127
    assert len(predictions.detections.query(LEFT, thresholds=0.3))


def test_visible_tiles_are_painted_before_their_neighbours(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, RIGHT)
    engine.start()
    ear.wait_for(Painted, lambda m: m.box[1] < 800)  # the ring: the middle tile
    assert _columns(session, ear.of(Painted))[:2] == [2, 1]


def test_moved_view_is_painted(engine: Engine, ear: Ear, session: Session, slide_id: str) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(Painted)
    engine.set_viewport(slide_id, RIGHT)
    ear.wait_for(Painted, lambda m: m.box[1] > 800)
    assert (0, 2) in session.predictions[slide_id].revisions


def test_new_clicks_give_a_new_revision_while_it_trains(
    engine: Engine, ear: Ear, session: Session, slide: SyntheticSlide, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    first = ear.wait_for(Painted)
    ear.wait_for(Status, lambda m: m.steps > 0)
    session.annotate("tumour", tumour_cells(slide)[4:6])
    engine.annotations_changed()
    ready = ear.wait_for(ModelReady)
    assert ready.revision > first.revision
    ear.wait_for(Painted, lambda m: m.revision >= ready.revision)


def test_what_a_script_says_is_learnt_without_being_told(
    engine: Engine, ear: Ear, session: Session, slide: SyntheticSlide
) -> None:
    engine.start()
    ear.wait_for(ModelReady)
    session.annotate("tumour", tumour_cells(slide)[4:6])
    ear.wait_for(ModelReady)


def test_undone_clicks_take_the_picture_back(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(Painted)
    session.undo()
    engine.annotations_changed()
    ear.wait_for(Status, lambda m: m.state == "waiting for clicks" and "click a few" in m.message)
    assert not session.predictions[slide_id].detections.tiles()
    assert session.predictions[slide_id].heat["tumour"].levels[0].max() == 0


def test_pause_stops_learning_but_not_painting(
    engine: Engine, ear: Ear, session: Session, slide: SyntheticSlide, slide_id: str
) -> None:
    engine.start()
    ear.wait_for(ModelReady)
    engine.pause()
    steps = ear.wait_for(Status, lambda m: m.state == "paused").steps
    revision = session.model_revision
    session.annotate("tumour", tumour_cells(slide)[4:6])
    engine.annotations_changed()
    engine.set_viewport(slide_id, LEFT)
    assert ear.wait_for(Painted).revision == revision
    assert ear.wait_for(Status).steps == steps
    engine.resume()
    assert ear.wait_for(ModelReady).revision > revision


def test_paused_from_the_start_nothing_is_learnt(
    engine: Engine, ear: Ear, session: Session
) -> None:
    engine.pause()
    engine.start()
    ear.wait_for(Status, lambda m: m.state == "paused")
    ear.wait_for(Status)
    assert not session.has_learnt


def test_other_head_repaints_and_brings_masks(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    before = ear.wait_for(Painted).revision
    engine.set_head("unet")
    assert ear.wait_for(Painted, lambda m: m.revision > before)
    masks = ear.wait_for(Segmented)
    assert session.head == "unet"
    assert masks.labels.max() > 0
    assert set(masks.names) == {"tumour"}
    assert len(masks.names) >= masks.labels.max()
    assert masks.factor == (2.0, 2.0)
    assert masks.labels.shape == (220, 215)  # 440 x 430 level-0 pixels at 2 each
    assert masks.origin == (0.5, 10.5)  # the middle of pixels 0 and 1, 10 and 11
    assert not masks.labels.flags.writeable


def test_unknown_head_is_refused_in_words(engine: Engine, ear: Ear, session: Session) -> None:
    engine.start()
    engine.set_head("resnet")  # type: ignore[arg-type]
    assert "resnet" in ear.wait_for(Failed).message
    assert session.head == "yollo"


def test_suggestions_are_answered_once_each(engine: Engine, ear: Ear, slide_id: str) -> None:
    engine.start()
    ear.wait_for(ModelReady)
    engine.suggest(slide_id, 2, LEFT)
    engine.suggest(slide_id, 1, LEFT)
    first, second = ear.wait_for(SuggestionsReady), ear.of(SuggestionsReady)
    while len(second) < 2:
        second.append(ear.wait_for(SuggestionsReady))
    answers = ear.of(SuggestionsReady)
    assert [len(a.suggestions) for a in answers] == [2, 1]
    places = [s.yx for a in answers for s in a.suggestions]
    assert len(set(places)) == 3
    assert all(s.reason for s in first.suggestions)


def test_suggestions_that_fail_are_answered_empty(engine: Engine, ear: Ear) -> None:
    engine.start()
    engine.suggest("slide-99")
    assert ear.wait_for(SuggestionsReady) == SuggestionsReady("slide-99", ())
    assert "slide-99" in ear.of(Failed)[0].message
    assert len(ear.of(SuggestionsReady)) == 1


def test_slide_run_counts_up_to_its_end(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.start()
    ear.wait_for(ModelReady)
    engine.predict_slide(slide_id)
    ear.wait_for(Progress, lambda m: m.done == m.total)
    told = [(m.done, m.total) for m in ear.of(Progress)]
    total = told[0][1]
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert 1 <= total <= 3
    assert len(session.predictions[slide_id].detections)


def test_slide_run_before_learning_ends_with_what_to_do(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    session.undo()
    engine.start()
    engine.predict_slide(slide_id)
    assert ear.wait_for(Progress) == Progress(slide_id, 0, 0, 0.0)
    assert "click a few cells" in ear.of(Failed)[0].message


def test_cancelled_slide_run_keeps_what_it_predicted(session: Session, slide_id: str) -> None:
    slide = SyntheticSlide((448, 448 * 40), seed=3)
    long_id = session.add_slide(slide)
    engine = Engine(session)
    ear = Ear(engine)
    engine.start()
    try:
        ear.wait_for(ModelReady)
        engine.predict_slide(long_id)
        ear.wait_for(Progress, lambda m: 1 <= m.done < m.total)
        engine.cancel_predict()
        ear.wait_for(Progress, lambda m: m.total == 0)
        assert session.predictions[long_id].detections.tiles()
        ear.wait_for(Status, lambda m: m.state != "predicting the slide")
        assert len(session.predictions[long_id].detections.tiles()) < 30
    finally:
        engine.shutdown(SECONDS)


def test_paused_slide_run_waits_and_goes_on(session: Session) -> None:
    long_id = session.add_slide(SyntheticSlide((448, 448 * 16), seed=3))
    engine = Engine(session)
    ear = Ear(engine)
    engine.start()
    try:
        ear.wait_for(ModelReady)
        engine.predict_slide(long_id)
        ear.wait_for(Progress, lambda m: 1 <= m.done < m.total)
        engine.pause_predict()
        waiting = ear.wait_for(Progress, lambda m: m.paused)
        ear.wait_for(Status, lambda m: m.state != "predicting the slide")
        assert len(session.predictions[long_id].detections.tiles()) == waiting.done
        engine.pause_predict(False)
        ear.wait_for(Progress, lambda m: m.done == m.total > 0)
    finally:
        engine.shutdown(SECONDS)


def test_unreadable_tile_is_told_once_and_the_rest_is_painted(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    broken(session.slides[slide_id], 1300)  # in the right tile
    engine.set_viewport(slide_id, (0.0, 0.0, 447.0, 1343.0))
    engine.start()
    ear.wait_for(ModelReady)
    engine.predict_slide(slide_id)
    ear.wait_for(Progress, lambda m: m.done == m.total)
    ear.wait_for(Status, lambda m: m.steps > 0)
    assert [m.message for m in ear.of(Failed)] == ["The slide cannot be read there. Copy it again."]
    assert set(session.predictions[slide_id].revisions) == {(0, 0), (0, 1)}


def test_clicks_on_an_unreadable_tile_leave_the_others(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    broken(session.slides[slide_id], 1300)
    session.annotate("tumour", [[200, 1290]])
    engine.start()
    ear.wait_for(ModelReady)
    ear.wait_for(Status, lambda m: m.steps > 1)
    assert len(ear.of(Failed)) == 1


def test_mended_slide_is_painted_at_the_next_revision(
    engine: Engine, ear: Ear, session: Session, slide: SyntheticSlide, slide_id: str
) -> None:
    fault = broken(session.slides[slide_id], 1300)
    engine.set_viewport(slide_id, RIGHT)
    engine.start()
    ear.wait_for(Failed)
    fault.column = -1
    session.annotate("tumour", tumour_cells(slide)[4:5])
    ear.wait_for(Painted, lambda m: m.box[1] > 800)


def test_unexpected_error_is_told_and_the_thread_lives(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    broken(session.slides[slide_id], 1300).error = ZeroDivisionError("a fault in a reader")
    engine.set_viewport(slide_id, RIGHT)
    engine.start()
    failed = ear.wait_for(Failed).message
    assert "a fault in a reader" in failed
    assert "annotations are safe" in failed
    engine.set_viewport(slide_id, LEFT)
    ear.wait_for(Painted, lambda m: m.box[1] < 400)


def test_fine_tuning_that_fails_rests_until_something_changes(
    engine: Engine, ear: Ear, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(self: object) -> float:
        calls.append(1)
        raise RuntimeError("no memory left")

    monkeypatch.setattr("napari_xce.predictions.live.LiveModel.train_step", fail)
    engine.start()
    ear.wait_for(Failed)
    ear.wait_for(Status)
    ear.wait_for(Status)
    assert len(calls) == 1
    engine.annotations_changed()
    ear.wait_for(Status, lambda _: len(calls) == 2)
    assert len(ear.of(Failed)) == 1  # the same sentence


def test_changed_pixel_size_while_it_learns_lays_a_new_grid(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    before = ear.wait_for(Painted).revision
    session.set_mpp(slide_id, 0.25)  # two level-0 pixels per working pixel: tiles of 896
    ready = ear.wait_for(ModelReady)  # what was clicked has been looked at anew
    assert ready.revision > before
    ear.wait_for(Painted, lambda m: m.box[1] < 0 and m.box[3] > 800)
    assert session.predictions[slide_id].grid.factor == (2.0, 2.0)
    assert set(session.predictions[slide_id].detections.tiles()) <= {(0, 0), (0, 1)}


def test_pixel_size_changed_within_a_run_begins_it_anew(session: Session) -> None:
    long_id = session.add_slide(SyntheticSlide((448, 448 * 20), seed=3))
    engine = Engine(session)
    ear = Ear(engine)
    engine.start()
    try:
        ear.wait_for(ModelReady)
        engine.predict_slide(long_id)
        ear.wait_for(Progress, lambda m: 1 <= m.done < m.total)
        session.set_mpp(long_id, 0.125)  # tiles of 1792 pixels: five of them
        last = ear.wait_for(Progress, lambda m: m.done == m.total)
        assert 1 <= last.total <= 5
        assert not ear.of(Failed)
    finally:
        engine.shutdown(SECONDS)


def test_slide_that_leaves_the_session_is_let_go(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(Painted)
    with session.lock:
        session.slides.pop(slide_id).close()
        session.predictions.pop(slide_id)
    engine.set_viewport(slide_id, MIDDLE)
    ear.wait_for(Status)
    ear.wait_for(Status)
    assert not ear.of(Failed)


def test_script_and_engine_share_a_session(
    engine: Engine, ear: Ear, session: Session, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    report = session.fit(seconds=1)
    cells = session.predict()
    assert report.revision >= 1
    assert len(cells)
    assert cells.revision >= 1
    assert not ear.of(Failed)


def test_poll_returns_while_the_model_is_held(engine: Engine, ear: Ear, session: Session) -> None:
    engine.start()
    ear.wait_for(ModelReady)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with session.lock:
            held.set()
            release.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(SECONDS)
        started = time.perf_counter()
        for _ in range(100):
            engine.poll()
        assert time.perf_counter() - started < 1.0
    finally:
        release.set()
        holder.join()


def test_states_nobody_fetches_do_not_pile_up(engine: Engine, session: Session) -> None:
    for step in range(100):
        engine._tell(Status("learning", 1, step, 1.0, 0.5, ""))
    assert [m.steps for m in engine.poll() if isinstance(m, Status)] == [99]
    assert engine.poll() == []


# ---- its end


def test_shutdown_saves_model_and_predictions(
    engine: Engine, ear: Ear, session: Session, slide_id: str, session_dir: Path
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(Painted)
    engine.shutdown(SECONDS)
    assert (session_dir / "models" / "model.safetensors").is_file()
    assert (session_dir / "predictions" / f"{slide_id}.npz").is_file()


def test_shutdown_while_busy_ends_the_thread(engine: Engine, ear: Ear, slide_id: str) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(ModelReady)
    engine.shutdown(SECONDS)
    assert not any(thread.name == "xce-engine" for thread in threading.enumerate())
    engine.shutdown(SECONDS)  # again


def test_shutdown_before_start_is_harmless(engine: Engine) -> None:
    engine.shutdown()
    engine.start()
    assert not any(thread.name == "xce-engine" for thread in threading.enumerate())


def test_commands_after_shutdown_are_harmless(engine: Engine, slide_id: str) -> None:
    engine.start()
    engine.start()  # twice is once
    engine.shutdown(SECONDS)
    engine.set_viewport(slide_id, LEFT)
    engine.annotations_changed()
    engine.pause()
    engine.resume()
    engine.set_head("unet")
    engine.suggest(slide_id)
    engine.predict_slide(slide_id)
    engine.cancel_predict()
    engine.poll()


def test_session_closed_under_it_ends_the_engine(
    engine: Engine, ear: Ear, session: Session, session_dir: Path, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.start()
    ear.wait_for(ModelReady)
    session.close()
    engine._thread.join(SECONDS)
    assert not engine._thread.is_alive()
    assert not ear.of(Failed)
    with Session.open(session_dir) as again:
        assert len(again.annotations()) == 4


def test_reopened_session_is_painted_as_it_was_left(
    session_dir: Path, slide: SyntheticSlide, session: Session, slide_id: str
) -> None:
    session.fit(seconds=0)
    before = session.predict()
    session.close()
    with Session.open(session_dir) as again:
        again.add_slide(SyntheticSlide((448, 1344), seed=3))
        engine = Engine(again)
        engine.set_viewport(slide_id, (0.0, 0.0, 447.0, 1343.0))
        ear = Ear(engine)
        engine.start()
        try:
            ready = ear.wait_for(ModelReady)
            ear.wait_for(Painted, lambda _: len(again.predictions[slide_id].revisions) == 3)
        finally:
            engine.shutdown(SECONDS)
        assert ready.revision == before.revision
        np.testing.assert_array_equal(again.predict().points, before.points)


def test_engine_at_rest_does_nothing_until_it_may_go_on(
    engine: Engine, ear: Ear, slide_id: str
) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.rest(SECONDS)
    engine.start()
    threading.Event().wait(0.3)
    assert ear.of(object) == []
    engine.rest(0)
    ear.wait_for(Painted)


def test_engine_goes_on_by_itself_after_a_rest(engine: Engine, ear: Ear, slide_id: str) -> None:
    engine.set_viewport(slide_id, LEFT)
    engine.rest(0.05)
    engine.start()
    ear.wait_for(Painted)


def test_nobody_is_woken_for_a_model_before_it_has_said_something(session: Session) -> None:
    told: list[str] = []
    engine = Engine(session, wake=lambda: told.append("something"))
    engine._tell(ModelReady(1, {}))
    assert told == []
    engine._tell(Painted("slide", LEFT, 1))
    assert told == ["something"]
    assert [type(message) for message in engine.poll()] == [ModelReady, Painted]
