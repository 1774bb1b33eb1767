"""How nuclei of a synthetic slide look: lymphocytes dark and round, tumour cells vesicular with
nucleoli, stroma cells spindles. Lengths are world pixels of 0.5 um.
"""

from __future__ import annotations

import numpy as np

from napari_xce.slides.synthetic_cells import CLASS_NAMES, STROMA, TUMOUR, Cells
from napari_xce.slides.synthetic_noise import Grid, GridArray
from napari_xce.slides.synthetic_stamps import Canvas, Stamps, column

LARGEST_RADIUS = 18.0
"""No nucleus reaches farther than this from its centre."""

_PALEST = (0.52, 0.24, 0.30)  # haematoxylin of the palest nucleus of each class ...
_DARKEST = (0.92, 0.85, 0.76)  # ... and of the darkest
_RIM = (0.06, 0.5, 0.2)  # 0 = evenly dark, 1 = empty inside a dark membrane


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
        Haematoxylin of nuclei, times the share; the darkest wins where nuclei overlap.
    share : float32, shape (height, width)
        How much of the pixel is nucleus, in [0, 1].
    """
    canvas = Canvas(grid, 2, LARGEST_RADIUS + grid.pitch)
    for kind in range(len(CLASS_NAMES)):
        some = cells[cells.kind == kind]
        radius = float(some.length.max(initial=0.0)) * 0.56
        for stamps in canvas.stamps(some.y, some.x, radius):
            values = _nuclei(some[stamps.index], kind, stamps, grid.pitch)
            canvas.keep_largest(stamps, values)
    density, share = canvas.pixels()
    return density, share


def _nuclei(cells: Cells, kind: int, stamps: Stamps, pitch: float) -> GridArray:
    """Return density and share of nuclei of one class, float32, shape (N, 2, side, side)."""
    long_radius, short_radius = cells.length / (2 * pitch), cells.width / (2 * pitch)
    u = stamps.plane(cells.along_y / long_radius, cells.along_x / long_radius)
    v = stamps.plane(-cells.along_x / short_radius, cells.along_y / short_radius)
    bend, skew = column(cells.chance[:, 1] - 0.5), column(cells.chance[:, 2] - 0.5)
    radius2 = _spindle(u, v, bend) if kind == STROMA else _oval(u, v, bend, skew)
    softness = max(1.0, 1.5 / pitch)
    edge = column(np.sqrt(long_radius * short_radius) / (2 * softness))
    share = np.maximum(np.minimum((1 - radius2) * edge + 0.5, 1.0), 0.0)
    density = _inner_density(cells, kind, radius2)
    if kind == TUMOUR:
        density += _nucleoli(cells, u, v)
    return np.stack([share * density, share], axis=1)


def _oval(u: GridArray, v: GridArray, bend: GridArray, skew: GridArray) -> GridArray:
    """Return the squared radius of somewhat egg- and bean-shaped outlines."""
    u2, v2 = u * u, v * v
    radius2 = u2 + v2
    wobble = bend * 0.7 * u * v2 + skew * 0.3 * u * (u2 - 3 * v2)
    return radius2 * np.maximum(
        1 + wobble, 0.75 * radius2
    )  # held down far out, where it has no say


def _spindle(u: GridArray, v: GridArray, bend: GridArray) -> GridArray:
    """Return the squared radius of bent outlines with pointed ends."""
    u2 = u * u
    v2 = (v + (u2 - 0.4) * (bend * 1.3)) ** 2
    return u2 * (0.35 * u2 + 0.65) + v2 * (1 + 0.7 * u2)


def _inner_density(cells: Cells, kind: int, radius2: GridArray) -> GridArray:
    """Return haematoxylin inside nuclei: pale within, dark at the membrane."""
    level = _PALEST[kind] + (_DARKEST[kind] - _PALEST[kind]) * cells.darkness
    rim = _RIM[kind] * (1 - 0.6 * cells.darkness)  # dark nuclei show no inside
    profile = np.minimum(radius2, 1.2)
    return column(level * (1 - 0.4 * rim)) + column(level * rim) * profile * profile


def _nucleoli(cells: Cells, u: GridArray, v: GridArray) -> GridArray:
    """Return haematoxylin of one nucleolus a nucleus; in every third it is not seen."""
    strength = 0.8 * np.maximum(cells.chance[:, 2] - 0.33, 0.0)
    gap_u = u - column(cells.chance[:, 1] - 0.5)
    gap_v = v - column(cells.chance[:, 3] - 0.5)
    return np.maximum(1 - (gap_u * gap_u + gap_v * gap_v) * 9.0, 0.0) * column(strength)
