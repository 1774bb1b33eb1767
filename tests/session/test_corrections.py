"""Predicted cells are accepted, rejected and given another class; the doubtful ones are found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.annotations.records import ACCEPTED, HUMAN
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

# Cells of one tile: place, class, score. The thresholds are set to 0.5.
CELLS = [
    ((100.0, 100.0), "lymphocyte", 0.95),
    ((100.0, 140.0), "lymphocyte", 0.55),
    ((100.0, 180.0), "tumour", 0.7),
    ((200.0, 100.0), "tumour", 0.51),
    ((200.0, 140.0), "lymphocyte", 0.4),  # below the threshold, but in doubt
    ((200.0, 180.0), "lymphocyte", 0.2),  # below half of it
]


@pytest.fixture
def shown(session: Session, slide: SyntheticSlide) -> Session:
    """Return the session with a slide on which these cells were found."""
    sid = session.add_slide(slide)
    for name in session.class_names:
        session.set_threshold(name, 0.5)
    places, labels, scores = zip(*CELLS, strict=True)
    cells = Detections(places, labels, scores, [16.0] * len(CELLS), revision=1)
    session.predictions[sid].publish((0, 0), {}, cells)
    return session


def _said(session: Session) -> list[tuple[list[float], str, str, str]]:
    said = session.annotations()
    return list(
        zip(
            said.points.tolist(),
            said.labels.tolist(),
            said.kinds.tolist(),
            said.provenances.tolist(),
            strict=True,
        )
    )


def test_found_cells_reach_their_threshold(shown: Session) -> None:
    assert shown.found().points.tolist() == [
        list(place) for place, _, score in CELLS if score > 0.5
    ]
    triangle = [(90, 90), (90, 170), (230, 90)]
    assert shown.found(triangle).points.tolist() == [[100, 100], [100, 140], [200, 100]]


def test_accepted_cells_are_points_of_their_class_in_one_step(shown: Session) -> None:
    shown.accept(shown.found(((90, 90), (110, 190))))
    assert _said(shown) == [
        ([100, 100], "lymphocyte", "point", ACCEPTED),
        ([100, 140], "lymphocyte", "point", ACCEPTED),
        ([100, 180], "tumour", "point", ACCEPTED),
    ]
    assert shown.undo() == "Accept 3 cells"
    assert len(shown.annotations()) == 0


def test_cells_are_named_by_a_place_near_them(shown: Session) -> None:
    shown.accept([[103, 97]])
    shown.relabel([[98, 143]], "tumour")
    assert _said(shown) == [
        ([100, 100], "lymphocyte", "point", ACCEPTED),
        ([100, 140], "tumour", "point", ACCEPTED),
    ]
    with pytest.raises(xce.SessionError, match="no predicted cell at"):
        shown.accept([[100, 100], [300, 300]])
    assert len(shown.annotations()) == 2


def test_rejected_cells_are_negatives_and_no_longer_found(shown: Session) -> None:
    shown.reject(shown.found(((90, 90), (110, 150))))
    assert [(kind, label) for _, label, kind, _ in _said(shown)] == [
        ("rejection", "background"),
        ("rejection", "background"),
    ]
    assert shown.found().points.tolist() == [[100, 180], [200, 100]]
    assert shown.undo() == "Reject 2 lymphocyte cells"
    assert len(shown.found()) == 4


def test_later_word_on_a_cell_takes_the_place_of_the_earlier(shown: Session) -> None:
    cell = shown.found()[0]
    shown.accept(cell)
    shown.reject(cell)
    assert [kind for _, _, kind, _ in _said(shown)] == ["rejection"]
    shown.relabel(cell, "tumour")
    shown.relabel(cell, "tumour")  # said already: no action
    assert _said(shown) == [([100, 100], "tumour", "point", ACCEPTED)]
    told = [shown.undo() for _ in range(3)]
    assert told == [
        "Relabel 1 lymphocyte cell as tumour",
        "Reject 1 lymphocyte cell",
        "Accept 1 lymphocyte cell",
    ]


@pytest.mark.parametrize(
    "say",
    [
        lambda s, cells: s.accept(cells),
        lambda s, cells: s.reject(cells),
        lambda s, cells: s.relabel(cells, "lymphocyte"),
    ],
)
def test_own_clicks_are_left_as_they_are(
    shown: Session, say: Callable[[Session, Detections], object]
) -> None:
    shown.annotate("tumour", [[102, 99]])
    say(shown, shown.found())
    said = _said(shown)
    assert said[0] == ([102, 99], "tumour", "point", HUMAN)
    assert len(said) == 4  # and one for each of the other three


def test_accepting_many_leaves_the_class_that_was_said_of_some(shown: Session) -> None:
    cells = shown.found()
    shown.relabel(cells[:1], "tumour")
    shown.reject(cells[1:2])
    shown.accept(cells)
    assert [(place, label) for place, label, _, _ in _said(shown)] == [
        ([100, 100], "tumour"),
        ([100, 140], "lymphocyte"),  # rejected before
        ([100, 180], "tumour"),
        ([200, 100], "tumour"),
    ]
    assert shown.undo() == "Accept 3 cells"


def test_relabel_to_background_rejects_and_unknown_class_is_refused(shown: Session) -> None:
    with pytest.raises(xce.SessionError, match="no class 'stroma'"):
        shown.relabel(shown.found(), "stroma")
    assert len(shown.annotations()) == 0
    shown.relabel(shown.found()[0], "background")
    assert [kind for _, _, kind, _ in _said(shown)] == ["rejection"]


def test_doubtful_cells_come_nearest_the_threshold_first(shown: Session) -> None:
    assert shown.doubtful().scores.tolist() == pytest.approx([0.51, 0.55, 0.4, 0.7, 0.95])
    assert shown.doubtful(box=(150, 0, 300, 300)).scores.tolist() == pytest.approx([0.51, 0.4])
    assert len(shown.doubtful(most=2)) == 2


def test_cells_that_were_spoken_of_are_in_no_doubt(shown: Session) -> None:
    shown.annotate("tumour", [[100, 141]])
    shown.reject([[200, 100]])
    shown.review(((90, 170), (110, 190)))
    assert shown.doubtful().scores.tolist() == pytest.approx([0.4, 0.95])


def test_accepted_cells_teach_the_model(predicted: Session) -> None:
    cells = predicted.found()
    before = predicted.model_revision
    predicted.accept(cells[cells.labels == "tumour"][:5])
    assert (predicted.annotations().provenances == ACCEPTED).sum() > 0
    predicted.fit(seconds=0)
    assert predicted.model_revision > before


def test_evaluation_tells_accepted_cells_from_clicks(predicted: Session) -> None:
    cells = predicted.doubtful((0, 0, 300, 300))  # of which nothing was said
    tumour = cells[cells.labels == "tumour"]
    predicted.review(((0, 0), (300, 300)))
    assert predicted.evaluate()["tumour"].accepted == 0
    predicted.accept(tumour[:2])
    scores = predicted.evaluate()
    assert (scores["tumour"].accepted, scores["lymphocyte"].accepted) == (2, 0)
    assert scores["tumour"].as_dict()["accepted"] == 2


def test_nothing_found_is_nothing_to_say(session: Session, slide: SyntheticSlide) -> None:
    session.add_slide(slide)
    assert len(session.found()) == len(session.doubtful()) == 0
    assert session.accept(session.found()) == []
    assert session.accept(np.empty((0, 2))) == []
    assert session.store.undo() == "Add class tumour"
