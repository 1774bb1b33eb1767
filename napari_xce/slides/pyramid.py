"""Coarser levels for slides that have none, so that zooming out does not load everything.

They are computed when asked for, tile by tile, each from four tiles of the level below, and kept.
"""

from __future__ import annotations

import threading

import numpy as np

from napari_xce.slides.source import PixelSource, Rgb, TiledSource

HUGE_PX = 4096
"""A coarsest level with a longer side than this gets coarser ones."""
COARSEST_PX = 1024
"""... down to a longest side of at most this."""
TILE = 256
_KEPT_BYTES = 64 * 1024**2


def with_coarser_levels(source: PixelSource) -> PixelSource:
    """Return the source itself, or with computed levels added where its coarsest is huge."""
    return PaddedPyramid(source) if max(source.level_shapes[-1]) > HUGE_PX else source


class PaddedPyramid(TiledSource):
    """A source with computed levels of half the size each, down to ``COARSEST_PX``.

    Levels of at most 64 MB are kept for as long as the slide is open, because the coarsest ones
    need all pixels of the slide; larger ones go through the shared tile cache.
    """

    def __init__(self, source: PixelSource) -> None:
        super().__init__()
        self._base = source
        self._stored = len(source.level_shapes)
        self._kept: dict[tuple[int, int, int], Rgb] = {}
        self._lock = threading.Lock()
        self.mpp, self.mpp_source = source.mpp, source.mpp_source
        self.level_shapes = list(source.level_shapes)
        self.level_downsamples = list(source.level_downsamples)
        while max(self.level_shapes[-1]) > COARSEST_PX:
            height, width = self.level_shapes[-1]
            down = self.level_downsamples[-1]
            self.level_shapes.append((-(-height // 2), -(-width // 2)))
            self.level_downsamples.append((down[0] * 2, down[1] * 2))
        self.tile_shapes = [(TILE, TILE)] * len(self.level_shapes)

    @property
    def identity(self) -> str | None:
        """The identity of the source underneath."""
        return getattr(self._base, "identity", None)

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Rgb:
        """Return uint8 (height, width, 3) of a rectangle inside a stored or computed level."""
        if level < self._stored:
            return self._base.read(level, y, x, height, width)
        return super().read(level, y, x, height, width)

    def tile(self, level: int, row: int, column: int) -> Rgb:
        """Return a computed tile: kept, cached, or computed now."""
        kept = self._kept.get((level, row, column))
        if kept is not None:
            return kept
        tile = super().tile(level, row, column)
        height, width = self.level_shapes[level]
        if height * width * 3 <= _KEPT_BYTES:
            with self._lock:
                self._kept[level, row, column] = tile
        return tile

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Average 2 x 2 pixels of the level below; an odd last row or column stands alone."""
        below_height, below_width = self.level_shapes[level - 1]
        y, x = row * TILE * 2, column * TILE * 2
        height, width = min(2 * TILE, below_height - y), min(2 * TILE, below_width - x)
        fine = self.read(level - 1, y, x, height, width)
        if height % 2 or width % 2:
            fine = np.pad(fine, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        total = fine[0::2, 0::2].astype(np.uint16)
        for part in (fine[0::2, 1::2], fine[1::2, 0::2], fine[1::2, 1::2]):
            total += part
        return ((total + 2) // 4).astype(np.uint8)

    def close(self) -> None:
        """Let computed tiles go and close the source underneath."""
        super().close()
        self._kept.clear()
        self._base.close()
