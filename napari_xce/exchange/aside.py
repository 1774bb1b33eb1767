"""Write beside the target and rename when all is there.

An export that fails, is stopped or meets a full disk leaves the old file as it was and nothing
half-written behind. Disk errors come out as sentences.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_xce.errors import ExchangeError
from napari_xce.exchange.stopping import ask_stop

_ZARR_MARKS = (".zgroup", ".zarray", "zarr.json")
_BATCH = 4096  # pieces of text joined to one write

_WORDS = {
    errno.ENOSPC: "the disk is full. Free some space or choose another disk",
    errno.EDQUOT: "the disk quota is used up. Free some space or choose another disk",
    errno.EFBIG: "the file grew larger than this disk allows. Choose another disk",
    errno.EACCES: "writing there is not allowed. Close the file in other programs or choose "
    "another folder",
    errno.EPERM: "writing there is not allowed. Close the file in other programs or choose "
    "another folder",
    errno.EROFS: "the disk is read-only. Choose another disk",
    errno.ENOENT: "its folder does not exist. Create the folder or choose another one",
    errno.ENOTDIR: "its folder is a file. Choose another folder",
    errno.EISDIR: "a folder of that name is in the way. Choose another name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
}


@contextmanager
def file_aside(path: Path | str) -> Iterator[Path]:
    """Give a path to write to; it takes the place of `path` when the block ends well.

    Parameters
    ----------
    path : path
        The file to be; a link is followed, so that what it points to is replaced.

    Yields
    ------
    Path
        A name in the same folder that does not exist yet.

    Raises
    ------
    ExchangeError
        For any `OSError` of the block or of the renaming, in words.
    """
    target = Path(path)
    aside = None
    try:
        target = Path(os.path.realpath(target))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        aside = _beside(target)
        yield aside
        ask_stop(_stopped(target))
        _flush(aside)
        os.replace(aside, target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        if aside is not None:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(path: Path | str) -> Iterator[Path]:
    """Give a folder's path to write to; it takes the place of the Zarr folder `path` at the end.

    Parameters
    ----------
    path : path
        The Zarr folder to be. If it exists it must be a Zarr folder already: nothing else is
        ever replaced.

    Yields
    ------
    Path
        A name in the same folder that does not exist yet.

    Raises
    ------
    ExchangeError
        If something other than a Zarr folder is in the way, and for any `OSError`, in words.

    Notes
    -----
    A folder cannot be replaced in one step. The old one is moved away first and moved back if the
    new one cannot take its place.
    """
    target = Path(path)
    aside = None
    try:
        target = Path(os.path.realpath(target))
        if target.exists() and not any((target / mark).exists() for mark in _ZARR_MARKS):
            raise ExchangeError(
                f"{target} exists and is not a Zarr folder, so it is not replaced. Choose another "
                "name or remove it first."
            )
        aside = _beside(target)
        yield aside
        ask_stop(_stopped(target))
        _swap(aside, target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path | str, pieces: Iterable[str], *, gz: bool = False) -> None:
    """Write pieces of text as UTF-8, in batches, aside; `gz` compresses.

    Raises
    ------
    ExchangeError
        If the file cannot be written.
    """
    pieces = iter(pieces)
    with file_aside(path) as aside, aside.open("xb") as raw:
        # without name and time the same content gives the same bytes
        stream = gzip.GzipFile("", "wb", 6, raw, mtime=0) if gz else raw
        while batch := "".join(itertools.islice(pieces, _BATCH)):
            ask_stop(_stopped(path))
            stream.write(batch.encode("utf-8"))
        if gz:
            stream.close()


def disk_error(error: OSError, path: Path) -> ExchangeError:
    """Say in a sentence why `path` could not be written."""
    reason = _WORDS.get(error.errno or 0)
    if reason is None:
        reason = f"{error.strerror or error}. Choose another place or try again"
    return ExchangeError(f"{path} was not written: {reason}.")


def _stopped(target: Path | str) -> str:
    return f"{target} was not written: it was stopped."


def _beside(target: Path) -> Path:
    """Return a free name in the folder of the target."""
    if not target.parent.is_dir():
        number = errno.ENOTDIR if target.parent.exists() else errno.ENOENT
        raise OSError(number, os.strerror(number))
    return target.with_name(f".{uuid.uuid4().hex}.part")


def _flush(path: Path) -> None:
    """Force a file to the disk, so that the rename cannot overtake its content."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _swap(new: Path, target: Path) -> None:
    """Put the new folder in the place of the target, or leave the target as it was."""
    if not target.exists():
        os.replace(new, target)
        return
    old = _beside(target)
    os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
