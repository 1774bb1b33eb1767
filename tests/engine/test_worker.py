"""The engine's work without its thread: piece by piece, in the test's own time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_xce.budget import Freed
from napari_xce.engine.messages import (
    Failed,
    Message,
    ModelReady,
    Painted,
    PredictSlide,
    Progress,
    Promoted,
    SetPaused,
    SetViewport,
    Suggest,
    SuggestionsReady,
    UndoPromotion,
)
from napari_xce.engine.worker import Worker
from napari_xce.errors import SessionError
from napari_xce.learning.trainer import Trainer
from napari_xce.predictions.promotion import Trial
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import tumour_cells

WHOLE = (0.0, 0.0, 447.0, 1343.0)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fine-tuning wait for all painting, so that no test depends on the time; paint tile by
    tile, so that none depends on the machine's cores.
    """
    monkeypatch.setattr("napari_xce.engine.worker.PATIENCE", 3600.0)
    monkeypatch.setattr("napari_xce.engine.painting.AT_ONCE", 1)


@pytest.fixture
def told() -> list[Message]:
    return []


@pytest.fixture
def worker(session: Session, told: list[Message]) -> Worker:
    return Worker(session, told.append)


def _kinds(told: list[Message]) -> list[type]:
    return [type(message) for message in told]


def test_learning_goes_before_painting(worker: Worker, told: list[Message], slide_id: str) -> None:
    worker.obey(SetViewport(slide_id, WHOLE))
    worker.work()
    assert _kinds(told) == [ModelReady]
    worker.work()
    assert _kinds(told) == [ModelReady, Painted]


def test_view_is_painted_with_a_tile_for_each_core(
    worker: Worker, told: list[Message], slide_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.engine.painting.AT_ONCE", 2)
    worker.obey(SetViewport(slide_id, WHOLE))
    worker.work()
    worker.work()
    assert _kinds(told) == [ModelReady, Painted, Painted]
    worker.work()
    assert _kinds(told)[3:] == [Painted]  # of three tiles


def test_imported_cells_are_drawn_from_afar_in_a_session_that_has_learnt_nothing(
    tmp_path: Path, told: list[Message]
) -> None:
    side = 5000
    (tmp_path / "cells.csv").write_text("y,x,label\n" + "300,300,tumour\n310,320,tumour\n")
    with Session.create(tmp_path / "s.xce", classes=["tumour"]) as session:
        id = session.add_slide(SyntheticSlide((side, side), seed=3))
        session.import_cells(tmp_path / "cells.csv", id)
        session.save()
    with Session.open(tmp_path / "s.xce") as again:
        again.add_slide(SyntheticSlide((side, side), seed=3))
        assert not again.has_learnt
        worker = Worker(again, told.append)
        worker.obey(SetViewport(id, (0.0, 0.0, side - 1.0, side - 1.0)))
        while worker.work():
            pass
        assert _kinds(told) == [Painted]
        assert len(again.predictions[id].detections.query(WHOLE)) == 2
        assert again.predictions[id].heat["tumour"].levels[-1].max() > 0


def test_requests_go_before_painting(worker: Worker, told: list[Message], slide_id: str) -> None:
    worker.obey(SetViewport(slide_id, WHOLE))
    worker.work()
    worker.obey(Suggest(slide_id, 1, None))
    worker.work()
    assert _kinds(told) == [ModelReady, SuggestionsReady]


def test_training_has_its_turns_while_the_view_is_painted(
    worker: Worker, session: Session, told: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = session.add_slide(SyntheticSlide((448, 448 * 12), seed=4))
    worker.obey(SetViewport(wide, (0.0, 0.0, 447.0, 448.0 * 12)))
    for _ in range(5):
        worker.work()
    assert worker.status().steps == 0
    assert _kinds(told).count(Painted) == 4  # the first piece was the fit
    monkeypatch.setattr("napari_xce.engine.worker.PATIENCE", -1.0)
    _work_until(worker, lambda: worker.status().steps == 1)
    assert _kinds(told).count(Painted) == 4


def test_speed_counts_all_pieces_of_a_step(
    worker: Worker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.fit(seconds=0)
    while session.live.prepare_training():
        pass
    now, pieces = 100.0, [False, True, True, True]

    def piece() -> bool:  # three of a second each, and a last one
        nonlocal now
        now += 1.0
        return pieces.pop()

    clock = SimpleNamespace(monotonic=lambda: now)
    for module in ("worker", "learning"):
        monkeypatch.setattr(f"napari_xce.engine.{module}.time", clock)
    monkeypatch.setattr(session.live, "train_some", piece)
    monkeypatch.setattr(session.live, "train_step", lambda: 0.5)
    worker.work()
    _work_until(worker, lambda: worker.status().steps == 1)
    assert worker.status().steps_per_second == pytest.approx(0.25)


def test_click_repaints_before_thresholds_are_calibrated(
    worker: Worker, session: Session, told: list[Message], slide: SyntheticSlide, slide_id: str
) -> None:
    session.fit(seconds=0)
    before = session.thresholds
    worker.obey(SetViewport(slide_id, (0.0, 0.0, 440.0, 440.0)))
    session.annotate("tumour", tumour_cells(slide)[4:5])
    worker.work()
    worker.work()
    assert _kinds(told)[-2:] == [ModelReady, Painted]
    assert session.thresholds == before
    while worker.work() and _kinds(told).count(ModelReady) < 2:
        pass
    model = [message for message in told if isinstance(message, ModelReady)][-1]
    assert dict(model.thresholds) == session.thresholds


def test_place_of_the_last_click_is_painted_first(
    worker: Worker, session: Session, told: list[Message], slide_id: str
) -> None:
    session.fit(seconds=0)
    worker.obey(SetViewport(slide_id, WHOLE))
    session.annotate("tumour", [[200.0, 1200.0]])  # in the right tile
    while not any(isinstance(message, Painted) for message in told):
        worker.work()
    assert told[-1].box[1] == pytest.approx(895.5)


def test_work_for_a_view_that_has_gone_is_never_done(
    worker: Worker, session: Session, told: list[Message]
) -> None:
    session.fit(seconds=0)
    wide = session.add_slide(SyntheticSlide((448, 448 * 24), seed=4))
    worker.obey(SetPaused(True))
    worker.obey(SetViewport(wide, (0.0, 0.0, 447.0, 448.0 * 10)))
    worker.work()
    worker.work()
    seen = len(told)
    worker.obey(SetViewport(wide, (0.0, 448.0 * 20, 447.0, 448.0 * 22)))
    while worker.work():
        pass
    after = {round(message.box[1] / 448) for message in told[seen:] if isinstance(message, Painted)}
    assert after == {19, 20, 21, 22}  # the view and a ring around it


def test_view_has_its_turns_while_there_is_much_to_learn_from(
    session: Session, told: list[Message]
) -> None:
    session.fit(seconds=0)
    wide = session.add_slide(SyntheticSlide((448, 448 * 12), seed=4))
    session.annotate("tumour", [[200, 448 * i + 200] for i in range(12)], slide=wide)
    worker = Worker(session, told.append)
    worker.obey(SetViewport(wide, (0.0, 0.0, 440.0, 440.0)))
    for _ in range(8):
        worker.work()
    painted = [message for message in told if isinstance(message, Painted)]
    assert [message.revision for message in painted] == [1]  # by the model there was
    assert ModelReady in _kinds(told)


def test_slides_are_looked_at_before_anything_is_clicked(
    session_dir: Path, slide: SyntheticSlide, told: list[Message]
) -> None:
    session = Session.create(session_dir, classes=["tumour"])
    sid = session.add_slide(slide)
    worker = Worker(session, told.append)
    worker.obey(SetPaused(True))  # as the window begins
    while worker.work():
        pass
    assert session.live.tiles_seen(sid) == 3
    assert not any(isinstance(message, Painted) for message in told)
    session.close()


def test_around_the_view_is_painted_before_training_goes_on(
    worker: Worker, session: Session, told: list[Message], slide_id: str
) -> None:
    worker.obey(SetViewport(slide_id, (0.0, 10.0, 440.0, 440.0)))
    for _ in range(3):
        worker.work()
    assert set(session.predictions[slide_id].revisions) == {(0, 0), (0, 1)}


def test_work_ends_when_paused_and_painted(worker: Worker, session: Session, slide_id: str) -> None:
    session.fit(seconds=0)
    worker.obey(SetPaused(True))
    worker.obey(SetViewport(slide_id, WHOLE))
    assert sum(worker.work() for _ in range(20)) == 3  # one piece a tile
    assert not worker.work()


def test_it_saves_by_itself_while_it_trains(
    worker: Worker, session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = session_dir / "models" / "model.safetensors"
    worker.work()
    worker.work()
    assert not model.exists()
    monkeypatch.setattr("napari_xce.engine.worker.SAVE_SECONDS", -1.0)
    worker.work()
    assert model.is_file()


def test_it_looks_for_freed_memory_before_each_piece(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Freed] = []
    monkeypatch.setattr(Freed, "look", lambda freed: looked.append(freed))
    worker.work()
    worker.work()
    assert len(looked) == 2


def test_promotion_is_told_and_saved(
    worker: Worker, session_dir: Path, told: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.work()
    _promote_at_once(monkeypatch)
    _work_until(worker, lambda: Promoted in _kinds(told))
    assert _kinds(told)[1:3] == [Promoted, ModelReady]
    assert (session_dir / "models" / "model.safetensors").is_file()


def test_failed_save_does_not_end_training(
    worker: Worker, session: Session, told: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise SessionError("The disk is full. Make room.")

    worker.work()
    _promote_at_once(monkeypatch)
    with monkeypatch.context() as disk:
        disk.setattr(session, "save", full)
        _work_until(worker, lambda: worker.status().steps == 2)
    assert [m.message for m in told if isinstance(m, Failed)] == ["The disk is full. Make room."]


def test_promotion_is_taken_back_on_request(
    worker: Worker, session: Session, told: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.obey(UndoPromotion())
    assert ["no fine-tuned model" in m.message for m in told if isinstance(m, Failed)] == [True]
    worker.work()
    with monkeypatch.context() as patch:
        compare = Trainer.compare
        patch.setattr(Trainer, "compare", lambda trainer: replace(compare(trainer), better=True))
        session.live.train_step()
        session.live.try_promotion()
    assert session.can_undo_promotion
    worker.obey(UndoPromotion())
    assert not session.can_undo_promotion
    assert [m for m in told if isinstance(m, ModelReady)][-1].revision == session.model_revision
    for _ in range(4):
        worker.work()
    assert session.live.is_current
    assert worker.status().steps == 0


def _work_until(worker: Worker, done: Callable[[], bool]) -> None:
    """Work until something holds, which takes a few dozen pieces at most."""
    for _ in range(60):
        worker.work()
        if done():
            return
    raise AssertionError("it never came to that")


def _promote_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step be followed by a comparison that the copy wins."""

    def win(self: object) -> Trial:
        self.revision += 1  # type: ignore[attr-defined]
        return Trial(True, "better")

    live = "napari_xce.predictions.live.LiveModel"
    monkeypatch.setattr(f"{live}.trial_is_due", property(lambda _: True))
    monkeypatch.setattr(f"{live}.judge_some", lambda _: False)
    monkeypatch.setattr(f"{live}.try_promotion", win)


def test_second_run_ends_the_first(
    worker: Worker, session: Session, told: list[Message], slide_id: str
) -> None:
    other = session.add_slide(SyntheticSlide((448, 448), seed=5))
    worker.work()
    worker.obey(PredictSlide(slide_id))
    worker.obey(PredictSlide(other))
    runs = [m for m in told if isinstance(m, Progress)]
    assert [(m.slide_id, m.done, m.total) for m in runs] == [
        (slide_id, 0, runs[0].total),
        (slide_id, 0, 0),
        (other, 0, 1),
    ]


def test_run_over_what_is_done_ends_at_once(
    worker: Worker, session: Session, told: list[Message], slide_id: str
) -> None:
    worker.obey(SetViewport(slide_id, WHOLE))
    for _ in range(8):
        worker.work()
    worker.obey(PredictSlide(slide_id))
    assert told[-1] == Progress(slide_id, 0, 0, 0.0)
    assert worker.status().state != "predicting the slide"


def test_unknown_slide_is_refused_and_the_run_ended(worker: Worker, told: list[Message]) -> None:
    worker.work()
    worker.obey(PredictSlide("slide-9"))
    assert isinstance(told[-2], Failed)
    assert "slide-9" in told[-2].message
    assert told[-1] == Progress("slide-9", 0, 0, 0.0)


def test_finish_answers_what_is_open_and_saves(
    worker: Worker, told: list[Message], slide_id: str, session_dir: Path
) -> None:
    worker.work()
    worker.obey(PredictSlide(slide_id))
    worker.obey(Suggest(slide_id, 1, None))
    del told[:]
    worker.finish()
    assert told == [SuggestionsReady(slide_id, ()), Progress(slide_id, 0, 0, 0.0)]
    assert (session_dir / "models" / "model.safetensors").is_file()


def test_missing_weights_are_told_once(
    worker: Worker, told: list[Message], slide_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "napari_xce.learning.shipped.ShippedModel.load.__func__.__defaults__", (Path("no"),)
    )
    worker.obey(SetViewport(slide_id, WHOLE))
    for _ in range(5):
        worker.work()
    assert _kinds(told) == [Failed]
    assert worker.status().state == "waiting for clicks"


def test_it_has_learnt_when_training_has_settled_and_the_view_is_painted(
    worker: Worker, session: Session, slide_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.predictions.live.LiveModel.train_step", lambda self: None)
    worker.work()  # learns
    assert worker.status().state == "learning"
    worker.obey(SetViewport(slide_id, WHOLE))
    worker.work()  # the first of three tiles
    assert worker.status().state == "learning"
    while worker.work():
        pass
    status = worker.status()
    assert (status.state, status.steps_per_second, status.steps) == ("learnt", 0, 0)
    assert status.message == "nothing more to gain from these clicks"
    session.reject([[5.0, 5.0]])
    monkeypatch.setattr("napari_xce.predictions.live.LiveModel.train_step", lambda self: 0.5)
    worker.work()
    worker.work()
    assert worker.status().state == "learning"
