"""A session file that cannot be used is refused with a sentence, and left as it is."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from napari_xce.annotations import Store
from napari_xce.annotations.database import Database
from napari_xce.errors import SessionError


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Give up root's right to write everywhere, which containers run tests with."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def fill_disk(store: Store) -> None:
    """Let the database not grow: to SQLite this is a full disk."""
    with store._database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")


def test_missing_file_is_named(path: Path) -> None:
    with pytest.raises(SessionError, match=r"no session file .*session\.sqlite"):
        Store.open(path)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"SQLite format 2\x00" * 99])
def test_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SessionError, match="not a napari-xce session"):
        Store.open(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(SessionError, match="another program"):
        Store.open(path)


def test_newer_schema_is_refused_with_the_remedy(path: Path) -> None:
    Store.create(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SessionError, match=r"newer napari-xce \(schema 99.*Update napari-xce"):
        Store.open(path)


def test_refused_session_can_be_opened_once_it_is_mended(path: Path) -> None:
    Store.create(path).close()
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 4])
    with pytest.raises(SessionError, match="damaged"):
        Store.open(path)
    path.write_bytes(good)
    Store.open(path).close()


def test_creating_over_a_session_is_refused(store: Store, path: Path) -> None:
    store.close()
    before = path.read_bytes()
    with pytest.raises(SessionError, match="Open it, or choose another name"):
        Store.create(path)
    assert path.read_bytes() == before


def test_creating_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no folder"):
        Store.create(tmp_path / "missing" / "session.sqlite")


def test_half_made_session_of_a_killed_program_is_no_hindrance(path: Path) -> None:
    path.with_name("session.sqlite.new").write_bytes(b"half")
    Store.create(path).close()
    Store.open(path).close()


@pytest.mark.skipif(os.name != "posix", reason="folders are made read-only the POSIX way")
@pytest.mark.parametrize("opening", [Store.open, Store.create])
def test_read_only_folder_is_refused_with_the_remedy(opening: type) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if opening == Store.open:
            Store.create(folder / "session.sqlite").close()
            (folder / "session.sqlite.lock").unlink()
        folder.chmod(0o555)
        with as_ordinary_user(), pytest.raises(SessionError, match=r"cannot be written.*Copy"):
            opening(folder / "session.sqlite")
        folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="files are made read-only the POSIX way")
def test_read_only_file_is_refused_with_the_remedy() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Store.create(folder / "session.sqlite").close()
        (folder / "session.sqlite.lock").unlink()
        (folder / "session.sqlite").chmod(0o444)
        folder.chmod(0o777)
        with as_ordinary_user(), pytest.raises(SessionError, match=r"cannot be written.*Copy"):
            Store.open(folder / "session.sqlite")


def test_full_disk_keeps_all_clicks_but_the_last(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    fill_disk(store)
    with pytest.raises(SessionError, match=r"disk is full.*not kept"):
        store.add_points("slide-1", "lymphocyte", [[3, 4]] * 5000)
    assert store.annotations().points.tolist() == [[1, 2]]


def test_store_goes_on_when_the_disk_has_room_again(store: Store) -> None:
    fill_disk(store)
    with pytest.raises(SessionError):
        store.add_points("slide-1", "lymphocyte", [[3, 4]] * 5000)
    with store._database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    store.add_points("slide-1", "lymphocyte", [[5, 6]])
    assert store.undo() == "Add 1 lymphocyte point"
    assert store.undo() == "Add class lymphocyte"


def test_commits_are_on_the_disk_when_they_return(path: Path) -> None:
    with closing(Database.create(path)) as database, database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_error_inside_a_transaction_takes_all_of_it_back(path: Path) -> None:
    with closing(Database.create(path)) as database:
        with contextlib.suppress(KeyError), database.transaction() as connection:
            connection.execute("INSERT INTO settings VALUES ('view', '1')")
            raise KeyError
        with database.reading() as connection:
            assert connection.execute("SELECT * FROM settings").fetchall() == []


def test_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(SessionError, match="is closed; open it again"):
        store.annotations()
    with pytest.raises(SessionError, match="is closed; open it again"):
        store.add_points("slide-1", "lymphocyte", [[1, 2]])


def test_name_of_the_session_may_hold_any_sign(tmp_path: Path) -> None:
    path = tmp_path / "Fall 7? #ü%20.sqlite"
    Store.create(path).close()
    with Store.open(str(path)) as store:
        assert store.path == path
