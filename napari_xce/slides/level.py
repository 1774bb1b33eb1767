"""A slide's level as an array for napari: sliced like numpy, read on demand, uint8 RGB out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from napari_xce.slides.source import Rgb

if TYPE_CHECKING:
    from napari_xce.slides.slide import Slide

Index = SupportsIndex | slice


class LevelArray:
    """One level of a slide, as an array of shape (height, width, 3), dtype uint8.

    Indexing with integers, slices (with steps), ``...`` and shorter tuples reads only the rectangle
    asked for and returns a numpy array. Any thread may index.

    Attributes
    ----------
    slide
        The slide it belongs to, so that a layer made of levels leads back to its slide.
    level
        The number of the level, 0 = finest.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, slide: Slide, level: int) -> None:
        self.slide = slide
        self.level = level
        height, width = slide.level_shapes[level]
        self.shape: tuple[int, int, int] = (height, width, 3)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * 3

    @property
    def nbytes(self) -> int:
        """Bytes that the whole level would take."""
        return self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<LevelArray {self.level} of {self.slide.name!r}, shape {self.shape}>"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        whole = self.slide.read_level(self.level, 0, 0, self.shape[0], self.shape[1])
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> Rgb:
        rows, columns, channels = _full_index(key)
        y, height, rows_inside = _span(rows, self.shape[0])
        x, width, columns_inside = _span(columns, self.shape[1])
        block = self.slide.read_level(self.level, y, x, height, width)
        return block[rows_inside, columns_inside, channels]


def _full_index(key: Any) -> tuple[Index, Index, Index]:
    """Return one index per axis, with ``...`` and what is missing filled in."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(not (part is Ellipsis or isinstance(part, slice | SupportsIndex)) for part in parts):
        raise IndexError(f"a slide's level takes integers, slices and '...', not {key!r}")
    gaps = [i for i, part in enumerate(parts) if part is Ellipsis]
    at = gaps[0] if gaps else len(parts)
    given = len(parts) - len(gaps)
    if len(gaps) > 1 or given > 3:
        raise IndexError(f"too many indices for a level of 3 dimensions: {key!r}")
    parts[at : at + len(gaps)] = [slice(None)] * (3 - given)
    return parts[0], parts[1], parts[2]


def _span(index: Index, length: int) -> tuple[int, int, Index]:
    """Return first pixel and number of pixels to read, and the index to take from what was read."""
    if isinstance(index, slice):
        picked = range(length)[index]
        if not picked:
            return 0, 0, slice(0, 0)
        first, last = min(picked[0], picked[-1]), max(picked[0], picked[-1])
        inside = slice(None, None, picked.step)
        return first, last - first + 1, inside
    at = range(length)[index]  # IndexError where numpy would raise it
    return at, 1, 0
