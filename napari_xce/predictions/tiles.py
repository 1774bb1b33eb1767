"""The tile grid of a slide at working resolution: geometry only, no pixels.

A slide is predicted tile by tile. A tile owns its core; the network also reads a halo around it,
and what it says there is thrown away. Cores partition the slide, so every place is owned by exactly
one tile. Core and halo are multiples of 16 (the network's deepest stride), so that the stride grids
of neighbouring tiles line up. Immutable values: any thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.predictions.detections import Box

Tile: TypeAlias = tuple[int, int]
"""(row, column) of a tile in its grid."""

ALIGNMENT = 16
_SLACK = 1e-6  # so that the last bit of a division neither adds a row nor touches a tile more


@dataclass(frozen=True, slots=True, init=False)
class TileGrid:
    """Cut a slide into tiles at working resolution.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the slide, level-0 pixels.
    factor : (float, float)
        Level-0 pixels per working pixel, (y, x).
    core : int
        Side of the square that a tile owns, working pixels, a multiple of 16. Kept as `core_size`.
    halo : int
        Border that is read around the core, working pixels, a multiple of 16.

    Raises
    ------
    ValueError
        If a size is not positive, or core or halo is not a multiple of 16.

    Notes
    -----
    Working pixel i is centred at level-0 ``(i + 0.5) * f - 0.5``: the grid's corner is the slide's
    corner, which lies at -0.5 because pixel centres are at integers. The last working pixel may
    reach beyond the slide by less than a pixel.

    Examples
    --------
    >>> grid = TileGrid((1000, 2000), (2.0, 2.0))
    >>> grid.working_shape, grid.rows, grid.cols
    ((500, 1000), 2, 3)
    >>> grid.core((1, 2)), grid.read_box((1, 2))
    ((448, 896, 500, 1000), (416, 864, 512, 512))
    """

    shape: tuple[int, int]
    factor: tuple[float, float]
    core_size: int
    halo: int

    def __init__(
        self, shape: tuple[int, int], factor: tuple[float, float], core: int = 448, halo: int = 32
    ) -> None:
        if min(shape) < 1 or min(factor) <= 0 or not np.isfinite(factor).all():
            raise ValueError(f"A slide of {shape} pixels cannot be tiled at factor {factor}.")
        if core <= 0 or halo < 0 or core % ALIGNMENT or halo % ALIGNMENT:
            raise ValueError(f"Core {core} and halo {halo} must be multiples of {ALIGNMENT}.")
        object.__setattr__(self, "shape", (int(shape[0]), int(shape[1])))
        object.__setattr__(self, "factor", (float(factor[0]), float(factor[1])))
        object.__setattr__(self, "core_size", int(core))
        object.__setattr__(self, "halo", int(halo))

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width of the slide in working pixels, rounded up so that they cover it."""
        height, width = (
            max(1, math.ceil(n / f - _SLACK)) for n, f in zip(self.shape, self.factor, strict=True)
        )
        return height, width

    @property
    def rows(self) -> int:
        """Number of tile rows."""
        return -(-self.working_shape[0] // self.core_size)

    @property
    def cols(self) -> int:
        """Number of tile columns."""
        return -(-self.working_shape[1] // self.core_size)

    def tile_range(self, box: Box) -> tuple[int, int, int, int]:
        """Return (row0, col0, row1, col1), half-open, of the tiles whose core a box touches.

        Parameters
        ----------
        box : (float, float, float, float)
            (y0, x0, y1, x1), level-0 pixels; it may reach beyond the slide.

        Returns
        -------
        (int, int, int, int)
            Clipped to the grid; row0 >= row1 or col0 >= col1 where the box touches no tile.
        """
        y0, x0, y1, x1 = box
        row0, row1 = self._span(y0, y1, self.factor[0], self.rows)
        col0, col1 = self._span(x0, x1, self.factor[1], self.cols)
        return row0, col0, row1, col1

    def _span(self, low: float, high: float, factor: float, count: int) -> tuple[int, int]:
        """Return the half-open range of tile indices along one axis."""
        side = factor * self.core_size
        first = math.floor((low + 0.5) / side + _SLACK)
        last = math.ceil((high + 0.5) / side - _SLACK) if high > low else first
        return min(max(first, 0), count), min(max(last, 0), count)

    def tiles_in(self, box: Box) -> list[Tile]:
        """Return the tiles whose core a level-0 box touches, in row order."""
        row0, col0, row1, col1 = self.tile_range(box)
        return [(row, col) for row in range(row0, row1) for col in range(col0, col1)]

    def tile_of(self, points: ArrayLike) -> NDArray[np.int64]:
        """Return the tile that owns each point.

        Parameters
        ----------
        points : array_like, float, shape (N, 2)
            Level-0 pixels, (y, x). A point outside the slide gets the nearest tile.

        Returns
        -------
        int64, shape (N, 2)
            (row, column) of the tile.
        """
        corner = (_as_points(points) + 0.5) / self.factor  # from the slide's corner, working pixels
        tiles = np.floor(corner / self.core_size).astype(np.int64)
        return np.clip(tiles, 0, (self.rows - 1, self.cols - 1))

    def core(self, tile: Tile) -> tuple[int, int, int, int]:
        """Return what the tile owns: (y0, x0, y1, x1), working pixels, half-open, on the slide."""
        y0, x0 = tile[0] * self.core_size, tile[1] * self.core_size
        height, width = self.working_shape
        return y0, x0, min(y0 + self.core_size, height), min(x0 + self.core_size, width)

    def core_box(self, tile: Tile) -> Box:
        """Return what the tile owns: (y0, x0, y1, x1), level-0 pixels, pixel edge to pixel edge."""
        y0, x0, y1, x1 = self.core(tile)
        fy, fx = self.factor
        return y0 * fy - 0.5, x0 * fx - 0.5, y1 * fy - 0.5, x1 * fx - 0.5

    def read_box(self, tile: Tile) -> tuple[int, int, int, int]:
        """Return what the network reads, core and halo: (y0, x0, height, width), working pixels.

        It is not clipped: the size is always ``core_size + 2 * halo``; what lies outside the slide
        reads white.
        """
        side = self.core_size + 2 * self.halo
        return (
            tile[0] * self.core_size - self.halo,
            tile[1] * self.core_size - self.halo,
            side,
            side,
        )

    def to_level0(self, points: ArrayLike) -> NDArray[np.float64]:
        """Convert points, float, shape (N, 2), (y, x), from working pixels to level-0 pixels."""
        return (_as_points(points) + 0.5) * self.factor - 0.5

    def to_working(self, points: ArrayLike) -> NDArray[np.float64]:
        """Convert points, float, shape (N, 2), (y, x), from level-0 pixels to working pixels."""
        return (_as_points(points) + 0.5) / self.factor - 0.5


def _as_points(points: ArrayLike) -> NDArray[np.float64]:
    """Return points as float64, shape (N, 2)."""
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)
