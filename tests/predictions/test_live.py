from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from napari_xce.evaluation import score_detections
from napari_xce.learning.calibration import HIGHEST, LOWEST
from napari_xce.learning.datasets import read_cbc_boxes
from napari_xce.learning.trainer import MOST_FAILURES, Comparison, Trainer
from napari_xce.predictions import crops as crops_module
from napari_xce.predictions import fine_tuning
from napari_xce.predictions.crops import cut_crops
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.live import LiveModel
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import TileGrid
from napari_xce.slides import Slide

from .conftest import HAEMATOXYLIN, at_work, draw_nuclei, said, together

BROWN = np.array([120.0, 75.0, 35.0])
SIDE = 400
#: Level-0 pixels; the slide has 0.5 um/px. Blue and brown nuclei stand in a chequerboard.
SPOTS = np.array([(20.0 + 40 * i, 20.0 + 40 * j) for i in range(10) for j in range(10)])
IS_BLUE = np.array([(i + j) % 2 == 0 for i in range(10) for j in range(10)])
BLUE = np.random.default_rng(0).permutation(SPOTS[IS_BLUE])
BROWNS = np.random.default_rng(0).permutation(SPOTS[~IS_BLUE])


@pytest.fixture(scope="module")
def picture():
    """Draw nuclei that differ in size and stain, as nuclei do."""
    rng = np.random.default_rng(0)
    image = draw_nuclei((SIDE, SIDE), np.empty((0, 2))).astype(float)
    for (y, x), blue in zip(SPOTS.astype(int), IS_BLUE, strict=True):
        colour = (HAEMATOXYLIN if blue else BROWN) * rng.uniform(0.75, 1.3, 3)
        cut = draw_nuclei((40, 40), np.array([[10.0, 10.0]]), (0.5, 0.5), rng.uniform(6, 9), colour)
        image[y - 20 : y + 20, x - 20 : x + 20] = cut + rng.normal(0, 4, cut.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture
def live(picture, cpu):
    made = LiveModel(["blue", "brown"], device=cpu)
    made.set_slide(at_work(picture))
    return made


def crops_of(live):
    """Cut the crops that fine-tuning would learn on."""
    model = live.model
    return list(
        cut_crops(live._said, live._looking.slides.values(), model.classes, model.layers.dense)
    )


def teach(live, annotations, classes=("blue", "brown")):
    """Do what engine and session do when something was said."""
    live.set_said(annotations, list(classes))
    for key in live.unseen_tiles():
        live.observe(key)
    return live.learn()


def predict_all(live, slide="drawn"):
    grid = live._looking.slides[slide].grid
    tiles = [(row, column) for row in range(grid.rows) for column in range(grid.cols)]
    return Detections.concatenate(live.predict_tile(slide, tile).detections for tile in tiles)


def clicks(label, points, start=0):
    return [(f"{label}-{start + i}", tuple(p), label) for i, p in enumerate(points)]


def found_of(cells, label, truth, radius=8.0):
    """Return the share of the true cells that were found, and of the found that are true."""
    mine = cells.points[cells.labels == label]
    if not len(mine):
        return 0.0, 0.0
    recall = (cKDTree(mine).query(truth)[0] < radius).mean()
    return recall, (cKDTree(truth).query(mine)[0] < radius).mean()


def mean_score(cells, places):
    """Return the mean score of the cells at some places; 0 where there is none."""
    away, nearest = cKDTree(cells.points).query(places)
    return float(np.where(away < 8, cells.scores[nearest], 0.0).mean())


def test_one_click_is_enough_to_learn(live):
    assert teach(live, said(*clicks("blue", BLUE[:1])))
    assert live.has_learnt
    assert live.revision == 1
    assert LOWEST <= live.thresholds["blue"] <= HIGHEST
    cells = predict_all(live)
    score_of_blue, score_of_brown = mean_score(cells, BLUE), mean_score(cells, BROWNS)
    assert mean_score(cells, BLUE[:1]) > live.thresholds["blue"]
    assert score_of_blue > score_of_brown


def test_clicks_tell_two_kinds_apart(live):
    teach(live, said(*clicks("blue", BLUE[:5]), *clicks("brown", BROWNS[:5])))
    cells = predict_all(live).above(live.thresholds)
    for label, truth in (("blue", BLUE), ("brown", BROWNS)):
        recall, precision = found_of(cells, label, truth)
        assert recall > 0.7
        assert precision > 0.9


def test_rejections_lower_their_kind(live):
    asked = clicks("blue", [*BLUE[:3], BROWNS[0]])  # one of them by mistake
    teach(live, said(*asked))
    before = predict_all(live)
    teach(live, said(*asked[:3], *clicks("background", BROWNS[:3])))
    after = predict_all(live)
    assert mean_score(after, BROWNS) < 0.7 * mean_score(before, BROWNS)
    assert mean_score(after, BLUE) > 0.7 * mean_score(before, BLUE)


@pytest.mark.parametrize("annotations", [said(), said(*clicks("background", BLUE[:2]))])
def test_without_a_click_of_a_class_nothing_is_learnt(live, annotations):
    assert not teach(live, annotations)
    assert not live.has_learnt
    assert live.train_step() is None
    assert len(predict_all(live)) == 0


def test_taking_back_every_click_unlearns(live):
    teach(live, said(*clicks("blue", BLUE[:4])))
    assert not teach(live, said())
    assert not live.has_learnt
    assert live.thresholds == {}
    assert len(predict_all(live)) == 0
    points, probabilities, vectors, _ = live.candidates("drawn")  # there is still much to ask
    assert len(points) == len(probabilities) == len(vectors) > 0
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert len(live.clicked_vectors()) == 0


def test_class_can_be_added_at_any_time(live):
    blue = clicks("blue", BLUE[:4])
    teach(live, said(*blue), ["blue"])
    first = predict_all(live).above(live.thresholds)
    teach(live, said(*blue), ["blue", "brown"])
    assert live.model.classes == ["blue", "brown"]
    again = predict_all(live).above(live.thresholds)
    assert set(again.labels) == {"blue"}  # nothing was clicked of the other yet
    assert len(again) == pytest.approx(len(first), rel=0.1)
    teach(live, said(*blue, *clicks("brown", BROWNS[:4])), ["blue", "brown"])
    assert found_of(predict_all(live).above(live.thresholds), "brown", BROWNS)[0] > 0.6


def test_class_can_be_removed_at_any_time(live):
    teach(live, said(*clicks("blue", BLUE[:4]), *clicks("brown", BROWNS[:4])))
    teach(live, said(*clicks("brown", BROWNS[:4])), ["brown"])
    cells = predict_all(live)
    assert set(cells.labels) == {"brown"}
    assert set(live.thresholds) == {"brown"}
    assert live.predict_tile("drawn", (0, 0)).heat.keys() == {"brown"}


def test_other_head_answers_when_asked(live):
    teach(live, said(*clicks("blue", BLUE[:4])))
    revision = live.revision
    live.set_head("yollo")
    assert live.revision == revision  # it was the head before
    live.set_head("unet")
    assert live.revision > revision
    cells = predict_all(live)
    assert mean_score(cells, BLUE) > 2 * mean_score(cells, BROWNS)
    assert np.isfinite(live.train_step())


def test_tiles_with_clicks_are_looked_at_newest_first(live):
    points = [(20.0, 20.0), (200.0, 20.0), (20.0, 200.0)]  # tiles of 128 pixels
    live.set_said(said(*clicks("blue", points)), ["blue", "brown"])
    assert live.unseen_tiles() == [("drawn", (0, 1)), ("drawn", (1, 0)), ("drawn", (0, 0))]
    live.observe(("drawn", (1, 0)))
    assert live.unseen_tiles() == [("drawn", (0, 1)), ("drawn", (0, 0))]


def test_moved_click_is_looked_at_again(live):
    teach(live, said(("a", (20.0, 20.0), "blue")))
    assert live.unseen_tiles() == []
    live.set_said(said(("a", (30.0, 30.0), "blue")), ["blue", "brown"])
    assert live.unseen_tiles() == [("drawn", (0, 0))]


def test_click_on_a_slide_that_is_not_there_waits(cpu):
    live = LiveModel(["blue"], device=cpu)
    assert not teach(live, said(("a", (20.0, 20.0), "blue")), ["blue"])


def test_other_pixel_size_is_looked_at_anew(live, picture):
    teach(live, said(*clicks("blue", BLUE[:2])))
    slide = Slide.from_array(picture, mpp=0.25, name="drawn")
    grid = TileGrid(slide.shape, (2.0, 2.0), core=128)
    live.set_slide(SlideAtWork("drawn", slide, grid))
    tiles = {(int(row), int(column)) for row, column in grid.tile_of(BLUE[:2])}
    assert set(live.unseen_tiles()) == {("drawn", tile) for tile in tiles}


def test_learning_is_current_until_something_is_said(live):
    assert not live.is_current
    annotations = said(*clicks("blue", BLUE[:2]))
    teach(live, annotations)
    assert live.is_current
    live.set_said(said(*clicks("blue", BLUE[:3])), ["blue", "brown"])
    assert not live.is_current


def test_candidates_are_nuclei_with_their_probabilities(live):
    teach(live, said(*clicks("blue", BLUE[:4]), *clicks("brown", BROWNS[:4])))
    predict_all(live)
    points, probabilities, vectors, objects = live.candidates("drawn")
    assert probabilities.shape == (len(points), 3)
    assert len(vectors) == len(points)
    assert vectors.shape[1] == live.clicked_vectors().shape[1]
    assert len(objects) == len(points)
    assert ((objects >= 0.5) & (objects <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    away, nearest = cKDTree(points).query(BLUE)
    of_blue = probabilities[nearest[away < 8]]
    assert (of_blue[:, 1] > of_blue[:, 2]).mean() > 0.9
    assert len(live.candidates("another slide")[0]) == 0


def many_clicks():
    return said(*clicks("blue", BLUE), *clicks("brown", BROWNS))


def test_fine_tuning_is_judged_after_so_many_steps(live, monkeypatch):
    monkeypatch.setattr(fine_tuning, "STEPS_PER_TRIAL", 2)
    teach(live, many_clicks())
    assert not live.trial_is_due
    assert np.isfinite(live.train_step())
    assert not live.trial_is_due
    live.train_step()
    assert live.trial_is_due


def compared(better):
    return Comparison(better, "so it is")


def test_promoted_copy_calls_as_much_as_the_model_before(live, monkeypatch):
    """However sure of itself the copy is: a promotion changes which cells count, not how many."""
    teach(live, many_clicks())
    before, thresholds = predict_all(live).above(live.thresholds), live.thresholds
    live.train_step()

    def win_with_other_scores(trainer):
        with torch.no_grad():
            trainer.model.yollo.body[-1].bias.copy_(torch.tensor([0.0, -6.0, -6.0]))
        return compared(True)

    monkeypatch.setattr(Trainer, "compare", win_with_other_scores)
    live.try_promotion()
    assert all(live.thresholds[name] < thresholds[name] for name in ("blue", "brown"))
    found = predict_all(live)
    for name in ("blue", "brown"):
        then, now, unmoved = (
            int((cells.labels == name).sum())
            for cells in (before, found.above(live.thresholds), found.above(thresholds))
        )
        assert unmoved < then / 2
        assert now == pytest.approx(then, rel=0.1)


def test_promotion_answers_with_the_copy_and_looks_anew(live, monkeypatch):
    teach(live, many_clicks())
    before, revision = live.model, live.revision
    live.train_step()
    monkeypatch.setattr(Trainer, "compare", lambda *_: compared(True))
    trial = live.try_promotion()
    assert trial.promoted
    assert live.model is not before
    assert live.revision > revision
    assert live.unseen_tiles() != []
    assert not any(p.requires_grad for p in live.model.parameters())
    assert set(live.thresholds) == {"blue", "brown"}
    assert found_of(predict_all(live).above(live.thresholds), "blue", BLUE)[0] > 0.7


def promote(live, monkeypatch):
    """Let one step be promoted."""
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "compare", lambda *_: compared(True))
        live.train_step()
        assert live.try_promotion().promoted


def test_promotion_taken_back_answers_as_before(live, monkeypatch):
    teach(live, many_clicks())
    before, thresholds = predict_all(live), dict(live.thresholds)
    promote(live, monkeypatch)
    revision = live.revision
    assert live.undo_promotion()
    assert live.revision > revision
    assert live.thresholds == thresholds
    after = predict_all(live)
    np.testing.assert_array_equal(after.points, before.points)
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)
    assert not live.undo_promotion()  # there is no other before it


def test_clicks_since_a_promotion_are_learnt_after_it_was_taken_back(live, monkeypatch):
    teach(live, said(*clicks("blue", BLUE)))
    promote(live, monkeypatch)
    teach(live, many_clicks())
    live.undo_promotion()
    assert not live.is_current
    teach(live, many_clicks())
    assert found_of(predict_all(live).above(live.thresholds), "brown", BROWNS)[0] > 0.5


def test_no_fine_tuning_after_a_promotion_was_taken_back_until_more_is_said(live, monkeypatch):
    teach(live, said(*clicks("blue", BLUE)))
    promote(live, monkeypatch)
    live.undo_promotion()
    teach(live, said(*clicks("blue", BLUE)))
    assert live.train_step() is None
    teach(live, many_clicks())
    assert live.train_step() is not None


def test_model_before_a_promotion_follows_the_classes(live, monkeypatch):
    teach(live, many_clicks())
    threshold = live.thresholds["brown"]
    promote(live, monkeypatch)
    live.set_classes(["azure", "red", "brown"], [0, None, 1])
    live.undo_promotion()
    assert live.model.classes == ["azure", "red", "brown"]
    assert live.thresholds["brown"] == threshold
    assert set(predict_all(live).labels) == {"azure", "brown"}


def test_copy_that_is_not_better_changes_nothing(live, monkeypatch):
    teach(live, many_clicks())
    before, revision, thresholds = live.model, live.revision, dict(live.thresholds)
    live.train_step()
    monkeypatch.setattr(Trainer, "compare", lambda *_: compared(False))
    assert not live.try_promotion().promoted
    assert (live.model, live.revision, live.thresholds) == (before, revision, thresholds)
    assert live.unseen_tiles() == []


def test_training_rests_when_trial_after_trial_fails(live, monkeypatch):
    monkeypatch.setattr(fine_tuning, "STEPS_PER_TRIAL", 1)
    monkeypatch.setattr(Trainer, "judge", lambda *_: np.full(9, 0.5))
    teach(live, many_clicks())
    for _ in range(MOST_FAILURES):
        assert live.train_step() is not None
        live.try_promotion()
    assert live.train_step() is None
    teach(live, said(*clicks("blue", BLUE)))  # until something else is said
    assert live.train_step() is not None


def test_only_so_many_crops_are_read(live, monkeypatch):
    monkeypatch.setattr(crops_module, "MOST_CROPS", 3)
    rng = np.random.default_rng(0)
    teach(live, said(*clicks("blue", rng.uniform(0, SIDE, (60, 2)))))
    reads, read = [], SlideAtWork.read
    monkeypatch.setattr(
        SlideAtWork, "read", lambda self, *box: (reads.append(box), read(self, *box))[1]
    )
    live.train_step()
    assert len(reads) == 3


def test_saved_model_answers_as_before(live, cpu, picture, tmp_path):
    teach(live, said(*clicks("blue", BLUE[:4]), *clicks("brown", BROWNS[:4])))
    before = predict_all(live)
    live.save(tmp_path / "model.safetensors", {"note": "kept"})
    other = LiveModel(["something"], device=cpu)
    other.set_slide(at_work(picture))
    assert other.load(tmp_path / "model.safetensors")["note"] == "kept"
    after = predict_all(other)
    np.testing.assert_array_equal(after.points, before.points)
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_allclose(after.scores, before.scores, rtol=1e-5)  # float32 kernels
    assert other.thresholds == live.thresholds
    assert other.revision >= live.revision


# ---- what the trunk does not propose


def f1_of(live, slide, label, truth, radius):
    cells = predict_all(live, slide).above(live.thresholds)
    labels = np.full(len(truth), label)
    return score_detections(
        truth, labels, cells.points, cells.labels, cells.scores, radius, [label]
    )[label].f1


def draw_rings(shape, points_px, radius=7.0):
    """Draw pale rings, which no nucleus looks like, on grainy white."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = np.full((*shape, 3), 244.0)
    for y, x in points_px:
        rim = np.exp(-(((np.hypot(yy - y, xx - x) - radius) / 1.3) ** 2))
        image -= rim[..., None] * (20.0, 70.0, 60.0)
    grain = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def test_pattern_that_is_no_nucleus_is_learnt_from_ten_clicks(cpu):
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(9), np.arange(9)), -1).reshape(-1, 2) * 26.0 + 20
    truth = grid[rng.permutation(len(grid))[:50]] + rng.uniform(-3, 3, (50, 2))
    live = LiveModel(["ring"], device=cpu)
    live.set_slide(at_work(draw_rings((250, 250), truth)))
    assert teach(live, said(*clicks("ring", truth[:10])), ["ring"])
    assert f1_of(live, "drawn", "ring", truth, 8.0) > 0.7


RED_CELL_DIAMETER = 100.0  # level-0 pixels


def test_red_cells_are_learnt_from_ten_clicks(shared_data, cpu):
    scores = []
    for name in ("BloodImage_00000", "BloodImage_00005", "BloodImage_00010"):
        image = imagecodecs.imread(shared_data / "cbc" / "images" / f"{name}.jpg")
        boxes = read_cbc_boxes(shared_data / "cbc" / "boxes" / f"{name}.xml")
        truth = np.array([(b[:2] + b[2:]) / 2 for kind, b in boxes if kind == "RBC"])
        slide = Slide.from_array(image, name=name)
        factor = RED_CELL_DIAMETER / 16
        live = LiveModel(["red cell"], device=cpu)
        live.set_slide(SlideAtWork("drawn", slide, TileGrid(slide.shape, (factor, factor))))
        chosen = np.random.default_rng(0).permutation(truth)[:10]
        assert teach(live, said(*clicks("red cell", chosen)), ["red cell"])
        scores.append(f1_of(live, "drawn", "red cell", truth, 40.0))
    assert np.mean(scores) > 0.5


def test_reviewed_region_is_looked_at_without_any_click(live):
    corners = np.array([(130.0, 130.0), (130.0, 250.0), (250.0, 250.0), (250.0, 130.0)])
    region = replace(
        said(("region", (190.0, 190.0), "background")),
        kinds=np.array(["region"]),
        polygons=(corners,),
    )
    live.set_said(region, ["blue", "brown"])
    assert live.unseen_tiles() == [("drawn", (1, 1))]
    live.observe(("drawn", (1, 1)))
    assert live.unseen_tiles() == []


def region(corner, opposite, *, set_aside):
    """Return one reviewed rectangle of the drawn slide."""
    (y0, x0), (y1, x1) = corner, opposite
    middle = ((y0 + y1) / 2, (x0 + x1) / 2)
    return replace(
        said((f"region-{y0}-{x0}", middle, "background")),
        kinds=np.array(["region"]),
        polygons=(np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], float),),
        set_aside=np.array([set_aside]),
    )


def test_region_set_aside_hides_its_clicks_from_learning(live):
    """With and without them: the same rows, the same crops, the same state."""
    aside = region((180.0, 0.0), (400.0, 400.0), set_aside=True)
    upper, lower = BLUE[BLUE[:, 0] < 180], BLUE[BLUE[:, 0] > 180]
    teach(live, together(said(*clicks("blue", upper)), aside))
    known, crops = live._digest(), crops_of(live)
    assert crops
    teach(live, together(said(*clicks("blue", upper), *clicks("blue", lower, 100)), aside))
    assert live._digest() == known
    assert live.is_current
    assert len(live.clicked_vectors()) == len(upper)


def test_no_crop_reaches_into_a_region_set_aside(live, monkeypatch):
    corners, read = [], SlideAtWork.read
    monkeypatch.setattr(
        SlideAtWork,
        "read",
        lambda self, y, x, *size: (corners.append((y, x)), read(self, y, x, *size))[1],
    )
    aside = region((0.0, 0.0), (100.0, 400.0), set_aside=True)
    teach(live, together(said(*clicks("blue", BLUE)), aside))
    corners.clear()
    assert live.train_step() is not None
    assert corners
    assert min(y for y, _ in corners) > 100


def test_region_set_aside_is_not_looked_at(live):
    live.set_said(region((130.0, 130.0), (250.0, 250.0), set_aside=True), ["blue", "brown"])
    assert live.unseen_tiles() == []


def test_setting_a_region_aside_changes_what_is_learnt_from(live):
    some = said(*clicks("blue", BLUE[:4]), *clicks("brown", BROWNS[:4]))
    teach(live, together(some, region((0.0, 0.0), (60.0, 60.0), set_aside=False)))
    live.set_said(
        together(some, region((0.0, 0.0), (60.0, 60.0), set_aside=True)), ["blue", "brown"]
    )
    assert not live.is_current


def test_no_tile_of_a_run_is_of_a_model_that_has_changed_meanwhile(picture, cpu):
    live = LiveModel(["blue", "brown"], device=cpu)
    live.set_slide(at_work(picture, core=16))  # some seventy blocks
    grid = live._looking.slides["drawn"].grid
    teach(live, said(*clicks("blue", BLUE[:4]), *clicks("brown", BROWNS[:4])))
    tiles = [(row, column) for row in range(grid.rows) for column in range(12)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # so that blocks are begun ahead
    try:
        with live.read_ahead("drawn", tiles) as reader:
            live.predict_next(reader)
            live.revision += 1  # as when something was learnt
            later = []
            while reader.tiles_left:
                later += live.predict_next(reader).values()
    finally:
        torch.set_num_threads(threads)
    assert {tile.detections.revision for tile in later} == {live.revision}
