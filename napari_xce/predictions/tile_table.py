"""Which tiles a detection store has, where their cells lie, and the cells of any choice of them.

A slide may have 200,000 tiles. Those that came from a file stay in its long arrays, with no object
for each, until one is predicted anew; a choice of neighbours is cut out of the arrays in one piece.
Not locked: the store's lock guards it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.predictions.flat_cells import FlatCells
from napari_xce.predictions.tile_cells import Columns, TileCells
from napari_xce.predictions.tiles import Tile

#: What is known of each tile: its place in the grid, how many cells it has, who found them, and its
#: row in the arrays from the file (-1 where it is kept by itself).
_INDEX = np.dtype([("key", "i8"), ("size", "i8"), ("revision", "i8"), ("row", "i8")])
_ALL: Box = (-np.inf, -np.inf, np.inf, np.inf)


class TileTable:
    """Hold the cells of one slide by tile; a tile's slot is its number in the order of arrival.

    Parameters
    ----------
    flat : FlatCells, optional
        What a file held.
    """

    def __init__(self, flat: FlatCells | None = None) -> None:
        self._flat = FlatCells.of_tiles([]) if flat is None else flat
        tiles = self._flat.tiles
        keys = _key(tiles[:, 0], tiles[:, 1])
        # by number: 200,000 tuples are slow to make, and to go through for the garbage collector
        self._slots: dict[int, int] = dict(zip(keys.tolist(), range(len(keys)), strict=True))
        self._own: dict[int, TileCells] = {}
        self._tiles: list[Tile] = []  # by slot, as far as they were asked for
        self._index = np.zeros(len(tiles) + 64, _INDEX)
        self._boxes = np.zeros((4, len(tiles) + 64))  # y0, x0, y1, x1; asked at every query
        self._boxes[:, : len(tiles)] = self._flat.boxes.T
        index = self._index[: len(tiles)]
        index["key"] = keys
        index["size"] = self._flat.ends - self._flat.starts
        index["revision"] = self._flat.revisions
        index["row"] = np.arange(len(tiles))

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, tile: Tile) -> TileCells | None:
        """Return a tile's cells; None where there is no such tile."""
        slot = self._slots.get(_key(*tile))
        if slot is None:
            return None
        if slot in self._own:
            return self._own[slot]
        return self._flat.tile(int(self._index["row"][slot]))

    def put(self, cells: TileCells) -> int:
        """Let these be the cells of their tile; return its slot."""
        slot = self._slots.setdefault(_key(*cells.tile), len(self._slots))
        if slot == len(self._index):
            self._index = np.concatenate([self._index, np.zeros_like(self._index)])
            self._boxes = np.hstack([self._boxes, np.zeros_like(self._boxes)])
        self._own[slot] = cells
        self._index[slot] = (_key(*cells.tile), len(cells), cells.revision, -1)
        self._boxes[:, slot] = cells.box
        return slot

    def near(self, box: Box | None = None) -> NDArray[np.intp]:
        """Return the slots of the tiles that may have cells in a half-open box, in grid order."""
        y0, x0, y1, x1 = _ALL if box is None else box
        boxes = self._boxes[:, : len(self)]
        near = (boxes[0] < y1) & (boxes[1] < x1) & (boxes[2] >= y0) & (boxes[3] >= x0)
        slots = np.flatnonzero(near)
        return slots[np.argsort(self._known["key"][slots], kind="stable")]

    def within(self, slots: NDArray[np.intp], box: Box) -> NDArray[np.bool_]:
        """Tell which of the slots have all their cells in a half-open box."""
        y0, x0, y1, x1 = self._boxes[:, slots]
        return np.asarray((y0 >= box[0]) & (x0 >= box[1]) & (y1 < box[2]) & (x1 < box[3]))

    def cells(self, slots: NDArray[np.intp]) -> Columns:
        """Return the cells of some slots, one after the other."""
        rows = self._known["row"][slots]
        apart = np.flatnonzero((np.diff(rows) != 1) | (rows[1:] < 0) | (rows[:-1] < 0)) + 1
        parts = []
        for begin, end in zip((0, *apart), (*apart, len(rows)), strict=True):
            if begin == end:
                continue
            if rows[begin] < 0:
                parts.append(self._own[int(slots[begin])].cells)
            else:
                run = slice(self._flat.starts[rows[begin]], self._flat.ends[rows[end - 1]])
                parts.append(self._flat.cells.part(run))
        return Columns.join(parts) if parts else Columns.none()

    def sizes(self, slots: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the number of cells of some slots."""
        return self._known["size"][slots]

    def revision(self, slots: NDArray[np.intp]) -> int:
        """Return the oldest revision among some slots, at least one."""
        return int(self._known["revision"][slots].min())

    def revisions(self) -> dict[Tile, int]:
        """Return the revision of each tile."""
        more = _tiles_of(self._known["key"][len(self._tiles) :]).tolist()
        self._tiles += [(row, column) for row, column in more]
        return dict(zip(self._tiles, self._known["revision"].tolist(), strict=True))

    def tiles(self) -> NDArray[np.int64]:
        """Return (row, column) of each tile, (T, 2): quicker than `revisions` by far."""
        return _tiles_of(self._known["key"])

    def flat(self) -> FlatCells:
        """Return everything in long arrays, in grid order."""
        slots = np.argsort(self._known["key"], kind="stable")
        tiles = _tiles_of(self._known["key"][slots])
        return FlatCells.of(
            tiles, self._known["revision"][slots], self.sizes(slots), self.cells(slots)
        )

    @property
    def _known(self) -> NDArray[np.void]:
        return self._index[: len(self._slots)]


def _key(row: Any, column: Any) -> Any:
    """Return a number for a tile, or for each of many, by which they are in grid order."""
    return (row << 32) | column


def _tiles_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tiles, (T, 2), that have these numbers."""
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
