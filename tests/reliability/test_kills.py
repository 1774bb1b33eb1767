"""SIGKILL at any moment: what was acknowledged is there, and the session opens.

A long-lived parent process has the store loaded and forks a child for each kill. The moments are
seeded: after so many acknowledged actions and so many microseconds into the next one.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from napari_xce.annotations import Store

from .conftest import Nursery
from .states import state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="children are forked")

CHILD = "child_annotates.py"
SESSIONS = Path(__file__).parent.parent / "annotations" / "sessions"
#: In sum with those of test_kills_while_learning at least 200.
KILLS, KILLS_OF_CREATION, KILLS_OF_MIGRATION = 160, 20, 20
Count = Callable[..., None]


def into_the_next(chance: random.Random, longest: float) -> Callable[[], None]:
    """Return a wait until somewhere inside the next action, which takes about so many seconds."""
    seconds = chance.uniform(0, longest)
    return lambda: time.sleep(seconds)


@pytest.mark.parametrize("seed", range(8))
def test_killed_while_annotating_everything_acknowledged_is_there(
    nursery: Nursery, tmp_path: Path, seed: int, count: Count
) -> None:
    """Each child goes on where the one before was killed, in the same session."""
    path, chance = tmp_path / "session.sqlite", random.Random(seed)
    with Store.create(path) as store:
        store.add_slide("a.svs", None, "f1", (1000, 1000), (0.5, 0.5), "user")
    for number in range(KILLS // 8):
        lines, killed = nursery.raise_and_kill(
            f"annotate {path} {1000 * seed + number}",
            chance.randrange(1, 9),
            into_the_next(chance, 0.004),
        )
        assert not [line for line in lines if line.startswith("failed")]
        with Store.open(path) as store:
            store.audit()
            for line in lines[-3:]:
                revision, digest = line.split()
                assert state(store, int(revision)) == digest
            # beyond the last acknowledged action at most the one that was being done (and, where
            # there was no class, the class made for it)
            assert store.revision - int(lines[-1].split()[0]) in (0, 1, 2)
            before = state(store)
            if store.undo():
                store.redo()
            assert state(store) == before
        count("kills survived", int(killed))
        assert killed


def test_killed_while_creating_leaves_a_whole_session_or_none(
    nursery: Nursery, tmp_path: Path, count: Count
) -> None:
    chance = random.Random(30)
    for number in range(KILLS_OF_CREATION):
        folder = tmp_path / str(number)
        folder.mkdir()
        lines, killed = nursery.raise_and_kill(
            f"create {folder} 0", chance.randrange(1, 4), into_the_next(chance, 0.02)
        )
        assert {line.split()[0] for line in lines} <= {p.name for p in folder.iterdir()}
        for path in sorted(folder.glob("*.sqlite")):
            with Store.open(path) as store:
                store.audit()
        Store.create(folder / f"{len(lines)}-new.sqlite").close()
        count("kills survived", int(killed))
        assert killed


@pytest.mark.parametrize("version", [1, 3])
def test_killed_while_migrating_the_session_is_of_the_old_version_or_the_new(
    nursery: Nursery, tmp_path: Path, version: int, count: Count
) -> None:
    chance = random.Random(version)
    with closing(sqlite3.connect(SESSIONS / f"v{version}.sqlite")) as connection:
        expected = connection.execute("SELECT id, y, x FROM annotations").fetchall()
    for number in range(KILLS_OF_MIGRATION // 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(SESSIONS / f"v{version}.sqlite", folder / "old.sqlite")
        lines, killed = nursery.raise_and_kill(
            f"migrate {folder} 0", chance.randrange(1, 4), into_the_next(chance, 0.03)
        )
        for name in lines:
            with Store.open(folder / name) as store:
                store.audit()
                standing = store.annotations()
                assert standing.ids.astype(int).tolist() == [row[0] for row in expected]
                assert standing.points.tolist() == [[row[1], row[2]] for row in expected]
                assert store.redo() == "Delete class tumour and its 1 annotation"
        count("kills survived", int(killed))
        assert killed
