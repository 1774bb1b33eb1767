"""The cells of many tiles in a few long arrays: as they lie in a file, and as they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.predictions.tile_cells import NOWHERE, Columns, TileCells


@dataclass(frozen=True, slots=True, eq=False)
class FlatCells:
    """The cells of many tiles, tile after tile in the order of the grid.

    Attributes
    ----------
    tiles : int64, shape (T, 2)
        (row, column), ascending.
    revisions : int64, shape (T,)
        Of the model that found them.
    starts, ends : int64, shape (T,)
        Where the cells of each tile begin and end.
    boxes : float64, shape (T, 4)
        As `TileCells.box`.
    cells : Columns
    """

    tiles: NDArray[np.int64]
    revisions: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    boxes: NDArray[np.float64]
    cells: Columns

    @classmethod
    def of(
        cls,
        tiles: NDArray[np.int64],
        revisions: NDArray[np.int64],
        sizes: NDArray[np.int64],
        cells: Columns,
    ) -> Self:
        """Make it from tiles in any order, with the number of cells of each."""
        ends = np.cumsum(sizes)
        order = np.lexsort((tiles[:, 1], tiles[:, 0]))
        if (order[1:] < order[:-1]).any():
            runs = [np.arange(ends[n] - sizes[n], ends[n]) for n in order]
            index = np.concatenate(runs)
            cells = Columns._make(array[index] for array in cells)
            tiles, revisions, sizes = tiles[order], revisions[order], sizes[order]
            ends = np.cumsum(sizes)
        starts = ends - sizes
        return cls(tiles, revisions, starts, ends, _boxes(cells.points, starts, sizes), cells)

    @classmethod
    def of_tiles(cls, tiles: Sequence[TileCells]) -> Self:
        """Make it from tiles one by one."""
        return cls.of(
            np.array([t.tile for t in tiles], np.int64).reshape(-1, 2),
            np.array([t.revision for t in tiles], np.int64),
            np.array([len(t) for t in tiles], np.int64),
            Columns.join([t.cells for t in tiles]) if tiles else Columns.none(),
        )

    def tile(self, n: int) -> TileCells:
        """Return the n-th tile by itself."""
        row, column = self.tiles[n].tolist()
        box: Box = tuple(self.boxes[n].tolist())
        part = self.cells.part(slice(self.starts[n], self.ends[n]))
        return TileCells((row, column), int(self.revisions[n]), part, box)


def _boxes(
    points: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the box of each tile's cells, all at once: a slide may have 200,000 tiles."""
    boxes = np.tile(np.array(NOWHERE), (len(sizes), 1))
    filled = np.flatnonzero(sizes)
    if len(filled):
        boxes[filled, :2] = np.minimum.reduceat(points, starts[filled], axis=0)
        boxes[filled, 2:] = np.maximum.reduceat(points, starts[filled], axis=0)
    return boxes
