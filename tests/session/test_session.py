"""The API of the design line by line; opening and closing, classes, and what the user says."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.session import Session
from napari_xce.slides import Slide
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import SHAPE, cells_of, make_slide


def _do_the_api_block(slide: Slide, points: np.ndarray, empty: np.ndarray, path: Path) -> None:
    """Call what scripts call, in the order of the design."""
    s = xce.Session.create(path, classes=["lymphocyte"], head="yollo")
    try:
        sid = s.add_slide(slide)
        assert s.slides == {sid: slide}
        s.annotate("lymphocyte", points, slide=sid)
        s.reject(empty, slide=sid)
        y, x = (int(v) for v in points[0])
        s.review(((y - 40, x - 40), (y + 40, x + 40)), slide=sid)
        said = s.annotations(slide=sid)
        n = len(points) + len(empty)
        assert len(said) == n + 1
        np.testing.assert_array_equal(said.points[: len(points)], points)
        assert said.labels.tolist() == ["lymphocyte"] * len(points) + ["background"] * (
            len(empty) + 1
        )
        assert said.kinds.tolist() == ["point"] * len(points) + ["rejection"] * len(empty) + [
            "region"
        ]
        s.undo()
        assert len(s.annotations(slide=sid)) == n
        s.redo()
        assert len(s.annotations(slide=sid)) == n + 1
        report = s.fit(seconds=1)
        assert report.revision >= 1
        assert report.steps == 0 or np.isfinite(report.loss)
        region = ((y - 60, x - 60), (y + 60, x + 60))
        cells = s.predict(slide=sid, region=region)
        assert cells.points.shape == (len(cells), 2)
        assert len(cells) > 0
        assert set(cells.labels) == {"lymphocyte"}
        assert ((cells.scores >= 0) & (cells.scores <= 1)).all()
        masks = s.segment(slide=sid, region=region)
        assert masks.shape == (120, 120)
        assert masks.dtype == np.int32
        assert masks.max() >= len(cells)
        places = s.suggest(5, slide=sid)
        assert 1 <= len(places) <= 5
        assert all(len(p.yx) == 2 and p.reason and np.isfinite(p.score) for p in places)
        score = s.evaluate()["lymphocyte"]
        assert 0 <= score.recall <= 1
        assert score.f1_interval[0] <= score.f1 <= score.f1_interval[1]
        for name in ("cells.geojson", "cells.geojson.gz", "cells.csv", "cells.json"):
            assert s.export(path / name, slide=sid).is_file()
    finally:
        s.close()


def test_api_block_runs_on_a_synthetic_slide(session_dir: Path) -> None:
    slide = make_slide()
    assert slide.shape == SHAPE
    assert slide.mpp == (0.5, 0.5)
    assert slide.level_shapes[0] == SHAPE
    assert slide.read(0, 0, 64, 32, mpp=0.5).shape == (64, 32, 3)
    points = cells_of(slide, "lymphocyte", 5)
    _do_the_api_block(slide, points, cells_of(slide, "tumour", 3), session_dir)


def test_api_block_runs_on_a_real_array(session_dir: Path, shared_data: Path) -> None:
    from skimage.io import imread

    folder = shared_data / "brca_m2c"
    name = (folder / "brca_ds_val.txt").read_text().split()[0].removesuffix(".png")
    rows = np.loadtxt(folder / "labels" / f"{name}_gt_class_coords.txt")
    rgb = imread(folder / "images" / f"{name}.png")[..., :3]
    inside = (rows[:, :2] > 60).all(1) & (rows[:, :2] < np.array(rgb.shape[:2]) - 60).all(1)
    rows = rows[inside]
    points, others = rows[rows[:, 2] == 1][:5, :2], rows[rows[:, 2] != 1][:3, :2]
    _do_the_api_block(xce.Slide.from_array(rgb, mpp=0.5), points, others, session_dir)


def test_api_block_runs_on_a_real_file(session_dir: Path, shared_data: Path) -> None:
    slide = xce.open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs")
    nuclei = np.array([(992, 1229), (1027, 1230), (1092, 1179), (1114, 1195)], float)  # by eye
    _do_the_api_block(slide, nuclei, np.array([(1060.0, 1195.0)]), session_dir)


# ---- create, open, close


def test_everything_comes_back_after_reopening(predicted: Session, session_dir: Path) -> None:
    sid = next(iter(predicted.slides))
    cells, said = predicted.predict(), predicted.annotations()
    thresholds, classes = predicted.thresholds, predicted.classes
    predicted.set_head("unet")
    predicted.set_head("yollo")
    other = predicted.predict()
    predicted.close()
    with Session.open(session_dir) as again:
        assert again.slides == {}  # it was no file
        assert again.add_slide(make_slide()) == sid
        assert again.classes == classes
        assert again.head == "yollo"
        assert again.thresholds == thresholds
        np.testing.assert_array_equal(again.annotations().points, said.points)
        kept = again.predictions[sid].detections.query(thresholds=thresholds)
        np.testing.assert_array_equal(kept.points, other.points)
        again.predictions[sid].clear()
        anew = again.predict()
        np.testing.assert_allclose(anew.points, cells.points, atol=1e-4)
        np.testing.assert_allclose(anew.scores, cells.scores, atol=1e-4)
        assert anew.labels.tolist() == cells.labels.tolist()


def test_cached_cells_are_not_predicted_again(
    predicted: Session, session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = predicted.predict()
    predicted.close()
    with Session.open(session_dir) as again:
        sid = again.add_slide(make_slide())
        monkeypatch.setattr(Session, "predict_tile", None)
        np.testing.assert_array_equal(again.predict().points, cells.points)
        assert len(again.stale_tiles(sid)) == 0  # heat is sketched, cells are known


def test_segmentation_head_comes_back(session_dir: Path) -> None:
    Session.create(session_dir, head="unet").close()
    with Session.open(session_dir) as again:
        assert again.head == "unet"


def test_create_refuses_what_is_there(session_dir: Path) -> None:
    Session.create(session_dir).close()
    with pytest.raises(xce.SessionError, match="already something"):
        Session.create(session_dir)
    file = session_dir.with_suffix(".txt")
    file.write_text("mine")
    with pytest.raises(xce.SessionError, match="already something"):
        Session.create(file)
    assert file.read_text() == "mine"


def test_create_takes_an_empty_folder_and_one_name(session_dir: Path) -> None:
    session_dir.mkdir()
    with Session.create(session_dir, classes="mitosis") as session:
        assert session.class_names == ["mitosis"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": ["a", "A"]}, "already"),
        ({"classes": [""]}, "empty"),
        ({"head": "resnet"}, "resnet"),
    ],
)
def test_refused_creation_leaves_nothing_behind(
    session_dir: Path, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(xce.SessionError, match=words):
        Session.create(session_dir, **arguments)  # type: ignore[arg-type]
    assert not session_dir.exists()


def test_create_in_an_unwritable_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(xce.SessionError, match="No session can be created"):
        Session.create(tmp_path / "file" / "case.xce")


def test_open_without_a_session_says_so(tmp_path: Path) -> None:
    with pytest.raises(xce.SessionError, match=r"no session.*session\.sqlite"):
        Session.open(tmp_path)


def test_second_opening_is_told(session: Session, session_dir: Path) -> None:
    with pytest.raises(xce.SessionError, match="open"):
        Session.open(session_dir)


def test_closing_twice_is_harmless_and_use_after_it_refused(
    clicked: Session, slide: SyntheticSlide
) -> None:
    clicked.close()
    clicked.close()
    assert clicked.closed
    for use in (clicked.fit, clicked.save, clicked.annotations, lambda: clicked.add_slide(slide)):
        with pytest.raises(xce.SessionError, match="closed"):
            use()


def test_deleted_caches_are_made_anew(predicted: Session, session_dir: Path) -> None:
    count = len(predicted.predict())
    predicted.close()
    shutil.rmtree(session_dir / "predictions")
    shutil.rmtree(session_dir / "models")
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        with pytest.raises(xce.SessionError, match="learnt nothing yet"):
            again.predict()
        again.fit(seconds=0)
        assert len(again.predict()) == count


def test_damaged_model_is_set_aside_and_learnt_anew(learnt: Session, session_dir: Path) -> None:
    learnt.close()
    model = session_dir / "models" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        with pytest.warns(xce.XceWarning, match="set aside"):
            again.fit(seconds=0)
        assert len(again.predict())
    assert (session_dir / "models" / "model.unreadable").is_file()


def test_damaged_prediction_cache_is_passed_over(predicted: Session, session_dir: Path) -> None:
    sid = next(iter(predicted.slides))
    predicted.close()
    (session_dir / "predictions" / f"{sid}.npz").write_bytes(b"not a cache")
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert not again.predictions[sid].detections.tiles()
        assert len(again.predict())


# ---- classes


def test_class_added_later_is_learnt(learnt: Session, slide: SyntheticSlide) -> None:
    learnt.add_class("stroma")
    before = learnt.predict()
    assert "stroma" not in before.labels  # the others go on as they were
    assert set(before.labels) == {"lymphocyte", "tumour"}
    learnt.annotate("stroma", cells_of(slide, "stroma", 4))
    learnt.fit(seconds=0)
    assert "stroma" in learnt.predict().labels


def test_renamed_class_keeps_what_was_learnt_and_found(predicted: Session) -> None:
    sid = next(iter(predicted.slides))
    before, revision = predicted.predict(), predicted.model_revision
    predicted.set_threshold("tumour", 0.3)
    predicted.set_threshold("tumour", None)
    assert predicted.rename_class("tumour", " epithelium ") == "epithelium"
    after = predicted.predict()
    assert predicted.model_revision == revision
    np.testing.assert_array_equal(after.points, before.points)
    assert (after.labels == np.where(before.labels == "tumour", "epithelium", before.labels)).all()
    assert set(predicted.predictions[sid].heat) == {"lymphocyte", "epithelium"}
    predicted.predictions[sid].clear()
    np.testing.assert_allclose(predicted.predict().points, before.points)
    predicted.fit(seconds=0)
    assert predicted.model_revision == revision  # nothing new was said


def test_own_threshold_follows_a_renamed_class(learnt: Session) -> None:
    learnt.set_threshold("tumour", 0.9)
    learnt.rename_class("tumour", "epithelium")
    assert learnt.thresholds["epithelium"] == 0.9
    learnt.undo()
    assert learnt.own_thresholds == {"tumour": 0.9}


def test_undone_rename_gives_the_name_back(predicted: Session) -> None:
    before = predicted.predict()
    predicted.rename_class("tumour", "epithelium")
    assert predicted.undo() == "Rename class tumour to epithelium"
    assert predicted.predict().labels.tolist() == before.labels.tolist()
    predicted.redo()
    assert "epithelium" in predicted.predict().labels


def test_two_classes_may_change_names(predicted: Session) -> None:
    before = predicted.predict().labels
    for name, new in (("tumour", "x"), ("lymphocyte", "tumour"), ("x", "lymphocyte")):
        predicted.store.rename_class(name, new)  # as another program part might, in one go
    predicted.follow_classes()
    after = predicted.predict().labels
    assert (after == np.where(before == "tumour", "lymphocyte", "tumour")).all()


def test_renamed_class_is_known_after_reopening(predicted: Session, session_dir: Path) -> None:
    before = predicted.predict()
    predicted.rename_class("tumour", "epithelium")
    predicted.close()
    with Session.open(session_dir) as again:
        again.rename_class("lymphocyte", "lymphoid")  # before the model is even loaded
        sid = again.add_slide(make_slide())
        again.predictions[sid].clear()
        after = again.predict()
        assert set(after.labels) == {"epithelium", "lymphoid"}
        np.testing.assert_allclose(after.points, before.points, atol=1e-4)


def test_deleted_class_is_forgotten(predicted: Session) -> None:
    sid = next(iter(predicted.slides))
    predicted.delete_class("tumour")
    assert predicted.class_names == ["lymphocyte"]
    assert set(predicted.predict().labels) == {"lymphocyte"}
    assert set(predicted.predictions[sid].heat) == {"lymphocyte"}
    assert set(predicted.annotations().labels) == {"lymphocyte"}
    assert set(predicted.thresholds) == {"lymphocyte"}


def test_merged_class_is_learnt_as_part_of_the_other(predicted: Session) -> None:
    predicted.merge_class("tumour", "lymphocyte")
    assert predicted.class_names == ["lymphocyte"]
    assert set(predicted.predict().labels) <= {"lymphocyte"}
    predicted.fit(seconds=0)
    found = len(predicted.predict())
    assert predicted.undo() == "Merge class tumour into lymphocyte, 4 annotations"
    predicted.fit(seconds=0)
    cells = predicted.predict()
    assert set(cells.labels) == {"lymphocyte", "tumour"}
    assert 0 < (cells.labels == "lymphocyte").sum() < found


def test_undone_deletion_is_learnt_again(predicted: Session) -> None:
    before = predicted.predict()
    predicted.delete_class("tumour")
    predicted.fit(seconds=0)
    predicted.undo()
    predicted.fit(seconds=0)
    assert set(predicted.predict().labels) == set(before.labels)


def test_unknown_class_is_refused_in_words(clicked: Session) -> None:
    for use in (
        lambda: clicked.annotate("mitosis", [[1, 2]]),
        lambda: clicked.rename_class("mitosis", "x"),
        lambda: clicked.delete_class("mitosis"),
        lambda: clicked.set_threshold("mitosis", 0.5),
    ):
        with pytest.raises(xce.SessionError, match="mitosis"):
            use()


# ---- undo


def test_undo_and_redo_return_what_they_did(clicked: Session) -> None:
    assert clicked.undo() == "Add 4 tumour points"
    assert len(clicked.annotations()) == 4
    assert clicked.redo() == "Add 4 tumour points"
    assert len(clicked.annotations()) == 8
    assert clicked.redo() is None


def test_undone_click_is_unlearnt(learnt: Session, slide: SyntheticSlide) -> None:
    before = learnt.predict()
    learnt.annotate("lymphocyte", cells_of(slide, "tumour", 20)[10:])
    learnt.fit(seconds=0)
    confused = learnt.predict()
    assert len(confused) != len(before) or (confused.labels != before.labels).any()
    learnt.undo()
    learnt.fit(seconds=0)
    after = learnt.predict()
    assert len(after) == len(before)
    np.testing.assert_allclose(after.points, before.points, atol=0.5)


def test_undo_after_reopening_reaches_back(clicked: Session, session_dir: Path) -> None:
    clicked.close()
    with Session.open(session_dir) as again:
        assert again.undo() == "Add 4 tumour points"
        assert len(again.annotations()) == 4


# ---- several users of one session


def test_threads_may_click_learn_and_predict_together(
    learnt: Session, slide: SyntheticSlide
) -> None:
    faults: list[BaseException] = []

    def run(work: object) -> None:
        try:
            for _ in range(3):
                work()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            faults.append(error)

    extra = cells_of(slide, "tumour", 10)[4:]
    names = iter("abc")
    works = [
        lambda: learnt.annotate("tumour", extra),
        lambda: learnt.fit(seconds=0),
        lambda: learnt.predict(region=((0, 0), (400, 400))),
        lambda: learnt.suggest(1),
        lambda: (learnt.add_class(next(names)), learnt.undo(), learnt.redo()),
    ]
    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    learnt.fit(seconds=0)
    assert len(learnt.predict())


def test_card_says_where_the_model_comes_from(learnt: Session, session_dir: Path) -> None:
    learnt.close()
    card = json.loads((session_dir / "models" / "model.json").read_text(encoding="utf-8"))
    assert card["classes"] == ["lymphocyte", "tumour"]
    assert card["annotations"] == {"lymphocyte": 4, "tumour": 4}
    assert card["working_mpp"] == 0.5
    assert card["slides"]
