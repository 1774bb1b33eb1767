"""Randomness that is looked up, not drawn: hashes and smooth noise for the synthetic slide.

Every value is a pure function of (seed, place), so any part of an endless plane can be computed
alone, in any order and on any thread. The noise is value noise on hashed lattices with quadratic
B-spline interpolation. Lengths are world pixels of 0.5 micrometres, whatever the slide's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64] | NDArray[np.uint64]
GridArray = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""(y0, x0, y1, x1), world px, half-open."""

# Variance of a quadratic B-spline through uniform(-1, 1) nodes: 1/3 times, for each axis, the mean
# sum of the squared weights (0.55).
_SPLINE_SD = (0.55**2 / 3) ** 0.5


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers (the finaliser of splitmix64, Steele et al., OOPSLA 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def derive(seed: int, *salts: int) -> int:
    """Make a 64-bit seed for one purpose out of a seed and the numbers that name the purpose."""
    state = np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    for salt in salts:
        state = mix(state + np.uint64(salt))
    return int(mix(state)[0])


def hash_lattice(seed: int, rows: IntArray, columns: IntArray) -> NDArray[np.uint64]:
    """Hash the lattice nodes (row, column), broadcast against each other, to uint64."""
    row_part = mix(rows.astype(np.uint64) + np.uint64(seed))
    return mix(row_part + columns.astype(np.uint64) * np.uint64(0xD1342543DE82EF95))


def uniforms(hashes: NDArray[np.uint64]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Split hashes into four float64 arrays, each uniform in (0, 1) with 16 bits."""
    a, b, c, d = (
        ((hashes >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) / 65536 + 2.0**-17
        for shift in (0, 16, 32, 48)
    )
    return a, b, c, d


@dataclass(frozen=True, slots=True)
class Grid:
    """A raster on the world plane; pixel (i, j) is centred at (y0, x0) + (index + 0.5) * pitch."""

    y0: float
    x0: float
    pitch: float
    height: int
    width: int

    def box(self, margin: float) -> Box:
        """Return the raster's extent, widened by a margin, world px."""
        return (
            self.y0 - margin,
            self.x0 - margin,
            self.y0 + self.height * self.pitch + margin,
            self.x0 + self.width * self.pitch + margin,
        )

    def rows(self) -> FloatArray:
        """Return the world y of each pixel row, float64, shape (height,)."""
        return self.y0 + (np.arange(self.height, dtype=np.float64) + 0.5) * self.pitch

    def columns(self) -> FloatArray:
        """Return the world x of each pixel column, float64, shape (width,)."""
        return self.x0 + (np.arange(self.width, dtype=np.float64) + 0.5) * self.pitch


class Noise:
    """Smooth random field of mean 0 and standard deviation 1, evaluated anywhere.

    Parameters
    ----------
    seed : int
        Names the field.
    octaves : sequence of (wavelength, amplitude)
        Lattice spacing in world px and relative strength of each layer.
    """

    def __init__(self, seed: int, octaves: Sequence[tuple[float, float]]) -> None:
        total = sum(amplitude**2 for _, amplitude in octaves) ** 0.5 * _SPLINE_SD
        self._octaves = [
            (float(wavelength), amplitude / total, derive(seed, index))
            for index, (wavelength, amplitude) in enumerate(octaves)
        ]

    def at(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Evaluate at points near each other, world px; all arrays are float64 of shape (N,).

        Only sums and products of doubles: the points asked for together change no bit of a value.
        """
        total = np.zeros(y.shape)
        if not y.size:
            return total
        for wavelength, amplitude, seed in self._octaves:
            rows, row_weights = _spline(y / wavelength + _phase(seed, 0))
            columns, column_weights = _spline(x / wavelength + _phase(seed, 1))
            top, left = int(rows.min()), int(columns.min())
            table = _nodes(seed, top, int(rows.max()) + 3, left, int(columns.max()) + 3)
            first = (rows - top) * table.shape[1] + (columns - left)
            flat = table.ravel()
            for i, row_weight in enumerate(row_weights):
                line = sum(
                    weight * flat.take(first + (i * table.shape[1] + j))
                    for j, weight in enumerate(column_weights)
                )
                total += amplitude * row_weight * line
        return total

    def on_grid(self, grid: Grid) -> GridArray:
        """Evaluate on a raster: float32, shape (height, width).

        Layers finer than the pixels fade to their mean, 0.
        """
        lefts: list[GridArray] = []
        rights: list[GridArray] = []
        for wavelength, amplitude, seed in self._octaves:
            fade = min(max(wavelength / grid.pitch - 0.5, 0.0), 1.0)
            if not fade:
                continue
            layer = (grid.pitch, wavelength)
            top, row_matrix = _spline_matrix(grid.y0, grid.height, *layer, _phase(seed, 0))
            left, column_matrix = _spline_matrix(grid.x0, grid.width, *layer, _phase(seed, 1))
            table = _nodes(
                seed, top, top + row_matrix.shape[1], left, left + column_matrix.shape[1]
            )
            lefts.append(row_matrix @ (fade * amplitude * table).astype(np.float32))
            rights.append(column_matrix)
        if not lefts:
            return np.zeros((grid.height, grid.width), np.float32)
        return (
            np.hstack(lefts) @ np.hstack(rights).T
        )  # (height, K) @ (K, width), K nodes of all layers


def _phase(seed: int, axis: int) -> float:
    """Shift each layer's lattice, so that no two share their nodes."""
    return ((seed >> (16 * axis)) & 0xFFFF) / 65536


def _nodes(seed: int, top: int, bottom: int, left: int, right: int) -> FloatArray:
    """Return the lattice values of a box of nodes, uniform in (-1, 1)."""
    hashes = hash_lattice(
        seed,
        np.arange(top, bottom, dtype=np.int64)[:, None],
        np.arange(left, right, dtype=np.int64)[None, :],
    )
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def _spline(position: FloatArray) -> tuple[NDArray[np.int64], tuple[FloatArray, ...]]:
    """Return the first of three nodes and the three quadratic B-spline weights."""
    node = np.floor(position)
    t = position - node
    return node.astype(np.int64), (0.5 * (1 - t) ** 2, 0.75 - (t - 0.5) ** 2, 0.5 * t**2)


@lru_cache(maxsize=512)  # tiles of one row or column share theirs
def _spline_matrix(
    origin: float, count: int, pitch: float, wavelength: float, phase: float
) -> tuple[int, GridArray]:
    """Return the first node, and the weights (pixels, nodes) of a row or column of pixels."""
    position = (origin + (np.arange(count, dtype=np.float64) + 0.5) * pitch) / wavelength + phase
    nodes, weights = _spline(position)
    first = int(nodes[0])
    matrix = np.zeros((len(position), int(nodes[-1]) - first + 3), np.float32)
    rows = np.arange(len(position))
    for offset, weight in enumerate(weights):
        matrix[rows, nodes - first + offset] = weight
    return first, matrix


@dataclass(frozen=True, slots=True)
class Places:
    """Places of a jittered grid as 2-D arrays (rows, columns): neighbours stand side by side.

    `draw` and `priority` are uniform in (0, 1), float64; `hashes` is for more chances there.
    """

    y: FloatArray
    x: FloatArray
    draw: FloatArray
    priority: FloatArray
    hashes: NDArray[np.uint64]

    def without_crowding(self, keep: NDArray[np.bool_], nearest: float) -> NDArray[np.bool_]:
        """Drop of each pair kept that is closer than ``nearest`` the place of lower priority.

        Matern's second hard-core process, over the neighbours in the grid.
        """
        rows, columns = keep.shape
        drop = np.zeros_like(keep)
        for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
            one = (slice(0, rows - down), slice(max(-right, 0), columns - max(right, 0)))
            two = (slice(down, rows), slice(max(right, 0), columns - max(-right, 0)))
            gap_y, gap_x = self.y[one] - self.y[two], self.x[one] - self.x[two]
            close = (gap_y * gap_y + gap_x * gap_x < nearest * nearest) & keep[one] & keep[two]
            first_wins = self.priority[one] >= self.priority[two]
            drop[two] |= close & first_wins
            drop[one] |= close & ~first_wins
        return keep & ~drop


class Jittered:
    """An endless hexagonal grid of places, each moved at random within its part of the grid.

    Parameters
    ----------
    seed : int
        Names the grid.
    spacing : float
        World px between columns; rows are 0.866 of it apart.
    jitter : float
        How far places move, as a fraction of the spacing, 0 to 1.
    """

    def __init__(self, seed: int, spacing: float, jitter: float) -> None:
        self._seed = seed
        self._spacing = spacing
        self._jitter = jitter

    def around(self, box: Box) -> Places:
        """Return all places inside a box, and some around it."""
        across, down = self._spacing, self._spacing * 0.866
        y0, x0, y1, x1 = box
        rows = np.arange(math.floor(y0 / down) - 1, math.ceil(y1 / down) + 1)[:, None]
        columns = np.arange(math.floor(x0 / across) - 2, math.ceil(x1 / across) + 1)[None, :]
        hashes = hash_lattice(self._seed, rows, columns)
        u, v, draw, priority = uniforms(hashes)
        y = (rows + 0.5 + (u - 0.5) * self._jitter) * down
        x = (columns + 0.5 + 0.5 * (rows & 1) + (v - 0.5) * self._jitter) * across
        return Places(y, x, draw, priority, hashes)
