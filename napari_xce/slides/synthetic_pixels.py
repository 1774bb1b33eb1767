"""What a synthetic slide looks like: haematoxylin and eosin laid down in optical density, seen through glass.

A raster of any place and resolution is drawn alone: regions and textures from noise, nuclei as stamps of their true
size and place, light by Beer-Lambert (Ruifrok & Johnston, Anal Quant Cytol Histol 23, 2001). Where a pixel is too
coarse to show a nucleus, its expected share of the pixel is darkened instead. Lengths are world pixels of 0.5 um.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.slides.synthetic_cells import FLOW_AMPLITUDE, CellField, Regions, Tissue
from napari_xce.slides.synthetic_noise import Grid, GridArray, Noise, derive, hash_lattice
from napari_xce.slides.synthetic_nuclei import stamp_bodies, stamp_nuclei
from napari_xce.slides.synthetic_textures import PERIOD, fibres, grain

LARGEST_RASTER = 512
"""Pixels along a side of the largest raster that can be drawn at once."""

_SHARP_PITCH = 6.0  # world px per pixel up to which each nucleus is drawn
_MARGIN = 24.0  # nothing that belongs to a cell reaches farther than this from its centre
_LUT_STEPS = 1024  # per unit of optical density
_WHITE = (243, 242, 244)  # light through empty glass
_BLOOD_VECTOR = np.array([0.10, 0.80, 0.66])


@dataclass(slots=True)
class Stains:
    """Amounts of stain per pixel, float32 (height, width)."""

    haematoxylin: GridArray
    eosin: GridArray


class Renderer:
    """Draws any raster of one slide.

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
        self._grain_seed = derive(seed, 40)
        extent = max(*size, 2000.0)
        lab = np.random.default_rng(derive(seed, 41)).uniform(-1, 1, 8)
        self._haematoxylin = np.array([0.60, 0.70, 0.34]) + lab[:3] * (0.05, 0.03, 0.04)
        self._eosin = np.array([0.11, 0.86, 0.46]) + lab[3:6] * (0.03, 0.04, 0.08)
        self._haematoxylin *= 1.0 + 0.1 * lab[6]
        self._eosin *= 1.0 + 0.12 * lab[7]
        self._thickness = Noise(derive(seed, 42), [(extent / 2, 1.0), (1800, 0.6), (350, 0.3)])
        self._tint = Noise(derive(seed, 43), [(extent / 2, 1.0), (1200, 0.5)])
        self._drift = Noise(derive(seed, 44), [(1900, 1.0)])
        self._mottle = Noise(derive(seed, 45), [(60, 0.8), (19, 0.8), (7, 0.7)])
        self._speckle = Noise(derive(seed, 46), [(70, 0.5), (27, 1.0)])
        self._luts = [_light_lut(white) for white in _WHITE]

    def draw(self, grid: Grid) -> NDArray[np.uint8]:
        """Return uint8 RGB of a raster, shape (height, width, 3)."""
        regions = self._tissue.on_grid(grid)
        cover = _soft(regions.tissue, 0.02, grid)
        if not cover.any():
            return self._light(grid, Stains(cover, cover))
        cover *= 1 - _soft(regions.lumen, 0.03, grid)
        nest = _soft(regions.nest, 0.03, grid)
        thickness = 1 + 0.08 * self._thickness.on_grid(grid)
        tint = 0.1 * self._tint.on_grid(grid)
        if grid.pitch <= _SHARP_PITCH:
            stains = self._sharp(grid, nest, cover)
            return self._light(grid, _varied(stains, thickness, tint))
        between = self._light(grid, _varied(self._ground(grid, nest, cover), thickness, tint))
        share = self._expected_share(grid, regions, nest) * cover
        crowd = _soft(regions.aggregate, 0.3, grid)
        nuclear = Stains(0.55 + 0.3 * crowd * (1 - nest), np.full_like(cover, 0.12))
        inside = self._light(grid, _varied(nuclear, thickness, tint))
        return _mixed(between, inside, share)

    def _ground(
        self, grid: Grid, nest: GridArray, cover: GridArray, bodies: GridArray | None = None
    ) -> Stains:
        """Lay what is between nuclei: fibres, and the bodies of tumour cells."""
        collagen = self._collagen(grid)
        mottle = self._mottle.on_grid(grid)
        filled = 0.86 if bodies is None else 0.55 + 0.45 * bodies
        haematoxylin = _blend(0.03 + 0.02 * collagen, (0.10 + 0.025 * mottle) * filled, nest)
        eosin = _blend(0.27 * collagen, (0.21 + 0.03 * mottle) * filled, nest)
        return Stains(haematoxylin * cover, eosin * cover)

    def _sharp(self, grid: Grid, nest: GridArray, cover: GridArray) -> Stains:
        """Lay the ground and draw every nucleus on it."""
        cells = self._cells.inside(
            grid.y0 - _MARGIN,
            grid.x0 - _MARGIN,
            grid.y0 + grid.height * grid.pitch + _MARGIN,
            grid.x0 + grid.width * grid.pitch + _MARGIN,
        )
        ground = self._ground(grid, nest, cover, stamp_bodies(cells, grid))
        density, share = stamp_nuclei(cells, grid)
        chromatin = self._grain(grid, 1.3, 1) * min(1.0, 1.3 / grid.pitch)
        density *= 1 + 0.2 * chromatin
        return Stains(ground.haematoxylin * (1 - share) + density, ground.eosin * (1 - 0.5 * share))

    def _collagen(self, grid: Grid) -> GridArray:
        """Return how dense fibres are: two scales of one texture, bent by the tissue's flow."""
        flow = self._tissue.flow.on_grid(grid) * np.float32(FLOW_AMPLITUDE)
        flow += grid.rows().astype(np.float32)[:, None]
        drift = self._drift.on_grid(grid) * np.float32(500)
        drift += grid.columns().astype(np.float32)[None, :]
        fine = _papered(flow, drift, grid.pitch, 1.0)
        bands = _papered(flow, drift, grid.pitch, 7.0)
        return fine * (0.45 + 0.55 * bands)

    def _expected_share(self, grid: Grid, regions: Regions, nest: GridArray) -> GridArray:
        """Return the share of each pixel that nuclei are expected to cover."""
        crowd = np.clip(regions.aggregate * 2.5 + 0.4, 0.0, 1.0)
        share = _blend(0.05 + 0.36 * crowd, np.float32(0.42), nest)
        return np.clip(share * (1 + 0.4 * self._speckle.on_grid(grid)), 0.0, 0.9)

    def _grain(self, grid: Grid, smooth: float, purpose: int) -> GridArray:
        """Return noise that differs from place to place, float32 (height, width)."""
        place = np.array([[math.floor(grid.y0)], [math.floor(grid.x0)]], dtype=np.int64)
        mark = hash_lattice(self._grain_seed + purpose, place[0], place[1])[0]
        top, left = int(mark) % PERIOD, (int(mark) >> 32) % PERIOD
        return grain(smooth, LARGEST_RASTER)[top : top + grid.height, left : left + grid.width]

    def _light(self, grid: Grid, stains: Stains) -> NDArray[np.uint8]:
        """Return the light that passes: I = I0 * 10^-(density), per colour, with a little noise."""
        out = np.empty((grid.height, grid.width, 3), np.uint8)
        for channel, lut in enumerate(self._luts):
            density = stains.haematoxylin * np.float32(self._haematoxylin[channel] * _LUT_STEPS)
            density += stains.eosin * np.float32(self._eosin[channel] * _LUT_STEPS)
            density += self._grain(grid, 0.6, 2 + channel) * np.float32(0.006 * _LUT_STEPS)
            np.clip(density, 0, len(lut) - 1, out=density)
            out[..., channel] = lut.take(density.astype(np.intp))
        return out


def _soft(field: GridArray, softness: float, grid: Grid) -> GridArray:
    """Return 1 where a field is positive, 0 where negative, with a border no sharper than a pixel."""
    slope = 1 / max(softness, 0.006 * grid.pitch)
    return np.minimum(np.maximum(field * np.float32(slope) + np.float32(0.5), 0.0), 1.0)


def _blend(outside: GridArray, inside: GridArray | np.float32, share: GridArray) -> GridArray:
    """Mix two fields by a share in [0, 1]."""
    return outside + (inside - outside) * share


def _mixed(
    outside: NDArray[np.uint8], inside: NDArray[np.uint8], share: GridArray
) -> NDArray[np.uint8]:
    """Mix two pictures as light by a share in [0, 1]."""
    ground = outside.astype(np.float32)
    return np.rint(ground + (inside - ground) * share[..., None]).astype(np.uint8)


def _varied(stains: Stains, thickness: GridArray, tint: GridArray) -> Stains:
    """Make the section thicker here and there, and one stain stronger than the other."""
    return Stains(stains.haematoxylin * (thickness + tint), stains.eosin * (thickness - tint))


def _papered(y: GridArray, x: GridArray, pitch: float, stretch: float) -> GridArray:
    """Look the fibre texture up at bent world coordinates (the texture made larger by ``stretch``)."""
    level = min(max(math.floor(math.log2(pitch / stretch) + 0.3), -1), 6)
    texture = fibres(level)
    per_px = np.float32(2.0**-level / stretch)
    size = texture.shape[0]
    rows = np.floor(y * per_px).astype(np.intp) & (size - 1)
    columns = np.floor(x * per_px).astype(np.intp) & (size - 1)
    return texture.take(rows * size + columns)


def _light_lut(white: int) -> NDArray[np.uint8]:
    """Return grey levels for optical densities from 0 to 2.5."""
    density = np.arange(int(2.5 * _LUT_STEPS)) / _LUT_STEPS
    return np.rint(white * 10**-density).astype(np.uint8)
