"""Slides held in arrays (numpy, or anything that is sliced like it: dask, zarr, memory maps)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.slides.source import Rgb, TiledSource, true_downsamples

LAZY_TILE = 512
"""Side of the tiles in which arrays that are not numpy are read and cached."""

ValueRange = tuple[float, float]


def to_rgb(pixels: NDArray[Any], value_range: ValueRange | None = None) -> Rgb:
    """Return pixels as RGB of 8 bits.

    Parameters
    ----------
    pixels
        (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), any real dtype. Grey becomes RGB; RGBA is laid on
        white.
    value_range
        Values that become 0 and 255; None takes pixels of 8 bits as they are.

    Returns
    -------
    uint8, shape (h, w, 3).
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colour = _to_uint8(pixels, value_range)
    if colour.shape[2] == 1:
        return np.repeat(colour, 3, axis=2)
    if colour.shape[2] == 3:
        return np.ascontiguousarray(colour)
    return on_white(colour)


def on_white(rgba: NDArray[np.uint8]) -> Rgb:
    """Return uint8 (h, w, 3) of straight-alpha uint8 (h, w, 4) laid on white."""
    alpha = rgba[..., 3:]
    if alpha.size == 0 or alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weight = alpha.astype(np.float32) / 255
    return np.rint(rgba[..., :3] * weight + 255 * (1 - weight)).astype(np.uint8)


def guess_value_range(pixels: NDArray[Any]) -> ValueRange | None:
    """Return the values of black and white for a dtype and a sample of the pixels; None for 8 bits.

    Integers wider than 8 bits take the next usual bit depth above their maximum, floating-point
    numbers are taken as 0..1 or 0..255.

    Raises
    ------
    SlideError
        If the values fit none of these.
    """
    if pixels.dtype == np.uint8:
        return None
    if pixels.dtype == np.bool_:
        return (0.0, 1.0)
    top = float(np.nanmax(pixels, initial=0))
    bottom = float(np.nanmin(pixels, initial=0))
    steps = (1.0, 255.0) if pixels.dtype.kind == "f" else (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
    for step in steps:
        if pixels.dtype.kind in "uif" and bottom >= 0 and top <= step:
            return (0.0, step)
    raise SlideError(
        f"This array holds {pixels.dtype} values from {bottom:g} to {top:g}, which are no colours. "
        "Convert it to 8-bit RGB (0..255) first."
    )


def _to_uint8(pixels: NDArray[Any], value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Map a range of values onto 0..255."""
    if value_range is None:
        return pixels.astype(np.uint8, copy=False)
    low, high = value_range
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1e-12))
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)


class ArraySource(TiledSource):
    """Levels held in arrays. Numpy arrays are sliced directly; lazy ones are read in cached tiles.

    Parameters
    ----------
    levels
        One array per level, finest first, (h, w), (h, w, 3) or (h, w, 4).
    value_range
        Values of black and white; None: guessed from the coarsest level.
    on_close
        Called once when the source is closed.

    Raises
    ------
    SlideError
        If an array is not an image of 2 dimensions, is empty, or holds no colours.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        value_range: ValueRange | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        for level in levels:
            _check_shape(tuple(level.shape))
        if any(len(level.shape) != len(levels[0].shape) for level in levels):
            raise SlideError("All levels of a slide must be of one kind: all grey or all colour.")
        self._levels: list[Any] = list(levels)
        self.level_shapes = [(int(a.shape[0]), int(a.shape[1])) for a in levels]
        self.level_downsamples = true_downsamples(self.level_shapes)
        self.tile_shapes = [(LAZY_TILE, LAZY_TILE)] * len(self._levels)
        self._on_close = on_close
        self._range = value_range or guess_value_range(_sample(self._levels[-1]))

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Rgb:
        """Return uint8 (height, width, 3) of a rectangle inside the level."""
        array = self._levels[level]
        if isinstance(array, np.ndarray):
            part = array[y : y + height, x : x + width]
            rgb = to_rgb(part, self._range)
            return rgb.copy() if np.may_share_memory(rgb, part) else rgb
        return super().read(level, y, x, height, width)

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Return uint8 (height, width, 3) of one tile of a lazy array."""
        y, x = row * LAZY_TILE, column * LAZY_TILE
        part = np.asarray(self._levels[level][y : y + LAZY_TILE, x : x + LAZY_TILE])
        return np.array(to_rgb(part, self._range))

    def close(self) -> None:
        """Let the arrays go."""
        super().close()
        self._levels = []
        if self._on_close is not None:
            self._on_close()
            self._on_close = None


def _sample(array: Any) -> NDArray[Any]:
    """Return at most about 1024 x 1024 pixels of an array, spread evenly."""
    step_y, step_x = (max(1, -(-n // 1024)) for n in array.shape[:2])
    return np.asarray(array[::step_y, ::step_x])


def _check_shape(shape: tuple[int, ...]) -> None:
    """Refuse what is not an image of 2 dimensions with 1, 3 or 4 channels."""
    flat = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if not flat:
        words = " x ".join(map(str, shape))
        raise SlideError(
            f"An image of shape {words} is not a slide: it needs height x width, with 3 (RGB) or "
            "4 (RGBA) channels last, or none (grey). Choose one plane of a stack, and convert "
            "channels to RGB."
        )
    if 0 in shape:
        raise SlideError("This image is empty: its height or width is 0.")
