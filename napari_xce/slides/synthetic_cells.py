"""Every cell of a synthetic slide: where it is, of what class, and how large.

A pure function of (seed, place). The decisions about a cell use only sums, products and comparisons
of doubles, and look no farther than `_REACH`, so that a cell is the same cell whichever region is
asked for. Lengths are world pixels of 0.5 micrometres.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.slides.synthetic_noise import (
    Box,
    FloatArray,
    Jittered,
    Places,
    derive,
    hash_lattice,
    uniforms,
)
from napari_xce.slides.synthetic_tissue import CROWD_MARGIN, Regions, Tissue

CLASS_NAMES = ("lymphocyte", "tumour", "stroma")
LYMPHOCYTE, TUMOUR, STROMA = range(3)

_SPACING = (14.0, 25.0, 31.0)  # of candidates of each class
_JITTER = (0.95, 0.75, 0.95)  # as a fraction of the spacing
_NEAREST = (9.8, 18.0, 17.0)  # two cells of a class are never closer than this
_NEAREST_OTHER = {(LYMPHOCYTE, TUMOUR): 13.5, (STROMA, TUMOUR): 14.0, (STROMA, LYMPHOCYTE): 11.0}
_HIGHEST_CHANCE = (0.89, 0.93, 0.6)  # that a candidate of a class becomes a cell
_SCATTERED = 0.04  # ... for lymphocytes outside aggregates
_REACH = 96.0  # a cell depends on nothing farther away than this
_CHUNK = 1024  # cells are computed by squares of this side, and the last squares kept
_CHUNKS_KEPT = 256  # 30 MB at most


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells as a struct of arrays of shape (N,), ordered by (y, x); float64, world px.

    `kind` indexes `CLASS_NAMES`; `length` and `width` are the nucleus's diameters;
    (`along_y`, `along_x`) is the unit vector of its long axis; `darkness` is in (0, 1); `chance`,
    shape (N, 4), holds uniform numbers for its inner look.
    """

    y: FloatArray
    x: FloatArray
    kind: NDArray[np.int64]
    length: FloatArray
    width: FloatArray
    along_y: FloatArray
    along_x: FloatArray
    darkness: FloatArray
    chance: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Any) -> Cells:
        return Cells(*(getattr(self, field.name)[index] for field in fields(self)))


class CellField:
    """Every cell of a slide, computed for any box alone. Any thread may ask.

    Parameters
    ----------
    tissue : Tissue
        Decides which cells may be where.
    seed : int
        The slide's seed.
    """

    def __init__(self, tissue: Tissue, seed: int) -> None:
        self._tissue = tissue
        self._grids = [
            Jittered(derive(seed, 20 + kind), _SPACING[kind], _JITTER[kind])
            for kind in range(len(CLASS_NAMES))
        ]
        self._edge = 1.5 * tissue.outline_softness(1.0)
        self._look_seeds = (derive(seed, 30), derive(seed, 31))
        self._chunk = lru_cache(maxsize=_CHUNKS_KEPT)(self._compute_chunk)

    def inside(self, box: Box) -> Cells:
        """Return the cells whose centre is in the half-open box (y0, x0, y1, x1), world px."""
        y0, x0, y1, x1 = box
        chunks = [
            self._chunk(row, column)
            for row in range(int(y0 // _CHUNK), int(-(-y1 // _CHUNK)))
            for column in range(int(x0 // _CHUNK), int(-(-x1 // _CHUNK)))
        ]
        parts = [
            chunk[(chunk.y >= y0) & (chunk.y < y1) & (chunk.x >= x0) & (chunk.x < x1)]
            for chunk in chunks
        ]
        names = [field.name for field in fields(Cells)]
        cells = Cells(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
        return cells[np.lexsort((cells.x, cells.y))]

    def _compute_chunk(self, row: int, column: int) -> Cells:
        """Decide all candidates in and around one square, and keep the cells inside it."""
        y0, x0 = float(row * _CHUNK), float(column * _CHUNK)
        y1, x1 = y0 + _CHUNK, x0 + _CHUNK
        padded = (y0 - _REACH, x0 - _REACH, y1 + _REACH, x1 + _REACH)
        candidates = [grid.around(padded) for grid in self._grids]
        points, hashes = [], []
        for places, accepted, nearest in zip(
            candidates, self._accepted(candidates), _NEAREST, strict=True
        ):
            keep = places.without_crowding(accepted, nearest)
            points.append(np.stack([places.y[keep], places.x[keep]], axis=1))
            hashes.append(places.hashes[keep])
        for (kind, other), nearest in _NEAREST_OTHER.items():
            free = _far_from(points[other], points[kind], nearest)
            points[kind], hashes[kind] = points[kind][free], hashes[kind][free]
        kinds = np.repeat(np.arange(len(points)), [len(some) for some in points])
        y, x = np.concatenate(points).T
        kept = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        return self._looks(y[kept], x[kept], kinds[kept], np.concatenate(hashes)[kept])

    def _accepted(self, candidates: list[Places]) -> list[NDArray[np.bool_]]:
        """Tell which candidates of each class the tissue takes, before cells make room."""
        hopeful = [self._hopeful(kind, places) for kind, places in enumerate(candidates)]
        regions = self._tissue.at(
            np.concatenate(
                [places.y[some] for places, some in zip(candidates, hopeful, strict=True)]
            ),
            np.concatenate(
                [places.x[some] for places, some in zip(candidates, hopeful, strict=True)]
            ),
        )
        chances = _chances(regions, self._edge)
        start = 0
        for kind, (places, some) in enumerate(zip(candidates, hopeful, strict=True)):
            stop = start + int(np.count_nonzero(some))
            some[some] = places.draw[some] < chances[kind][start:stop]
            start = stop
        return hopeful

    def _hopeful(self, kind: int, places: Places) -> NDArray[np.bool_]:
        """Drop cheaply most of the candidates that no tissue will take."""
        some = places.draw < _HIGHEST_CHANCE[kind]
        some[some] = self._tissue.outline_at(places.y[some], places.x[some]) > self._edge
        if kind == LYMPHOCYTE:
            only_in_crowds = some & (places.draw >= _SCATTERED)
            y, x = places.y[only_in_crowds], places.x[only_in_crowds]
            some[only_in_crowds] = self._tissue.lymphoid_at(y, x) > -CROWD_MARGIN
        return some

    def _looks(
        self, y: FloatArray, x: FloatArray, kind: NDArray[np.int64], hashes: NDArray[np.uint64]
    ) -> Cells:
        """Give each cell its size, shape, orientation and darkness."""
        a, b, c, d = uniforms(hash_lattice(self._look_seeds[0], hashes, hashes))
        e, f, g, h = uniforms(hash_lattice(self._look_seeds[1], hashes, hashes))
        size = (a + b) / 2  # triangular: most cells are of middle size
        length = np.choose(kind, (11.5 + 4.5 * size, 16.0 + 12.0 * size, 16.0 + 13.0 * size))
        ratio = np.choose(kind, (0.78 + 0.22 * c, 0.6 + 0.36 * c, 0.22 + 0.26 * c * c))
        along_y, along_x = self._direction(y, x, kind, d)
        darkness = np.choose(kind, (e, e * e, e))
        chance = np.stack([e, f, g, h], axis=1)
        return Cells(y, x, kind, length, length * ratio, along_y, along_x, darkness, chance)

    def _direction(
        self, y: FloatArray, x: FloatArray, kind: NDArray[np.int64], chance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return unit vectors: along the fibres for stroma, anywhere for the others."""
        fibre_y, fibre_x = self._tissue.fibre_direction(y, x)
        tilt = (chance - 0.5) * np.where(kind == STROMA, 0.6, 40.0)
        along_y, along_x = fibre_y + tilt * fibre_x, fibre_x - tilt * fibre_y
        norm = np.sqrt(along_y * along_y + along_x * along_x)
        return along_y / norm, along_x / norm


def _chances(regions: Regions, edge: float) -> list[FloatArray]:
    """Return, for each class, the chance that a candidate at each place becomes a cell."""
    solid = (regions.tissue > edge) & (regions.lumen < -0.1) & (regions.vessel < -0.12)
    in_nest = regions.nest > 0.04
    thinned = solid * np.where((regions.fat > -0.05) & ~in_nest, 0.006, 1.0)
    crowd = regions.crowd()
    chances = (
        np.where(in_nest, 0.035, _SCATTERED + 0.85 * crowd * (regions.nest < -0.02)),
        np.where(in_nest, 0.93, 0.006),
        np.where(regions.nest < 0.0, 0.6 * (1 - 0.75 * crowd), 0.0),
    )
    return [chance * thinned for chance in chances]


def _far_from(others: FloatArray, points: FloatArray, distance: float) -> NDArray[np.bool_]:
    """Tell which points (N, 2) have none of the others (M, 2) within the distance."""
    if not len(others) or not len(points):
        return np.ones(len(points), bool)
    gaps, _ = cKDTree(others).query(points, distance_upper_bound=distance * 1.01)
    return np.asarray(gaps >= distance)
