"""Undo and redo without end, over close and open; and nothing is struck from the journal."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xce.annotations import Store
from napari_xce.errors import SessionError

OUTLINE = [(0.0, 0.0), (0.0, 9.0), (9.0, 0.0)]


def state(store: Store) -> tuple[Any, ...]:
    """Return all that undo and redo are about, to compare."""
    standing = store.annotations()
    polygons = [None if outline is None else outline.tolist() for outline in standing.polygons]
    return (
        store.classes(),
        standing.ids.tolist(),
        standing.points.tolist(),
        standing.labels.tolist(),
        standing.kinds.tolist(),
        standing.created.tolist(),
        polygons,
    )


def test_undo_tells_the_story_backwards(store: Store) -> None:
    ids = store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4], [5, 6]])
    store.reject("slide-1", [[7, 8]])
    store.add_class("tumour")
    store.relabel(ids[:1], "tumour")
    store.move(ids[1:2], [[30, 40]])
    store.add_mask("slide-1", "tumour", OUTLINE)
    store.review("slide-1", [(0, 0), (100, 100)])
    store.delete(ids[2:])
    told = [store.undo() for _ in range(9)]
    assert told == [
        "Delete 1 lymphocyte point",
        "Review a region",
        "Draw a tumour mask",
        "Move 1 lymphocyte point",
        "Relabel 1 lymphocyte point as tumour",
        "Add class tumour",
        "Add 1 rejection",
        "Add 3 lymphocyte points",
        "Add class lymphocyte",
    ]
    assert store.undo() is None
    assert not store.can_undo
    assert [store.redo() for _ in range(9)] == told[::-1]
    assert store.redo() is None
    assert not store.can_redo


def test_new_action_after_undo_ends_redo_but_not_undo(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.add_points("slide-1", "lymphocyte", [[3, 4]])
    store.undo()
    store.add_points("slide-1", "lymphocyte", [[5, 6]])
    assert not store.can_redo
    assert store.redo() is None
    store.undo()
    assert store.annotations().points.tolist() == [[1, 2]]
    store.undo()
    assert len(store.annotations()) == 0


def test_undo_after_reopen_restores_point(store: Store, path: Path) -> None:
    ids = store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4]])
    store.delete(ids[:1])
    store.close()
    with Store.open(path) as store:
        assert store.can_undo
        assert store.undo() == "Delete 1 lymphocyte point"
        assert store.annotations().ids.tolist() == ids


def test_redo_after_reopen_restores_the_same_annotation(store: Store, path: Path) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    before = state(store)
    store.undo()
    store.undo()
    store.close()
    with Store.open(path) as store:
        assert store.redo() == "Add class lymphocyte"
        assert store.redo() == "Add 1 lymphocyte point"
        assert state(store) == before
        assert not store.can_redo


def test_undo_and_redo_can_be_repeated_for_ever(store: Store) -> None:
    store.add_mask("slide-1", "lymphocyte", OUTLINE)
    before = state(store)
    for _ in range(5):
        store.undo()
        store.undo()
        store.redo()
        store.redo()
        assert state(store) == before


def test_revision_grows_with_every_change_and_outlives_closing(store: Store, path: Path) -> None:
    revisions = [store.revision]
    for change in (
        lambda: store.add_points("slide-1", "lymphocyte", [[1, 2]]),
        store.undo,
        store.redo,
        lambda: store.add_class("tumour"),
        lambda: store.update_slide("slide-1", name="b"),
    ):
        change()
        revisions.append(store.revision)
    assert revisions == sorted(set(revisions))
    store.close()
    with Store.open(path) as store:
        assert store.revision == revisions[-1]


def test_journal_keeps_undone_actions_and_their_undo(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.undo()
    store.reject("slide-1", [[1, 2]])
    entries = store.journal()
    assert [(entry.kind, entry.words) for entry in entries] == [
        ("note", "Add slide a.svs"),
        ("do", "Add class lymphocyte"),
        ("do", "Add 1 lymphocyte point"),
        ("undo", "Add 1 lymphocyte point"),
        ("do", "Add 1 rejection"),
    ]
    assert entries[3].action == entries[2].id
    times = [entry.time for entry in entries]
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < 60


def test_journal_cannot_be_rewritten(store: Store, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DELETE FROM journal", "UPDATE journal SET words = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


NAMES = (
    "add", "add", "reject", "mask", "review", "move", "relabel", "delete", "class", "rename",
    "recolor", "key", "drop", "merge", "reshape", "together", "undo", "undo", "redo", "reopen",
)  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 10**6)), max_size=25)


def act(store: Store, step: str, seed: int) -> None:
    """Do one step; which classes and annotations it takes follows from the seed."""
    names = [found.name for found in store.classes()[1:]]
    ids, polygons = store.annotations().ids.tolist(), store.annotations().polygons
    some = ids[seed % 3 :: 2]
    place = [seed % 997 / 7, seed % 991 / 3]
    if step == "class":
        store.add_class(f"class {seed} {store.revision}")
    elif step == "reject":
        store.reject("slide-1", [place])
    elif step == "review":
        store.review("slide-1", [place, (-1, -1)])
    elif step == "delete":
        store.delete(some)
    elif step == "move":
        store.move(some, [place] * len(some))
    elif step == "reshape":
        outlined = [id_ for id_, outline in zip(ids, polygons, strict=True) if outline is not None]
        store.reshape(outlined, [[place, (-1, -1)]] * len(outlined))
    elif step == "together":
        with store.together(f"Together {seed}"):
            for part in ("class", "add", "move", "mask", "reshape", "relabel", "merge", "delete"):
                act(store, part, seed)
    elif step in ("undo", "redo"):
        getattr(store, step)()
    elif names:
        name = names[seed % len(names)]
        if step == "add":
            store.add_points("slide-1", name, [place] * (seed % 4))
        elif step == "mask":
            store.add_mask("slide-1", name, [place, *OUTLINE[1:]])
        elif step == "relabel":
            regions = store.annotations().of_kind("region").ids
            store.relabel([id_ for id_ in some if id_ not in regions], name)
        elif step == "rename":
            store.rename_class(name, f"name {seed} {store.revision}")
        elif step == "recolor":
            store.recolor_class(name, f"#{seed % 2**24:06x}")
        elif step == "key":
            store.set_class_key(name, None)
        elif step == "drop":
            store.delete_class(name)
        elif step == "merge" and name != names[0]:
            store.merge_class(name, names[0])


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_any_story_can_be_undone_to_nothing_and_told_again(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.sqlite"
        store = Store.create(path)
        try:
            store.add_slide("a", None, "", (400_000, 400_000), None, "unknown")
            empty = state(store)
            for step, seed in steps:
                if step == "reopen":
                    store.close()
                    store = Store.open(path)
                else:
                    act(store, step, seed)
            while store.redo():
                pass
            states = [state(store)]
            while store.undo():
                states.append(state(store))
            assert states[-1] == empty
            store.close()
            store = Store.open(path)
            for expected in states[-2::-1]:
                store.redo()
                assert state(store) == expected
            assert not store.can_redo
        finally:
            store.close()


def test_several_actions_together_are_one_step(store: Store, path: Path) -> None:
    ids = store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4]])
    before = state(store)
    with store.together("Put all right"):
        store.add_class("tumour")
        store.move(ids[:1], [[9, 9]])
        added = store.add_points("slide-1", "tumour", [[5, 6], [7, 8]])
        store.move(ids, [[10, 10], [11, 11]])  # the first one again
        store.delete(added[:1])
    after = state(store)
    assert [entry.words for entry in store.journal()][-1] == "Put all right"
    assert store.undo() == "Put all right"
    assert state(store) == before
    store.close()
    with Store.open(path) as again:
        assert again.redo() == "Put all right"
        assert state(again) == after
        again.undo()
        assert state(again) == before


def test_failure_in_the_middle_undoes_all_that_belongs_together(store: Store) -> None:
    before, revision = state(store), store.revision

    def half_right() -> None:
        with store.together("Half"):
            store.add_points("slide-1", "lymphocyte", [[1, 2]])
            store.add_points("slide-1", "no such class", [[1, 2]])

    with pytest.raises(SessionError):
        half_right()
    assert state(store) == before
    assert store.revision == revision
    store.add_points("slide-1", "lymphocyte", [[3, 4]])  # and it goes on one by one
    assert store.undo() == "Add 1 lymphocyte point"


def test_nothing_done_together_is_no_step(store: Store) -> None:
    revision = store.revision
    with store.together("Nothing"):
        store.add_points("slide-1", "lymphocyte", [])
    assert store.revision == revision


def test_change_of_outline_is_undone_and_redone(store: Store) -> None:
    region = store.review("slide-1", [(0, 0), (100, 100)])
    mask = store.add_mask("slide-1", "lymphocyte", OUTLINE)
    before = state(store)
    store.reshape([region, mask], [[(10, 20), (110, 120)], [(0, 0), (0, 30), (30, 0)]])
    standing = store.annotations()
    assert standing.ids.tolist() == [region, mask]
    assert standing.points.tolist() == [[60, 70], [10, 10]]  # centroids
    assert standing.polygons[1].tolist() == [[0, 0], [0, 30], [30, 0]]
    after = state(store)
    assert store.undo() == "Change 2 annotations"
    assert state(store) == before
    store.redo()
    assert state(store) == after


def test_point_cannot_be_given_an_outline(store: Store) -> None:
    ids = store.add_points("slide-1", "lymphocyte", [[1, 2]])
    with pytest.raises(SessionError, match="no outline"):
        store.reshape(ids, [OUTLINE])
    with pytest.raises(SessionError, match="one outline for each"):
        store.reshape(ids, [])
