"""The store as a whole: settings, threads, and a process killed while it annotates."""

from __future__ import annotations

import doctest
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_xce.annotations import Store
from napari_xce.annotations import store as store_module
from napari_xce.errors import SessionError

ANNOTATE = """
import itertools, sys
from napari_xce.annotations import Store
store = Store.open(sys.argv[1])
for number in itertools.count():
    if number % 7 == 6:  # undo of what was never acknowledged
        store.reject("slide-1", [[number, 0.5]])
        store.undo()
    ids = store.add_points("slide-1", "lymphocyte", [[number, 0.5]] * (1 + number % 3))
    print(*ids, flush=True)
"""


def test_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(store_module).failed == 0


def test_settings_outlive_closing(store: Store, path: Path) -> None:
    value = {"head": "unet", "view": [1.5, None, True], "µ": "ü"}
    store.set_setting("state", value)
    store.set_setting("state2", 1)
    store.set_setting("state2", 2)
    store.close()
    with Store.open(path) as store:
        assert store.get_setting("state") == value
        assert store.get_setting("state2") == 2
        assert store.get_setting("missing") is None
        assert store.get_setting("missing", 5) == 5


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, np.float32(1)])
def test_setting_that_json_cannot_hold_is_refused(store: Store, value: object) -> None:
    store.set_setting("view", 1)
    with pytest.raises(SessionError, match="cannot be kept as JSON"):
        store.set_setting("view", value)
    assert store.get_setting("view") == 1


def test_settings_are_no_change_of_what_was_said(store: Store) -> None:
    revision = store.revision
    store.set_setting("view", 1)
    assert store.revision == revision
    assert store.undo() == "Add class lymphocyte"


def test_threads_write_and_read_at_once_without_loss(store: Store) -> None:
    writers, each = 4, 40
    finished = threading.Event()

    def write(writer: int) -> list[str]:
        return [
            id_
            for number in range(each)
            for id_ in store.add_points("slide-1", "lymphocyte", [[writer, number]] * 3)
        ]

    def read() -> int:
        seen = 0
        while not finished.is_set():
            standing = store.annotations("slide-1")
            assert len(standing) % 3 == 0  # an action is seen whole or not at all
            assert len(standing) >= seen
            seen = len(standing)
        return seen

    with ThreadPoolExecutor(writers + 1) as pool:
        reading = pool.submit(read)
        try:
            writing = [pool.submit(write, writer) for writer in range(writers)]
            ids = [id_ for future in writing for id_ in future.result()]
        finally:
            finished.set()
        reading.result()
    assert len(set(ids)) == writers * each * 3
    assert set(store.annotations().ids) == set(ids)


def test_undo_in_one_thread_and_clicks_in_another_stay_consistent(store: Store, path: Path) -> None:
    def click() -> None:
        for number in range(60):
            store.add_points("slide-1", "lymphocyte", [[number, number]])

    def back_and_forth() -> None:
        for _ in range(60):
            store.undo()
            store.redo()

    store.add_points("slide-1", "lymphocyte", [[0, 0]])
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(click), pool.submit(back_and_forth)]:
            future.result()
    before = store.annotations().ids.tolist()
    store.close()
    with Store.open(path) as store:
        assert store.annotations().ids.tolist() == before
        while store.undo():
            pass
        assert len(store.annotations()) == 0


def test_killed_process_loses_nothing_it_acknowledged(store: Store, path: Path) -> None:
    store.close()
    moments = random.Random(20)
    acknowledged: list[str] = []
    for _ in range(10):
        lines = moments.randrange(1, 40)
        pause = threading.Event()
        with subprocess.Popen(
            [sys.executable, "-c", ANNOTATE, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(lines):
                acknowledged += child.stdout.readline().split()
            pause.wait(moments.uniform(0, 0.01))  # into the middle of a write
            child.kill()
            for line in child.stdout:
                if line.endswith("\n"):
                    acknowledged += line.split()
        with Store.open(path) as survivor:
            standing = survivor.annotations()
            assert set(acknowledged) <= set(standing.ids)
            assert (standing.points[:, 1] == 0.5).all()
            assert survivor.undo() is not None
            assert survivor.redo() is not None
    assert len(acknowledged) > 100
