from __future__ import annotations

import numpy as np
import pytest

from napari_xce.suggestions import Candidates, suggest

CLASSES = ["lymphocyte", "tumour"]
NOTHING = np.empty((0, 2))
NO_CLICKS = np.empty((0, 4), np.float32)
DIAMETER = 16.0


def candidates(n=40, seed=0, probabilities=None, points=None):
    rng = np.random.default_rng(seed)
    if points is None:
        points = np.stack(np.meshgrid(np.arange(8), np.arange(n // 8)), -1).reshape(-1, 2) * 100.0
    if probabilities is None:
        probabilities = rng.dirichlet([1, 1, 1], len(points))
    vectors = rng.normal(size=(len(points), 4)).astype(np.float32)
    return Candidates(points, np.asarray(probabilities, float), vectors)


def ask(found, n=5, clicked=NO_CLICKS, classes=CLASSES, avoid=NOTHING, box=None):
    return suggest(found, classes, clicked, n, avoid=avoid, diameter=DIAMETER, box=box)


def clicks(n, at=0.0):
    return np.full((n, 4), at, np.float32)


def places(suggestions):
    return np.array([s.yx for s in suggestions]).reshape(-1, 2)


def test_nothing_to_choose_from_gives_no_suggestion():
    empty = Candidates(NOTHING, np.empty((0, 3)), np.empty((0, 4), np.float32))
    assert ask(empty) == []
    assert ask(candidates(), n=0) == []


def test_as_many_places_as_asked_for_best_first():
    found = ask(candidates(), n=5)
    assert len(found) == 5
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)
    assert all(0 <= s.score <= 1 for s in found)


def test_fewer_places_when_there_are_not_enough():
    assert len(ask(candidates(n=8), n=50)) <= 8
    assert len(ask(candidates(n=8)[np.array([3])], n=5)) == 1


@pytest.mark.parametrize("clicked", [NO_CLICKS, clicks(3), clicks(30)])
def test_same_place_is_never_suggested_twice(clicked):
    settled = NOTHING
    for _ in range(20):
        found = places(ask(candidates(), n=4, clicked=clicked, avoid=settled))
        for place in found:
            assert not (np.linalg.norm(settled - place, axis=1) < DIAMETER).any()
        settled = np.concatenate([settled, found])
    assert len(np.unique(settled, axis=0)) == len(settled)


def test_annotated_cells_are_not_suggested():
    cells = candidates(n=8)
    avoid = cells.points[1:] + 3.0  # within a diameter
    np.testing.assert_array_equal(places(ask(cells, avoid=avoid)), cells.points[:1])


def test_suggestions_are_spread_apart():
    rng = np.random.default_rng(1)
    crowd = candidates(points=rng.uniform(0, 300, (400, 2)))
    found = places(ask(crowd, n=6))
    assert len(found) == 6
    away = np.linalg.norm(found[:, None] - found, axis=2) + 1e9 * np.eye(6)
    assert away.min() >= 4 * DIAMETER


def test_cells_that_are_alike_are_not_all_suggested():
    cells = candidates(n=40)
    vectors = np.zeros((40, 4), np.float32)
    vectors[20:] = 5.0  # two kinds, each alike
    same = Candidates(cells.points, np.tile([0.3, 0.4, 0.3], (40, 1)), vectors)
    kinds = {bool(np.flatnonzero((same.points == s.yx).all(1))[0] >= 20) for s in ask(same, n=2)}
    assert kinds == {False, True}


@pytest.mark.parametrize("clicked", [clicks(3), clicks(30)])
def test_view_goes_first(clicked):
    cells = candidates(n=40)
    even = Candidates(cells.points, np.tile([0.3, 0.4, 0.3], (40, 1)), np.zeros((40, 4), "f4"))
    box = (0.0, 0.0, 250.0, 250.0)
    found = places(ask(even, n=3, clicked=clicked, box=box))
    assert (found < 250).all()


def test_view_without_candidates_is_left():
    assert len(ask(candidates(), n=2, box=(5000.0, 5000.0, 6000.0, 6000.0))) == 2


def test_doubtful_cells_go_first_when_there_are_many_clicks():
    p = np.tile([0.98, 0.01, 0.01], (40, 1))
    p[17] = [0.02, 0.49, 0.49]
    cells = candidates(probabilities=p)
    np.testing.assert_array_equal(ask(cells, n=1, clicked=clicks(30))[0].yx, cells.points[17])


def test_novel_cells_go_first_when_there_are_few_clicks():
    cells = candidates(n=40)
    vectors = np.zeros((40, 4), np.float32)
    vectors[30:] = 9.0
    alike = Candidates(cells.points, np.tile([0.2, 0.6, 0.2], (40, 1)), vectors)
    found = ask(alike, n=1, clicked=clicks(3, at=0.0))[0]
    assert np.flatnonzero((alike.points == found.yx).all(1))[0] >= 30


@pytest.mark.parametrize(
    ("p", "at", "reason"),
    [
        ([0.05, 0.5, 0.45], 0.0, "Undecided between lymphocyte and tumour"),
        ([0.45, 0.0, 0.55], 0.0, "Undecided between tumour and something else"),
        ([0.0, 0.1, 0.9], 0.0, "Probably tumour"),
        ([0.9, 0.1, 0.0], 0.0, "Probably not lymphocyte"),
    ],
)
def test_reasons_name_the_classes(p, at, reason):
    only = Candidates(np.zeros((1, 2)), np.array([p]), np.full((1, 4), at, np.float32))
    assert ask(only, clicked=clicks(30, at=at))[0].reason.startswith(reason)


def test_reason_says_when_a_cell_is_unlike_those_clicked():
    cells = candidates(n=40)
    vectors = np.zeros((40, 4), np.float32)
    vectors[30:] = 9.0
    for p, words in [
        ([0.9, 0.05, 0.05], "Unlike the cells you clicked"),
        ([0.05, 0.9, 0.05], "Looks like lymphocyte, but unlike those you clicked"),
    ]:
        strange = Candidates(cells.points, np.tile(p, (40, 1)), vectors)
        assert ask(strange, n=1, clicked=clicks(3))[0].reason.startswith(words)


def test_before_the_first_click_typical_cells_are_asked_about():
    found = ask(candidates(), n=3)
    assert {s.reason for s in found} == {"A typical cell: which class is it?"}


def test_session_without_classes_can_be_asked():
    only = Candidates(np.zeros((1, 2)), np.ones((1, 1)), np.zeros((1, 4), np.float32))
    assert len(ask(only, classes=[])) == 1
