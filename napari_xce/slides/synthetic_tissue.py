"""What kind of tissue is where on a synthetic slide, from its outline down to a lumen.

The same formulas answer for points (cells) and for rasters (pixels). Lengths are world pixels of
0.5 micrometres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_xce.slides.synthetic_noise import FloatArray, Grid, GridArray, Noise, derive

FIBRE_BEND = 260.0
"""How far the flow field displaces fibres, world px per unit."""

CROWD_MARGIN = 0.16
"""Lymphocytes begin to crowd this far outside an aggregate, in the field's units."""

_RAGGED = 9.0  # the finest detail of the tissue's outline
_LYMPHOID_FROM = 1.2  # standard deviations
_OUTLINE = 0.4  # how strong the outline's noise is


@dataclass(frozen=True, slots=True)
class Regions:
    """Signed fields, inside where positive; float64 (N,) at points, float32 (h, w) on rasters."""

    tissue: Any
    nest: Any
    aggregate: Any
    lumen: Any
    fat: Any
    vessel: Any

    def crowd(self) -> Any:
        """Return how crowded lymphocytes are, in [0, 1]."""
        return np.minimum(np.maximum(self.aggregate * 2.5 + CROWD_MARGIN * 2.5, 0.0), 1.0)


class Tissue:
    """The structure of one slide: tissue, tumour nests, lymphoid aggregates, fat, vessels.

    Parameters
    ----------
    size : (height, width)
        World px.
    seed : int
        The slide's seed.
    """

    def __init__(self, size: tuple[float, float], seed: int) -> None:
        self._size = size
        self._extent = max(min(size), 1.0)
        self._outline = Noise(derive(seed, 1), _outline_octaves(self._extent))
        self._tumour = self._noise(seed, 2, [(900, 0.6), (400, 0.55), (170, 0.4), (60, 0.2)])
        self._septa = self._noise(seed, 3, [(420, 0.8), (210, 0.8), (90, 0.35), (35, 0.12)], False)
        self._lymphoid = self._noise(seed, 4, [(1000, 0.7), (330, 0.6), (90, 0.35)])
        self._gland = self._noise(seed, 5, [(900, 0.6), (130, 0.8), (45, 0.2)], False)
        self._fat = self._noise(seed, 6, [(1500, 0.8), (600, 0.5), (200, 0.2)])
        self._vessel = self._noise(seed, 7, [(500, 0.6), (180, 0.8), (60, 0.25)], False)
        self.flow = self._noise(
            seed, 8, [(1400, 1.0), (420, 0.33), (130, 0.09), (38, 0.022)], False
        )

    def at(self, y: FloatArray, x: FloatArray) -> Regions:
        """Return the fields at points near each other, world px, each float64 of shape (N,)."""
        return self._regions(lambda noise: noise.at(y, x), self.outline_at(y, x))

    def outline_at(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Return `Regions.tissue` alone at points near each other, world px, float64 (N,)."""
        return np.asarray(self._tissue_field(lambda noise: noise.at(y, x), y, x))

    def lymphoid_at(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Return what `Regions.aggregate` is at most, at points near each other, float64 (N,)."""
        return self._lymphoid.at(y, x) - _LYMPHOID_FROM

    def outline_on_grid(self, grid: Grid) -> GridArray:
        """Return `Regions.tissue` alone on a raster, float32, shape (height, width)."""
        y = grid.rows().astype(np.float32)[:, None]
        x = grid.columns().astype(np.float32)[None, :]
        return np.asarray(self._tissue_field(lambda noise: noise.on_grid(grid), y, x))

    def on_grid(self, grid: Grid, outline: GridArray) -> Regions:
        """Return the fields on a raster whose outline is known, each float32 (height, width)."""
        return self._regions(lambda noise: noise.on_grid(grid), outline)

    def outline_softness(self, pitch: float) -> float:
        """Return how much the tissue field changes over a border of a raster with this pitch."""
        finest = max(1.5 * _RAGGED, 1.5 * pitch)
        change = _OUTLINE * min(3 * finest / self._extent, 1.0) ** 0.8
        return change * max(0.25, pitch / finest)

    def fibre_direction(self, y: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return vectors along the fibres at points near each other; not of unit length.

        Fibres run where ``y + FIBRE_BEND * flow(y, x)`` is constant.
        """
        step = 8.0
        here = self.flow.at(y, x)
        per_y = (self.flow.at(y + step, x) - here) * (FIBRE_BEND / step)
        per_x = (self.flow.at(y, x + step) - here) * (FIBRE_BEND / step)
        return -per_x, 1.0 + per_y + 1e-6

    def _noise(
        self, seed: int, salt: int, octaves: Sequence[tuple[float, float]], macro: bool = True
    ) -> Noise:
        """Make a field whose layers fit the slide: none too large, larger ones on large slides."""
        fitting = [(w, a) for w, a in octaves if w <= self._extent / 2.5] or [octaves[-1]]
        wavelength = self._extent / 4
        while macro and wavelength > 1.8 * octaves[0][0]:
            fitting.append((wavelength, 0.6))
            wavelength /= 2.3
        return Noise(derive(seed, salt), fitting)

    def _tissue_field(self, sample: Callable[[Noise], Any], y: Any, x: Any) -> Any:
        """Keep the tissue off the slide's border, and its own border irregular."""
        v = y * (2 / self._size[0]) - 1
        u = x * (2 / self._size[1]) - 1
        v2, u2 = v * v, u * u
        return sample(self._outline) * _OUTLINE + 0.62 - 1.5 * (v2 * v2 + u2 * u2)

    def _regions(self, sample: Callable[[Noise], Any], tissue: Any) -> Regions:
        """Combine the noise into regions; the same formula for points and rasters."""
        septum = np.maximum(0.0, 1.0 - np.abs(sample(self._septa)) * 5.0)
        fat = sample(self._fat) - 1.1
        nest = sample(self._tumour) - 0.1 - 1.5 * septum - 2.0 * np.maximum(fat + 0.3, 0.0)
        outside = np.maximum(nest, 0.0) * 2.0
        beside = outside + 2.0 * np.maximum(fat + 0.1, 0.0)
        aggregate = sample(self._lymphoid) - _LYMPHOID_FROM - beside
        lumen = np.minimum(sample(self._gland) - 1.8, nest * 2.0 - 0.5)
        vessel = sample(self._vessel) - 2.0 - outside
        return Regions(tissue, nest, aggregate, lumen, np.minimum(fat, -nest * 3.0), vessel)


def _outline_octaves(extent: float) -> list[tuple[float, float]]:
    """Layers from a third of the slide down to a ragged border of some cells."""
    octaves = []
    wavelength = extent / 3
    while wavelength > _RAGGED:
        octaves.append((wavelength, (3 * wavelength / extent) ** 0.8))
        wavelength /= 2.7
    return octaves or [(extent, 1.0)]


def soft(field: GridArray, softness: float) -> GridArray:
    """Return 1 where a field is positive, 0 where negative, between within ``softness``."""
    return np.minimum(np.maximum(field * np.float32(1 / softness) + np.float32(0.5), 0.0), 1.0)
