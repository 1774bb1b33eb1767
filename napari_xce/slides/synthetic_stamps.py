"""Small pictures laid onto a raster of a synthetic slide, many at a time.

Lengths are world pixels of 0.5 um; a raster's pixel is `Grid.pitch` of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from napari_xce.slides.synthetic_noise import FloatArray, Grid, GridArray

_VALUES_AT_ONCE = 60_000  # a portion of stamps fits the processor's cache


class Stamps:
    """Stamps of one side, in pixels, to be filled with values and laid down.

    Attributes
    ----------
    index : slice
        Which of the places these are.
    down, right : float32, shape (N, side)
        Pixel centres relative to the stamp's place, in pixels.
    """

    def __init__(self, index: slice, y: FloatArray, x: FloatArray, side: int, margin: int) -> None:
        self.index = index
        self.side = side
        top, left = np.rint(y) - side // 2, np.rint(x) - side // 2
        steps = np.arange(side)
        self.down: GridArray = ((top - y)[:, None] + steps).astype(np.float32)
        self.right: GridArray = ((left - x)[:, None] + steps).astype(np.float32)
        self.corners = list(
            zip(
                (top.astype(np.int64) + margin).tolist(),
                (left.astype(np.int64) + margin).tolist(),
                strict=True,
            )
        )

    def plane(self, per_down: FloatArray, per_right: FloatArray) -> GridArray:
        """Return a linear function over each stamp, float32, shape (N, side, side)."""
        return self.down[:, :, None] * column(per_down) + self.right[:, None, :] * column(per_right)

    def distance(self) -> GridArray:
        """Return the distance from the place in pixels, float32, shape (N, side, side)."""
        square_down, square_right = self.down**2, self.right**2
        return np.sqrt(square_down[:, :, None] + square_right[:, None, :])


class Canvas:
    """A raster with a margin, so that no stamp needs clipping; it starts with zeros.

    Parameters
    ----------
    grid
        The raster.
    channels
        How many values a pixel holds.
    reach
        No place lies farther outside the raster than this, and no stamp reaches farther; world px.
    """

    def __init__(self, grid: Grid, channels: int, reach: float) -> None:
        self._grid = grid
        self._margin = 2 * math.ceil(reach / grid.pitch) + 6
        height, width = grid.height + 2 * self._margin, grid.width + 2 * self._margin
        self._pixels = np.zeros((channels, height, width), np.float32)

    def pixels(self) -> GridArray:
        """Return the raster without its margin, shape (channels, height, width)."""
        m = self._margin
        return self._pixels[:, m : m + self._grid.height, m : m + self._grid.width]

    def stamps(self, y: FloatArray, x: FloatArray, radius: float) -> Iterator[Stamps]:
        """Prepare stamps of a radius around places, all in world px, in portions."""
        pitch = self._grid.pitch
        side = 2 * math.ceil(radius / pitch + 1.0) + 1
        count = max(1, _VALUES_AT_ONCE // side**2)
        y, x = (y - self._grid.y0) / pitch - 0.5, (x - self._grid.x0) / pitch - 0.5
        for start in range(0, len(y), count):
            part = slice(start, start + count)
            yield Stamps(part, y[part], x[part], side, self._margin)

    def keep_largest(self, stamps: Stamps, values: GridArray) -> None:
        """Raise the canvas to larger values; float32, (N, channels, side, side)."""
        side = stamps.side
        for value, (top, left) in zip(values, stamps.corners, strict=True):
            view = self._pixels[:, top : top + side, left : left + side]
            np.maximum(view, value, out=view)

    def keep_two_largest(self, stamps: Stamps, values: GridArray) -> None:
        """Keep the largest value in channel 0 and the second in channel 1; (N, side, side)."""
        side = stamps.side
        first, second = self._pixels
        for value, (top, left) in zip(values, stamps.corners, strict=True):
            one = first[top : top + side, left : left + side]
            two = second[top : top + side, left : left + side]
            np.maximum(two, np.minimum(one, value), out=two)
            np.maximum(one, value, out=one)


def partition(grid: Grid, y: FloatArray, x: FloatArray, radius: float, wall: float) -> GridArray:
    """Draw round bodies that flatten against each other, as soap bubbles do.

    Parameters
    ----------
    grid
        The raster.
    y, x
        Centres in and around the raster, world px.
    radius
        Of a body that meets no other, world px.
    wall
        Thickness over which a body fades out at its border, world px.

    Returns
    -------
    float32, shape (height, width): 1 inside bodies, 0 at their borders and outside.
    """
    canvas = Canvas(grid, 2, radius + grid.pitch)
    for stamps in canvas.stamps(y, x, radius):
        canvas.keep_two_largest(stamps, radius - stamps.distance() * np.float32(grid.pitch))
    nearest, second = canvas.pixels()
    gap = np.minimum(nearest - second, nearest * 0.6)
    drawn = max(wall, 1.5 * grid.pitch)  # wider where pixels are coarse, but as much fainter
    missing = np.maximum(1 - gap * np.float32(1 / drawn), 0.0)
    return 1 - missing * np.float32(wall / drawn)


def column(values: FloatArray) -> GridArray:
    """Shape one number per stamp to (N, 1, 1), float32."""
    return values.astype(np.float32)[:, None, None]
