"""The predicted cells of a whole slide, by tile: written by the engine, queried by the viewer.

Any thread may call any method. The cells of a tile are immutable once stored, so a query needs the
lock only to pick its tiles, and waits at most for one `replace`, a few milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.borders import find_doubles
from napari_xce.predictions.detections import Box, Detections
from napari_xce.predictions.store_file import read_cells, write_cells
from napari_xce.predictions.tile_cells import NEIGHBOURS, TileCells, inside
from napari_xce.predictions.tiles import Tile

Thresholds: TypeAlias = float | Mapping[str, float] | None
_DROPPED = ""  # stands for the name of a class whose cells were dropped


class DetectionStore:
    """Hold the predicted cells of one slide by tile.

    Parameters
    ----------
    merge_radius : float, optional
        Two cells of neighbouring tiles nearer than this are one cell, level-0 pixels; by default
        0.35 times the mean of their diameters.

    Notes
    -----
    Cells found by two tiles are looked for in `replace`, between the new tile and its neighbours:
    about a millisecond of the engine's thread per tile, while a query, in the viewer's thread and
    far more often, only reads a flag. The verdict on a pair of tiles is a function of their cells
    alone (`find_doubles`), and a cell is hidden when any pair says so: the order in which tiles
    arrive cannot matter.
    """

    def __init__(self, merge_radius: float | None = None) -> None:
        self.merge_radius = merge_radius
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._names: list[str] = []  # by code
            self._tiles: dict[Tile, TileCells] = {}
            self._slots: dict[Tile, int] = {}
            self._slot_tiles: list[Tile] = []
            self._slot_boxes = np.full((64, 4), np.nan)  # (y0, x0, y1, x1); grows
            self._slot_counts = np.zeros((0, 0), dtype=np.intp)  # by code, for the last limits
            self._counted_for = b""  # these limits
            self._uncounted: set[int] = set()  # slots that changed since

    def __len__(self) -> int:
        """Return the number of cells of all classes and scores, doubles left out."""
        return sum(self.counts().values())

    def replace(self, tile: Tile, detections: Detections) -> None:
        """Set the cells of a tile, and so forget those it had.

        Parameters
        ----------
        tile : (int, int)
            (row, column) in the slide's grid.
        detections : Detections
            All cells of the tile, with the revision that found them.
        """
        tile = (int(tile[0]), int(tile[1]))
        names, which = np.unique(detections.labels, return_inverse=True)
        with self._lock:
            codes = np.array([self._code(str(name)) for name in names], dtype=np.int16)[which]
            cells = TileCells(
                tile,
                detections.revision,
                detections.points.copy(),  # so that no larger array is kept alive by a slice
                codes,
                detections.scores.copy(),
                detections.diameters.copy(),
                np.zeros(len(codes), dtype=np.uint8),
            )
            self._put(cells)
            self._match_borders(tile)

    def fill(self, parts: Iterable[tuple[Tile, Detections]]) -> None:
        """Forget everything and set the cells of many tiles, which hold no cell twice.

        Parameters
        ----------
        parts : iterable of ((row, column), Detections)
            A tile that comes twice has the later ones.
        """
        with self._lock:
            self.clear()
            for tile, part in parts:
                names, which = np.unique(part.labels, return_inverse=True)
                codes = np.array([self._code(str(name)) for name in names], dtype=np.int16)
                self._put(
                    TileCells(
                        tile,
                        part.revision,
                        part.points.copy(),
                        codes[which],
                        part.scores.copy(),
                        part.diameters.copy(),
                        np.zeros(len(part), dtype=np.uint8),
                    )
                )

    def _code(self, name: str) -> int:
        """Return the code of a class, a new one for a new name."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _put(self, cells: TileCells) -> None:
        """Store a tile's cells and index where they are."""
        slot = self._slots.setdefault(cells.tile, len(self._slots))
        if slot == len(self._slot_tiles):
            self._slot_tiles.append(cells.tile)
        if slot == len(self._slot_boxes):
            self._slot_boxes = np.concatenate([self._slot_boxes, self._slot_boxes])
        self._set(cells)
        self._slot_boxes[slot] = cells.box

    def _set(self, cells: TileCells) -> None:
        """Let these be the cells of their tile."""
        self._tiles[cells.tile] = cells
        self._uncounted.add(self._slots[cells.tile])

    def _match_borders(self, tile: Tile) -> None:
        """Bring the verdicts between a tile and its neighbours up to date."""
        for number, (down, right) in enumerate(NEIGHBOURS):
            here = self._tiles[tile]
            there = self._tiles.get((tile[0] + down, tile[1] + right))
            if there is None:
                continue
            if number < 4:  # the upper left one goes first: equal scores must not depend on time
                doubles_there, doubles_here = find_doubles(there, here, self.merge_radius)
            else:
                doubles_here, doubles_there = find_doubles(here, there, self.merge_radius)
            self._set(here.with_doubles(number, doubles_here))
            self._set(there.with_doubles(7 - number, doubles_there))

    def query(
        self,
        box: Box | None = None,
        max_count: int | None = None,
        thresholds: Thresholds = None,
    ) -> Detections:
        """Return the cells in a box.

        Parameters
        ----------
        box : (float, float, float, float), optional
            (y0, x0, y1, x1), level-0 pixels, half-open; by default the whole slide.
        max_count : int, optional
            Most cells to return: those with the highest scores.
        thresholds : float or mapping of class name to float, optional
            Lowest score, included. A class that a mapping does not name is returned whole.

        Returns
        -------
        Detections
            In the order of tiles, or from the highest score down where there were more than
            `max_count`. The revision is the oldest among the tiles.

        Notes
        -----
        Which of the cells that have just the lowest score within the cap are returned is decided by
        a hash of their place: the same at every call, and spread over the view, not at its top.
        """
        tiles, names = self._near(box)
        if not tiles:
            return Detections.empty()
        points = np.concatenate([t.points for t in tiles])
        scores = np.concatenate([t.scores for t in tiles])
        codes = np.concatenate([t.codes for t in tiles])
        stands = np.concatenate([t.hidden for t in tiles]) == 0
        stands &= scores >= _limits(names, thresholds)[codes]
        if box is not None:
            stands &= inside(points, box)
        index = np.flatnonzero(stands)
        if max_count is not None and len(index) > max_count:
            index = _highest(scores, points, index, max_count)
        diameters = np.concatenate([t.diameters for t in tiles])
        return Detections(
            points[index],
            np.array(names, dtype=np.str_)[codes[index]],
            scores[index],
            diameters[index],
            min(t.revision for t in tiles),
        )

    def counts(self, thresholds: Thresholds = None, box: Box | None = None) -> dict[str, int]:
        """Count the cells by class.

        Parameters
        ----------
        thresholds, box
            As for `query`.

        Returns
        -------
        dict of str to int
            For every class that was ever found on the slide, also where there is none now.

        Notes
        -----
        The counts of all tiles are remembered for the last thresholds, so that counting again costs
        a sum; only tiles that changed, and those that the box cuts, are gone through.
        """
        with self._lock:
            names = tuple(self._names)
            limits = _limits(names, thresholds)
            counts = self._all_counts(limits)
            boxes = self._slot_boxes[: len(counts)]
            y0, x0, y1, x1 = (-np.inf, -np.inf, np.inf, np.inf) if box is None else box
            whole = (boxes[:, :2] >= (y0, x0)).all(1) & (boxes[:, 2:] < (y1, x1)).all(1)
            near = (boxes[:, :2] < (y1, x1)).all(1) & (boxes[:, 2:] >= (y0, x0)).all(1)
            total = counts[whole].sum(axis=0)
            cut = [self._tiles[self._slot_tiles[n]] for n in np.flatnonzero(near & ~whole)]
        for cells in cut:
            total += cells.count(limits, box)
        return {name: int(n) for name, n in zip(names, total, strict=True) if name != _DROPPED}

    def _all_counts(self, limits: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the cells that stand, by slot and code."""
        n, key = len(self._slot_tiles), limits.tobytes()
        if key != self._counted_for:
            self._slot_counts = self._count_anew(limits)
            self._counted_for = key
        else:
            more = n - len(self._slot_counts)
            new = np.zeros((more, len(limits)), dtype=np.intp)
            self._slot_counts = (
                np.concatenate([self._slot_counts, new]) if more else self._slot_counts
            )
            for slot in self._uncounted:
                self._slot_counts[slot] = self._tiles[self._slot_tiles[slot]].count(limits)
        self._uncounted.clear()
        return self._slot_counts

    def _count_anew(self, limits: NDArray[np.float32]) -> NDArray[np.intp]:
        """Count the cells of all tiles at once."""
        tiles = [self._tiles[tile] for tile in self._slot_tiles]
        if not tiles or not len(limits):
            return np.zeros((len(tiles), len(limits)), dtype=np.intp)
        codes = np.concatenate([t.codes for t in tiles])
        stands = np.concatenate([t.hidden for t in tiles]) == 0
        stands &= np.concatenate([t.scores for t in tiles]) >= limits[codes]
        slots = np.repeat(np.arange(len(tiles)), [len(t.codes) for t in tiles])
        flat = slots[stands] * len(limits) + codes[stands]
        return np.bincount(flat, minlength=len(tiles) * len(limits)).reshape(len(tiles), -1)

    def _near(self, box: Box | None) -> tuple[list[TileCells], tuple[str, ...]]:
        """Return the tiles whose cells may be in a box, in grid order, and the class names."""
        with self._lock:
            boxes = self._slot_boxes[: len(self._slot_tiles)]
            y0, x0, y1, x1 = (-np.inf, -np.inf, np.inf, np.inf) if box is None else box
            near = (boxes[:, 0] < y1) & (boxes[:, 1] < x1)
            near &= (boxes[:, 2] >= y0) & (boxes[:, 3] >= x0)
            tiles = sorted(self._slot_tiles[slot] for slot in np.flatnonzero(near))
            return [self._tiles[tile] for tile in tiles], tuple(self._names)

    def tiles(self) -> dict[Tile, int]:
        """Return the revision that each stored tile was found with."""
        with self._lock:
            return {tile: cells.revision for tile, cells in self._tiles.items()}

    def rename_class(self, name: str, new: str) -> None:
        """Give a class another name; nothing happens where it was never found.

        Raises
        ------
        ValueError
            If another class has the new name.
        """
        with self._lock:
            if name == new or name not in self._names:
                return
            if new in self._names:
                raise ValueError(f"There are already cells of a class named {new!r}.")
            self._names[self._names.index(name)] = new

    def drop_class(self, name: str) -> None:
        """Forget the cells of a class.

        A cell of another class that was hidden as a double of theirs stays so until its tile or the
        neighbour is predicted again.
        """
        with self._lock:
            if name in self._names:
                self._names[self._names.index(name)] = _DROPPED

    def save(self, path: str | Path) -> None:
        """Write everything to an .npz file, whole or not at all, without pickle.

        Raises
        ------
        SessionError
            If the file cannot be written; one that was there before is kept.
        """
        with self._lock:
            tiles, names = list(self._tiles.values()), tuple(self._names)
        write_cells(Path(path), tiles, names, self.merge_radius)

    def load(self, path: str | Path) -> None:
        """Hold what a file written by `save` holds, and nothing else.

        Raises
        ------
        SessionError
            If the file is missing, damaged or of another kind; the store is left as it was.
        """
        tiles, names, merge_radius = read_cells(Path(path))
        with self._lock:
            self.clear()
            self._names = names
            self._tiles = {cells.tile: cells for cells in tiles}
            self._slot_tiles = list(self._tiles)
            self._slots = {tile: slot for slot, tile in enumerate(self._slot_tiles)}
            boxes = np.array([c.box for c in self._tiles.values()]).reshape(-1, 4)
            self._slot_boxes = np.concatenate([boxes, np.full((64, 4), np.nan)])
            self._uncounted = set(self._slots.values())
            if merge_radius != self.merge_radius:
                for tile in list(self._tiles):
                    self._match_borders(tile)


def _limits(names: tuple[str, ...], thresholds: Thresholds) -> NDArray[np.float32]:
    """Return the lowest score by code; float32, as scores are, so that an equal one is let in."""
    if isinstance(thresholds, Mapping):
        limits = [thresholds.get(name, -np.inf) for name in names]
    else:
        limits = [-np.inf if thresholds is None else thresholds] * len(names)
    dropped = np.array([name == _DROPPED for name in names], dtype=bool)
    return np.where(dropped, np.inf, np.array(limits)).astype(np.float32)


def _highest(
    scores: NDArray[np.float32],
    points: NDArray[np.float64],
    index: NDArray[np.intp],
    count: int,
) -> NDArray[np.intp]:
    """Return the `count` < len(index) of the indices that have the highest scores, best first."""
    if count <= 0:
        return index[:0]
    candidates = scores[index]
    lowest = np.partition(candidates, len(index) - count)[len(index) - count]
    above, level = index[candidates > lowest], index[candidates == lowest]
    lot = np.argsort(_hash(points[level]), kind="stable")[: count - len(above)]
    best_first = np.argsort(-scores[above], kind="stable")
    return np.concatenate([above[best_first], level[lot]])


def _hash(points: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return a number for each point, shape (N, 2), that says nothing of where it lies."""
    bits = np.ascontiguousarray(points).view(np.uint64)
    mixed = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ bits[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)
