"""Label masks as OME-TIFF: tiled, compressed, a pyramid where big, BigTIFF where needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from napari_xce.exchange.aside import file_aside
from napari_xce.exchange.labels import STEP, TILE, Box, LazyLabels, as_lazy, subsample

_CLASSIC_TIFF = 2**32 - 2**26  # bytes, with room for the tables of offsets
_IN_MEMORY = 64 << 20  # bytes of a reduced level above which it is kept in a file


def write_label_tiff(
    path: Path | str,
    labels: ArrayLike | LazyLabels,
    mpp: tuple[float, float] | None,
    *,
    name: str = "labels",
) -> None:
    """Write a label mask as OME-TIFF.

    Parameters
    ----------
    path : path
        The `.ome.tif` file.
    labels : int, shape (H, W), or LazyLabels
        Label mask, 0 is background. Written as int32, or uint32 where it is that or needs it.
    mpp : (float, float) or None
        Micrometres per mask pixel, (y, x), written as PhysicalSize; left out if None.
    name : str
        Name of the image.

    Raises
    ------
    ExchangeError
        If the mask is not one, or the file cannot be written.

    Notes
    -----
    Of a LazyLabels one tile is in memory at a time; the reduced levels (1/16 of the mask and less)
    wait in a temporary file in the same folder until the full level is written. Reduced levels
    hold every fourth pixel. BigTIFF is chosen by the size before compression.
    """
    lazy = as_lazy(labels)
    size = lazy.shape[0] * lazy.shape[1] * 4
    with (
        file_aside(path) as aside,
        _Pyramid(lazy, aside.parent) as pyramid,
        tifffile.TiffWriter(aside, bigtiff=size * 1.07 > _CLASSIC_TIFF, ome=True) as tiff,
    ):
        for level, shape in enumerate(pyramid.shapes):
            options: dict[str, Any] = {"subfiletype": 1, "metadata": None}
            if level == 0:
                options = {"subifds": len(pyramid.shapes) - 1, "metadata": _metadata(name, mpp)}
            tiff.write(
                pyramid.tiles(level),
                shape=shape,
                dtype=lazy.dtype,
                tile=(TILE, TILE),
                photometric="minisblack",
                compression="zlib",
                **_resolution(mpp, STEP**level),
                **options,
            )


class _Pyramid:
    """Hands out the tiles of a level and fills the next one meanwhile."""

    def __init__(self, lazy: LazyLabels, folder: Path) -> None:
        self.lazy = lazy
        self.folder = folder
        self.shapes = lazy.level_shapes()
        self.levels: dict[int, NDArray[np.integer]] = {}
        self.files = ExitStack()

    def __enter__(self) -> _Pyramid:
        for level, shape in enumerate(self.shapes[1:], start=1):
            self.levels[level] = self._room(shape)
        return self

    def __exit__(self, *exception: object) -> None:
        self.levels.clear()
        self.files.close()

    def tiles(self, level: int) -> Iterator[NDArray[np.integer]]:
        """Yield the tiles of a level, full-sized, row by row."""
        for box, tile in self._source(level).tiles():
            if level + 1 in self.levels:
                rows, columns, small = subsample(box, tile)
                self.levels[level + 1][rows, columns] = small
            yield _padded(box, tile)

    def _source(self, level: int) -> LazyLabels:
        """Return the labels of a level: the caller's own, or a reduced one."""
        return self.lazy if level == 0 else as_lazy(self.levels[level])

    def _room(self, shape: tuple[int, int]) -> NDArray[np.integer]:
        """Return zeros, in memory or, if they are many, in a file that goes when it is closed."""
        dtype = np.dtype(self.lazy.dtype)
        if shape[0] * shape[1] * dtype.itemsize <= _IN_MEMORY:
            return np.zeros(shape, dtype)
        file = self.files.enter_context(
            tempfile.TemporaryFile(  # noqa: SIM115 - the stack closes it
                dir=self.folder, prefix=".", suffix=".part"
            )
        )
        return np.memmap(file, dtype, mode="w+", shape=shape)


def _padded(box: Box, tile: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return a tile of full size, with background where the edge cut it."""
    return np.pad(tile, ((0, TILE - box[2]), (0, TILE - box[3])))


def _metadata(name: str, mpp: tuple[float, float] | None) -> dict[str, Any]:
    """Return what the OME-XML is to say."""
    metadata: dict[str, Any] = {"axes": "YX", "Name": name}
    if mpp is not None:
        metadata |= {"PhysicalSizeY": mpp[0], "PhysicalSizeYUnit": "µm"}
        metadata |= {"PhysicalSizeX": mpp[1], "PhysicalSizeXUnit": "µm"}
    return metadata


def _resolution(mpp: tuple[float, float] | None, factor: int) -> dict[str, Any]:
    """Return the TIFF resolution (x, y), pixels per centimetre."""
    if mpp is None:
        return {}
    return {
        "resolution": (1e4 / (mpp[1] * factor), 1e4 / (mpp[0] * factor)),
        "resolutionunit": "CENTIMETER",
    }
