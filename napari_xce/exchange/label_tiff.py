"""Label masks as OME-TIFF: tiled, compressed, a pyramid where big, BigTIFF where needed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from napari_xce.exchange.aside import file_aside
from napari_xce.exchange.labels import STEP, TILE, Box, LazyLabels, as_lazy, subsample

_CLASSIC_TIFF = 2**32 - 2**26  # bytes, with room for the tables of offsets
_BLOCK = TILE // STEP  # side of what a tile leaves in the next level


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
    Of a LazyLabels one tile is in memory at a time; the reduced levels (1/16 of the mask and less,
    every fourth pixel) wait there compressed until the full level is written. BigTIFF is chosen by
    the size before compression.
    """
    lazy = as_lazy(labels)
    size = lazy.shape[0] * lazy.shape[1] * 4
    pyramid = _Pyramid(lazy)
    with (
        file_aside(path) as aside,
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

    def __init__(self, lazy: LazyLabels) -> None:
        self.shapes = lazy.level_shapes()
        self.reduced = [_ReducedLevel(np.dtype(lazy.dtype)) for _ in self.shapes[1:]]
        self.levels = [lazy] + [
            LazyLabels(shape, level.read, lazy.dtype)
            for shape, level in zip(self.shapes[1:], self.reduced, strict=True)
        ]

    def tiles(self, level: int) -> Iterator[NDArray[np.integer]]:
        """Yield the tiles of a level, full-sized, row by row."""
        coarser = self.reduced[level] if level < len(self.reduced) else None
        for box, tile in self.levels[level].tiles():
            if coarser is not None:
                coarser.put(box, tile)
            yield _padded(box, tile)


class _ReducedLevel:
    """A level that waits to be written: compressed blocks, each of one tile of the finer level.

    In memory, since a mapped file would end the process, and not only the export, on a full disk.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.blocks: dict[tuple[int, int], bytes] = {}

    def put(self, box: Box, tile: NDArray[np.integer]) -> None:
        """Keep what a tile of the finer level leaves, unless it is all background."""
        rows, columns, small = subsample(box, tile)
        if small.any():
            block = np.zeros((_BLOCK, _BLOCK), self.dtype)
            block[: small.shape[0], : small.shape[1]] = small
            self.blocks[rows.start // _BLOCK, columns.start // _BLOCK] = zlib.compress(
                block.tobytes(), 1
            )

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[np.integer]:
        """Return a tile of this level; y and x are multiples of a tile's side."""
        tile = np.zeros((TILE, TILE), self.dtype)
        for row in range(STEP):
            for column in range(STEP):
                packed = self.blocks.get((y // _BLOCK + row, x // _BLOCK + column))
                if packed is not None:
                    block = np.frombuffer(zlib.decompress(packed), self.dtype)
                    place = np.s_[row * _BLOCK :, column * _BLOCK :]
                    tile[place][:_BLOCK, :_BLOCK] = block.reshape(_BLOCK, _BLOCK)
        return tile[:height, :width]


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
