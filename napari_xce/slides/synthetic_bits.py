"""What else is on a synthetic slide and is no cell of any class: fat, red cells, debris, pigment.

They have no entry in the truth: a detector that takes them for cells is wrong. Lengths are world
pixels of 0.5 um.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_xce.slides.synthetic_noise import FloatArray, Grid, GridArray, Jittered, Places, derive
from napari_xce.slides.synthetic_stamps import Canvas, Stamps, column, partition
from napari_xce.slides.synthetic_tissue import Regions, Tissue

FAT_CELL = 112.0
"""Spacing of fat cells."""

_REACH = 9.0  # of red cells and specks
_SPECKS_PER_PLACE = 0.09


class BitField:
    """All things of one slide that are no cells, drawn for any raster alone. Any thread may draw.

    Parameters
    ----------
    tissue : Tissue
        Decides which things may be where.
    seed : int
        The slide's seed.
    """

    def __init__(self, tissue: Tissue, seed: int) -> None:
        self._tissue = tissue
        self._fat = Jittered(derive(seed, 50), FAT_CELL, 0.75)
        self._red = Jittered(derive(seed, 51), 13.5, 0.85)
        self._specks = Jittered(derive(seed, 52), 75.0, 1.0)

    def fat_cells(self, grid: Grid) -> GridArray:
        """Return 1 inside fat cells, 0 in the walls between them; float32 (height, width)."""
        radius = 0.8 * FAT_CELL
        places = self._fat.around(grid.box(radius))
        near = _near(grid, places, radius)
        return partition(grid, places.y[near], places.x[near], radius, 3.5)

    def red_cells(self, grid: Grid, regions: Regions) -> GridArray | None:
        """Return how much red cells colour each pixel, float32 (height, width); None if none do.

        They fill the vessels. ``regions`` are those of the raster.
        """
        if float(regions.vessel.max()) < -0.1:
            return None
        places = self._red.around(grid.box(_REACH))
        near = _near(grid, places, _REACH) & (places.draw < 0.8)
        y, x, chance = places.y[near], places.x[near], places.priority[near]
        there = self._tissue.at(y, x)
        filled = (there.vessel > -0.04) & (there.tissue > 0.02)
        canvas = Canvas(grid, 1, _REACH + grid.pitch)
        for stamps in canvas.stamps(y[filled], x[filled], _REACH):
            some = chance[filled][stamps.index]
            distance = stamps.distance() * np.float32(grid.pitch)
            hollow = 0.72 + 0.28 * np.minimum(distance * 0.2, 1.0)
            disc = _disc(distance, 5.8 + 1.8 * some, grid.pitch) * hollow
            canvas.keep_largest(stamps, (disc * column(0.75 + 0.5 * some))[:, None])
        return canvas.pixels()[0]

    def specks(self, grid: Grid) -> tuple[GridArray, GridArray] | None:
        """Return debris and brown pigment per pixel, float32 (height, width); None if none."""
        places = self._specks.around(grid.box(_REACH))
        near = _near(grid, places, _REACH) & (places.draw < _SPECKS_PER_PLACE)
        y, x, chance = places.y[near], places.x[near], places.priority[near]
        on_tissue = self._tissue.outline_at(y, x) > 0.02
        if not on_tissue.any():
            return None
        chance = chance[on_tissue]
        canvas = Canvas(grid, 2, _REACH + grid.pitch)
        for stamps in canvas.stamps(y[on_tissue], x[on_tissue], _REACH):
            canvas.keep_largest(stamps, _speck_values(stamps, chance[stamps.index], grid.pitch))
        debris, pigment = canvas.pixels()
        return debris, pigment


def _near(grid: Grid, places: Places, reach: float) -> NDArray[np.bool_]:
    """Tell which places may touch the raster."""
    y0, x0, y1, x1 = grid.box(reach)
    return (places.y >= y0) & (places.y < y1) & (places.x >= x0) & (places.x < x1)


def _speck_values(stamps: Stamps, chance: FloatArray, pitch: float) -> GridArray:
    """Return irregular specks, half of them debris, half pigment: float32 (N, 2, side, side)."""
    tilt = stamps.plane(chance * pitch, (1 - chance) * pitch)
    distance: GridArray = stamps.distance() * np.float32(pitch)
    distance += np.abs(tilt) * np.float32(0.7)
    speck = _disc(distance, 1.8 + 3.4 * ((chance * 5) % 1.0), pitch)
    brown = column(((chance * 17) % 1.0 > 0.6).astype(np.float64))
    return np.stack([speck * (1 - brown), speck * brown], axis=1)


def _disc(distance: GridArray, radius: FloatArray, pitch: float) -> GridArray:
    """Return 1 within a radius and 0 outside, with a border of about a pixel."""
    sharp = np.float32(1 / max(1.5, pitch))
    return np.minimum(np.maximum((column(radius) - distance) * sharp + 0.5, 0.0), 1.0)
