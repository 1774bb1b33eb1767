"""All that is predicted of one slide: heat by class, cells, and which model painted each tile.

Written by the engine's thread, tile by tile; read by the viewer's and by the session's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box, Detections
from napari_xce.predictions.heat import HeatPyramid
from napari_xce.predictions.store import DetectionStore
from napari_xce.predictions.tiles import ALIGNMENT, Tile, TileGrid


class SlidePredictions:
    """Hold the predictions of one slide.

    Parameters
    ----------
    grid : TileGrid
        The slide's tiles.
    stride : int
        Working pixels per heat pixel; it divides 16.
    folder : path, optional
        Where large heat pyramids are kept (`HeatPyramid`).

    Attributes
    ----------
    heat : dict of str to HeatPyramid
        By class name; a class has one from its first predicted tile on. A new dict at every change,
        so that a reader may iterate over the one it has.
    detections : DetectionStore
        The cells.
    revisions : dict of tile to int
        The model revision that painted each tile. Not the store's: cells may have been loaded from
        a file, while heat always has to be painted anew.

    heat_is_recalled : bool
        Whether the cells that a file brought are drawn far out (`recall_heat`).

    Raises
    ------
    ValueError
        If the heat's pixels would straddle tiles.
    """

    def __init__(self, grid: TileGrid, stride: int = 4, folder: str | Path | None = None) -> None:
        if ALIGNMENT % stride:
            raise ValueError(f"The stride must divide {ALIGNMENT}, which {stride} does not.")
        self.grid = grid
        self.heat: dict[str, HeatPyramid] = {}
        self.detections = DetectionStore()
        self.revisions: dict[Tile, int] = {}
        self.heat_is_recalled = True
        self._stride = stride
        self._folder = folder
        self._lock = threading.RLock()
        self._closed = False

    def publish(
        self, tile: Tile, heat: Mapping[str, NDArray[np.uint8]], detections: Detections
    ) -> None:
        """Show what the model says of a tile.

        Parameters
        ----------
        tile : (int, int)
            (row, column) in the grid.
        heat : mapping of class name to uint8, shape (h, w)
            From the core's first pixel on; at most the core is written.
        detections : Detections
            The cells of the core, with the model's revision.

        Raises
        ------
        XceError
            If the disk is full; the tile then counts as not predicted by this revision.

        Notes
        -----
        A tile that comes after `close` is dropped.
        """
        side = self.grid.core_size // self._stride
        with self._lock:
            if self._closed:
                return
            for name, block in heat.items():
                self._pyramid(name).write(tile[0] * side, tile[1] * side, block[:side, :side])
            self.detections.replace(tile, detections)
            self.revisions[tile] = detections.revision

    def revisions_in(self, box: Box, most: int) -> list[int | None] | None:
        """Return the revision that painted each tile that a box touches, None where none has.

        Parameters
        ----------
        box : (y0, x0, y1, x1)
            Level-0 pixels.
        most : int
            Tiles gone through.

        Returns
        -------
        list, or None
            None where there are more tiles than that.
        """
        row0, col0, row1, col1 = self.grid.tile_range(box)
        if (row1 - row0) * (col1 - col0) > most:
            return None
        return [self.revisions.get(tile) for tile in self.grid.tiles_in(box)]

    def load_cells(self, path: str | Path) -> None:
        """Take over the cells that a file holds; their heat is drawn by `recall_heat`.

        Raises
        ------
        SessionError
            As for `DetectionStore.load`.
        """
        self.detections.load(path)
        self.heat_is_recalled = False

    def recall_heat(self) -> None:
        """Draw the cells that a file brought into the coarse levels of the heat, as density.

        Seconds for millions of cells. What was painted meanwhile stays.
        """
        with self._lock:
            self.heat_is_recalled = True
            tiles = self.detections.places()
            if self._closed or not len(tiles):
                return
            side = self.grid.core_size // self._stride
            for name, (points, scores) in self.detections.by_class().items():
                centres = (self.grid.to_working(points) + 0.5) / self._stride
                self._pyramid(name).sketch(tiles, side, centres, scores)

    def _pyramid(self, name: str) -> HeatPyramid:
        """Return the heat of a class, made at first need."""
        if name not in self.heat:
            pyramid = HeatPyramid(self.grid.working_shape, self._stride, self._folder)
            self.heat = {**self.heat, name: pyramid}
        return self.heat[name]

    def rename_class(self, name: str, new: str) -> None:
        """Give a class another name; its heat and cells stay.

        Raises
        ------
        ValueError
            If another class has the new name; nothing is renamed then.
        """
        with self._lock:
            if name != new and new in self.heat:
                raise ValueError(f"There is already heat of a class named {new!r}.")
            self.detections.rename_class(name, new)
            self.heat = {new if key == name else key: value for key, value in self.heat.items()}

    def drop_class(self, name: str) -> None:
        """Forget the heat and the cells of a class, until a tile that has them is published."""
        with self._lock:
            dropped = self.heat.get(name)
            self.heat = {key: value for key, value in self.heat.items() if key != name}
            self.detections.drop_class(name)
        if dropped is not None:
            dropped.close()

    def clear(self) -> None:
        """Forget everything predicted; the arrays of the heat stay the same and become 0."""
        with self._lock:
            for pyramid in self.heat.values():
                pyramid.clear()
            self.detections.clear()
            self.revisions.clear()

    def close(self) -> None:
        """Let go of the heat and take nothing more; the cells can still be asked and saved."""
        with self._lock:
            self._closed = True
            closed, self.heat = self.heat, {}
        for pyramid in closed.values():
            pyramid.close()
