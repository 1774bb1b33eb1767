"""Label masks as the writers take them: an array, or tiles that are made when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.errors import ExchangeError

TILE = 512  # pixels
STEP = 4  # from one level of a pyramid to the next
SMALLEST = 2048  # no level is made of a mask whose sides are at most this long

Box = tuple[int, int, int, int]  # y, x, height, width


@dataclass(frozen=True, slots=True)
class LazyLabels:
    """A label mask of which only the tile at hand is in memory.

    Parameters
    ----------
    shape : (int, int)
        Height and width, pixels.
    read : callable (y, x, height, width) -> int array of shape (height, width)
        Asked exactly once for each tile of 512 pixels, row by row from the top left; tiles at the
        right and lower edge are cut to the mask.
    dtype : int32 or uint32
        What the labels are written as.
    """

    shape: tuple[int, int]
    read: Callable[[int, int, int, int], NDArray[np.integer]]
    dtype: type[np.int32] | type[np.uint32] = np.int32

    def tiles(self) -> Iterator[tuple[Box, NDArray[np.integer]]]:
        """Yield the box and the labels of each tile, checked and of the dtype."""
        height, width = self.shape
        for y in range(0, height, TILE):
            for x in range(0, width, TILE):
                box = (y, x, min(TILE, height - y), min(TILE, width - x))
                labels = np.asarray(self.read(*box))
                if labels.shape != box[2:]:
                    raise ValueError(f"the tile {box} came with the shape {labels.shape}")
                yield box, _as_dtype(labels, np.dtype(self.dtype))

    def level_shapes(self) -> list[tuple[int, int]]:
        """Return the shapes of the pyramid, the mask's own first."""
        shapes = [self.shape]
        while max(shapes[-1]) > SMALLEST and min(shapes[-1]) >= STEP:
            height, width = shapes[-1]
            shapes.append((height // STEP, width // STEP))
        return shapes


def as_lazy(labels: ArrayLike | LazyLabels) -> LazyLabels:
    """Return an array's labels as :class:`LazyLabels`.

    Raises
    ------
    ExchangeError
        If it is not two-dimensional, empty, or not of whole numbers.
    """
    if isinstance(labels, LazyLabels):
        return _not_empty(labels)
    array = np.asarray(labels)
    if array.ndim != 2:
        raise ExchangeError(f"A mask must have two dimensions, not {array.ndim}.")
    if array.dtype.kind not in "biu":
        raise ExchangeError(f"A mask must hold whole numbers, not {array.dtype}.")
    largest = int(array.max(initial=0))
    dtype = np.uint32 if array.dtype == np.uint32 or largest > np.iinfo(np.int32).max else np.int32
    return _not_empty(
        LazyLabels(array.shape, lambda y, x, h, w: array[y : y + h, x : x + w], dtype)
    )


def subsample(box: Box, tile: NDArray[np.integer]) -> tuple[slice, slice, NDArray[np.integer]]:
    """Return where in the next level a tile goes, and what.

    The pixel next to the centre of each block of STEP is taken: labels cannot be averaged. Blocks
    that the edge cuts are dropped, as the next level's shape is rounded down.
    """
    y, x, height, width = box
    rows, columns = height // STEP, width // STEP
    small = tile[STEP // 2 :: STEP, STEP // 2 :: STEP][:rows, :columns]
    return slice(y // STEP, y // STEP + rows), slice(x // STEP, x // STEP + columns), small


def _not_empty(labels: LazyLabels) -> LazyLabels:
    """Refuse a mask without pixels."""
    if min(labels.shape) < 1:
        raise ExchangeError(f"A mask of {labels.shape} pixels is empty; there is nothing to write.")
    return labels


def _as_dtype(labels: NDArray[np.integer], dtype: np.dtype) -> NDArray[np.integer]:
    """Return the labels in the dtype, or say that they do not fit."""
    if labels.dtype == dtype:
        return labels
    limits = np.iinfo(dtype)
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < limits.min or high > limits.max:
        raise ExchangeError(
            f"The mask has labels from {low} to {high}, which {dtype} cannot hold. Number the "
            "instances anew from 1."
        )
    return labels.astype(dtype)
