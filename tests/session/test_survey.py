"""A look around the slides, so that the learner knows how cells vary where nobody clicks."""

from __future__ import annotations

import numpy as np

import napari_xce as xce
from napari_xce.errors import SlideError
from napari_xce.predictions.tiles import TileGrid
from napari_xce.session import Session, survey
from napari_xce.slides.synthetic import SyntheticSlide
from napari_xce.slides.tissue import tissue_mask

from .conftest import SHAPE, cells_of, grey_slide, make_slide


def another_slide() -> SyntheticSlide:
    return SyntheticSlide(SHAPE, seed=4)


def survey_all(session: Session) -> int:
    """Look around to the end; return how many pieces it took."""
    pieces = 0
    while session.survey_some():
        pieces += 1
    return pieces


def test_each_slide_is_looked_at_in_pieces_and_once(session: Session) -> None:
    one, other = session.add_slide(make_slide()), session.add_slide(another_slide())
    assert survey_all(session) == 4  # two tiles each
    assert session.live.tiles_seen(one) == session.live.tiles_seen(other) == 2
    assert not session.survey_some()


def test_what_was_only_looked_at_speaks_against_no_class(session: Session) -> None:
    session.add_slide(make_slide())
    survey_all(session)
    assert not session.live.memory.tiles


def test_a_fit_looks_around_first(clicked: Session) -> None:
    other = clicked.add_slide(another_slide())
    clicked.fit(seconds=0)
    assert clicked.live.tiles_seen(other) == 2


def test_a_slide_that_cannot_be_read_is_passed_over(session: Session, caplog) -> None:
    broken, good = another_slide(), make_slide()
    ids = [session.add_slide(slide) for slide in (broken, good)]

    def fail(*_: object, **__: object) -> None:
        raise SlideError("The disk is away.")

    broken.read_scaled = fail  # type: ignore[method-assign, assignment]
    session.annotate("tumour", cells_of(good, "tumour", 4), slide=ids[1])
    session.fit(seconds=0)
    assert session.live.tiles_seen(ids[1]) == 2
    assert "The disk is away." in caplog.text


def test_glass_is_not_looked_at(session: Session) -> None:
    pixels = np.full((448, 448 * 8, 3), 245, np.uint8)
    pixels[:, :448] = make_slide().read(0, 0, 448, 448, mpp=0.5)
    sid = session.add_slide(xce.Slide.from_array(pixels, mpp=0.5))
    assert survey_all(session) > 0
    assert not any(session.live.has_seen((sid, (0, column))) for column in range(2, 8))


def test_a_new_scale_is_looked_at_anew(session: Session) -> None:
    sid = session.add_slide(grey_slide(shape=(900, 900)))
    before = survey_all(session)
    session.set_cell_diameter(sid, 32.0)
    assert before > 0
    assert survey_all(session) > 0


def test_tiles_are_spread_over_a_slide() -> None:
    assert survey.spread([], 4) == []
    assert survey.spread([(0, 0)], 4) == [(0, 0)]
    row = [(0, column) for column in range(100)]
    assert survey.spread(row, 4) == [(0, 0), (0, 33), (0, 66), (0, 99)]


def test_many_slides_share_the_tiles() -> None:
    assert survey.shares([]) == {}
    assert survey.shares(["a", "b"]) == {"a": 4, "b": 4}
    for n in (13, 48, 49, 1000):
        shares = survey.shares([str(i) for i in range(n)])
        assert 0 < sum(shares.values()) <= survey.MOST_TILES
        assert "0" in shares


def test_some_tiles_of_very_many_others_the_next_time(monkeypatch) -> None:
    monkeypatch.setattr(survey, "_MOST_SCANNED", 10)
    slide = grey_slide(shape=(448, 448 * 40))
    grid, tissue = TileGrid(slide.shape, (1.0, 1.0), 448, 80, 80), tissue_mask(slide)
    first = survey.tiles_with_tissue(grid, tissue)
    second = survey.tiles_with_tissue(grid, tissue, begin=1)
    assert len(first) == len(second) == 10
    assert not set(first) & set(second)
    assert survey.tiles_with_tissue(grid, tissue, wanted=lambda tile: tile == first[3]) == [
        first[3]
    ]
