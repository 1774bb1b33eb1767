"""The slide: an image pyramid with a pixel size, from a file, an array or a napari layer.

Any thread may read.

Coordinates are level-0 pixels, (y, x), pixel centres at integers: pixel 0 spans -0.5 to 0.5.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from napari_xce.errors import SlideError
from napari_xce.slides.array import ArraySource
from napari_xce.slides.level import LevelArray
from napari_xce.slides.pyramid import with_coarser_levels
from napari_xce.slides.resample import footprint, resample
from napari_xce.slides.source import PixelSource, Rgb

Mpp = float | tuple[float, float]

_FINER_ENOUGH = 1.02
"""A level may be this much coarser than what is asked for; enlarging by 2 % is not seen."""
_HASHED_BYTES = 1024**2


class Slide:
    """An image pyramid with a pixel size.

    Made by :func:`napari_xce.open_slide`, :meth:`from_array` or :meth:`from_layer`; a class of its
    own kind of pixels passes a :class:`~napari_xce.slides.source.PixelSource` here.

    Parameters
    ----------
    source
        Where pixels come from. The slide owns it and closes it.
    name
        What the slide is called in the viewer and in sessions.
    path
        The file or folder it was opened from.

    Attributes
    ----------
    shape : (height, width) in level-0 pixels
    mpp : micrometres per level-0 pixel, (y, x), or None when unknown
    mpp_source : where ``mpp`` comes from, in words
    bounds_origin : level-0 pixel (y, x) at which QuPath's image begins: that of the scanned part,
    where OpenSlide tells it (MRXS and others), else (0, 0)
    level_shapes : (height, width) of each level, finest first
    level_downsamples : level-0 pixels per pixel of each level, (y, x); true factors, not ratios of
    sizes levels : one :class:`LevelArray` per level, fit to be a napari layer's data
    """

    def __init__(self, source: PixelSource, name: str, path: Path | None = None) -> None:
        self._source = with_coarser_levels(source)
        self.bounds_origin: tuple[float, float] = getattr(source, "bounds_origin", (0.0, 0.0))
        self.name = name
        self.path = path
        self.level_shapes = list(self._source.level_shapes)
        self.level_downsamples = list(self._source.level_downsamples)
        self.shape = self.level_shapes[0]
        self.mpp = source.mpp
        self.mpp_source = source.mpp_source
        self.levels = [LevelArray(self, level) for level in range(len(self.level_shapes))]

    @classmethod
    def from_array(cls, data: Any, mpp: Mpp | None = None, name: str = "array") -> Slide:
        """Make a slide of pixels in memory.

        Parameters
        ----------
        data
            (H, W), (H, W, 3) or (H, W, 4) array, or a list of such levels, finest first. Grey
            becomes RGB, RGBA is laid on white; other dtypes than uint8 are brought to 8 bits.
        mpp
            Micrometres per pixel, one number or (y, x); None when unknown.
        name
            What to call it.

        Raises
        ------
        SlideError
            If it is not a 2-D image, or holds no colours.
        """
        slide = Slide(ArraySource(_levels_of(data)), name)
        if mpp is not None:
            slide.set_mpp(mpp, "array")
        return slide

    @classmethod
    def from_layer(cls, layer: Any) -> Slide:
        """Make a slide of a napari Image layer, or return the slide whose levels the layer shows.

        Parameters
        ----------
        layer
            An image layer of 2 dimensions: multiscale or not, RGB, RGBA or grey. Only its
            attributes are used.

        Raises
        ------
        SlideError
            If the layer is no 2-D image.

        Notes
        -----
        The pixel size is looked for in the layer's units and scale, its ``metadata["resolution"]``,
        then the file it came from. A scale of exactly 1 micrometre counts as unknown: readers write
        it by default.
        """
        from napari_xce.slides.layer import slide_of_layer

        return slide_of_layer(layer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.shape
        size = "pixel size unknown" if self.mpp is None else f"{self.mpp[0]:.4g} um/px"
        return f"<Slide {self.name!r}, {height} x {width} px, {len(self.levels)} levels, {size}>"

    def close(self) -> None:
        """Release the files and cached pixels of the slide. Closing twice does nothing."""
        self._source.close()

    def set_mpp(self, mpp: Mpp, source: str = "user") -> None:
        """Say how large a pixel is.

        Parameters
        ----------
        mpp
            Micrometres per level-0 pixel, one number or (y, x), above 0.
        source
            Who says so, in words.

        Raises
        ------
        SlideError
            If it is not a positive number.
        """
        self.mpp = _as_pair(mpp)
        self.mpp_source = source

    def read(self, y: float, x: float, height: int, width: int, mpp: Mpp | None = 0.5) -> Rgb:
        """Read a region at a given resolution.

        Parameters
        ----------
        y, x
            The first level-0 pixel of the region.
        height, width
            Size of the result in output pixels.
        mpp
            Micrometres per output pixel, one number or (y, x); None reads level-0 pixels.

        Returns
        -------
        uint8, shape (height, width, 3); white outside the slide.

        Raises
        ------
        SlideError
            If the slide's pixel size is unknown, or its file cannot be read.
        """
        if mpp is None:
            return self.read_scaled(y, x, height, width, (1.0, 1.0))
        wanted = _as_pair(mpp)
        if self.mpp is None:
            raise SlideError(
                f"The pixel size of {self.name!r} is unknown, so it cannot be read at "
                f"{wanted[0]:g} um/px. Set it with slide.set_mpp(...), or read level-0 pixels with "
                "mpp=None."
            )
        return self.read_scaled(
            y, x, height, width, (wanted[0] / self.mpp[0], wanted[1] / self.mpp[1])
        )

    def read_scaled(
        self, y: float, x: float, height: int, width: int, factor: tuple[float, float]
    ) -> Rgb:
        """Read a region at a given factor; the primitive under :meth:`read`.

        Parameters
        ----------
        y, x
            The first level-0 pixel of the region; fractions are allowed.
        height, width
            Size of the result in output pixels.
        factor
            Level-0 pixels per output pixel, (y, x).

        Returns
        -------
        uint8, shape (height, width, 3); white outside the slide. Output pixel (i, j) is centred at
        level-0 ``(y - 0.5 + (i + 0.5) * fy, x - 0.5 + (j + 0.5) * fx)``.

        Notes
        -----
        Read once from the coarsest level that is fine enough, then averaged by area (shrinking) or
        interpolated linearly (enlarging).
        """
        level = self._level_for(factor)
        down = self.level_downsamples[level]
        start = (y / down[0], x / down[1])
        step = (factor[0] / down[0], factor[1] / down[1])
        y0, y1 = footprint(start[0], step[0], height)
        x0, x1 = footprint(start[1], step[1], width)
        pixels = self.read_level(level, y0, x0, y1 - y0, x1 - x0)
        return resample(pixels, (start[0] - y0, start[1] - x0), step, (height, width))

    def read_level(self, level: int, y: int, x: int, height: int, width: int) -> Rgb:
        """Read whole pixels of one level, in that level's own grid.

        Parameters
        ----------
        level
            0 = finest.
        y, x
            First pixel, in pixels of the level; may be negative.
        height, width
            Number of pixels.

        Returns
        -------
        uint8, shape (height, width, 3); white outside the level.
        """
        level_height, level_width = self.level_shapes[level]
        y0, y1 = max(y, 0), min(y + height, level_height)
        x0, x1 = max(x, 0), min(x + width, level_width)
        if y0 >= y1 or x0 >= x1:
            return np.full((height, width, 3), 255, np.uint8)
        inside = self._source.read(level, y0, x0, y1 - y0, x1 - x0)
        if inside.shape[:2] == (height, width):
            return inside
        out = np.full((height, width, 3), 255, np.uint8)
        out[y0 - y : y1 - y, x0 - x : x1 - x] = inside
        return out

    @cached_property
    def fingerprint(self) -> str:
        """What tells this slide from others, wherever it lies: its shape and a hash of its content.

        Files: size, first and last megabyte. Sources that know better (DICOM, folders) bring their
        own. Arrays: a sample of the pixels.
        """
        height, width = self.shape
        return f"{height}x{width}-{self._content_hash()}"

    def _content_hash(self) -> str:
        """Hash the source's own identity, else the file, else a sample of the pixels."""
        identity: str | None = getattr(self._source, "identity", None)
        if identity is not None:
            return hashlib.sha256(identity.encode()).hexdigest()[:32]
        if self.path is not None and self.path.is_file():
            return hash_of_file(self.path)
        side = 64
        picks = [
            self.read_level(0, int(y), int(x), side, side)
            for y in np.linspace(0, max(0, self.shape[0] - side), 4)
            for x in np.linspace(0, max(0, self.shape[1] - side), 4)
        ]
        return hashlib.sha256(b"".join(pick.tobytes() for pick in picks)).hexdigest()[:32]

    def _level_for(self, factor: tuple[float, float]) -> int:
        """Return the coarsest level that is at least as fine as ``factor`` asks for."""
        if not all(math.isfinite(f) and f > 0 for f in factor):
            raise SlideError(f"A slide cannot be read at factor {factor}: it must be above 0.")
        best = 0
        for level, down in enumerate(self.level_downsamples):
            if down[0] <= factor[0] * _FINER_ENOUGH and down[1] <= factor[1] * _FINER_ENOUGH:
                best = level
        return best


def _levels_of(data: Any) -> Sequence[Any]:
    """Return a list of arrays, finest first, from one array or a list of them."""
    if hasattr(data, "shape"):
        return [data]
    levels = list(data)
    if not levels:
        raise SlideError("A slide needs at least one level; the list given is empty.")
    return [level if hasattr(level, "shape") else np.asarray(level) for level in levels]


def _as_pair(mpp: Mpp) -> tuple[float, float]:
    """Return a pixel size as (y, x), or refuse it."""
    y, x = (mpp, mpp) if isinstance(mpp, int | float | np.number) else mpp
    pair = (float(y), float(x))
    if not all(math.isfinite(value) and value > 0 for value in pair):
        raise SlideError(f"A pixel size must be above 0 micrometres, not {mpp!r}.")
    return pair


def hash_of_file(path: Path) -> str:
    """Return the end of the fingerprint that a slide in this file has: a hash of size and ends.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_HASHED_BYTES))
        file.seek(max(size - _HASHED_BYTES, 0))
        digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()[:32]
