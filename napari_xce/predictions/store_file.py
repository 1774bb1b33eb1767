"""The detection store's file: one .npz of plain arrays, written whole or not at all.

The cells of all tiles lie one after the other; `sizes` says how many each tile has. Nothing in the
file is pickled, and nothing is unpickled from it.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SessionError
from napari_xce.predictions.flat_cells import FlatCells
from napari_xce.predictions.tile_cells import CELL_DTYPES, Columns

_VERSION = 1
#: What reading a damaged file raises: numpy, zipfile and zlib each have their own words for it.
_DAMAGE = (
    *(OSError, EOFError, KeyError, ValueError, TypeError, MemoryError, OverflowError),
    *(RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error),
)


def write_cells(
    path: Path, flat: FlatCells, names: Sequence[str], merge_radius: float | None
) -> None:
    """Write the cells of a slide.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced once the new one is on the disk.
    flat : FlatCells
    names : sequence of str
        Class names by code.
    merge_radius : float or None
        What `hidden` was found with.

    Raises
    ------
    SessionError
        If the file cannot be written; one that was there before is kept.
    """
    arrays: dict[str, Any] = {
        "version": np.int64(_VERSION),
        "names": np.array(names, dtype=np.str_),
        "merge_radius": np.float64(np.nan if merge_radius is None else merge_radius),
        "tiles": flat.tiles,
        "revisions": flat.revisions,
        "sizes": flat.ends - flat.starts,
        **flat.cells._asdict(),
    }
    try:
        _write_atomically(path, arrays)
    except OSError as error:
        raise SessionError(
            f"The predictions could not be saved to {path} ({error.strerror or error}). "
            "Free some space or choose another folder; they can be computed again."
        ) from error


def _write_atomically(path: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz beside its place, then move it there."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_cells(path: Path) -> tuple[FlatCells, list[str], float | None]:
    """Read what `write_cells` wrote.

    Returns
    -------
    flat, names, merge_radius
        As given to `write_cells`.

    Raises
    ------
    SessionError
        If the file is missing, damaged or of another kind.
    """
    try:
        # opened here, because np.load leaves a damaged file open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        _check(arrays)
    except _DAMAGE as error:
        raise SessionError(
            f"{path} holds no predictions that can be read ({error}). "
            "Delete it: they are computed again when you look at the slide."
        ) from error
    cells = Columns(*(arrays[name] for name in CELL_DTYPES))
    flat = FlatCells.of(arrays["tiles"], arrays["revisions"], arrays["sizes"], cells)
    radius = float(arrays["merge_radius"])
    return flat, arrays["names"].tolist(), None if np.isnan(radius) else radius


def _check(arrays: dict[str, NDArray[Any]]) -> None:
    """Raise KeyError or ValueError unless the arrays are those of one store."""
    if arrays["version"] != _VERSION:
        raise ValueError(f"its format is version {arrays['version']}, not {_VERSION}")
    sizes, count = arrays["sizes"], len(arrays["points"])
    fits = (
        sizes.ndim == 1
        and all(arrays[name].dtype.kind == "i" for name in ("sizes", "tiles", "revisions"))
        and arrays["names"].dtype.kind == "U"
        and arrays["names"].ndim == 1
        and arrays["merge_radius"].shape == ()
        and arrays["tiles"].shape == (len(sizes), 2)
        and arrays["revisions"].shape == sizes.shape
        and (sizes >= 0).all()
        and sizes.sum() == count
        and all(
            arrays[name].dtype == dtype
            and arrays[name].shape == ((count, 2) if name == "points" else (count,))
            for name, dtype in CELL_DTYPES.items()
        )
        and np.isfinite(arrays["points"]).all()
        and (arrays["codes"] >= 0).all()
        and (arrays["codes"] < len(arrays["names"])).all()
    )
    if not fits:
        raise ValueError("its parts do not fit together")
