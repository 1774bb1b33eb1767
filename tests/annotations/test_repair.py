"""A damaged session is repaired from its journal, or from its tables, and nothing said is lost."""

from __future__ import annotations

import random
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from napari_xce.annotations import Store
from napari_xce.errors import SessionError, XceWarning

PAGE = 4096
OUTLINE = [(0.0, 0.0), (0.0, 9.0), (9.0, 0.0)]


def said(store: Store) -> tuple[Any, ...]:
    """Return all that stands, to compare."""
    standing = store.annotations()
    return (
        store.slides(),
        store.classes(),
        standing.ids.tolist(),
        standing.points.tolist(),
        standing.labels.tolist(),
        standing.kinds.tolist(),
        standing.set_aside.tolist(),
        [None if polygon is None else polygon.tolist() for polygon in standing.polygons],
        store.areas("slide-1"),
    )


def damage(path: Path, page: int, content: bytes) -> None:
    """Overwrite a page of the file, counted from 0."""
    with path.open("rb+") as file:
        file.seek(page * PAGE)
        file.write(content)


@pytest.fixture
def told(store: Store) -> Iterator[Store]:
    """Return a store with a history that fills many pages, of every kind of action."""
    store.add_class("tumour")
    for number in range(60):
        store.add_points("slide-1", "lymphocyte", [[number, number + 0.25]])
    ids = store.add_points("slide-1", "tumour", [[y, y] for y in range(100)])
    store.move(ids[:3], [[7, 7]] * 3)
    store.delete(ids[50:])
    store.add_mask("slide-1", "tumour", OUTLINE)
    store.review("slide-1", [(0, 0), (50, 50)], set_aside=True)
    store.undo()
    store.redo()
    disc = shapely.Point(500, 500).buffer(100)
    store.add_areas("slide-1", ["disc", None, None], [disc, shapely.box(0, 0, 9, 9), disc])
    store.delete_area("slide-1", "area 1")
    store.add_points("slide-1", "tumour", [[500, 500]])
    store.undo()
    store.set_setting("head", "unet")
    store.update_slide("slide-1", name="b.svs")
    return store


@pytest.mark.parametrize("content", [bytes(PAGE), random.Random(1).randbytes(PAGE)])
def test_any_one_damaged_page_loses_nothing_said(told: Store, path: Path, content: bytes) -> None:
    before = said(told)
    told.close()
    good = path.read_bytes()
    repaired = 0
    for page in range(len(good) // PAGE):
        path.write_bytes(good)
        damage(path, page, content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", XceWarning)
            store = Store.open(path)
        with store:
            assert said(store) == before, f"page {page}"
            mended = any("repaired" in str(warning.message) for warning in caught)
            repaired += mended
            if mended:
                store.audit()
            assert store.add_points("slide-1", "tumour", [[1, 1]])[0] not in before[2]
            assert store.undo() == "Add 1 tumour point"
        for file in path.parent.glob("*.damaged-*"):
            file.unlink()
    assert repaired > 0.8 * len(good) // PAGE  # the others were free, or the end of a long entry
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_damage_with_a_killed_programs_last_clicks_loses_neither(told: Store, path: Path) -> None:
    """The log of the last actions, which a kill leaves, is part of what is rescued."""
    told.close()
    store = Store.open(path)
    store.add_points("slide-1", "tumour", [[77, 78]])
    before = said(store)
    killed = path.with_name("killed.sqlite")
    for ending in ("", "-wal"):
        shutil.copy(path.with_name(path.name + ending), killed.with_name(killed.name + ending))
    store.close()
    for page in (0, 20):
        damage(killed, page, bytes(PAGE))
    with pytest.warns(XceWarning, match="repaired"), Store.open(killed) as store:
        assert said(store) == before


def test_warning_says_what_was_saved_and_keeps_the_damaged_file(told: Store, path: Path) -> None:
    told.close()
    damage(path, 0, bytes(PAGE))
    damaged = path.read_bytes()
    with pytest.warns(XceWarning, match=r"nothing of what was said is lost.*damaged-1.*disk"):
        Store.open(path).close()
    assert path.with_name("session.sqlite.damaged-1").read_bytes() == damaged


def test_undo_goes_back_to_the_gap_in_a_damaged_history(told: Store, path: Path) -> None:
    told.redo()
    before = said(told)
    told.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER journal_keeps_entries")
        connection.execute("DELETE FROM journal WHERE id = 40")
        connection.commit()
    with Store.open(path) as store:
        assert said(store) == before
        steps = 0
        while store.undo():
            steps += 1
        assert 0 < steps < 40
        while store.redo():
            pass
        assert said(store) == before


def test_damaged_entry_is_refused_by_undo_and_the_rest_goes_on(told: Store, path: Path) -> None:
    told.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER journal_keeps_words")
        connection.execute("UPDATE journal SET before = substr(before, 1, 20)")
        connection.commit()
    with Store.open(path) as store:
        before = said(store)
        with pytest.raises(SessionError, match=r"cannot be undone.*still stands"):
            store.undo()
        assert said(store) == before
        store.add_points("slide-1", "tumour", [[1, 1]])
        store.undo()
        assert said(store) == before


def test_file_of_which_nothing_is_left_is_refused_and_kept(told: Store, path: Path) -> None:
    told.close()
    rubbish = random.Random(2).randbytes(path.stat().st_size)
    path.write_bytes(rubbish)
    with pytest.raises(SessionError, match="damaged"):
        Store.open(path)
    assert path.read_bytes() == rubbish
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_audit_finds_damage_that_leaves_the_pages_whole(told: Store, path: Path) -> None:
    told.close()
    content, row = path.read_bytes(), b'"rows": [[40, 1, 1, "point"'
    assert content.count(row) == 1
    path.write_bytes(content.replace(row, row.replace(b"n", b"\0")))
    with Store.open(path) as store, pytest.raises(SessionError, match=r"history is damaged"):
        store.audit()


def test_audit_finds_what_another_program_changed(told: Store, path: Path) -> None:
    told.audit()
    told.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE annotations SET y = 1000 WHERE id = 5")
        connection.commit()
    with Store.open(path) as store, pytest.raises(SessionError, match="annotations are not what"):
        store.audit()


def test_history_can_be_read_at_any_moment(store: Store) -> None:
    moments = []
    ids = store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4]])
    moments.append((store.revision, store.annotations().points.tolist()))
    store.move(ids[:1], [[9, 9]])
    moments.append((store.revision, store.annotations().points.tolist()))
    store.delete_class("lymphocyte")
    moments.append((store.revision, []))
    store.undo()
    moments.append((store.revision, store.annotations().points.tolist()))
    for revision, points in moments:
        assert store.annotations_at(revision).points.tolist() == points
    assert store.annotations().points.tolist() == moments[-1][1]
    assert store.undo() == "Move 1 lymphocyte point"


def test_audit_finds_damage_at_the_end_of_a_long_outline(store: Store, path: Path) -> None:
    """SQLite's check at opening sees nothing there: the page holds nothing but corners."""
    corners = np.column_stack([np.arange(3000.0), np.arange(3000.0) % 7])
    store.add_mask("slide-1", "lymphocyte", corners)
    store.close()
    content, end = path.read_bytes(), corners[-60:].astype("<f8").tobytes()
    assert content.count(end) == 1
    path.write_bytes(content.replace(end, bytes(len(end))))
    with Store.open(path) as store, pytest.raises(SessionError, match="annotations are not what"):
        store.audit()
