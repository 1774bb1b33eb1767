from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_xce.errors import ExchangeError
from napari_xce.exchange.aside import file_aside, folder_aside, write_text
from napari_xce.exchange.stopping import Stopped, stoppable


def broken_pieces(error: Exception) -> Iterator[str]:
    yield "half of "
    raise error


def test_text_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, ["one ", "µm"])
    assert path.read_text(encoding="utf-8") == "one µm"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_compressed_text_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_text(tmp_path / name, ["hello"], gz=True)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"hello"


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_failing_writer_leaves_the_old_file(tmp_path: Path, error: Exception, gz: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_text(path, broken_pieces(error), gz=gz)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_becomes_a_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ExchangeError, match=r"a.txt was not written: the disk is full. Free"):
        write_text(path, broken_pieces(full))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="folder does not exist"):
        write_text(tmp_path / "none" / "a.txt", ["x"])


def test_file_for_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ExchangeError, match="its folder is a file"):
        write_text(tmp_path / "f" / "a.txt", ["x"])


def test_folder_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ExchangeError, match="a folder of that name is in the way"):
        write_text(tmp_path / "a.txt", ["x"])
    assert (tmp_path / "a.txt").is_dir()


def test_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="name is too long"):
        write_text(tmp_path / ("a" * 300), ["x"])


def test_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text("old")
    try:
        (tmp_path / "link.txt").symlink_to(tmp_path / "target.txt")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    write_text(tmp_path / "link.txt", ["new"])
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "target.txt").read_text() == "new"


def test_nothing_written_is_an_error_not_a_lost_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ExchangeError), file_aside(path):
        pass
    assert path.read_text() == "old"


def fail_halfway(folder: Path) -> None:
    with folder_aside(folder) as aside:
        make_zarr(aside, "new")
        raise RuntimeError


def make_zarr(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / ".zgroup").write_text(content)


def test_zarr_folder_is_replaced_by_another(tmp_path: Path) -> None:
    make_zarr(tmp_path / "a.zarr", "old")
    with folder_aside(tmp_path / "a.zarr") as aside:
        make_zarr(aside, "new")
    assert (tmp_path / "a.zarr" / ".zgroup").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_failing_folder_writer_leaves_the_old_folder(tmp_path: Path) -> None:
    make_zarr(tmp_path / "a.zarr", "old")
    with pytest.raises(RuntimeError):
        fail_halfway(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr" / ".zgroup").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_folder_that_cannot_be_swapped_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_zarr(tmp_path / "a.zarr", "old")
    replace = os.replace

    def fail_for_the_new_one(source: Path, target: Path) -> None:
        if source.suffix == ".part" and (source / ".zgroup").read_text() == "new":
            raise OSError(errno.EACCES, "locked")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_the_new_one)
    with (
        pytest.raises(ExchangeError, match="not allowed"),
        folder_aside(tmp_path / "a.zarr") as aside,
    ):
        make_zarr(aside, "new")
    assert (tmp_path / "a.zarr" / ".zgroup").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "cat.jpg").write_text("meow")
    with (
        pytest.raises(ExchangeError, match="not a Zarr folder"),
        folder_aside(tmp_path / "photos.zarr"),
    ):
        pass
    assert (tmp_path / "photos.zarr" / "cat.jpg").exists()


def test_stopped_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path, written = tmp_path / "cells.csv", []
    path.write_text("old", encoding="utf-8")

    def pieces() -> Iterator[str]:
        for number in range(100_000):
            written.append(number)
            yield f"{number}\n"

    with stoppable(lambda: len(written) > 5000), pytest.raises(Stopped, match="stopped"):
        write_text(path, pieces())
    assert len(written) < 20_000
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.csv"]


def write_new_zarr(path: Path) -> None:
    with folder_aside(path) as aside:
        make_zarr(aside, "new")


def test_stopped_folder_leaves_the_old_one(tmp_path: Path) -> None:
    make_zarr(tmp_path / "a.zarr", "old")
    with stoppable(lambda: True), pytest.raises(Stopped):
        write_new_zarr(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr" / ".zgroup").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_written_after_a_stopped_block_is_whole(tmp_path: Path) -> None:
    with stoppable(lambda: True), pytest.raises(Stopped):
        write_text(tmp_path / "a.csv", ["a"])
    write_text(tmp_path / "a.csv", ["a"])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "a"
