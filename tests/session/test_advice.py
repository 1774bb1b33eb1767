"""How good the model is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session

from .conftest import SHAPE, grey_slide, make_slide

# ---- evaluation


def _with_cells(session: Session, sid: str, points: list[list[float]], labels: list[str]) -> None:
    """Let the session have found these cells, on tiles that count as up to date."""
    session.fit(seconds=0)
    n = len(points)
    cells = Detections(points, labels, np.full(n, 0.99), np.full(n, 12.0), session.model_revision)
    session.predictions[sid].publish((0, 0), {}, cells)


def test_evaluation_counts_by_hand(session: Session) -> None:
    """Four true cells, of which two are found; one cell is found where there is none."""
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[50, 50], [50, 100], [50, 150], [150, 50], [350, 350]])
    session.review(((0, 0), (200, 200)))  # the last one lies outside
    _with_cells(
        session,
        sid,
        [[52, 50], [50, 108], [120, 120], [50, 163], [350, 350]],  # 13 px off is no match
        ["tumour"] * 5,
    )
    score = session.evaluate()["tumour"]
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 2, 2)
    assert score.precision == score.recall == score.f1 == 0.5
    low, high = score.f1_interval
    assert 0 <= low < 0.5 < high <= 1
    assert np.isnan(session.evaluate()["lymphocyte"].f1)  # none said, none found


def test_match_radius_is_in_micrometres(session: Session) -> None:
    """6 um are 24 pixels of 0.25 um."""
    fine = make_slide().read(0, 0, 400, 400)
    sid = session.add_slide(xce.Slide.from_array(fine, mpp=0.25))
    session.annotate("tumour", [[50, 50], [50, 150]])
    session.review(((0, 0), (200, 200)))
    _with_cells(session, sid, [[50, 73], [50, 175]], ["tumour"] * 2)  # 23 and 25 pixels off
    score = session.evaluate()["tumour"]
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 1, 1)


def test_wrong_class_is_wrong_twice(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[50, 50]])
    session.review(((0, 0), (200, 200)))
    _with_cells(session, sid, [[50, 50]], ["lymphocyte"])
    scores = session.evaluate()
    assert (scores["tumour"].false_negatives, scores["lymphocyte"].false_positives) == (1, 1)


def test_overlapping_regions_count_a_cell_once(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[100, 100]])
    session.review(((0, 0), (200, 200)))
    session.review([[50, 50], [50, 250], [250, 50]])  # a triangle
    _with_cells(session, sid, [[100, 100], [240, 240]], ["tumour"] * 2)
    score = session.evaluate()["tumour"]
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 0, 0)


def test_slides_are_counted_apart(session: Session) -> None:
    """The same places on two slides: what is found on one is not found on the other."""
    ids = [
        session.add_slide(xce.Slide.from_array(make_slide().read(0, x, 400, 400), mpp=0.5))
        for x in (0, 400)
    ]
    for sid in ids:
        session.annotate("tumour", [[50, 50]], slide=sid)
        session.review(((0, 0), (200, 200)), slide=sid)
    _with_cells(session, ids[0], [[50, 50]], ["tumour"])
    _with_cells(session, ids[1], [], [])
    both = session.evaluate()["tumour"]
    assert (both.true_positives, both.false_negatives) == (1, 1)
    assert session.evaluate(ids[0])["tumour"].recall == 1
    assert session.evaluate(ids[1])["tumour"].recall == 0


def test_evaluation_without_review_says_what_to_do(learnt: Session) -> None:
    with pytest.raises(xce.SessionError, match="review one"):
        learnt.evaluate()


def test_evaluation_before_learning_says_what_to_do(clicked: Session) -> None:
    clicked.review(((0, 0), SHAPE))
    with pytest.raises(xce.SessionError, match="learnt nothing yet"):
        clicked.evaluate()


def test_slides_without_review_are_passed_over(learnt: Session) -> None:
    learnt.add_slide(grey_slide())
    sid = next(iter(learnt.slides))
    learnt.review(((100, 100), (300, 300)), slide=sid)
    assert set(learnt.evaluate()) == {"lymphocyte", "tumour"}


def test_regions_set_aside_are_the_only_ones_measured(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[50, 50], [50, 100], [350, 50]])
    session.review(((0, 0), (200, 200)))
    session.review(((300, 0), (400, 200)), set_aside=True)
    _with_cells(session, sid, [[50, 50], [350, 50], [350, 150]], ["tumour"] * 3)
    score = session.evaluate()["tumour"]
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 1, 0)
    assert session.undo() == "Set a region aside for testing"
    assert session.evaluate()["tumour"].false_negatives == 1  # in the other one, then


def test_region_set_aside_outlives_closing(session: Session) -> None:
    session.add_slide(make_slide())
    session.review(((0, 0), (200, 200)), set_aside=True)
    session.close()
    with Session.open(session.path) as again:
        assert again.annotations().set_aside.tolist() == [True]


def _square(session: Session, y: float, set_aside: bool = False) -> None:
    session.review(((y, 0), (y + 90, 200)), set_aside=set_aside)


def test_regions_are_what_intervals_resample(session: Session) -> None:
    """All right in one region, all wrong in the other: the interval spans nearly everything."""
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[20, 50], [20, 100], [220, 50], [220, 100]])
    _square(session, 0)
    _square(session, 200)
    _with_cells(session, sid, [[20, 50], [20, 100], [260, 50], [260, 100]], ["tumour"] * 4)
    quality = session.quality()
    assert (quality.regions, quality.tested) == (2, False)
    assert quality.scores["tumour"].f1_interval == (0.0, 1.0)


def test_nothing_here_is_no_place_to_measure_in(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    session.annotate("tumour", [[20, 50]])
    _square(session, 0)
    session.nothing_here((300.0, 300.0))
    _with_cells(session, sid, [[20, 50], [300, 300]], ["tumour"] * 2)
    quality = session.quality()
    assert quality.regions == 1
    assert quality.scores["tumour"].precision == 1.0


def test_learning_curve_grows_with_the_clicks_and_outlives_closing(
    session: Session, session_dir: Path
) -> None:
    sid = session.add_slide(make_slide())
    _square(session, 0, set_aside=True)
    session.annotate("tumour", [[20, 50]])  # in the test region: no click to learn from
    session.annotate("tumour", [[300, 300], [320, 340]], sid)
    _with_cells(session, sid, [[20, 50]], ["tumour"])
    session.quality()
    session.quality()
    assert [m.clicks for m in session.learning_curve()] == [2]
    session.reject([[400, 400]], sid)
    session.quality()
    session.close()
    with Session.open(session_dir) as again:
        assert [m.clicks for m in again.learning_curve()] == [2, 3]
        assert len({m.basis for m in again.learning_curve()}) == 1


def test_slide_of_another_stain_is_told_until_it_was_clicked(session: Session) -> None:
    pixels = make_slide().read(0, 0, *SHAPE)[..., [1, 0, 2]]
    sid = session.add_slide(xce.Slide.from_array(pixels, mpp=0.5))
    assert "colour" in " ".join(session.unlike(sid))
    session.annotate("tumour", [[100, 100], [300, 300], [100, 700]])
    assert session.unlike(sid) == []


def test_usual_slide_and_view_bring_no_warning(learnt: Session) -> None:
    assert learnt.unlike() == []
    assert learnt.unlike(box=(0, 0, 400, 400)) == []
