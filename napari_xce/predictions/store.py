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
from napari_xce.predictions.tile_cells import NEIGHBOURS, Columns, TileCells, inside
from napari_xce.predictions.tile_table import TileTable
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
            self._begin(TileTable(), [])

    def _begin(self, table: TileTable, names: list[str]) -> None:
        self._table = table
        self._names = names  # by code
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
        with self._lock:
            self._put(self._as_kept(tile, detections))
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
                self._put(self._as_kept(tile, part))

    def _as_kept(self, tile: Tile, found: Detections) -> TileCells:
        """Return what was found in a tile as it is kept: copied, so that no larger array lives on
        for a slice of it, and with codes in the place of names.
        """
        names, which = np.unique(found.labels, return_inverse=True)
        codes = np.array([self._code(str(name)) for name in names], dtype=np.int16)[which]
        arrays = (found.points.copy(), codes, found.scores.copy(), found.diameters.copy())
        return TileCells(
            tile, found.revision, Columns(*arrays, np.zeros(len(codes), dtype=np.uint8))
        )

    def _code(self, name: str) -> int:
        """Return the code of a class, a new one for a new name."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _put(self, cells: TileCells) -> None:
        """Let these be the cells of their tile."""
        self._uncounted.add(self._table.put(cells))

    def _match_borders(self, tile: Tile) -> None:
        """Bring the verdicts between a tile and its neighbours up to date."""
        for number, (down, right) in enumerate(NEIGHBOURS):
            here = self._table.get(tile)
            there = self._table.get((tile[0] + down, tile[1] + right))
            if here is None or there is None:
                continue
            if number < 4:  # the upper left one goes first: equal scores must not depend on time
                doubles_there, doubles_here = find_doubles(
                    there.cells, here.cells, self.merge_radius
                )
            else:
                doubles_here, doubles_there = find_doubles(
                    here.cells, there.cells, self.merge_radius
                )
            for cells, changed in (
                (here, here.with_doubles(number, doubles_here)),
                (there, there.with_doubles(7 - number, doubles_there)),
            ):
                if changed is not cells:
                    self._put(changed)

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
        with self._lock:
            slots, names = self._table.near(box), tuple(self._names)
            if not len(slots):
                return Detections.empty()
            cells, revision = self._table.cells(slots), self._table.revision(slots)
        stands = _standing(cells, _limits(names, thresholds), box)
        index = np.flatnonzero(stands)
        if max_count is not None and len(index) > max_count:
            index = _highest(cells.scores, cells.points, index, max_count)
        return Detections(
            cells.points[index],
            np.array(names, dtype=np.str_)[cells.codes[index]],
            cells.scores[index],
            cells.diameters[index],
            revision,
        )

    def by_class(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float32]]]:
        """Return the points (N, 2) and scores (N,) of all cells by class, in the order of tiles.

        Quicker than to ask `query` for all and compare millions of names.
        """
        with self._lock:
            names, cells = tuple(self._names), self._table.cells(self._table.near())
        stands = _standing(cells, _limits(names, None), None)
        classes = {}
        for code, name in enumerate(names):
            if name != _DROPPED:
                mine = stands & (cells.codes == code)
                classes[name] = cells.points[mine], cells.scores[mine]
        return classes

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
            slots = self._table.near(box)
            whole = np.ones(len(slots), bool) if box is None else self._table.within(slots, box)
            total = counts[slots[whole]].sum(axis=0)
            cut = self._table.cells(slots[~whole])
        total += np.bincount(cut.codes[_standing(cut, limits, box)], minlength=len(limits))
        return {name: int(n) for name, n in zip(names, total, strict=True) if name != _DROPPED}

    def _all_counts(self, limits: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the cells that stand, by slot and code."""
        n, key = len(self._table), limits.tobytes()
        if key != self._counted_for:
            self._slot_counts = self._count(np.arange(n), limits)
            self._counted_for = key
        elif self._uncounted:
            more = np.zeros((n - len(self._slot_counts), len(limits)), dtype=np.intp)
            if len(more):
                self._slot_counts = np.concatenate([self._slot_counts, more])
            changed = np.array(sorted(self._uncounted))
            self._slot_counts[changed] = self._count(changed, limits)
        self._uncounted.clear()
        return self._slot_counts

    def _count(self, slots: NDArray[np.intp], limits: NDArray[np.float32]) -> NDArray[np.intp]:
        """Count the cells of some slots, by slot and code."""
        if not len(slots) or not len(limits):
            return np.zeros((len(slots), len(limits)), dtype=np.intp)
        cells, n = self._table.cells(slots), len(limits)
        owners = np.repeat(np.arange(len(slots)), self._table.sizes(slots))
        stands = _standing(cells, limits, None)
        flat = owners[stands] * n + cells.codes[stands]
        return np.bincount(flat, minlength=len(slots) * n).reshape(len(slots), n)

    def tiles(self) -> dict[Tile, int]:
        """Return the revision that each stored tile was found with."""
        with self._lock:
            return self._table.revisions()

    def places(self) -> NDArray[np.int64]:
        """Return (row, column) of each stored tile, shape (T, 2), quicker than `tiles`."""
        with self._lock:
            return self._table.tiles()

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
            flat, names = self._table.flat(), tuple(self._names)
        write_cells(Path(path), flat, names, self.merge_radius)

    def load(self, path: str | Path) -> None:
        """Hold what a file written by `save` holds, and nothing else.

        Raises
        ------
        SessionError
            If the file is missing, damaged or of another kind; the store is left as it was.
        """
        flat, names, merge_radius = read_cells(Path(path))
        with self._lock:
            self._begin(TileTable(flat), names)
            if merge_radius != self.merge_radius:
                for tile in list(self._table.revisions()):
                    self._match_borders(tile)


def _standing(cells: Columns, limits: NDArray[np.float32], box: Box | None) -> NDArray[np.bool_]:
    """Tell which cells are no doubles, reach the limit of their class and lie in the box."""
    stands = (cells.hidden == 0) & (cells.scores >= limits[cells.codes])
    if box is not None:
        stands &= inside(cells.points, box)
    return stands


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
