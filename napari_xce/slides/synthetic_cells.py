"""Where tissue and cells are on a synthetic slide: regions, and the exact truth of every cell.

Pure functions of (seed, place): see `synthetic_noise`. The decisions about a cell use only double sums, products and
comparisons, and look no farther than `_REACH`, so that a cell is the same cell whichever region is asked for.
Lengths are world pixels of 0.5 micrometres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.slides.synthetic_noise import (
    FloatArray,
    Grid,
    Noise,
    derive,
    hash_lattice,
    uniforms,
)

CLASS_NAMES = ("lymphocyte", "tumour", "stroma")
LYMPHOCYTE, TUMOUR, STROMA = range(3)

_SPACING = (15.0, 25.0, 34.0)  # of candidates of each class
_JITTER = (0.75, 0.7, 0.9)  # as a fraction of the spacing
_NEAREST = (11.0, 18.5, 19.0)  # two cells of a class are never closer than this
_NEAREST_OTHER = {(LYMPHOCYTE, TUMOUR): 14.5, (STROMA, TUMOUR): 15.0, (STROMA, LYMPHOCYTE): 11.5}
_REACH = 96.0  # a cell depends on nothing farther away than this


@dataclass(frozen=True, slots=True)
class Regions:
    """What kind of tissue is where: signed fields, inside where positive, about 0.006 per world px at a border."""

    tissue: Any
    nest: Any
    aggregate: Any
    lumen: Any
    fat: Any


class Tissue:
    """The large and small structure of one slide: its pieces of tissue, tumour nests, lymphoid aggregates, fat.

    Parameters
    ----------
    size : (height, width)
        World px.
    seed : int
        The slide's seed.
    """

    def __init__(self, size: tuple[float, float], seed: int) -> None:
        self._size = size
        extent = min(size)
        self._outline = Noise(derive(seed, 1), _outline_octaves(extent))
        macro = [(extent / 4, 0.5), (extent / 9, 0.4)] if extent > 8000 else []
        self._tumour = Noise(
            derive(seed, 2), [*macro, (1900, 0.5), (900, 0.6), (400, 0.55), (170, 0.4), (60, 0.2)]
        )
        self._septa = Noise(derive(seed, 3), [(420, 0.8), (210, 0.8), (90, 0.35), (35, 0.12)])
        self._lymphoid = Noise(derive(seed, 4), [*macro, (1000, 0.8), (330, 0.6), (90, 0.35)])
        self._gland = Noise(derive(seed, 5), [(900, 0.6), (130, 0.8), (45, 0.2)])
        self._fat = Noise(derive(seed, 6), [*macro, (2200, 0.9), (700, 0.5), (200, 0.2)])
        self.flow = Noise(derive(seed, 7), [(1400, 1.0), (420, 0.33), (130, 0.09)])

    def at(self, y: FloatArray, x: FloatArray) -> Regions:
        """Return the fields at points near each other, world px, float64, each of shape (N,)."""
        return self._regions(lambda noise: noise.at(y, x), y, x)

    def on_grid(self, grid: Grid) -> Regions:
        """Return the fields on a raster, float32, each of shape (height, width)."""
        y = grid.rows().astype(np.float32)[:, None]
        x = grid.columns().astype(np.float32)[None, :]
        return self._regions(lambda noise: noise.on_grid(grid), y, x)

    def _regions(self, sample: Callable[[Noise], Any], y: Any, x: Any) -> Regions:
        """Combine the noise into regions; the same formula for points and rasters."""
        v = y * (2 / self._size[0]) - 1
        u = x * (2 / self._size[1]) - 1
        v2, u2 = v * v, u * u
        tissue = sample(self._outline) * 0.4 + 0.62 - 1.5 * (v2 * v2 + u2 * u2)
        septum = np.maximum(0.0, 1.0 - np.abs(sample(self._septa)) * 5.0)
        fat = sample(self._fat) - 1.15
        nest = sample(self._tumour) - 0.2 - 1.5 * septum - 2.0 * np.maximum(fat + 0.3, 0.0)
        aggregate = sample(self._lymphoid) - 1.15 - np.maximum(nest, 0.0) * 2.0
        lumen = np.minimum(sample(self._gland) - 1.75, nest * 2.0 - 0.5)
        return Regions(tissue, nest, aggregate, lumen, fat)


def _outline_octaves(extent: float) -> list[tuple[float, float]]:
    """Layers from a third of the slide down to a ragged border of some cells."""
    octaves = []
    wavelength = extent / 3
    while wavelength > 9:
        octaves.append((wavelength, (3 * wavelength / extent) ** 0.8))
        wavelength /= 2.7
    return octaves or [(max(extent, 1.0), 1.0)]


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells as a struct of arrays, float64 of shape (N,), world px.

    `kind` indexes `CLASS_NAMES`; `length` and `width` are the nucleus's diameters; (`along_y`, `along_x`) is the unit
    vector of its long axis; `darkness` is in (0, 1); `chance` is four uniform numbers (N, 4) for its inner look.
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


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Places of a jittered hexagonal grid, 2-D arrays (rows, columns) so that neighbours are beside each other."""

    y: FloatArray
    x: FloatArray
    draw: FloatArray
    priority: FloatArray
    hashes: NDArray[np.uint64]


class CellField:
    """Every cell of a slide, computed for any box alone.

    Parameters
    ----------
    tissue : Tissue
        Decides which cells may be where.
    seed : int
        The slide's seed.
    """

    def __init__(self, tissue: Tissue, seed: int) -> None:
        self._tissue = tissue
        self._seeds = [derive(seed, 20 + kind) for kind in range(len(CLASS_NAMES))]

    def inside(self, y0: float, x0: float, y1: float, x1: float) -> Cells:
        """Return the cells whose centre is in the half-open box, world px, ordered by (y, x)."""
        padded = (y0 - _REACH, x0 - _REACH, y1 + _REACH, x1 + _REACH)
        grids = [self._candidates(kind, padded) for kind in range(len(CLASS_NAMES))]
        regions = self._tissue.at(
            np.concatenate([grid.y.ravel() for grid in grids]),
            np.concatenate([grid.x.ravel() for grid in grids]),
        )
        accepted = _accept(grids, regions)
        points = [
            np.stack([grid.y[keep], grid.x[keep]], axis=1)
            for grid, keep in zip(grids, accepted, strict=True)
        ]
        hashes = [grid.hashes[keep] for grid, keep in zip(grids, accepted, strict=True)]
        for kind, others in ((LYMPHOCYTE, (TUMOUR,)), (STROMA, (TUMOUR, LYMPHOCYTE))):
            for other in others:
                free = _far_from(points[other], points[kind], _NEAREST_OTHER[kind, other])
                points[kind], hashes[kind] = points[kind][free], hashes[kind][free]
        kinds = np.repeat(np.arange(len(points)), [len(p) for p in points])
        found, marks = np.concatenate(points), np.concatenate(hashes)
        y, x = found.T
        kept = np.flatnonzero((y >= y0) & (y < y1) & (x >= x0) & (x < x1))
        kept = kept[np.lexsort((x[kept], y[kept]))]
        return self._looks(y[kept], x[kept], kinds[kept], marks[kept])

    def _candidates(self, kind: int, box: tuple[float, float, float, float]) -> _Candidates:
        """Return the candidates of a class whose grid cell touches the box."""
        across = _SPACING[kind]
        down = across * 0.866
        rows = np.arange(np.floor(box[0] / down) - 1, np.ceil(box[2] / down) + 1, dtype=np.int64)
        columns = np.arange(
            np.floor(box[1] / across) - 2, np.ceil(box[3] / across) + 1, dtype=np.int64
        )
        hashes = hash_lattice(self._seeds[kind], rows[:, None], columns[None, :])
        u, v, draw, priority = uniforms(hashes)
        y = (rows[:, None] + 0.5 + (u - 0.5) * _JITTER[kind]) * down
        shift = 0.5 * (rows[:, None] & 1)  # every other row by half a cell: hexagonal
        x = (columns[None, :] + 0.5 + shift + (v - 0.5) * _JITTER[kind]) * across
        return _Candidates(y, x, draw, priority, hashes)

    def _looks(
        self, y: FloatArray, x: FloatArray, kind: NDArray[np.int64], hashes: NDArray[np.uint64]
    ) -> Cells:
        """Give each cell its size, shape, orientation and darkness."""
        a, b, c, d = uniforms(hash_lattice(derive(self._seeds[0], 1), hashes, hashes))
        e, f, g, h = uniforms(hash_lattice(derive(self._seeds[0], 2), hashes, hashes))
        size = (a + b) / 2  # triangular: most cells are of middle size
        length = np.choose(kind, (12.0 + 3.5 * size, 16.5 + 11.0 * size, 17.0 + 12.0 * size))
        ratio = np.choose(kind, (0.82 + 0.18 * c, 0.62 + 0.34 * c, 0.24 + 0.2 * c * c))
        along_y, along_x = self._direction(y, x, kind, d)
        darkness = np.choose(kind, (0.75 + 0.25 * e, 0.25 + 0.6 * e * e, 0.5 + 0.4 * e))
        chance = np.stack([e, f, g, h], axis=1)
        return Cells(y, x, kind, length, length * ratio, along_y, along_x, darkness, chance)

    def _direction(
        self, y: FloatArray, x: FloatArray, kind: NDArray[np.int64], chance: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return unit vectors: along the fibres for stroma, anywhere for the others."""
        slope_y, slope_x = flow_slope(self._tissue, y, x)
        tilt = np.where(kind == STROMA, (chance - 0.5) * 0.5, (chance - 0.5) * 40.0)
        along_y, along_x = -slope_x + tilt * (1 + slope_y), (1 + slope_y) + tilt * slope_x
        norm = np.sqrt(along_y * along_y + along_x * along_x) + 1e-9
        return along_y / norm, along_x / norm


FLOW_AMPLITUDE = 260.0


def flow_slope(tissue: Tissue, y: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the derivative of the fibres' displacement by y and by x: fibres run where y + displacement is constant."""
    step = 8.0
    here = tissue.flow.at(y, x)
    down = tissue.flow.at(y + step, x)
    right = tissue.flow.at(y, x + step)
    scale = FLOW_AMPLITUDE / step
    return (down - here) * scale, (right - here) * scale


def _accept(grids: list[_Candidates], regions: Regions) -> list[NDArray[np.bool_]]:
    """Decide per class which candidates become cells, before classes make room for each other."""
    ends = np.cumsum([grid.y.size for grid in grids])[:-1]
    solid = (regions.tissue > 0.03) & (regions.lumen < -0.1)
    in_nest = regions.nest > 0.05
    in_fat = (regions.fat > 0) & ~in_nest
    crowd = np.clip(regions.aggregate * 2.5 + 0.4, 0.0, 1.0)
    chances = (
        np.where(in_nest, 0.04, 0.045 + 0.8 * crowd * (regions.nest < -0.02)),
        np.where(in_nest, 0.93, 0.006),
        np.where(regions.nest < 0.0, 0.62 * (1 - 0.75 * crowd), 0.0),
    )
    accepted = []
    for kind, grid in enumerate(grids):
        part = slice(([0, *ends])[kind], ([*ends, None])[kind])
        chance = chances[kind][part] * np.where(in_fat[part], 0.12, 1.0) * solid[part]
        keep = grid.draw < chance.reshape(grid.draw.shape)
        accepted.append(_without_crowding(grid, keep, _NEAREST[kind]))
    return accepted


def _without_crowding(
    grid: _Candidates, keep: NDArray[np.bool_], nearest: float
) -> NDArray[np.bool_]:
    """Drop of each too close pair of neighbours the one of lower priority (Matern's second hard-core process)."""
    rows, columns = keep.shape
    drop = np.zeros_like(keep)
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1), (0, 2)):
        one = (slice(0, rows - down), slice(max(-right, 0), columns - max(right, 0)))
        two = (slice(down, rows), slice(max(right, 0), columns - max(-right, 0)))
        gap_y, gap_x = grid.y[one] - grid.y[two], grid.x[one] - grid.x[two]
        close = (gap_y * gap_y + gap_x * gap_x < nearest * nearest) & keep[one] & keep[two]
        first_wins = grid.priority[one] >= grid.priority[two]
        drop[two] |= close & first_wins
        drop[one] |= close & ~first_wins
    return keep & ~drop


def _far_from(others: FloatArray, points: FloatArray, distance: float) -> NDArray[np.bool_]:
    """Tell which points (N, 2) have none of the others (M, 2) within the distance."""
    if not len(others) or not len(points):
        return np.ones(len(points), bool)
    gaps, _ = cKDTree(others).query(points, distance_upper_bound=distance * 1.01)
    return np.asarray(gaps >= distance)
