"""What a synthetic slide looks like: haematoxylin and eosin in optical density, seen through glass.

A raster of any place and resolution is drawn alone: regions and textures from noise, nuclei as
stamps of their true size and place, light by Beer-Lambert (Ruifrok & Johnston, Anal Quant Cytol
Histol 23, 2001). Where a pixel is too coarse to show a nucleus, its expected share of the pixel is
darkened instead. Lengths are world pixels of 0.5 um.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_xce.slides.synthetic_bits import FAT_CELL, BitField
from napari_xce.slides.synthetic_cells import TUMOUR, CellField, Cells
from napari_xce.slides.synthetic_noise import (
    FloatArray,
    Grid,
    GridArray,
    Noise,
    derive,
    hash_lattice,
)
from napari_xce.slides.synthetic_nuclei import LARGEST_RADIUS, stamp_nuclei
from napari_xce.slides.synthetic_stamps import partition
from napari_xce.slides.synthetic_textures import PERIOD, fibres, grain
from napari_xce.slides.synthetic_tissue import FIBRE_BEND, Regions, Tissue, soft

LARGEST_RASTER = 512
"""Pixels along a side of the largest raster that can be drawn at once."""

_SHARP_PITCH = 6.0  # world px per pixel up to which each nucleus is drawn
_BIT_PITCH = 3.0  # ... and up to which red cells and specks are
_CELL_BODY = 20.0  # radius of a tumour cell that meets no other
_BAND_STRETCH = 7  # the coarser scale of the fibres
_LUT_STEPS = 1024  # per unit of optical density
_WHITE = (243, 242, 244)  # light through empty glass
_BLOOD = np.array([0.05, 0.47, 0.38])  # optical density of a red cell
_PIGMENT = np.array([0.55, 0.75, 1.0])  # ... and of brown pigment


class Renderer:
    """Draws any raster of one slide. Any thread may draw.

    Parameters
    ----------
    tissue, cells
        What is where.
    size : (height, width)
        World px.
    seed : int
        The slide's seed; it also chooses the laboratory's stain.
    """

    def __init__(
        self, tissue: Tissue, cells: CellField, size: tuple[float, float], seed: int
    ) -> None:
        self._tissue = tissue
        self._cells = cells
        self._bits = BitField(tissue, seed)
        self._grain_seed = derive(seed, 40)
        extent = max(*size, 2000.0)
        lab = np.random.default_rng(derive(seed, 41)).uniform(-1, 1, 8)
        haematoxylin = np.array([0.61, 0.69, 0.33]) + lab[:3] * (0.05, 0.03, 0.04)
        eosin = np.array([0.10, 0.84, 0.50]) + lab[3:6] * (0.03, 0.04, 0.10)
        self._haematoxylin = haematoxylin * (1.0 + 0.1 * lab[6])
        self._eosin = eosin * (1.0 + 0.12 * lab[7])
        self._thickness = Noise(derive(seed, 42), [(extent / 2, 1.0), (1800, 0.6), (350, 0.3)])
        self._tint = Noise(derive(seed, 43), [(extent / 2, 1.0), (1200, 0.5)])
        self._drift = Noise(derive(seed, 44), [(1900, 1.0)])
        self._mottle = Noise(derive(seed, 45), [(60, 0.7), (19, 0.7), (6, 1.0)])
        self._speckle = Noise(derive(seed, 46), [(70, 0.5), (27, 1.0)])
        self._luts = [_light_lut(white) for white in _WHITE]

    def draw(self, grid: Grid) -> NDArray[np.uint8]:
        """Return uint8 RGB of a raster, shape (height, width, 3)."""
        outline = self._tissue.outline_on_grid(grid)
        cover = soft(outline, self._tissue.outline_softness(grid.pitch))
        if not cover.any():
            return self._light(grid, [])
        regions = self._tissue.on_grid(grid, outline)
        open_space = soft(np.maximum(regions.lumen, regions.vessel), _border(0.03, grid))
        cover *= 1 - open_space
        nest = soft(regions.nest, _border(0.03, grid))
        variation = self._variation(grid)
        if grid.pitch <= _SHARP_PITCH:
            return self._draw_sharp(grid, regions, nest, cover, variation)
        ground = self._light(
            grid, self._stains(*self._ground(grid, regions, nest, cover), variation)
        )
        crowd = soft(regions.aggregate, 0.3) * (1 - nest)
        eosin = np.full_like(cover, 0.12)
        nuclei = self._light(grid, self._stains(0.52 + 0.3 * crowd, eosin, variation))
        return _mixed(ground, nuclei, self._expected_share(grid, regions, nest) * cover)

    def _draw_sharp(
        self,
        grid: Grid,
        regions: Regions,
        nest: GridArray,
        cover: GridArray,
        variation: tuple[GridArray, GridArray],
    ) -> NDArray[np.uint8]:
        """Draw a raster that shows every nucleus."""
        cells = self._cells.inside(grid.box(LARGEST_RADIUS + 6))
        haematoxylin, eosin = self._ground(grid, regions, nest, cover, cells)
        density, share = stamp_nuclei(cells, grid)
        density *= 1 + (0.2 * min(1.0, 1.3 / grid.pitch)) * self._grain(grid, 1.3, 1)
        haematoxylin = haematoxylin * (1 - share) + density
        eosin *= 1 - 0.5 * share
        extra: list[tuple[GridArray, NDArray[np.float64]]] = []
        if grid.pitch <= _BIT_PITCH:
            red = self._bits.red_cells(grid, regions)
            specks = self._bits.specks(grid)
            if red is not None:
                extra.append((red, _BLOOD))
            if specks is not None:
                debris, pigment = specks
                np.maximum(haematoxylin, debris, out=haematoxylin)
                extra.append((pigment, _PIGMENT))
        return self._light(grid, [*self._stains(haematoxylin, eosin, variation), *extra])

    def _ground(
        self,
        grid: Grid,
        regions: Regions,
        nest: GridArray,
        cover: GridArray,
        cells: Cells | None = None,
    ) -> tuple[GridArray, GridArray]:
        """Return haematoxylin and eosin of what is between nuclei: fibres, cell bodies, fat."""
        collagen = self._collagen(grid)
        mottle = self._mottle.on_grid(grid)
        crowd = regions.crowd()
        filled: GridArray | float = 0.86
        if cells is not None:
            some = cells[cells.kind == TUMOUR]
            filled = 0.64 + 0.36 * partition(grid, some.y, some.x, _CELL_BODY, 3.6)
        haematoxylin = _blend(
            0.02 + 0.03 * collagen + 0.06 * crowd, (0.11 + 0.035 * mottle) * filled, nest
        )
        eosin = _blend(collagen * (0.27 - 0.11 * crowd), (0.21 + 0.04 * mottle) * filled, nest)
        fat = soft(regions.fat, _border(0.05, grid))
        if fat.any():
            drawn = 8 * grid.pitch < FAT_CELL
            full = self._bits.fat_cells(grid) if drawn else np.full_like(cover, 0.85)
            cover = cover * (1 - fat * full)
        return haematoxylin * cover, eosin * cover

    def _collagen(self, grid: Grid) -> GridArray:
        """Return how dense fibres are: two scales of one texture, bent by the tissue's flow."""
        y = self._tissue.flow.on_grid(grid) * np.float32(FIBRE_BEND)
        y += _wrapped(grid.rows())[:, None]
        x = self._drift.on_grid(grid) * np.float32(500)
        x += _wrapped(grid.columns())[None, :]
        fine = _papered(y, x, grid.pitch, 1)
        bands = _papered(y, x, grid.pitch, _BAND_STRETCH)
        return fine * (0.45 + 0.55 * bands)

    def _expected_share(self, grid: Grid, regions: Regions, nest: GridArray) -> GridArray:
        """Return the share of each pixel that nuclei are expected to cover."""
        lean = 1 - 0.9 * soft(regions.fat, 0.1)
        share = _blend((0.05 + 0.36 * regions.crowd()) * lean, np.float32(0.42), nest)
        return np.clip(share * (1 + 0.4 * self._speckle.on_grid(grid)), 0.0, 0.9)

    def _variation(self, grid: Grid) -> tuple[GridArray, GridArray]:
        """Return factors for haematoxylin and eosin: section's thickness, stains' balance."""
        thickness = 1 + 0.08 * self._thickness.on_grid(grid)
        tint = 0.1 * self._tint.on_grid(grid)
        return thickness + tint, thickness - tint

    def _stains(
        self, haematoxylin: GridArray, eosin: GridArray, variation: tuple[GridArray, GridArray]
    ) -> list[tuple[GridArray, NDArray[np.float64]]]:
        """Pair amounts of the two stains with their colours (optical density of one unit)."""
        return [
            (haematoxylin * variation[0], self._haematoxylin),
            (eosin * variation[1], self._eosin),
        ]

    def _grain(self, grid: Grid, smooth: float, purpose: int) -> GridArray:
        """Return noise that differs from place to place, float32 (height, width)."""
        row, column = np.array([math.floor(grid.y0)]), np.array([math.floor(grid.x0)])
        mark = int(hash_lattice(self._grain_seed + purpose, row, column)[0])
        top, left = mark % PERIOD, (mark >> 32) % PERIOD
        return grain(smooth, LARGEST_RASTER)[top : top + grid.height, left : left + grid.width]

    def _light(
        self, grid: Grid, stains: Iterable[tuple[GridArray, NDArray[np.float64]]]
    ) -> NDArray[np.uint8]:
        """Return the light that passes: I = I0 * 10^-density per colour, with a little noise."""
        out = np.empty((grid.height, grid.width, 3), np.uint8)
        for channel, lut in enumerate(self._luts):
            density = self._grain(grid, 0.6, 2 + channel) * np.float32(0.009 * _LUT_STEPS)
            for amount, colour in stains:
                density += amount * np.float32(colour[channel] * _LUT_STEPS)
            np.maximum(density, 0.0, out=density)  # twice as fast as clip
            np.minimum(density, len(lut) - 1, out=density)
            out[..., channel] = lut.take(density.astype(np.intp))
        return out


def _border(softness: float, grid: Grid) -> float:
    """Return the softness of a region's border: no sharper than a pixel."""
    return max(softness, 0.006 * grid.pitch)


def _blend(outside: GridArray, inside: GridArray | np.float32, share: GridArray) -> GridArray:
    """Mix two fields by a share in [0, 1]."""
    return outside + (inside - outside) * share


def _mixed(
    outside: NDArray[np.uint8], inside: NDArray[np.uint8], share: GridArray
) -> NDArray[np.uint8]:
    """Mix two pictures as light by a share in [0, 1]."""
    ground = outside.astype(np.float32)
    return np.rint(ground + (inside - ground) * share[..., None]).astype(np.uint8)


def _wrapped(coordinates: FloatArray) -> GridArray:
    """Fold world coordinates into one repeat of the stretched fibres, well above 0, as float32.

    Small numbers keep their fractions in float32, and positive ones are cut to integers by floor.
    """
    repeat = PERIOD * _BAND_STRETCH
    return (coordinates - (math.floor(coordinates[0] / repeat) - 1) * repeat).astype(np.float32)


def _papered(y: GridArray, x: GridArray, pitch: float, stretch: int) -> GridArray:
    """Look up the fibre texture, made larger by ``stretch``, at bent world coordinates."""
    finest = -1 if stretch == 1 else 0
    level = min(max(math.floor(math.log2(pitch / stretch) + 0.3), finest), 6)
    texture = fibres(level)
    per_px = np.float32(2.0**-level / stretch)
    size = texture.shape[0]
    index = (y * per_px).astype(np.intp)
    index &= size - 1
    index *= size
    columns = (x * per_px).astype(np.intp)
    columns &= size - 1
    index += columns
    return texture.take(index)


def _light_lut(white: int) -> NDArray[np.uint8]:
    """Return grey levels for optical densities from 0 to 2.5."""
    density = np.arange(int(2.5 * _LUT_STEPS)) / _LUT_STEPS
    return np.rint(white * 10**-density).astype(np.uint8)
