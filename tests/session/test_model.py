"""The session's model: fitted, fine-tuned, thresholds, files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.learning.trainer import Trainer
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import cells_of, grey_slide, make_slide


def test_one_click_is_enough_for_an_answer(session: Session, slide: SyntheticSlide) -> None:
    session.add_slide(slide)
    (click,) = cells_of(slide, "lymphocyte", 1)
    session.annotate("lymphocyte", [click])
    report = session.fit(seconds=0)
    assert report.revision == 1
    assert report.steps == 0
    assert np.isnan(report.loss)
    assert report.seconds_to_first_answer <= report.seconds
    cells = session.predict()
    assert set(cells.labels) == {"lymphocyte"}
    assert np.linalg.norm(cells.points - click, axis=1).min() < 6  # the cell that was clicked
    assert len(cells) > 5  # and others like it


def test_learning_without_clicks_says_what_to_do(session: Session) -> None:
    session.add_slide(make_slide())
    with pytest.raises(xce.SessionError, match="annotate a cell or two"):
        session.fit(seconds=0)
    session.reject([[10, 10]])
    with pytest.raises(xce.SessionError, match="annotate a cell or two"):
        session.fit(seconds=0)
    with pytest.raises(xce.SessionError, match="learnt nothing yet"):
        session.predict()


def test_fit_goes_on_fine_tuning(clicked: Session, slide: SyntheticSlide) -> None:
    report = clicked.fit(seconds=2)
    assert report.steps > 0
    assert np.isfinite(report.loss)
    assert report.seconds >= 2
    again = clicked.fit(seconds=0.5)  # nothing new was said: it goes on where it was
    assert again.revision == report.revision + again.promoted


def test_nothing_new_leaves_the_revision(learnt: Session) -> None:
    revision = learnt.model_revision
    learnt.fit(seconds=0)
    assert learnt.model_revision == revision
    learnt.undo()
    learnt.redo()
    learnt.fit(seconds=0)
    assert learnt.model_revision == revision


def test_rejected_cell_loses_its_score(learnt: Session) -> None:
    before = learnt.predict()
    lowest = before.points[np.argmin(before.scores)]
    learnt.reject([lowest])
    learnt.fit(seconds=0)
    after = learnt.predict()
    at = np.linalg.norm(after.points - lowest, axis=1) < 4
    assert not at.any() or after.scores[at].max() < before.scores.min() + 0.2


def test_clicks_on_two_slides_are_learnt_together(session: Session) -> None:
    one, two = make_slide(), SyntheticSlide((448, 448), seed=5)
    first, second = session.add_slide(one), session.add_slide(two)
    session.annotate("tumour", cells_of(one, "tumour", 4), slide=first)
    truth = two.truth()
    session.annotate("lymphocyte", truth.points[truth.labels == "lymphocyte"][:4], slide=second)
    session.fit(seconds=0)
    assert set(session.predict(first).labels) == {"lymphocyte", "tumour"}
    assert set(session.predict(second).labels) == {"lymphocyte", "tumour"}


def test_clicks_on_a_slide_that_is_not_open_are_left_out(
    clicked: Session, session_dir: Path
) -> None:
    clicked.close()
    with Session.open(session_dir) as again:
        again.add_slide(SyntheticSlide((448, 448), seed=5))
        with (
            pytest.warns(xce.XceWarning, match="left out: the slide is not open"),
            pytest.raises(xce.SessionError, match="nothing to learn from"),
        ):
            again.fit(seconds=0)


def test_model_stays_when_its_slide_is_away(learnt: Session, session_dir: Path) -> None:
    learnt.close()
    with Session.open(session_dir) as again:
        other = again.add_slide(SyntheticSlide((448, 448), seed=5))
        assert len(again.predict(other))
        again.take_up_annotations()
        assert again.live.is_current


def test_undone_clicks_leave_nothing_learnt(learnt: Session, session_dir: Path) -> None:
    learnt.undo()
    learnt.undo()
    with pytest.raises(xce.SessionError, match="nothing to learn from"):
        learnt.fit(seconds=0)
    learnt.close()
    with Session.open(session_dir) as again:
        assert not (session_dir / "models" / "model.safetensors").exists()
        assert not again.live.has_learnt


# ---- thresholds


def test_threshold_of_the_user_goes_before_the_calibrated(learnt: Session) -> None:
    calibrated = learnt.thresholds
    assert all(0 < t < 1 for t in calibrated.values())
    learnt.set_threshold("tumour", 0.99)
    assert learnt.thresholds == {**calibrated, "tumour": 0.99}
    assert learnt.own_thresholds == {"tumour": 0.99}
    assert not (learnt.predict().scores[learnt.predict().labels == "tumour"] < 0.99).any()
    learnt.set_threshold("tumour", None)
    assert learnt.thresholds == calibrated
    assert learnt.own_thresholds == {}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_out_of_range_is_refused(clicked: Session, threshold: float) -> None:
    with pytest.raises(xce.SessionError, match="between 0 and 1"):
        clicked.set_threshold("tumour", threshold)


def test_thresholds_are_known_before_the_model_is_used(learnt: Session, session_dir: Path) -> None:
    learnt.set_threshold("tumour", 0.77)
    thresholds = learnt.thresholds
    learnt.close()
    with Session.open(session_dir) as again:
        assert again.thresholds == thresholds
        assert again.model_revision == 0  # it was not loaded for that
        _ = again.live
        assert again.thresholds == thresholds


# ---- heads


def test_other_head_answers_at_once(learnt: Session) -> None:
    detected = learnt.predict()
    learnt.set_head("unet")
    assert learnt.head == "unet"
    segmented = learnt.predict()
    assert len(segmented) > 0.5 * len(detected)
    learnt.set_head("yollo")
    np.testing.assert_allclose(learnt.predict().scores, detected.scores, atol=1e-5)
    with pytest.raises(xce.SessionError, match="resnet"):
        learnt.set_head("resnet")  # type: ignore[arg-type]


# ---- models from files


def test_model_goes_to_another_session(learnt: Session, tmp_path: Path) -> None:
    learnt.predict()
    path = learnt.export(tmp_path / "cells.safetensors")
    with Session.create(tmp_path / "other.xce", classes=["stroma", "Tumour"]) as other:
        card = other.load_model(path)
        assert card["classes"] == ["lymphocyte", "tumour"]
        assert other.class_names == ["stroma", "Tumour", "lymphocyte"]
        other.add_slide(make_slide())
        other.predict()
        # below the thresholds, too: more classes move scores by 0.0001
        (cells,), (expected,) = (
            [found.detections.query() for found in session.predictions.values()]
            for session in (other, learnt)
        )
        np.testing.assert_allclose(cells.points, expected.points, atol=1e-4)
        np.testing.assert_allclose(cells.scores, expected.scores, atol=2e-4)
        assert set(cells.labels) == {"Tumour", "lymphocyte"}
        cells = other.predict()
        other.fit(seconds=0)  # there is nothing to learn from: the model stays
        assert len(other.predict()) == len(cells)
    with Session.open(tmp_path / "other.xce") as again:
        again.add_slide(make_slide())
        assert len(again.predict()) == len(cells)


def test_model_that_is_none_is_refused(learnt: Session, tmp_path: Path) -> None:
    before = learnt.predict()
    (tmp_path / "no.safetensors").write_bytes(b"no model")
    for name in ("no.safetensors", "missing.safetensors"):
        with pytest.raises(xce.ModelError, match=name):
            learnt.load_model(tmp_path / name)
    assert len(learnt.predict()) == len(before)


def test_full_disk_is_told_and_keeps_the_old_model(
    learnt: Session, session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt.save()
    model = session_dir / "models" / "model.safetensors"
    before = model.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(xce.ModelError, match="No space left"):
            learnt.save()
    assert model.read_bytes() == before


def test_device_is_named(session: Session) -> None:
    assert session.device in ("cpu", "cuda", "mps")


def test_grey_slide_without_cells_answers_with_few(session: Session) -> None:
    sid = session.add_slide(grey_slide())
    session.set_cell_diameter(sid, 16)
    session.annotate("tumour", [[100, 100]])
    session.fit(seconds=0)
    session.predict()  # nothing to find; it must only not fail


# ---- promotions


def _promote(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one step of fine-tuning, and let its copy take over."""
    with monkeypatch.context() as patch:
        compare = Trainer.compare
        patch.setattr(Trainer, "compare", lambda trainer: replace(compare(trainer), better=True))
        session.live.train_step()
        assert session.live.try_promotion().promoted


def test_promotion_is_taken_back_also_after_reopening(
    predicted: Session, session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predicted.predict()
    assert not predicted.can_undo_promotion
    with pytest.raises(xce.SessionError, match="no fine-tuned model"):
        predicted.undo_promotion()
    _promote(predicted, monkeypatch)
    assert predicted.can_undo_promotion
    predicted.close()
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        again.fit(seconds=0)
        assert again.can_undo_promotion
        again.undo_promotion()
        assert not again.can_undo_promotion
        cells = again.predict()
        np.testing.assert_array_equal(cells.points, before.points)
        np.testing.assert_allclose(cells.scores, before.scores, atol=1e-4)
        assert again.fit(seconds=5).steps == 0  # it would come to the same
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert again.fit(seconds=5).steps == 0
        assert not again.can_undo_promotion


def test_damaged_former_model_takes_nothing_down(
    predicted: Session, session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _promote(predicted, monkeypatch)
    predicted.close()
    (session_dir / "models" / "before_promotion.safetensors").write_bytes(b"nonsense")
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert len(again.predict()) > 0
        assert not again.can_undo_promotion
