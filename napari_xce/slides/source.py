"""Where a slide's pixels come from: what every backend fulfils, and the tile-wise base of most.

A source knows levels, pixel size and how to read a rectangle that lies inside a level. What lies
outside, resampling and names are the business of :class:`~napari_xce.slides.slide.Slide`. Any
thread may read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.slides import cache

Rgb = NDArray[np.uint8]
"""uint8, shape (height, width, 3)."""


class UnsupportedSlide(SlideError):
    """This backend cannot read the file; another one may."""


class PixelSource(Protocol):
    """What :class:`Slide` asks of a backend."""

    level_shapes: list[tuple[int, int]]
    """(height, width) of each level, finest first."""
    level_downsamples: list[tuple[float, float]]
    """Level-0 pixels per pixel of the level, (y, x); the true factors, (1.0, 1.0) first."""
    mpp: tuple[float, float] | None
    """Micrometres per level-0 pixel, (y, x), or None when unknown."""
    mpp_source: str
    """Where ``mpp`` comes from, in words."""

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Rgb:
        """Return a fresh uint8 (height, width, 3): a rectangle inside the level, in its pixels."""
        ...

    def close(self) -> None:
        """Release files; reading afterwards is an error. Calling it twice is not."""
        ...


class TiledSource(ABC):
    """A source that decodes tile by tile; decoded tiles go through the shared cache.

    A subclass sets the attributes below and writes ``decode_tile``.
    """

    level_shapes: list[tuple[int, int]]
    level_downsamples: list[tuple[float, float]]
    tile_shapes: list[tuple[int, int]]
    """(height, width) of the tiles of each level."""
    mpp: tuple[float, float] | None = None
    mpp_source: str = "unknown"

    def __init__(self) -> None:
        self.cache_owner = cache.new_owner()

    @abstractmethod
    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Return uint8 (height, width, 3) of one tile; at the far edges smaller or full."""

    def tile(self, level: int, row: int, column: int) -> Rgb:
        """Return one tile through the cache, read-only."""
        key = (self.cache_owner, level, row, column)
        return cache.shared.get(key, lambda: self.decode_tile(level, row, column))

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Rgb:
        """Return uint8 (height, width, 3): a rectangle inside the level, made of tiles."""
        tile_height, tile_width = self.tile_shapes[level]
        out = np.empty((height, width, 3), np.uint8)
        for row in range(y // tile_height, -(-(y + height) // tile_height)):
            top = row * tile_height
            y0, y1 = max(y, top), min(y + height, top + tile_height)
            for column in range(x // tile_width, -(-(x + width) // tile_width)):
                left = column * tile_width
                x0, x1 = max(x, left), min(x + width, left + tile_width)
                tile = self.tile(level, row, column)
                out[y0 - y : y1 - y, x0 - x : x1 - x] = tile[
                    y0 - top : y1 - top, x0 - left : x1 - left
                ]
        return out

    def close(self) -> None:
        """Let the cached tiles go."""
        cache.shared.forget(self.cache_owner)


def true_downsamples(level_shapes: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return level-0 pixels per level pixel, (y, x), for each level, from the sizes alone.

    Scanners average whole blocks of pixels and drop (or pad) the rest at the far edge, so that the
    factor is an integer although the ratio of the sizes is not: 11801 px become 2950 px at factor
    4, not 4.00034. The integer nearest to the ratio is taken where both sides agree with it to
    within one pixel of the level; otherwise (factors such as 4.016) the ratio of the sizes.

    Parameters
    ----------
    level_shapes
        (height, width) of each level, finest first.

    Examples
    --------
    >>> true_downsamples([(11801, 11003), (2950, 2750), (737, 687)])
    [(1.0, 1.0), (4.0, 4.0), (16.0, 16.0)]
    """
    full = level_shapes[0]
    factors: list[tuple[float, float]] = []
    for shape in level_shapes:
        ratios = (full[0] / shape[0], full[1] / shape[1])
        nearest = max(1, round((ratios[0] * ratios[1]) ** 0.5))
        whole = all(abs(a / nearest - b) < 1 for a, b in zip(full, shape, strict=True))
        factors.append((float(nearest), float(nearest)) if whole else ratios)
    return factors
