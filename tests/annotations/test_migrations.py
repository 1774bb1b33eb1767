"""Every released session opens, and each step is applied once, whole, or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from napari_xce.annotations import Store
from napari_xce.annotations.database import Database
from napari_xce.annotations.migrations import MIGRATIONS, Migration
from napari_xce.errors import SessionError

SESSIONS = Path(__file__).parent / "sessions"


def add_notes(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE classes ADD COLUMN note TEXT NOT NULL DEFAULT 'none'")
    connection.execute("UPDATE classes SET note = name || '!'")


def break_off(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (done INTEGER)")
    connection.execute("CREATE TABLE classes (id INTEGER)")  # there is one


PRESENT = MIGRATIONS[-1].version
NEXT = (*MIGRATIONS, Migration(PRESENT + 1, "a note for each class", add_notes))
BROKEN = (*NEXT, Migration(PRESENT + 2, "a step that fails", break_off))


def version_and_tables(path: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return version, {row[0] for row in tables}


def test_numbers_of_steps_rise_from_one() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_next_step_is_applied_once_and_keeps_what_was_said(store: Store, path: Path) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.close()
    for _ in range(2):  # the second time, there is nothing left to apply
        with closing(Database.open(path, NEXT)) as database, database.reading() as connection:
            notes = connection.execute("SELECT note FROM classes ORDER BY id").fetchall()
            assert notes == [("background!",), ("lymphocyte!",)]
            assert connection.execute("SELECT y, x FROM annotations").fetchall() == [(1, 2)]
    assert version_and_tables(path)[0] == PRESENT + 1


def test_action_of_an_older_schema_can_still_be_undone(store: Store, path: Path) -> None:
    store.delete_class("lymphocyte")
    store.close()
    with Store(Database.open(path, NEXT)) as store:
        assert store.undo() == "Delete class lymphocyte"
        assert [found.name for found in store.classes()] == ["background", "lymphocyte"]


def test_new_session_takes_all_steps(path: Path) -> None:
    Database.create(path, NEXT).close()
    assert version_and_tables(path)[0] == PRESENT + 1
    assert [file.name for file in path.parent.glob("*.v*")] == []  # nothing to keep a copy of


def test_failing_step_leaves_the_session_at_the_step_before(store: Store, path: Path) -> None:
    store.close()
    with pytest.raises(SessionError, match="classes already exists"):
        Database.open(path, BROKEN)
    version, tables = version_and_tables(path)
    assert version == PRESENT + 1
    assert "half" not in tables
    Database.open(path, NEXT).close()  # and nobody holds it


def test_older_session_is_copied_before_it_is_brought_up_to_date(store: Store, path: Path) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.close()
    Database.open(path, NEXT).close()
    copy = path.with_name(f"session.sqlite.v{PRESENT}")
    assert version_and_tables(copy)[0] == PRESENT
    with Store.open(copy) as store:
        assert store.annotations().points.tolist() == [[1, 2]]


def test_copy_holds_what_a_killed_program_had_not_merged(store: Store, path: Path) -> None:
    """Clicks in the write-ahead log, as a kill leaves it, are part of the session."""
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    killed = path.with_name("killed.sqlite")
    for ending in ("", "-wal"):
        shutil.copy(path.with_name(path.name + ending), killed.with_name(killed.name + ending))
    Database.open(killed, NEXT).close()
    with Store.open(path.with_name(f"killed.sqlite.v{PRESENT}")) as copy:
        assert copy.annotations().points.tolist() == [[1, 2]]


def test_session_stays_as_it_was_where_it_cannot_be_copied(store: Store, path: Path) -> None:
    store.close()
    path.with_name(f"session.sqlite.v{PRESENT}").mkdir()
    with pytest.raises(SessionError, match="cannot be used"):
        Database.open(path, NEXT)
    assert version_and_tables(path)[0] == PRESENT


def test_session_of_a_newer_version_is_left_untouched(path: Path) -> None:
    Database.create(path, NEXT).close()
    before = path.read_bytes()
    with pytest.raises(SessionError, match="newer napari-xce"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("released", sorted(SESSIONS.glob("*.sqlite")), ids=lambda path: path.stem)
def test_session_of_each_released_schema_opens(released: Path, path: Path) -> None:
    shutil.copy(released, path)
    with Store.open(path) as store:
        names = [(found.name, found.color, found.key) for found in store.classes()]
        assert names == [
            ("background", "#808080", None),
            ("lymphocyte", "#e69f00", "1"),
            ("tumour", "#ff0000", "2"),
        ]
        standing = store.annotations("slide-1")
        assert standing.kinds.tolist() == ["point", "point", "rejection", "mask", "region"]
        assert standing.set_aside.tolist() == [False] * 4 + [released.stem != "v1"]
        assert standing.points[:3].tolist() == [[10.25, 20], [30, 40], [50, 60]]
        assert store.slides()["slide-1"].mpp == (0.25, 0.5)
        areas = [] if released.stem in ("v1", "v2", "v3") else ["hot"]
        assert [area.name for area in store.areas("slide-1")] == areas
        assert store.get_setting("head") == "yollo"
        assert store.redo() == "Delete class tumour and its 1 annotation"
        while store.undo():
            pass
        assert len(store.annotations()) == 0


def test_session_of_the_present_schema_is_stored() -> None:
    assert (SESSIONS / f"v{MIGRATIONS[-1].version}.sqlite").is_file()
