"""The tile grid of a slide at working resolution: geometry only, no pixels.

A slide is predicted tile by tile, or several neighbours at once. A tile owns its core. The network
also looks at a halo around it, so that a cell on a border is seen whole, and reads some context
around that, so that what it says does not depend on where tiles end; what lies outside the core
is thrown away. Cores partition the slide, so every place is owned by exactly one tile. All are
multiples of 16 (the network's deepest stride), so that the stride grids of neighbouring tiles line
up. Immutable values: any thread.
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
#: Working pixels. A feature of the trunk depends on pixels up to 164 away, 28 of them by way of the
#: decoder; appearance is measured on cells up to 42 away. With 80 + 80 scores differ by less than
#: 0.001 from those of one picture of the whole slide (with 32 alone, by up to 0.34).
HALO, CONTEXT = 80, 80
_SLACK = 1e-6  # so that the last bit of a division neither adds a row nor touches a tile more


@dataclass(frozen=True, slots=True)
class Window:
    """Where the network looks at once.

    Attributes
    ----------
    core : (int, int, int, int)
        What is owned: (y0, x0, y1, x1), working pixels, half-open, on the slide.
    seen : (int, int, int, int)
        What features are wanted of: (y, x, height, width), working pixels; core and halo, also
        where that lies beyond the slide's edge.
    read : (int, int, int, int)
        What is read: the same and its context.
    """

    core: tuple[int, int, int, int]
    seen: tuple[int, int, int, int]
    read: tuple[int, int, int, int]


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
        Border around the core of which features are wanted, working pixels, a multiple of 16.
    context : int
        Border around that which is read only so that the features are right, the same.

    Raises
    ------
    ValueError
        If a size is not positive, or core, halo or context is not a multiple of 16.

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
    >>> grid.window((1, 2))
    Window(core=(448, 896, 500, 1000), seen=(368, 816, 224, 272), read=(288, 736, 384, 432))
    """

    shape: tuple[int, int]
    factor: tuple[float, float]
    core_size: int
    halo: int
    context: int

    def __init__(
        self,
        shape: tuple[int, int],
        factor: tuple[float, float],
        core: int = 448,
        halo: int = HALO,
        context: int = CONTEXT,
    ) -> None:
        if min(shape) < 1 or min(factor) <= 0 or not np.isfinite(factor).all():
            raise ValueError(f"A slide of {shape} pixels cannot be tiled at factor {factor}.")
        sizes = (core, halo, context)
        if core <= 0 or min(sizes) < 0 or any(size % ALIGNMENT for size in sizes):
            raise ValueError(f"Core, halo, context {sizes} must be multiples of {ALIGNMENT}.")
        object.__setattr__(self, "shape", (int(shape[0]), int(shape[1])))
        object.__setattr__(self, "factor", (float(factor[0]), float(factor[1])))
        object.__setattr__(self, "core_size", int(core))
        object.__setattr__(self, "halo", int(halo))
        object.__setattr__(self, "context", int(context))

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

    def middle_of(self, box: Box, tiles: int) -> Box:
        """Return the middle of a level-0 box, at most so many tiles on a side."""
        y0, x0, y1, x1 = box
        half_y, half_x = (tiles * self.core_size * f / 2 for f in self.factor)
        y, x = (y0 + y1) / 2, (x0 + x1) / 2
        return max(y0, y - half_y), max(x0, x - half_x), min(y1, y + half_y), min(x1, x + half_x)

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

    def window(self, *tiles: Tile) -> Window:
        """Return where the network looks for a tile, or for the rectangle around several."""
        first, last = np.min(tiles, axis=0), np.max(tiles, axis=0)
        y, x = (int(n) * self.core_size for n in first)
        bottom, right = ((int(n) + 1) * self.core_size for n in last)
        rows, columns = self.working_shape
        # beyond the slide's edge there is nothing to find
        height, width = min(bottom, _aligned(rows)) - y, min(right, _aligned(columns)) - x
        return Window(
            (y, x, min(bottom, rows), min(right, columns)),
            _widened((y, x, height, width), self.halo),
            _widened((y, x, height, width), self.halo + self.context),
        )

    def to_level0(self, points: ArrayLike) -> NDArray[np.float64]:
        """Convert points, float, shape (N, 2), (y, x), from working pixels to level-0 pixels."""
        return (_as_points(points) + 0.5) * self.factor - 0.5

    def to_working(self, points: ArrayLike) -> NDArray[np.float64]:
        """Convert points, float, shape (N, 2), (y, x), from level-0 pixels to working pixels."""
        return (_as_points(points) + 0.5) / self.factor - 0.5


def _aligned(length: int) -> int:
    """Return the next multiple of what all sizes are multiples of."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def _widened(box: tuple[int, int, int, int], border: int) -> tuple[int, int, int, int]:
    """Return a rectangle (y, x, height, width) with a border around it."""
    y, x, height, width = box
    return y - border, x - border, height + 2 * border, width + 2 * border


def _as_points(points: ArrayLike) -> NDArray[np.float64]:
    """Return points as float64, shape (N, 2)."""
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)
