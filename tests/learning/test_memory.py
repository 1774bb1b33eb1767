from __future__ import annotations

import numpy as np
import pytest

from napari_xce.annotations.records import Annotations
from napari_xce.learning import memory as memory_module
from napari_xce.learning.click_learner import OTHER, UNANNOTATED
from napari_xce.learning.heads import CELL_SIZE
from napari_xce.learning.memory import Click, Memory, Observation

CLASSES = ["lymphocyte", "tumour"]
TILE = (0, 0)
DIAMETER = 16.0


def vector(value):
    return np.full(CELL_SIZE, value, np.float32)


def observation(points, ground=(), objects=0.9):
    """Return a tile whose proposal i has the vector i, and whose ground has the vector -1."""
    points, ground = np.asarray(points, float).reshape(-1, 2), np.array(ground).reshape(-1, 2)
    n, m = len(points), len(ground)
    return Observation(
        points=points,
        objects=np.full(n, objects, np.float32),
        diameters=np.full(n, DIAMETER, np.float32),
        vectors=np.array([vector(i) for i in range(n)]).reshape(n, CELL_SIZE),
        ground_points=ground.astype(float),
        ground_vectors=np.tile(vector(-1), (m, 1)).reshape(m, CELL_SIZE),
        cell_diameter=DIAMETER,
    )


def said(*what, regions=(), aside=()):
    """Return annotations from (id, (y, x), label[, slide]); "background" is a rejection."""
    what = [(*w, "slide")[:4] for w in what]
    kinds = ["rejection" if w[2] == "background" else "point" for w in what]
    outlines = (*regions, *aside)
    n, m = len(what), len(outlines)
    return Annotations(
        ids=np.array([w[0] for w in what] + [f"region-{k}" for k in range(m)], np.str_),
        points=np.array([w[1] for w in what] + [(0.0, 0.0)] * m, float).reshape(-1, 2),
        labels=np.array([w[2] for w in what] + ["background"] * m, np.str_),
        kinds=np.array(kinds + ["region"] * m, np.str_),
        provenances=np.array(["human"] * (n + m), np.str_),
        polygons=(None,) * n + tuple(np.array(r, float) for r in outlines),
        slides=np.array([w[3] for w in what] + ["slide"] * m, np.str_),
        created=np.zeros(n + m),
        set_aside=np.arange(n + m) >= n + len(regions),
    )


def square(y0, x0, y1, x1):
    return [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]


def remember(memory, annotations, value=100.0):
    """Show the memory every click; at its own place each has the vector ``value``."""
    for id, point, slide in zip(
        annotations.ids, annotations.points, annotations.slides, strict=True
    ):
        ring = point + DIAMETER * np.array([[0.65, 0.0], [-0.65, 0.0]])
        rings = np.tile(vector(50), (2, 1))
        click = Click((point[0], point[1]), vector(value), ring, rings, (str(slide), TILE))
        memory.remember_click(str(id), click)


def learn_from(annotations, seen, classes=CLASSES):
    memory = Memory()
    memory.observe(("slide", TILE), seen)
    remember(memory, annotations)
    return memory.training_rows(annotations, classes, np.random.default_rng(0))


def table(rows):
    """Return (first entry of the vector, label) of each row, sorted."""
    return sorted(zip(rows.vectors[:, 0].tolist(), rows.labels.tolist(), strict=True))


def test_click_near_a_proposal_takes_its_vector():
    rows = learn_from(said(("a", (20, 24), "lymphocyte")), observation([(20, 20), (80, 80)]))
    assert rows.proposed == [0]
    assert rows.dense == []
    assert table(rows.objects) == [(0.0, 1), (1.0, UNANNOTATED)]
    assert rows.objects.weights[0] == pytest.approx(0.9)


def test_click_far_from_any_proposal_keeps_its_own_vector():
    rows = learn_from(said(("a", (50, 50), "lymphocyte")), observation([(20, 20)]))
    assert rows.proposed == []
    assert rows.dense == [0]
    assert (100.0, 1) in table(rows.ground)


def test_cell_clicked_again_and_again_counts_once():
    again = [(name, (20, 20 + i), "lymphocyte") for i, name in enumerate("abc")]
    rows = learn_from(said(*again), observation([(20, 20), (80, 80)]))
    assert table(rows.objects) == [(0.0, 1), (1.0, UNANNOTATED)]


def test_last_word_on_a_cell_holds():
    annotations = said(("a", (20, 20), "lymphocyte"), ("b", (21, 20), "background"))
    rows = learn_from(annotations, observation([(20, 20), (80, 80)]))
    assert table(rows.objects) == [(0.0, OTHER), (1.0, UNANNOTATED)]


def test_place_clicked_twice_where_nothing_is_proposed_counts_once():
    twice = [(name, (50, 50), "lymphocyte") for name in "ab"]
    rows = learn_from(said(*twice), observation([(20, 20)]))
    assert table(rows.ground).count((100.0, 1)) == 1


def test_click_on_something_hardly_an_object_does_not_name_it():
    seen = observation([(20, 20)], objects=0.1)
    assert learn_from(said(("a", (20, 20), "lymphocyte")), seen).dense == [0]


def test_rejection_makes_its_proposal_other():
    annotations = said(("a", (20, 20), "lymphocyte"), ("b", (80, 81), "background"))
    rows = learn_from(annotations, observation([(20, 20), (80, 80), (50, 50)]))
    assert table(rows.objects) == [(0.0, 1), (1.0, OTHER), (2.0, UNANNOTATED)]


def test_reviewed_region_makes_unmatched_proposals_other():
    annotations = said(("a", (20, 20), "lymphocyte"), regions=[square(0, 0, 60, 60)])
    rows = learn_from(annotations, observation([(20, 20), (40, 40), (80, 80)]))
    assert table(rows.objects) == [(0.0, 1), (1.0, OTHER), (2.0, UNANNOTATED)]


def test_nothing_in_a_region_set_aside_is_learnt_from():
    """Two regions overlap; what both hold is for the test."""
    inside = square(0, 0, 60, 60)
    annotations = said(
        ("a", (120, 20), "lymphocyte"), regions=[square(30, 30, 90, 90)], aside=[inside]
    )
    places = [(120, 20), (20, 20), (40, 40), (80, 80), (150, 150)]
    rows = learn_from(annotations, observation(places, ground=[(50, 50), (70, 70)]))
    assert table(rows.objects) == [(0.0, 1), (3.0, OTHER), (4.0, UNANNOTATED)]


def test_ring_of_a_click_stops_at_a_region_set_aside():
    annotations = said(("a", (50, 50), "lymphocyte"), aside=[square(55, 0, 99, 99)])
    rows = learn_from(annotations, observation([], ground=[(70, 70), (20, 20)]))
    assert table(rows.ground) == [(-1.0, UNANNOTATED), (50.0, OTHER), (100.0, 1)]


def test_clicks_of_another_class_are_not_other_to_proposed_ones():
    annotations = said(("a", (20, 20), "lymphocyte"), ("b", (80, 80), "tumour"))
    rows = learn_from(annotations, observation([(20, 20), (80, 80)]))
    assert rows.proposed == [0, 1]
    assert table(rows.objects) == [(0.0, 1), (1.0, 2)]


def test_class_is_dense_when_most_of_its_clicks_meet_no_proposal():
    seen = observation([(20, 20), (80, 80)], ground=[(200, 200)])
    annotations = said(
        ("a", (20, 20), "lymphocyte"),
        ("b", (80, 80), "tumour"),
        ("c", (120, 40), "tumour"),
        ("d", (160, 40), "tumour"),
    )
    rows = learn_from(annotations, seen)
    assert rows.proposed == [0]
    assert rows.dense == [1]
    # to the proposed class the tumour click on a nucleus is something else
    assert table(rows.objects) == [(0.0, 1), (1.0, OTHER)]
    # and the other way round; "tumour" is the first of the dense classes
    labels_by_value = table(rows.ground)
    assert labels_by_value.count((100.0, 1)) == 2
    assert (1.0, 1) in labels_by_value
    assert (0.0, OTHER) in labels_by_value
    assert (-1.0, UNANNOTATED) in labels_by_value


def test_class_nobody_clicked_is_neither_proposed_nor_dense():
    rows = learn_from(said(("a", (20, 20), "tumour")), observation([(20, 20)]))
    assert rows.proposed == [1]
    assert rows.dense == []


def test_ground_near_a_click_is_not_unannotated():
    seen = observation([], ground=[(50, 52), (120, 120)])
    rows = learn_from(said(("a", (50, 50), "lymphocyte")), seen)
    assert table(rows.ground).count((-1.0, UNANNOTATED)) == 1


def test_ring_around_a_dense_click_is_other():
    rows = learn_from(said(("a", (50, 50), "lymphocyte")), observation([]))
    assert table(rows.ground) == [(50.0, OTHER), (50.0, OTHER), (100.0, 1)]


def test_ring_does_not_touch_a_neighbouring_click():
    annotations = said(("a", (50, 50), "lymphocyte"), ("b", (60, 50), "lymphocyte"))
    rows = learn_from(annotations, observation([]))
    assert table(rows.ground).count((50.0, OTHER)) == 2  # the outer halves only


def test_reviewed_ground_is_other():
    annotations = said(("a", (50, 50), "lymphocyte"), regions=[square(90, 90, 150, 150)])
    rows = learn_from(annotations, observation([], ground=[(120, 120), (300, 300)]))
    assert {(-1.0, OTHER), (-1.0, UNANNOTATED)} <= set(table(rows.ground))


def test_slides_are_kept_apart():
    memory = Memory()
    memory.observe(("one", TILE), observation([(20, 20)]))
    memory.observe(("two", TILE), observation([(20, 20)], objects=0.5))
    annotations = said(("a", (20, 20), "lymphocyte", "one"))
    remember(memory, annotations)
    rows = memory.training_rows(annotations, CLASSES, np.random.default_rng(0))
    assert sorted(rows.objects.labels.tolist()) == [UNANNOTATED, 1]
    assert rows.objects.weights[rows.objects.labels == 1] == pytest.approx([0.9])


def test_annotations_not_yet_observed_are_passed_over():
    memory = Memory()
    memory.observe(("slide", TILE), observation([(20, 20)]))
    rows = memory.training_rows(
        said(("a", (20, 20), "lymphocyte")), CLASSES, np.random.default_rng(0)
    )
    assert rows.proposed == []


def test_nothing_observed_gives_no_rows():
    rows = Memory().training_rows(
        said(("a", (20, 20), "lymphocyte")), CLASSES, np.random.default_rng(0)
    )
    assert (rows.proposed, rows.dense, len(rows.objects.labels)) == ([], [], 0)


def test_moved_click_is_no_longer_known():
    memory = Memory()
    annotations = said(("a", (20, 20), "lymphocyte"))
    remember(memory, annotations)
    assert memory.knows("a", np.array([20.0, 20.0]))
    assert not memory.knows("a", np.array([20.0, 21.0]))
    memory.observe(("slide", TILE), observation([]))
    moved = said(("a", (90, 90), "lymphocyte"))
    assert memory.training_rows(moved, CLASSES, np.random.default_rng(0)).dense == []


def test_clicks_taken_back_are_forgotten():
    memory = Memory()
    remember(memory, said(("a", (20, 20), "lymphocyte"), ("b", (9, 9), "tumour")))
    memory.keep_clicks(["b"])
    assert len(memory.click_vectors()) == 1
    assert not memory.knows("a", np.array([20.0, 20.0]))


def test_forgetting_forgets_tiles_and_clicks():
    memory = Memory()
    memory.observe(("slide", TILE), observation([(1, 1)]))
    remember(memory, said(("a", (20, 20), "lymphocyte")))
    memory.forget()
    assert not memory.tiles
    assert memory.click_vectors().shape == (0, CELL_SIZE)


def test_oldest_tiles_make_room_but_never_those_with_clicks(monkeypatch):
    monkeypatch.setattr(memory_module, "MOST_TILES", 3)
    memory = Memory()
    memory.observe(("slide", TILE), observation([(20, 20)]))
    remember(memory, said(("a", (20, 20), "lymphocyte")))
    for column in range(1, 8):
        memory.observe(("slide", (0, column)), observation([]))
    assert list(memory.tiles) == [("slide", TILE), ("slide", (0, 6)), ("slide", (0, 7))]


def test_many_unannotated_rows_are_drawn_from(monkeypatch):
    monkeypatch.setattr(memory_module, "MOST_UNANNOTATED", 10)
    points = [(100.0 * i, 0.0) for i in range(50)]
    annotations = said(("a", (0, 0), "lymphocyte"), regions=[square(50, -50, 250, 50)])
    rows = learn_from(annotations, observation(points)).objects
    assert (rows.labels == UNANNOTATED).sum() == 10
    assert (rows.labels == OTHER).sum() == 2  # what was said is never left out
    assert (rows.labels == 1).sum() == 1
