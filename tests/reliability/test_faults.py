"""What goes wrong outside: full and read-only disks, drives that go, a clock that is set back.

Each fault gives a sentence, and nothing that was acknowledged is lost. Damaged pages are in
tests/annotations/test_repair.py, damaged models in tests/session/test_session.py.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.annotations import Store
from napari_xce.exchange import read_points, write
from napari_xce.slides.files import PositionedFile

from .conftest import answer_or_refusal

Count = Callable[..., None]
posix = pytest.mark.skipif(os.name != "posix", reason="limits and mounts are POSIX")


class SmallDisk:
    """A folder that takes 2 MB, until `make_room`."""

    def __init__(self, folder: Path, make_room: Callable[[], None]) -> None:
        self.folder = folder
        self.make_room = make_room


@contextmanager
def mounted(folder: Path) -> Iterator[SmallDisk]:
    """Mount a small file system in memory; the system has to allow it."""
    folder.mkdir()
    options = "size=2m,mode=777"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield SmallDisk(
            folder,
            lambda: (
                subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
                and None
            ),
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[SmallDisk]:
    """Let no file grow beyond 1 MB: writing then fails as on a disk that takes no more."""
    import resource
    import signal

    folder.mkdir()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, old[1]))
    try:
        yield SmallDisk(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, old))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(params=[mounted, limited])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk that will be full."""
    if os.name != "posix" or (request.param is mounted and sys.platform != "linux"):
        pytest.skip("limits and mounts are POSIX")
    with request.param(tmp_path / "disk") as made:
        yield made


def new_store(path: Path) -> Store:
    """Return a store with a slide and a class."""
    store = Store.create(path)
    store.add_slide("a.svs", None, "f1", (100_000, 100_000), (0.5, 0.5), "user")
    store.add_class("cell")
    return store


# ---- full


def test_full_disk_keeps_every_click_it_acknowledged(disk: SmallDisk, count: Count) -> None:
    path = disk.folder / "session.sqlite"
    acknowledged: list[str] = []
    with new_store(path) as store:
        refused = None
        while refused is None:
            ids, refused = answer_or_refusal(
                lambda: store.add_points("slide-1", "cell", [[1, 2]] * 100), xce.SessionError
            )
            acknowledged += ids or []
        assert "not kept" in refused
        assert acknowledged
        assert store.annotations().ids.tolist() == acknowledged
        disk.make_room()
        acknowledged += store.add_points("slide-1", "cell", [[3, 4]])
    with Store.open(path) as store:
        assert store.annotations().ids.tolist() == acknowledged
        store.audit()
    count("faults injected")


def test_session_on_a_full_disk_still_opens(disk: SmallDisk, count: Count) -> None:
    path = disk.folder / "session.sqlite"
    with new_store(path) as store:
        ids = store.add_points("slide-1", "cell", [[1, 2]])
    with suppress(OSError):
        (disk.folder / "rest").write_bytes(bytes(4 << 20))
    opened, refused = answer_or_refusal(lambda: Store.open(path), xce.SessionError)
    if opened is not None:
        assert opened.annotations().ids.tolist() == ids
        opened.close()
    else:
        assert "disk" in str(refused)
    disk.make_room()
    with Store.open(path) as store:
        assert store.annotations().ids.tolist() == ids
    count("faults injected")


def test_full_disk_keeps_the_export_before(disk: SmallDisk, count: Count) -> None:
    with new_store(disk.folder.parent / "session.sqlite") as store:
        store.add_points("slide-1", "cell", [[1, 2]])
        path = disk.folder / "cells.csv"
        write(path, annotations=store.annotations())
        before = path.read_bytes()
        disk_full_annotations = store.annotations().where(np.zeros(100_000, int))
    with pytest.raises(xce.ExchangeError, match="was not written"):
        write(path, annotations=disk_full_annotations)
    assert path.read_bytes() == before
    assert list(disk.folder.iterdir()) == [path]
    count("faults injected")


def test_full_disk_keeps_the_model_before(disk: SmallDisk, count: Count) -> None:
    from napari_xce.learning.model import CellModel

    path = disk.folder / "model.safetensors"
    path.write_bytes(b"the model before")
    with pytest.raises(xce.ModelError, match="Make room"):
        CellModel.from_shipped(["cell"], "yollo").save(path, {})
    assert path.read_bytes() == b"the model before"
    assert list(disk.folder.iterdir()) == [path]
    count("faults injected")


# ---- read-only


@posix
@pytest.mark.parametrize("suffix", ["csv", "geojson", "json"])
def test_read_only_folder_is_named_by_exports(
    tmp_path: Path, suffix: str, as_ordinary_user: Callable[[], None], count: Count
) -> None:
    with new_store(tmp_path / "session.sqlite") as store:
        store.add_points("slide-1", "cell", [[1, 2]])
        said, classes = store.annotations(), store.classes()
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    as_ordinary_user()
    with pytest.raises(xce.ExchangeError, match="not allowed"):
        write(folder / f"c.{suffix}", annotations=said, classes=classes, shape=(100, 100))
    count("faults injected")


# ---- gone


def test_session_whose_folder_goes_acknowledges_nothing_more(tmp_path: Path, count: Count) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    with new_store(folder / "session.sqlite") as store:
        ids = store.add_points("slide-1", "cell", [[1, 2]])
        folder.rename(tmp_path / "away")
        with pytest.raises(xce.SessionError, match=r"is gone.*not kept"):
            store.add_points("slide-1", "cell", [[3, 4]])
        assert store.annotations().ids.tolist() == ids
        (tmp_path / "away").rename(folder)
        ids += store.add_points("slide-1", "cell", [[3, 4]])
    with Store.open(folder / "session.sqlite") as store:
        assert store.annotations().ids.tolist() == ids
    count("faults injected")


def test_session_replaced_by_another_file_is_not_written_into(tmp_path: Path, count: Count) -> None:
    """As a program that keeps folders alike does, when it brings an older copy."""
    path = tmp_path / "session.sqlite"
    new_store(tmp_path / "other.sqlite").close()
    with new_store(path) as store:
        (tmp_path / "other.sqlite").replace(path)
        with pytest.raises(xce.SessionError, match="is gone"):
            store.add_points("slide-1", "cell", [[3, 4]])
    count("faults injected")


@posix
def test_unmounted_share_gives_a_sentence_and_loses_nothing(tmp_path: Path, count: Count) -> None:
    if sys.platform != "linux":
        pytest.skip("mounts are Linux")
    with mounted(tmp_path / "share") as disk:
        kept = tmp_path / "kept.sqlite"
        with new_store(disk.folder / "session.sqlite") as store:
            ids = store.add_points("slide-1", "cell", [[1, 2]])
            subprocess.run(["mount", "--bind", str(tmp_path), str(disk.folder)], check=True)
            try:
                with pytest.raises(xce.SessionError, match="is gone"):
                    store.add_points("slide-1", "cell", [[3, 4]])
            finally:
                subprocess.run(["umount", "-l", str(disk.folder)], check=True)
        kept.write_bytes((disk.folder / "session.sqlite").read_bytes())
        with Store.open(kept) as store:
            assert store.annotations().ids.tolist() == ids
    count("faults injected")


@posix
def test_slide_on_a_lost_drive_says_so_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    (tmp_path / "slide.tif").write_bytes(b"pixels")
    file = PositionedFile(tmp_path / "slide.tif")

    def lost(*args: object) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as context:
        context.setattr(os, "pread", lost)
        with pytest.raises(xce.SlideError, match=r"slide\.tif cannot be reached.*Connect it"):
            file.read(0, 3)
    assert file.read(0, 3) == b"pix"
    file.close()
    count("faults injected")


# ---- cut off


@pytest.mark.parametrize("name", ["c.geojson", "c.geojson.gz", "c.csv"])
def test_export_cut_off_anywhere_is_refused_or_read_to_there(
    tmp_path: Path, name: str, count: Count
) -> None:
    with new_store(tmp_path / "session.sqlite") as store:
        store.add_points("slide-1", "cell", [[y + 0.5, 7] for y in range(20)])
        store.add_mask("slide-1", "cell", [(0, 0), (0, 9), (9, 0)])
        path = tmp_path / name
        write(path, annotations=store.annotations(), classes=store.classes())
    whole = path.read_bytes()
    assert len(read_points(path)) == 21
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        found, refused = answer_or_refusal(lambda: read_points(path), xce.ExchangeError)
        if found is None:
            assert "was not read" in str(refused)
        else:
            assert name == "c.csv"
            assert len(found) <= 21
        count("cut-off files read or refused")


# ---- the clock


def test_clock_set_back_changes_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    path, hours = tmp_path / "session.sqlite", iter(range(1000, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))
    with new_store(path) as store:
        first = store.add_points("slide-1", "cell", [[1, 1]])
        second = store.add_points("slide-1", "cell", [[2, 2]])
        assert store.annotations().ids.tolist() == first + second
        assert (np.diff(store.annotations().created) < 0).all()
    with Store.open(path) as store:
        assert store.annotations().ids.tolist() == first + second
        entries = store.journal()
        assert [entry.id for entry in entries] == sorted(entry.id for entry in entries)
        store.undo()
        assert store.annotations().ids.tolist() == first
        store.redo()
        assert store.annotations().ids.tolist() == first + second
        store.audit()
    count("faults injected")


# ---- much


def test_million_points_come_in_and_go_in_one_step(tmp_path: Path, count: Count) -> None:
    table = tmp_path / "cells.csv"
    with table.open("w") as file:
        file.write("y_px,x_px,class\n")
        file.writelines(f"{n // 1000}.5,{n % 1000}.25,cell\n" for n in range(1_000_000))
    pixels = np.zeros((1000, 1000, 3), np.uint8)
    with xce.Session.create(tmp_path / "case.xce") as session:
        sid = session.add_slide(xce.Slide.from_array(pixels, mpp=0.5))
        assert session.import_points(table) == 1_000_000
        standing = session.annotations(sid)
        assert len(standing) == 1_000_000
        assert standing.points[-1].tolist() == [999.5, 999.25]
        assert session.undo() == "Import 1,000,000 annotations from cells.csv"
        assert len(session.annotations(sid)) == 0
    count("faults injected")
