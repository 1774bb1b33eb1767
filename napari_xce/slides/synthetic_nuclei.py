"""Nuclei and cell bodies of a synthetic slide, stamped onto a raster one class at a time.

Lengths are world pixels of 0.5 um; a raster's pixel is `Grid.pitch` of them.
"""

from __future__ import annotations

import math

import numpy as np

from napari_xce.slides.synthetic_cells import CLASS_NAMES, STROMA, TUMOUR, Cells
from napari_xce.slides.synthetic_noise import FloatArray, Grid, GridArray

BODY_RADIUS = 21.0
"""Tumour cells reach this far from their centre, unless they meet another cell."""

_PLAINNESS = (
    0.95,
    0.0,
    0.6,
)  # per class; 0 = vesicular (pale inside a dark membrane), 1 = evenly dark


def stamp_nuclei(cells: Cells, grid: Grid) -> tuple[GridArray, GridArray]:
    """Draw nuclei.

    Parameters
    ----------
    cells
        Cells in and around the raster.
    grid
        The raster.

    Returns
    -------
    density : float32, shape (height, width)
        Haematoxylin inside nuclei, times the share; the darkest wins where nuclei overlap.
    share : float32, shape (height, width)
        How much of the pixel is nucleus, in [0, 1].
    """
    canvas = _Canvas(grid, 2, float(cells.length.max(initial=1.0)) * 0.62 + 2 * grid.pitch)
    for kind in range(len(CLASS_NAMES)):
        some = cells[cells.kind == kind]
        for part in _portions(some, canvas.side_for(some.length * 0.56)):
            canvas.stamp_darkest(part, _nucleus_stamps(part, kind, canvas))
    density, share = canvas.cropped()
    return density, share


def stamp_bodies(cells: Cells, grid: Grid) -> GridArray:
    """Draw the bodies of tumour cells: 1 inside, 0 at their borders and outside; float32, shape (height, width).

    The border lies where two cells are equally near, as in a Voronoi diagram.
    """
    some = cells[cells.kind == TUMOUR]
    canvas = _Canvas(grid, 2, BODY_RADIUS + grid.pitch)
    for part in _portions(some, canvas.side_for(np.full(len(some), BODY_RADIUS))):
        dy, dx = canvas.offsets(part)
        down, right = dy[:, :, None] * grid.pitch, dx[:, None, :] * grid.pitch
        nearness = BODY_RADIUS - np.sqrt(down * down + right * right)
        canvas.stamp_nearest_two(part, nearness)
    nearest, second = canvas.cropped()
    gap = np.minimum(nearest - np.maximum(second, 0.0), nearest * 0.6)
    return np.minimum(gap * (1 / max(3.2, 1.5 * grid.pitch)), 1.0)


class _Canvas:
    """A raster with a margin, so that no stamp needs clipping."""

    def __init__(self, grid: Grid, channels: int, reach: float) -> None:
        self.grid = grid
        self._margin = 2 * math.ceil(reach / grid.pitch) + 4
        height, width = grid.height + 2 * self._margin, grid.width + 2 * self._margin
        self._pixels = np.zeros((channels, height, width), np.float32)

    def side_for(self, radii: FloatArray) -> int:
        """Return the odd side, in pixels, of a stamp that holds the largest radius (world px)."""
        return 2 * math.ceil(float(radii.max(initial=0.0)) / self.grid.pitch + 1.0) + 1

    def cropped(self) -> GridArray:
        """Return the raster without its margin, shape (channels, height, width)."""
        m = self._margin
        return self._pixels[:, m : m + self.grid.height, m : m + self.grid.width]

    def offsets(self, part: _Portion) -> tuple[GridArray, GridArray]:
        """Return each stamp's pixel centres relative to its cell, in pixels: (N, side) down and right."""
        cells, side = part.cells, part.side
        y = (cells.y - self.grid.y0) / self.grid.pitch - 0.5
        x = (cells.x - self.grid.x0) / self.grid.pitch - 0.5
        top, left = np.rint(y) - side // 2, np.rint(x) - side // 2
        part.tops = (top.astype(np.int64) + self._margin).tolist()
        part.lefts = (left.astype(np.int64) + self._margin).tolist()
        steps = np.arange(side)
        down = (top - y)[:, None] + steps
        right = (left - x)[:, None] + steps
        return down.astype(np.float32), right.astype(np.float32)

    def stamp_darkest(self, part: _Portion, stamps: GridArray) -> None:
        """Keep the larger of canvas and stamps (N, channels, side, side)."""
        side = part.side
        for stamp, top, left in zip(stamps, part.tops, part.lefts, strict=True):
            view = self._pixels[:, top : top + side, left : left + side]
            np.maximum(view, stamp, out=view)

    def stamp_nearest_two(self, part: _Portion, stamps: GridArray) -> None:
        """Keep the largest value in channel 0 and the second largest in channel 1; stamps (N, side, side)."""
        side = part.side
        first, second = self._pixels
        for stamp, top, left in zip(stamps, part.tops, part.lefts, strict=True):
            one = first[top : top + side, left : left + side]
            two = second[top : top + side, left : left + side]
            np.maximum(two, np.minimum(one, stamp), out=two)
            np.maximum(one, stamp, out=one)


class _Portion:
    """Some cells whose stamps are computed together, with one side for all."""

    def __init__(self, cells: Cells, side: int) -> None:
        self.cells = cells
        self.side = side
        self.tops: list[int] = []
        self.lefts: list[int] = []


def _portions(cells: Cells, side: int) -> list[_Portion]:
    """Cut cells into portions whose stamps fit the processor's cache."""
    count = max(1, 60_000 // side**2)
    return [_Portion(cells[start : start + count], side) for start in range(0, len(cells), count)]


def _nucleus_stamps(part: _Portion, kind: int, canvas: _Canvas) -> GridArray:
    """Return density and share of nuclei, float32, shape (N, 2, side, side)."""
    cells, pitch = part.cells, canvas.grid.pitch
    down, right = canvas.offsets(part)
    long_radius, short_radius = cells.length / (2 * pitch), cells.width / (2 * pitch)
    u = _plane(down, right, cells.along_y / long_radius, cells.along_x / long_radius)
    v = _plane(down, right, -cells.along_x / short_radius, cells.along_y / short_radius)
    u2, v2 = u * u, v * v
    bend, skew = _column(cells.chance[:, 1] - 0.5), _column(cells.chance[:, 2] - 0.5)
    if kind == STROMA:
        v2 = (v + (u2 - 0.4) * (bend * 1.1)) ** 2  # spindles are bent ...
        radius2 = u2 * u2 * 0.35 + u2 * 0.65 + v2 * (1 + 0.7 * u2)  # ... and pointed
    else:
        radius2 = u2 + v2
        wobble = bend * 0.5 * u * v2 + skew * 0.2 * u * (u2 - 3 * v2)
        radius2 *= np.maximum(1 + wobble, 0.75 * radius2)  # held down far out, where it has no say
    softness = max(1.0, 1.5 / pitch)
    edge = _column(np.sqrt(long_radius * short_radius) / (2 * softness))
    share = np.maximum(np.minimum((1 - radius2) * edge + 0.5, 1.0), 0.0)
    return np.stack([share * _inner_density(cells, kind, radius2, u, v), share], axis=1)


def _inner_density(
    cells: Cells, kind: int, radius2: GridArray, u: GridArray, v: GridArray
) -> GridArray:
    """Return haematoxylin inside nuclei: membrane, pale inside, nucleoli of tumour cells."""
    level = np.choose(cells.kind, (0.55, 0.24, 0.34)) + cells.darkness * np.choose(
        cells.kind, (0.38, 0.5, 0.42)
    )
    rim = (1 - _PLAINNESS[kind]) * 0.55
    profile = np.minimum(radius2, 1.2)
    density = _column(level) * ((1 - 0.45 * rim) + rim * profile * profile)
    if kind == TUMOUR:
        at_u, at_v = _column(cells.chance[:, 1] - 0.5), _column(cells.chance[:, 3] - 0.5)
        gap = (u - at_u) ** 2 + (v - at_v) ** 2
        spot = np.maximum(1 - gap * 9.0, 0.0)
        density += spot * _column(0.75 * np.maximum(cells.chance[:, 2] - 0.35, 0.0))
    return density


def _plane(
    down: GridArray, right: GridArray, per_down: FloatArray, per_right: FloatArray
) -> GridArray:
    """Return a linear function over each stamp, float32, shape (N, side, side)."""
    return down[:, :, None] * _column(per_down) + right[:, None, :] * _column(per_right)


def _column(values: FloatArray) -> GridArray:
    """Shape one number per stamp to (N, 1, 1), float32."""
    return values.astype(np.float32)[:, None, None]
