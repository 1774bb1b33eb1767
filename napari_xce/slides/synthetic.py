"""Synthetic H&E slides of any size: seeded, drawn tile by tile, with the exact truth of every cell.

No tile depends on another, on the order of reading or on the thread; nothing of the slide is held
but the tiles in the shared cache. `synthetic_tissue` and `synthetic_cells` say what is where,
`synthetic_pixels` how it looks. Any thread may read.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.slides.slide import Slide
from napari_xce.slides.source import Rgb, TiledSource
from napari_xce.slides.synthetic_cells import CLASS_NAMES, CellField
from napari_xce.slides.synthetic_noise import Grid
from napari_xce.slides.synthetic_pixels import LARGEST_RASTER, Renderer
from napari_xce.slides.synthetic_tissue import Tissue

Region = tuple[tuple[float, float], tuple[float, float]]
"""((y0, x0), (y1, x1)), level-0 pixels, half-open."""

WORLD_MPP = 0.5
"""Micrometres per world pixel, the unit of length of the generator."""

_RECIPE = 1  # part of the fingerprint; raise it when the same seed no longer gives the same pixels
_COARSEST = 1024
_TRUTH_CHUNK = 2048.0  # world px; bounds the memory that a large region's truth takes


@dataclass(frozen=True, slots=True)
class Truth:
    """Every cell of a region, as a struct of arrays ordered by place.

    Attributes
    ----------
    points : float64, shape (N, 2)
        Centres, level-0 pixels, (y, x).
    labels : str, shape (N,)
        "lymphocyte", "tumour" or "stroma".
    diameters : float32, shape (N,)
        Of the disc of the nucleus's area, level-0 pixels.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.str_]
    diameters: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.points)


class SyntheticSlide(Slide):
    """A haematoxylin-and-eosin slide that no patient gave.

    Parameters
    ----------
    shape : (height, width)
        Level-0 pixels, at least 1 x 1; 250,000 x 250,000 opens as fast as 1,000 x 1,000.
    seed : int
        The same shape, seed and mpp give the same slide.
    mpp : float
        Micrometres per level-0 pixel, 0.05 to 10; cells keep their size in micrometres.

    Raises
    ------
    SlideError
        If the shape or the pixel size makes no slide.

    Examples
    --------
    >>> slide = SyntheticSlide((600, 800), seed=1)
    >>> slide.read_level(0, 100, 200, 64, 32).shape
    (64, 32, 3)
    >>> set(slide.truth().labels.tolist()) <= set(SyntheticSlide.class_names)
    True
    """

    class_names = CLASS_NAMES

    def __init__(
        self, shape: tuple[int, int] = (2048, 2048), seed: int = 0, mpp: float = WORLD_MPP
    ) -> None:
        height, width = int(shape[0]), int(shape[1])
        if height < 1 or width < 1:
            raise SlideError(
                f"A slide of {height} x {width} pixels is empty; ask for at least 1 x 1."
            )
        if not 0.05 <= mpp <= 10:
            raise SlideError(
                f"A synthetic slide of {mpp:g} um/px cannot be made; ask for 0.05 to 10 um/px."
            )
        source = _SyntheticSource((height, width), seed, float(mpp))
        super().__init__(source, f"Synthetic H&E {height:,} x {width:,} px (seed {seed})")
        self.seed = seed
        self._cells = source.cells
        self._px_per_world = WORLD_MPP / float(mpp)

    def truth(self, region: Region | None = None) -> Truth:
        """Return every cell whose centre lies in a region.

        Parameters
        ----------
        region
            ((y0, x0), (y1, x1)), level-0 pixels, half-open: regions side by side share no cell and
            lose none. None is the whole slide: seconds for 10,000 x 10,000 px, hours for the
            largest; ask for regions there.

        Notes
        -----
        Cells have their centres on the slide: from -0.5 to height - 0.5 and width - 0.5.
        """
        (y0, x0), (y1, x1) = region or ((-0.5, -0.5), (self.shape[0] - 0.5, self.shape[1] - 0.5))
        y0, x0 = max(float(y0), -0.5), max(float(x0), -0.5)
        y1, x1 = min(float(y1), self.shape[0] - 0.5), min(float(x1), self.shape[1] - 0.5)
        parts = [
            self._truth_of_chunk(top, left, bottom, right)
            for top, bottom in _chunks(y0, y1, _TRUTH_CHUNK * self._px_per_world)
            for left, right in _chunks(x0, x1, _TRUTH_CHUNK * self._px_per_world)
        ]
        if not parts:
            return Truth(np.empty((0, 2)), np.empty(0, _LABEL), np.empty(0, np.float32))
        points = np.concatenate([part.points for part in parts])
        order = np.lexsort((points[:, 1], points[:, 0]))
        return Truth(
            points[order],
            np.concatenate([part.labels for part in parts])[order],
            np.concatenate([part.diameters for part in parts])[order],
        )

    def _truth_of_chunk(self, y0: float, x0: float, y1: float, x1: float) -> Truth:
        """Return the cells of a small half-open box, level-0 px, tested as any other box."""
        scale = self._px_per_world
        slack = 1.0  # world px; the box is tested again in level-0 px, where all boxes round alike
        box = (
            (y0 + 0.5) / scale - slack,
            (x0 + 0.5) / scale - slack,
            (y1 + 0.5) / scale + slack,
            (x1 + 0.5) / scale + slack,
        )
        cells = self._cells.inside(box)
        points = np.stack([cells.y, cells.x], axis=1) * scale - 0.5
        inside = np.all((points >= (y0, x0)) & (points < (y1, x1)), axis=1)
        diameters = np.sqrt(cells.length * cells.width) * scale
        return Truth(
            points[inside],
            np.array(CLASS_NAMES, _LABEL)[cells.kind[inside]],
            diameters[inside].astype(np.float32),
        )


_LABEL = np.array(CLASS_NAMES).dtype


class _SyntheticSource(TiledSource):
    """Draws the tiles of all levels; a coarse level is drawn, not averaged from a finer."""

    def __init__(self, shape: tuple[int, int], seed: int, mpp: float) -> None:
        super().__init__()
        self.mpp = (mpp, mpp)
        self.mpp_source = "synthetic"
        self.identity = f"synthetic-{_RECIPE}-{seed}-{mpp!r}"
        self._pitch = mpp / WORLD_MPP
        self.level_shapes, self.level_downsamples = _levels(shape)
        self.tile_shapes = [(LARGEST_RASTER, LARGEST_RASTER)] * len(self.level_shapes)
        size = (shape[0] * self._pitch, shape[1] * self._pitch)
        tissue = Tissue(size, seed)
        self.cells = CellField(tissue, seed)
        self._renderer = Renderer(tissue, self.cells, size, seed)

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Draw one tile, uint8 (512, 512, 3), also beyond the slide's edge, where nobody looks."""
        pitch = self._pitch * self.level_downsamples[level][0]
        side = LARGEST_RASTER
        return self._renderer.draw(
            Grid(row * side * pitch, column * side * pitch, pitch, side, side)
        )


def _levels(shape: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[float, float]]]:
    """Halve a shape, rounded up, to sides of at most 1,024 px; return shapes and true factors."""
    shapes, factors = [shape], [(1.0, 1.0)]
    factor = 1
    while max(shapes[-1]) > _COARSEST:
        factor *= 2
        shapes.append((-(-shape[0] // factor), -(-shape[1] // factor)))
        factors.append((float(factor), float(factor)))
    return shapes, factors


def _chunks(start: float, stop: float, length: float) -> list[tuple[float, float]]:
    """Cut a half-open interval into half-open pieces of at most a length."""
    if stop <= start:
        return []
    edges = [*np.arange(start, stop, length).tolist(), stop]
    return list(itertools.pairwise(edges))
