"""The cells of one tile as the detection store keeps them: immutable, compact, any thread."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.predictions.tiles import Tile

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Where the eight neighbours of a tile are; number n lies opposite to number 7 - n."""

NOWHERE: Box = (np.inf, np.inf, -np.inf, -np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class TileCells:
    """Hold the cells of one tile.

    Parameters
    ----------
    tile : (int, int)
        (row, column) in the slide's grid.
    revision : int
        Revision of the model that found them.
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

    box : (float, float, float, float), optional
        (y0, x0, y1, x1) of the outermost centres, level-0 pixels, where it is known already;
        `NOWHERE` without cells.
    """

    tile: Tile
    revision: int
    points: NDArray[np.float64]
    codes: NDArray[np.int16]
    scores: NDArray[np.float32]
    diameters: NDArray[np.float32]
    hidden: NDArray[np.uint8]
    box: Box = NOWHERE

    def __post_init__(self) -> None:
        if len(self.points) and self.box is NOWHERE:
            (y0, x0), (y1, x1) = self.points.min(axis=0), self.points.max(axis=0)
            box = (float(y0), float(x0), float(y1), float(x1))
            object.__setattr__(self, "box", box)

    def with_doubles(self, neighbour: int, doubles: NDArray[np.intp]) -> TileCells:
        """Return these cells with those hidden that one neighbour found better, and no others."""
        bit = np.uint8(1 << neighbour)
        hidden = self.hidden & ~bit
        hidden[doubles] |= bit
        return self if np.array_equal(hidden, self.hidden) else replace(self, hidden=hidden)


def inside(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Return which points, shape (N, 2), lie in a half-open box, (y0, x0, y1, x1)."""
    y, x = points[:, 0], points[:, 1]
    return (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
