"""Slides through OpenSlide: NDPI, MRXS, SCN, BIF, DICOM, and TIFF files that tifffile refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_xce.errors import SlideError
from napari_xce.slides import pixelsize
from napari_xce.slides.array import on_white
from napari_xce.slides.files import ReadGuard
from napari_xce.slides.source import Rgb, TiledSource, UnsupportedSlide, true_downsamples

TILE = 512
"""Pixels; OpenSlide pays per call, so its tiles are larger than those of the files."""


class OpenSlideSource(TiledSource):
    """A slide read by OpenSlide; what has no pixels (holes between fields of view) is white.

    Raises
    ------
    UnsupportedSlide
        If OpenSlide is missing or does not read the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import openslide
        except (ImportError, OSError) as error:  # OSError: the shared library is missing
            raise UnsupportedSlide(
                "OpenSlide is not installed (pip install openslide-python openslide-bin)."
            ) from error
        self._errors = openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(str(path))
        except (openslide.OpenSlideError, OSError) as error:
            raise UnsupportedSlide(f"OpenSlide: {str(error).rstrip('.')}.") from error
        self._name = path.name
        self._guard = ReadGuard(path.name)
        self._origin_scale = self._slide.level_downsamples
        self.level_shapes = [(height, width) for width, height in self._slide.level_dimensions]
        self.level_downsamples = true_downsamples(self.level_shapes)
        self.tile_shapes = [(TILE, TILE)] * len(self.level_shapes)
        self.mpp, self.mpp_source = pixelsize.of_openslide(self._slide.properties)
        self.bounds_origin = origin_of_bounds(self._slide.properties)
        self.identity = self._identity()

    def _identity(self) -> str | None:
        """Return what names a slide of many files, whichever was opened; None for one file."""
        properties = self._slide.properties
        many_files = properties.get("openslide.vendor") in ("dicom", "mirax", "hamamatsu-vms")
        return properties.get("openslide.quickhash-1") if many_files else None

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Return uint8 (height, width, 3) of one tile, cut at the far edges.

        Notes
        -----
        OpenSlide takes the place in level-0 pixels and divides it by the ratio of the sizes. The
        place is therefore multiplied by that ratio, not by the true factor: with the latter, tiles
        at the far edge of a 100,000 px slide would be off by several pixels of the level.
        """
        height, width = self.level_shapes[level]
        y, x = row * TILE, column * TILE
        scale = self._origin_scale[level]
        size = (min(TILE, width - x), min(TILE, height - y))
        try:
            with self._guard:
                place = (round(x * scale), round(y * scale))
                image = self._slide.read_region(place, level, size)
        except self._errors as error:
            raise SlideError(
                f"Part of {self._name} cannot be read; the file is damaged. ({error})"
            ) from error
        return on_white(np.asarray(image))

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        if self._guard.close():
            super().close()
            self._slide.close()


def origin_of_bounds(properties: Mapping[str, str]) -> tuple[float, float]:
    """Return the level-0 pixel (y, x) at which the scanned part of a slide begins.

    QuPath shows that part only and counts from its corner, when all four properties of the bounds
    are there and whole numbers (its OpenslideImageServer); otherwise it shows everything.
    """
    sides = ("x", "y", "width", "height")
    try:
        x, y, _, _ = (int(properties[f"openslide.bounds-{side}"]) for side in sides)
    except (KeyError, ValueError):
        return 0.0, 0.0
    return float(y), float(x)
