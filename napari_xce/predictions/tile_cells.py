"""Cells as the detection store keeps them: a few arrays, and those of one tile. Immutable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.predictions.tiles import Tile

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Where the eight neighbours of a tile are; number n lies opposite to number 7 - n."""

NOWHERE: Box = (np.inf, np.inf, -np.inf, -np.inf)

CELL_DTYPES: Final = {
    "points": np.float64,
    "codes": np.int16,
    "scores": np.float32,
    "diameters": np.float32,
    "hidden": np.uint8,
}


class Columns(NamedTuple):
    """Cells, one entry for each in every array.

    Attributes
    ----------
    points : float64, shape (N, 2)
        Centres, level-0 pixels, (y, x).
    codes : int16, shape (N,)
        Classes, as numbers that the store gives them.
    scores : float32, shape (N,)
        In [0, 1].
    diameters : float32, shape (N,)
        Level-0 pixels, NaN where unknown.
    hidden : uint8, shape (N,)
        Bit n is set where neighbour n (`NEIGHBOURS`) found the same cell with a higher score.
    """

    points: NDArray[np.float64]
    codes: NDArray[np.int16]
    scores: NDArray[np.float32]
    diameters: NDArray[np.float32]
    hidden: NDArray[np.uint8]

    @classmethod
    def none(cls) -> Self:
        """Return no cells."""
        arrays = (np.empty((0, 2) if n == "points" else 0, d) for n, d in CELL_DTYPES.items())
        return cls._make(arrays)

    @classmethod
    def join(cls, parts: Sequence[Columns]) -> Self:
        """Put cells one after the other; a single part is not copied."""
        if len(parts) == 1:
            return cls._make(parts[0])
        return cls._make(np.concatenate(arrays) for arrays in zip(cls.none(), *parts, strict=True))

    def part(self, which: slice) -> Columns:
        """Return a run of the cells, as views."""
        return Columns._make(array[which] for array in self)


@dataclass(frozen=True, slots=True, eq=False)
class TileCells:
    """Hold the cells of one tile.

    Parameters
    ----------
    tile : (int, int)
        (row, column) in the slide's grid.
    revision : int
        Revision of the model that found them.
    cells : Columns
    box : (float, float, float, float), optional
        (y0, x0, y1, x1) of the outermost centres, level-0 pixels, where it is known already;
        `NOWHERE` without cells.
    """

    tile: Tile
    revision: int
    cells: Columns
    box: Box = NOWHERE

    def __post_init__(self) -> None:
        points = self.cells.points
        if len(points) and self.box is NOWHERE:
            (y0, x0), (y1, x1) = points.min(axis=0), points.max(axis=0)
            box = (float(y0), float(x0), float(y1), float(x1))
            object.__setattr__(self, "box", box)

    def __len__(self) -> int:
        return len(self.cells.points)

    def with_doubles(self, neighbour: int, doubles: NDArray[np.intp]) -> TileCells:
        """Return these cells with those hidden that one neighbour found better, and no others."""
        bit = np.uint8(1 << neighbour)
        hidden = self.cells.hidden & ~bit
        hidden[doubles] |= bit
        if np.array_equal(hidden, self.cells.hidden):
            return self
        return replace(self, cells=self.cells._replace(hidden=hidden))


def inside(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Return which points, shape (N, 2), lie in a half-open box, (y0, x0, y1, x1)."""
    y, x = points[:, 0], points[:, 1]
    return (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
