"""The heat pyramid: what the model says everywhere, as bytes that the viewer shows without copying.

Written in place, tile by tile, by the engine's thread, and read by the viewer's without a lock: a
reader may see a tile half written, which the next refresh mends. Levels are numpy arrays
(memory-mapped when large) because napari 0.9 caches the coarsest level of anything lazier for ever
(napari's `_make_level_materializer`).
"""

from __future__ import annotations

import math
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.budget import bytes_for
from napari_xce.errors import XceError

LARGEST_IN_MEMORY = bytes_for("heat") // 8  # bytes, all levels together; there are few classes
COARSEST = 512  # pixels: napari makes the thumbnail from the whole coarsest level
_SPARE_DISK = 128 * 2**20  # bytes: a write to a mapped file on a full disk would kill the process
#: How fast a sketch saturates with the share of a pixel that cells fill: drawn linearly, even
#: crowded tissue fills a twentieth and would stay invisible far out.
SATURATION = 20.0
FINEST_DENSITY = 2  # level, of 4 heat pixels a pixel; every pyramid has it
MOST_SKETCHED = 16 * 2**20  # pixels of the finest level that `sketch` draws
_BAND = 256  # rows that are cleared at once


class HeatPyramid:
    """Hold one class's probabilities of a whole slide as a uint8 pyramid.

    Parameters
    ----------
    working_shape : (int, int)
        Height and width of the slide, working pixels.
    stride : int
        Working pixels per heat pixel.
    path : path, optional
        Folder for the pixels of a large pyramid; by default the system's temporary folder. Below 64
        MB of pixels nothing is written. The file has no name there, or loses it on closing
        (Windows): nothing stays behind, also after a kill.

    Attributes
    ----------
    levels : list of uint8 arrays
        Finest first, each half the one before, exactly: level 0 is padded to a multiple of
        ``2 ** (len(levels) - 1)``. The coarsest is at most 512 pixels on a side. 0 is "not
        predicted"; 1..255 are the probabilities 0..1 (`quantise`).
    shape : (int, int)
        Height and width of the part of level 0 that lies on the slide.
    density_level : int
        The finest level that `sketch` draws. From it on the pyramid shows how dense cells are.

    Raises
    ------
    XceError
        If there is no room on the disk, now or at a later write.
    """

    def __init__(
        self, working_shape: tuple[int, int], stride: int = 4, path: str | Path | None = None
    ) -> None:
        if stride < 1 or min(working_shape) < 1:
            raise ValueError(f"No heat of {working_shape} pixels at stride {stride}.")
        self.stride = stride
        self.shape = (-(-working_shape[0] // stride), -(-working_shape[1] // stride))
        shapes = _level_shapes(self.shape)
        few = [h * w <= MOST_SKETCHED for h, w in shapes].index(True)
        self.density_level = min(max(FINEST_DENSITY, few), 4)
        self._folder: Path | None = None
        if sum(h * w for h, w in shapes) < LARGEST_IN_MEMORY:
            self.levels: list[NDArray[np.uint8]] = [np.zeros(s, np.uint8) for s in shapes]
        else:
            self._folder = Path(tempfile.gettempdir() if path is None else path)
            self.levels = _map_levels(shapes, self._folder)

    def write(self, row: int, col: int, block: NDArray[np.uint8]) -> None:
        """Put a block of heat in place and bring the coarser levels up to date under it.

        Parameters
        ----------
        row, col : int
            Heat pixel of the block's first pixel; it may lie outside.
        block : uint8, shape (h, w)
            Heat; what falls outside the slide is left out.

        Raises
        ------
        XceError
            If the disk that holds a large pyramid is full; nothing is written then.

        Notes
        -----
        A coarser pixel is the mean of those of its four children that are predicted, rounded to
        nearest, and 0 only where none is. After `close` a block that comes late is dropped.
        """
        levels = self.levels
        top, left = max(row, 0), max(col, 0)
        bottom = min(row + block.shape[0], self.shape[0])
        right = min(col + block.shape[1], self.shape[1])
        if not levels or bottom <= top or right <= left:
            return
        if self._folder is not None:
            _check_room(self._folder, 0)
        inside = block[top - row : bottom - row, left - col : right - col]
        levels[0][top:bottom, left:right] = inside
        for fine, coarse in pairwise(levels):
            top, left, bottom, right = top // 2, left // 2, -(-bottom // 2), -(-right // 2)
            children = fine[2 * top : 2 * bottom, 2 * left : 2 * right]
            coarse[top:bottom, left:right] = _mean_of_predicted(children)

    def sketch(
        self,
        tiles: NDArray[np.int64],
        side: int,
        centres: NDArray[np.float64],
        scores: NDArray[np.float32],
    ) -> None:
        """Draw cells into the coarse levels alone, where heat itself was not kept.

        Parameters
        ----------
        tiles : int64, shape (T, 2)
            (row, column) of the tiles that were predicted: between their cells is nothing.
        side : int
            Heat pixels on a side of a tile, a multiple of 16.
        centres : float64, shape (N, 2)
            Cells, heat pixels from the slide's corner.
        scores : float32, shape (N,)
            Of the cells, [0, 1].

        Notes
        -----
        A cell fills a quarter of 4 x 4 heat pixels, and a filled share s is drawn as
        1 - exp(-20 s), so that 500 cells/mm2 can just be seen and 2500 well. It begins at
        `density_level`, of 4 heat pixels a pixel, or coarser where that has more than 16 million;
        finer levels stay "not predicted", and what is there already stays.
        """
        if not self.levels or not len(tiles):
            return
        first = self.density_level
        level, shrink = self.levels[first], 2**first
        if self._folder is not None:
            _check_room(self._folder, 2 * level.size)
        per_tile = side // shrink
        known = np.zeros(tiles.max(axis=0) + 1, bool)
        known[tiles[:, 0], tiles[:, 1]] = True
        drawn = known.repeat(per_tile, 0).repeat(per_tile, 1)[: level.shape[0], : level.shape[1]]
        y, x = (centres // shrink).astype(np.intp).T
        inside = (y >= 0) & (x >= 0) & (y < drawn.shape[0]) & (x < drawn.shape[1])
        flat = y[inside] * drawn.shape[1] + x[inside]
        share = np.bincount(flat, scores[inside] * (4 / shrink**2), drawn.size)
        heat = np.where(drawn, quantise(0.0), np.uint8(0))
        filled = np.flatnonzero(share)  # few of millions
        filled = filled[drawn.ravel()[filled]]
        heat.ravel()[filled] = quantise(1 - np.exp(-SATURATION * share[filled]))
        part = level[: drawn.shape[0], : drawn.shape[1]]
        part[...] = np.where(part == 0, heat, part)
        for fine, coarse in pairwise(self.levels[first:]):
            for start in range(0, coarse.shape[0], _BAND):
                stop = min(start + _BAND, coarse.shape[0])
                coarse[start:stop] = _mean_of_predicted(fine[2 * start : 2 * stop])

    def clear(self) -> None:
        """Set everything to "not predicted", in place: a layer goes on showing the same arrays."""
        for level in self.levels:
            for start in range(0, level.shape[0], _BAND):
                band = level[start : start + _BAND]
                if band.any():  # reading a hole of the file is free, writing to it takes disk
                    band[...] = 0

    def scale_and_translate(
        self, factor: tuple[float, float], level: int = 0
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the scale and translation that put a level exactly on the slide.

        Parameters
        ----------
        factor : (float, float)
            Level-0 pixels of the slide per working pixel, (y, x).
        level : int
            Of this pyramid.

        Returns
        -------
        scale, translate : (float, float), (float, float)
            Level-0 pixels of the slide, (y, x). With ``k = stride * factor * 2**level`` they are k
            and ``(k - 1) / 2``: heat pixel 0 covers slide pixels 0..k-1, and napari's origin is the
            centre of a pixel.
        """
        ky, kx = (self.stride * f * 2**level for f in factor)
        return (ky, kx), ((ky - 1) / 2, (kx - 1) / 2)

    def close(self) -> None:
        """Let go of the levels; memory and file go with the last layer that shows them."""
        self.levels = []


def quantise(probability: ArrayLike) -> NDArray[np.uint8]:
    """Turn probabilities in [0, 1] into heat: 0 -> 1, 1 -> 255; NaN becomes 0, "not predicted".

    Examples
    --------
    >>> quantise([0.0, 0.5, 1.0, float("nan")])
    array([  1, 128, 255,   0], dtype=uint8)
    """
    p = np.asarray(probability, dtype=np.float32)
    return np.nan_to_num(np.rint(np.clip(p, 0, 1) * 254) + 1, nan=0.0).astype(np.uint8)


def _level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the shapes of all levels, finest first, each exactly half the one before."""
    halvings = max(FINEST_DENSITY, math.ceil(math.log2(max(shape) / COARSEST)))
    coarsest = [-(-n // 2**halvings) for n in shape]
    return [(coarsest[0] << n, coarsest[1] << n) for n in range(halvings, -1, -1)]


def _map_levels(shapes: list[tuple[int, int]], folder: Path) -> list[NDArray[np.uint8]]:
    """Return the levels as views of one sparse file that vanishes with its last user."""
    sizes = [h * w for h, w in shapes]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, sum(sizes))
        with tempfile.TemporaryFile(dir=folder, prefix="heat-") as file:
            file.truncate(sum(sizes))
            pixels = np.memmap(file, dtype=np.uint8, mode="r+", shape=(sum(sizes),))
    except OSError as error:
        raise XceError(
            f"The heat map needs {sum(sizes) / 2**20:.0f} MB in {folder}, which cannot be written "
            f"({error.strerror or error}). Free some space or choose another folder."
        ) from error
    flat = np.split(pixels, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(flat, shapes, strict=True)]


def _check_room(folder: Path, needed: int) -> None:
    """Raise XceError when `needed` bytes more would leave the disk nearly full."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_DISK:
        raise XceError(
            f"The disk that holds {folder} is nearly full ({free / 2**20:.0f} MB free). "
            "Free some space; predictions go on then."
        )


def _mean_of_predicted(children: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the 2 x 2 mean over children that are not 0; uint8, shape (2h, 2w) -> (h, w)."""
    corners = [children[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    total = np.zeros(corners[0].shape, np.uint16)  # at most 4 * 255
    count = np.zeros(corners[0].shape, np.uint16)
    for corner in corners:
        total += corner
        count += corner > 0
    divisor = np.maximum(count, 1)
    return ((total + divisor // 2) // divisor).astype(np.uint8)
