from __future__ import annotations

import numpy as np
import pytest

from napari_xce.suggestions import Candidates, suggest

CLASSES = ["lymphocyte", "tumour"]
NOTHING = np.empty((0, 2))
NO_CLICKS = np.empty((0, 4), np.float32)
DIAMETER = 16.0


def drawn(points, probabilities, vectors):
    return Candidates(points, probabilities, vectors, np.ones(len(points), np.float32))


def candidates(n=40, seed=0, probabilities=None, points=None):
    rng = np.random.default_rng(seed)
    if points is None:
        points = np.stack(np.meshgrid(np.arange(8), np.arange(n // 8)), -1).reshape(-1, 2) * 100.0
    if probabilities is None:
        probabilities = rng.dirichlet([1, 1, 1], len(points))
    vectors = rng.normal(size=(len(points), 4)).astype(np.float32)
    return drawn(points, np.asarray(probabilities, float), vectors)


def ask(found, n=5, clicked=NO_CLICKS, classes=CLASSES, avoid=NOTHING, box=None, counts=None):
    return suggest(
        found, classes, clicked, n, avoid=avoid, diameter=DIAMETER, box=box, counts=counts
    )


def clicks(n, at=0.0):
    return np.full((n, 4), at, np.float32)


def places(suggestions):
    return np.array([s.yx for s in suggestions]).reshape(-1, 2)


def test_nothing_to_choose_from_gives_no_suggestion():
    empty = drawn(NOTHING, np.empty((0, 3)), np.empty((0, 4), np.float32))
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
    same = drawn(cells.points, np.tile([0.3, 0.4, 0.3], (40, 1)), vectors)
    kinds = {bool(np.flatnonzero((same.points == s.yx).all(1))[0] >= 20) for s in ask(same, n=2)}
    assert kinds == {False, True}


@pytest.mark.parametrize("clicked", [clicks(3), clicks(30)])
def test_view_goes_first(clicked):
    cells = candidates(n=40)
    even = drawn(cells.points, np.tile([0.3, 0.4, 0.3], (40, 1)), np.zeros((40, 4), "f4"))
    box = (0.0, 0.0, 250.0, 250.0)
    found = places(ask(even, n=3, clicked=clicked, box=box))
    assert (found < 250).all()


def test_view_without_candidates_is_left():
    assert len(ask(candidates(), n=2, box=(5000.0, 5000.0, 6000.0, 6000.0))) == 2


def test_doubtful_cells_go_first_when_there_are_many_clicks():
    p = np.tile([0.98, 0.01, 0.01], (40, 1))
    p[17] = [0.02, 0.49, 0.49]
    vectors = np.ones((40, 4), np.float32)
    vectors[::2] = -1.0  # two kinds, each alike
    cells = drawn(candidates(n=40).points, p, vectors)
    np.testing.assert_array_equal(ask(cells, n=1, clicked=clicks(30))[0].yx, cells.points[17])


def test_novel_cells_go_first_when_there_are_few_clicks():
    cells = candidates(n=40)
    vectors = np.zeros((40, 4), np.float32)
    vectors[30:] = 9.0
    alike = drawn(cells.points, np.tile([0.2, 0.6, 0.2], (40, 1)), vectors)
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
    only = drawn(np.zeros((1, 2)), np.array([p]), np.full((1, 4), at, np.float32))
    assert ask(only, clicked=clicks(30, at=at))[0].reason.startswith(reason)


def test_reason_says_when_a_cell_is_unlike_those_clicked():
    cells = candidates(n=40)
    vectors = np.zeros((40, 4), np.float32)
    vectors[30:] = 9.0
    for p, words in [
        ([0.9, 0.05, 0.05], "Unlike the cells you clicked"),
        ([0.05, 0.9, 0.05], "Looks like lymphocyte, but unlike those you clicked"),
    ]:
        strange = drawn(cells.points, np.tile(p, (40, 1)), vectors)
        assert ask(strange, n=1, clicked=clicks(3))[0].reason.startswith(words)


def test_before_the_first_click_typical_cells_are_asked_about():
    found = ask(candidates(), n=3)
    assert {s.reason for s in found} == {"A typical cell: which class is it?"}


def test_session_without_classes_can_be_asked():
    only = drawn(np.zeros((1, 2)), np.ones((1, 1)), np.zeros((1, 4), np.float32))
    assert len(ask(only, classes=[])) == 1


def test_doubt_shared_by_many_goes_before_an_odd_one():
    vectors = np.zeros((60, 4), np.float32)  # those that were clicked, and more of them
    vectors[20:40] = [4.0, 0, 0, 0]  # twenty that are alike
    vectors[40] = [0, 4.0, 0, 0]  # one of its own kind
    p = np.tile([0.02, 0.96, 0.02], (60, 1))
    p[20:41] = [0.0, 0.5, 0.5]
    cells = drawn(candidates(n=64).points[:60], p, vectors)
    place = np.flatnonzero((cells.points == ask(cells, n=1, clicked=clicks(4))[0].yx).all(1))
    assert 20 <= place[0] < 40


def test_typical_cells_go_before_odd_ones_when_there_are_no_clicks():
    vectors = np.zeros((40, 4), np.float32)
    vectors[:4] = 9.0 * np.eye(4)  # four that are like no other
    cells = drawn(candidates(n=40).points, np.full((40, 3), 1 / 3), vectors)
    assert np.flatnonzero((cells.points == ask(cells, n=1)[0].yx).all(1))[0] >= 4


def test_what_is_hardly_a_cell_waits():
    vectors = np.ones((40, 4), np.float32)
    vectors[::2] = -1.0
    likely = np.full(40, 0.3, np.float32)
    likely[22] = 0.9
    cells = Candidates(candidates(n=40).points, np.full((40, 3), 1 / 3), vectors, likely)
    np.testing.assert_array_equal(ask(cells, n=1)[0].yx, cells.points[22])


def test_places_are_those_of_the_formula():
    """Worked the long way, by inverting S anew for each cell answered."""
    rng = np.random.default_rng(4)
    cells, clicked = candidates(n=40), rng.normal(size=(5, 4)).astype(np.float32)
    even = drawn(cells.points, np.full((40, 3), 1 / 3), cells.vectors)
    mean, spread = cells.vectors.mean(0), cells.vectors.std(0)
    x = (np.concatenate([cells.vectors, clicked]) - mean) / spread
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = x * np.minimum(1.0, 1.5 * np.median(lengths[:40]) / lengths)
    noise, answered, factor = 0.5 * (x[:40] ** 2).sum(1).mean(), list(range(40, 45)), np.ones(40)
    reach = np.linalg.norm(np.ptp(cells.points, axis=0)) / (2 * np.sqrt(4))
    for _ in range(4):
        s = np.linalg.inv(np.eye(4) + x[answered].T @ x[answered] / noise)
        open_ = x[:40] @ s @ x[:40].T  # (x, y)
        gain = factor * (open_**2).mean(1) / (np.diag(open_) + noise)
        answered.append(int(gain.argmax()))
        away = np.linalg.norm(cells.points - cells.points[answered[-1]], axis=1)
        factor *= np.where(away < 4 * DIAMETER, 0.0, 1 - 0.5 * np.exp(-((away / reach) ** 2)))
    found = ask(even, n=4, clicked=clicked)
    np.testing.assert_array_equal(places(found), cells.points[answered[5:]])


def test_class_with_few_clicks_goes_first_and_says_so():
    p = np.tile([0.05, 0.9, 0.05], (40, 1))
    p[33] = [0.05, 0.05, 0.9]
    even = drawn(candidates(n=40).points, p, np.zeros((40, 4), np.float32))
    (found,) = ask(even, n=1, clicked=clicks(30), counts=[29, 1])
    np.testing.assert_array_equal(found.yx, even.points[33])
    assert found.reason == "Perhaps tumour, a class with few clicks so far"
    assert found.guess == "tumour"


def test_tissue_far_from_all_that_was_said_is_called_so():
    far = drawn(
        np.array([[5000.0, 5000.0]]), np.array([[0.05, 0.9, 0.05]]), np.zeros((1, 4), np.float32)
    )
    (found,) = ask(far, clicked=clicks(30), avoid=np.array([[10.0, 10.0]]))
    assert found.reason == "Tissue not looked at yet: probably lymphocyte"
    (near,) = ask(far, clicked=clicks(30), avoid=np.array([[5000.0, 5100.0]]))
    assert "not looked at" not in near.reason


def test_place_near_the_view_goes_before_one_far_away():
    points = np.array([[10_000.0, 10_000.0], [260.0, 100.0]])
    even = drawn(points, np.tile([0.3, 0.4, 0.3], (2, 1)), np.zeros((2, 4), np.float32))
    box = (0.0, 0.0, 250.0, 250.0)
    assert [s.yx for s in ask(even, n=2, clicked=clicks(30), box=box)] == [
        (260.0, 100.0),
        (10_000.0, 10_000.0),
    ]


def test_whole_slide_is_spread_over_where_nothing_was_said():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 10_000, (2000, 2))
    even = drawn(points, np.tile([0.3, 0.4, 0.3], (2000, 1)), np.zeros((2000, 4), "f4"))
    found = places(ask(even, n=4, clicked=clicks(30)))
    quarters = {(bool(y > 5000), bool(x > 5000)) for y, x in found}
    assert len(quarters) >= 3  # of four places


def test_guess_is_the_likeliest_class_or_none():
    for p, guess in [([0.1, 0.7, 0.2], "lymphocyte"), ([0.8, 0.1, 0.1], "")]:
        only = drawn(np.zeros((1, 2)), np.array([p]), np.zeros((1, 4), np.float32))
        assert ask(only, clicked=clicks(30))[0].guess == guess
