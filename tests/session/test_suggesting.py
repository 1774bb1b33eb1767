"""Where to click next in a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.session import Session, suggesting

from .conftest import make_slide


def test_suggestions_come_before_any_click(session: Session) -> None:
    session.add_slide(make_slide())
    places = session.suggest(5)
    assert len(places) == 5
    assert all(place.reason for place in places)


def test_suggestions_never_repeat(learnt: Session) -> None:
    places = [tuple(place.yx) for _ in range(6) for place in learnt.suggest(4)]
    assert len(places) == 24
    apart = np.linalg.norm(np.array(places)[:, None] - np.array(places), axis=2)
    assert apart[np.triu_indices(24, 1)].min() > 8  # never the same cell


def test_suggestions_spare_what_was_said(learnt: Session) -> None:
    said = learnt.annotations().points
    learnt.review(((0, 0), (448, 448)))
    places = np.array([place.yx for place in learnt.suggest(10)])
    assert np.linalg.norm(places[:, None] - said, axis=2).min() > 8
    assert (places[:, 1] > 447).all()  # the left tile is reviewed: all is said there


def test_suggestions_begin_in_view(learnt: Session) -> None:
    learnt.predict()
    (place,) = learnt.suggest(1, box=(0, 500, 440, 800))
    assert 500 <= place.yx[1] <= 800


def test_suggestions_end_where_there_are_no_cells(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(np.full((300, 300, 3), 255, np.uint8), mpp=0.5))
    assert len(session.suggest(3, slide=sid)) <= 3  # and no fault
    with pytest.raises(xce.SessionError, match="no open slide"):
        session.suggest(1, slide="slide-9")


def test_suggestions_name_classes_that_stand(learnt: Session) -> None:
    learnt.rename_class("tumour", "epithelium")
    reasons = " ".join(place.reason for place in learnt.suggest(10))
    assert "tumour" not in reasons
    learnt.delete_class("lymphocyte")
    assert "lymphocyte" not in " ".join(place.reason for place in learnt.suggest(10))


def test_suggestions_never_repeat_after_reopening(session_dir: Path) -> None:
    shown = []
    for _ in range(3):
        opened = (Session.open if session_dir.exists() else Session.create)(session_dir)
        with opened as session:
            session.add_slide(make_slide())
            shown += [place.yx for place in session.suggest(5)]
    apart = np.linalg.norm(np.array(shown)[:, None] - np.array(shown), axis=2)
    assert len(shown) == 15
    assert apart[np.triu_indices(15, 1)].min() > 8


def test_memory_of_suggestions_is_bounded(learnt: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggesting, "MOST_REMEMBERED", 6)
    places = [place.yx for _ in range(3) for place in learnt.suggest(4)]
    (kept,) = learnt.store.get_setting("suggested").values()
    np.testing.assert_allclose(kept, places[-6:], atol=0.06)


def test_view_nobody_looked_at_is_looked_at(learnt: Session) -> None:
    """The view is a tile without clicks, of which the network knows nothing yet."""
    places = learnt.suggest(3, box=(0, 500, 440, 800))
    assert sum(500 <= place.yx[1] <= 800 for place in places) >= 2


def test_suggestions_know_the_classes_after_reopening(learnt: Session, session_dir: Path) -> None:
    learnt.close()
    with Session.open(session_dir) as session:
        session.add_slide(make_slide())
        assert {place.guess for place in session.suggest(20)} & {"lymphocyte", "tumour"}
