"""Sums and maxima over square windows of maps, for maps of many windows.

By whole maps that are joined with shifted ones, about 2 log2(n) of them for a window of n: torch's
own pooling takes n, and on a processor each is slower. Any thread; no state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Join: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Joins two maps pixel by pixel, in any order: ``torch.add``, ``torch.maximum``."""


def highest_around(x: Tensor, side: int = 3) -> Tensor:
    """Return the maximum over the window around each pixel of (B, C, h, w); ``side`` is odd."""
    half = side // 2
    return over_windows(F.pad(x, (half, half, half, half), value=-math.inf), side, torch.maximum)


def over_windows(x: Tensor, side: int, join: Join) -> Tensor:
    """Join what lies in each window within a map.

    Parameters
    ----------
    x : Tensor, shape (B, C, h, w)
    side : int
        Of the window, pixels.
    join : callable
        ``torch.add`` for sums, ``torch.maximum`` for maxima.

    Returns
    -------
    Tensor, shape (B, C, h - side + 1, w - side + 1)
        Of the window whose first pixel is there.
    """
    return _over_runs(_over_runs(x, side, join, 2), side, join, 3)


def _over_runs(x: Tensor, n: int, join: Join, axis: int) -> Tensor:
    """Join each n neighbours along an axis: those of two halves, and one more where n is odd."""
    if n == 1:
        return x
    half = _over_runs(x, n // 2, join, axis)
    length = x.shape[axis] - n + 1
    both = join(half.narrow(axis, 0, length), half.narrow(axis, n // 2, length))
    return join(both, x.narrow(axis, n - 1, length)) if n % 2 else both
