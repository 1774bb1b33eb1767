"""What is said stands as it was said; what cannot be is refused and changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xce.annotations import Annotations, Store
from napari_xce.errors import SessionError

TRIANGLE = [(0.0, 0.0), (0.0, 3.0), (3.0, 0.0)]


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with one of each kind: ids "1" and "2" points, "3", mask "4", region "5"."""
    store.add_class("tumour")
    store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4]])
    store.reject("slide-1", [[5, 6]])
    store.add_mask("slide-1", "tumour", TRIANGLE)
    store.review("slide-1", ((0, 0), (10, 20)))
    return store


def as_lists(standing: Annotations) -> list[Any]:
    polygons = [None if outline is None else outline.tolist() for outline in standing.polygons]
    arrays = (standing.ids, standing.points, standing.labels, standing.kinds,
              standing.provenances, standing.slides, standing.created)  # fmt: skip
    return [*(array.tolist() for array in arrays), polygons]


def test_points_come_back_exactly_and_in_order(store: Store, path: Path) -> None:
    points = np.random.default_rng(0).uniform(-0.9, 200_000, (500, 2))
    ids = store.add_points("slide-1", "lymphocyte", points)
    store.close()
    with Store.open(path) as store:
        standing = store.annotations("slide-1")
    assert standing.ids.tolist() == ids
    np.testing.assert_array_equal(standing.points, points)
    assert set(standing.labels) == {"lymphocyte"}
    assert set(standing.kinds) == {"point"}
    assert set(standing.provenances) == {"human"}
    assert set(standing.slides) == {"slide-1"}
    np.testing.assert_allclose(standing.created, time.time(), atol=60)


def test_each_kind_says_what_it_is(filled: Store) -> None:
    standing = filled.annotations()
    assert standing.kinds.tolist() == ["point", "point", "rejection", "mask", "region"]
    assert standing.labels.tolist() == [
        "lymphocyte", "lymphocyte", "background", "tumour", "background",
    ]  # fmt: skip
    assert standing.points[3:].tolist() == [[1, 1], [5, 10]]  # centroids
    assert standing.polygons[3].tolist() == [list(corner) for corner in TRIANGLE]
    assert standing.polygons[4].tolist() == [[0, 0], [0, 20], [10, 20], [10, 0]]


def test_provenance_is_kept(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]], provenance="accepted")
    store.add_points("slide-1", "lymphocyte", [[1, 2]], provenance="imported")
    assert store.annotations().provenances.tolist() == ["accepted", "imported"]
    with pytest.raises(SessionError, match="human, accepted, imported"):
        store.add_points("slide-1", "lymphocyte", [[1, 2]], provenance="guessed")


def test_no_points_are_no_action(store: Store) -> None:
    revision = store.revision
    assert store.add_points("slide-1", "lymphocyte", []) == []
    assert store.reject("slide-1", np.zeros((0, 2))) == []
    store.delete([])
    store.move([], [])
    store.relabel([], "lymphocyte")
    assert store.revision == revision


def test_moving_takes_the_outline_along(filled: Store) -> None:
    filled.move(["4", "1"], [[11, 21], [7, 8]])
    standing = filled.annotations()
    assert standing.points[[0, 3]].tolist() == [[7, 8], [11, 21]]
    assert standing.polygons[3].tolist() == [[10, 20], [10, 23], [13, 20]]
    assert filled.undo() == "Move 2 annotations"
    assert filled.annotations().polygons[3].tolist() == [list(corner) for corner in TRIANGLE]


def test_relabelling_to_background_is_a_rejection_and_back(filled: Store) -> None:
    filled.relabel(["1"], "background")
    filled.relabel(["3", "4"], "lymphocyte")
    standing = filled.annotations()
    assert standing.kinds.tolist() == ["rejection", "point", "point", "mask", "region"]
    assert standing.labels.tolist()[:4] == ["background", *["lymphocyte"] * 3]


def test_deleting_removes_only_those_named(filled: Store) -> None:
    filled.delete(np.array(["1", "5", "1"]))
    assert filled.annotations().ids.tolist() == ["2", "3", "4"]


def test_relabelling_to_the_same_class_is_no_action(filled: Store) -> None:
    revision = filled.revision
    filled.relabel(["1", "2"], "lymphocyte")
    filled.move(["1"], [[1, 2]])
    assert filled.revision == revision


def test_id_of_an_undone_annotation_is_not_given_again(store: Store) -> None:
    first = store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.undo()
    second = store.add_points("slide-1", "lymphocyte", [[3, 4]])
    assert first != second


@pytest.mark.parametrize(
    ("refused", "match"),
    [
        (lambda s: s.add_points("slide-1", "tumor", [[1, 2]]), "no class 'tumor'"),
        (lambda s: s.add_points("slide-1", "background", [[1, 2]]), "use reject instead"),
        (lambda s: s.add_points("slide-1", "tumour", [[1, 2], [np.nan, 1]]), "NaN"),
        (lambda s: s.reject("slide-1", [[np.inf, 1]]), "infinite"),
        (lambda s: s.add_points("slide-1", "tumour", [1, 2]), "shape"),
        (lambda s: s.add_mask("slide-1", "tumor", TRIANGLE), "no class 'tumor'"),
        (lambda s: s.add_mask("slide-1", "tumour", TRIANGLE[:2]), "three corners"),
        (lambda s: s.review("slide-1", [(1, 1), (1, 5)]), "no area"),
        (lambda s: s.delete(["1", "99"]), "no annotation 99"),
        (lambda s: s.delete("12"), r"as a list: \['12'\]"),
        (lambda s: s.delete(["1; --"]), "no annotation '1; --'"),
        (lambda s: s.delete(["9" * 30]), "no annotation"),
        (lambda s: s.move(["1", "99"], [[1, 2], [3, 4]]), "no annotation 99"),
        (lambda s: s.move(["1", "2"], [[9, 9]]), "2 ids and 1 points"),
        (lambda s: s.move(["1", "1"], [[9, 9], [8, 8]]), "one place for each"),
        (lambda s: s.move(["1"], [[np.nan, 9]]), "NaN"),
        (lambda s: s.relabel(["1"], "tumor"), "no class 'tumor'"),
        (lambda s: s.relabel(["1", "99"], "tumour"), "no annotation 99"),
        (lambda s: s.relabel(["1", "5"], "tumour"), "reviewed region has no class"),
    ],
)
def test_refusal_leaves_everything_as_it_was(
    filled: Store, path: Path, refused: Callable[[Store], object], match: str
) -> None:
    before, revision = as_lists(filled.annotations()), filled.revision
    with pytest.raises(SessionError, match=match):
        refused(filled)
    assert filled.revision == revision
    filled.close()
    with Store.open(path) as reopened:
        assert as_lists(reopened.annotations()) == before
        assert reopened.revision == revision
        assert reopened.undo() == "Review a region"


def test_what_stands_cannot_be_changed_by_its_readers(filled: Store) -> None:
    standing = filled.annotations()
    for array in (standing.points, standing.created, standing.labels, standing.polygons[3]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_what_was_read_stays_as_it_was_read(filled: Store) -> None:
    before = filled.annotations("slide-1")
    filled.delete(["1"])
    assert len(before) == 5
    assert len(filled.annotations("slide-1")) == 4


def test_a_hundred_thousand_points_are_one_action(store: Store) -> None:
    points = np.random.default_rng(1).uniform(0, 100_000, (100_000, 2))
    store.add_points("slide-1", "lymphocyte", points, provenance="imported")
    np.testing.assert_array_equal(store.annotations().points, points)
    assert store.undo() == "Add 100,000 lymphocyte points"
    assert len(store.annotations()) == 0
    store.redo()
    np.testing.assert_array_equal(store.annotations().points, points)


def test_click_touches_no_other_annotation(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", np.random.default_rng(1).uniform(0, 1e5, (20_000, 2)))
    with store._database.reading() as connection:
        before = connection.total_changes
        store.add_points("slide-1", "lymphocyte", [[1, 2]])
        assert connection.total_changes - before <= 3  # the point, the journal, the counters
        (length,) = connection.execute(
            "SELECT length(before) FROM journal ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert length < 1000


@pytest.mark.parametrize("place", [[-1, 5], [5, -1], [250_000, 5], [5, 200_000], [-1e8, 1e8]])
def test_what_lies_off_the_slide_is_refused_and_nothing_taken(
    store: Store, place: list[float]
) -> None:
    y, x = place
    outline = [(y, x), (y, x + 0.3), (y + 0.3, x)]
    if y < 0 or x < 0:
        outline = [(y - 1, x - 1), (y - 1, x), (y, x - 1)]
    (id_,) = store.add_points("slide-1", "lymphocyte", [[5, 5]])
    for refused in (
        lambda: store.add_points("slide-1", "lymphocyte", [[5, 5], place]),
        lambda: store.reject("slide-1", [place]),
        lambda: store.add_mask("slide-1", "lymphocyte", outline),
        lambda: store.review("slide-1", outline),
        lambda: store.move([id_], [place]),
    ):
        with pytest.raises(SessionError, match=r"1 of \d points lie outside the slide a\.svs"):
            refused()
    assert store.annotations().points.tolist() == [[5, 5]]


def test_region_may_reach_over_the_edge_of_the_slide(store: Store) -> None:
    store.review("slide-1", [(-50, -50), (100, 100)])
    store.add_mask("slide-1", "lymphocyte", [(-2, -2), (-2, 9), (9, 9), (9, -2)])
    store.add_points("slide-1", "lymphocyte", [[-0.5, -0.5], [249_999.5, 199_999.5]])
    assert len(store.annotations()) == 4


def test_what_is_read_between_actions_is_what_the_file_holds(store: Store) -> None:
    """What was read is patched by what each action touched; `annotations_at` reads all anew."""
    store.add_slide("b.svs", None, "g", (1000, 1000), None, "unknown")
    store.add_class("tumour")
    random = np.random.default_rng(0)

    def some(slide: str) -> list[str]:
        ids = store.annotations(slide).where(store.annotations(slide).kinds != "region").ids
        return random.permutation(ids)[:3].tolist()

    def act(slide: str) -> None:
        places = random.uniform(1, 900, (3, 2))
        some_of = some(slide)
        acts: list[Callable[[], object]] = [
            lambda: store.add_points(slide, "lymphocyte", places),
            lambda: store.reject(slide, places),
            lambda: store.add_mask(slide, "tumour", places),
            lambda: store.review(slide, places[:2]),
            lambda: store.relabel(some_of, "tumour"),
            lambda: store.delete(some_of),
            lambda: store.move(some_of, places[: len(some_of)]),
            lambda: store.recolor_class("tumour", f"#{random.integers(1 << 24):06x}"),
            store.undo,
            store.undo,
            store.redo,
        ]
        acts[random.integers(len(acts))]()

    for _ in range(150):
        act(random.choice(["slide-1", "slide-2"]))
        for slide in (None, "slide-1", "slide-2"):
            read = store.annotations(slide)
            assert as_lists(read) == as_lists(store.annotations_at(store.revision, slide))
            assert not read.points.flags.writeable


def test_reading_waits_for_no_other_thread_that_writes(filled: Store) -> None:
    filled.set_setting("key", 1)
    before = [as_lists(filled.annotations()), filled.classes(), filled.get_setting("key")]
    areas = filled.areas("slide-1")
    writing, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with filled.together("Much"):
            filled.add_points("slide-1", "tumour", [[1, 1]])
            filled.add_class("stroma")
            assert len(filled.annotations()) == 6  # its own thread sees what it does
            writing.set()
            assert go_on.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    assert writing.wait(60)
    assert [as_lists(filled.annotations()), filled.classes(), filled.get_setting("key")] == before
    assert filled.areas("slide-1") == areas
    go_on.set()
    writer.join()
    assert (len(filled.annotations()), len(filled.classes())) == (6, len(before[1]) + 1)
