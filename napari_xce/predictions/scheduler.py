"""Which tile to predict next: what the user looks at, then what comes into view first.

A pure function of what is on screen and of what has been predicted, asked again before each tile,
so that a moved view or a new model counts at once and no queue has to be mended. Any thread.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Box
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides.tissue import TissueMask

RING = 1
"""Tiles predicted around the view, on each side."""

_NOT_WANTED = 9  # above every urgency


def next_tiles(
    view_box: Box | None,
    grid: TileGrid,
    revisions: Mapping[Tile, int],
    revision: int,
    tissue: TissueMask | None = None,
    focus: tuple[float, float] | None = None,
    most: int = 1,
) -> list[Tile]:
    """Return the tiles that should be predicted next, the nearest first.

    Parameters
    ----------
    view_box : (float, float, float, float) or None
        What is on screen, (y0, x0, y1, x1), level-0 pixels; None for the whole slide, as when all
        of it is to be predicted without anyone looking.
    grid : TileGrid
        The slide's tiles.
    revisions : mapping of tile to int
        The model revision each predicted tile was painted with.
    revision : int
        The model's revision now; a tile of any other is stale.
    tissue : TissueMask, optional
        Where there is tissue. Glass is predicted last in a view, for the mask may be wrong where
        the user looks, and not at all around it or without a view.
    focus : (float, float), optional
        Where the user is busy, (y, x), level-0 pixels; by default, or where it is not in the view,
        the view's centre.
    most : int
        How many are wanted.

    Returns
    -------
    list of (int, int)
        Equally urgent ones: fewer than wanted where less urgent ones follow, none where all is up
        to date or the view does not touch the slide.

    Notes
    -----
    In order: visible tissue, the ring around it, visible glass; in each, what was never predicted
    before what is stale; of these the nearest to the focus; of equals the first in rows.
    """
    height, width = grid.shape
    box = (-0.5, -0.5, height - 0.5, width - 0.5) if view_box is None else view_box
    row0, col0, row1, col1 = grid.tile_range(box)
    if row0 >= row1 or col0 >= col1:
        return []
    rows = np.arange(max(row0 - RING, 0), min(row1 + RING, grid.rows))
    cols = np.arange(max(col0 - RING, 0), min(col1 + RING, grid.cols))
    known = np.array([[revisions.get((r, c), -1) for c in cols.tolist()] for r in rows.tolist()])
    is_tissue = tissue_tiles(grid, rows, cols, tissue)  # (R, C), as all that follow
    in_view = ((rows >= row0) & (rows < row1))[:, None] & (cols >= col0) & (cols < col1)

    place = np.where(in_view & is_tissue, 0, np.where(is_tissue, 1, 2))
    wanted = (known != revision) & (is_tissue | (in_view if view_box is not None else False))
    urgency = np.where(wanted, 2 * place + (known >= 0), _NOT_WANTED)
    if urgency.min() == _NOT_WANTED:
        return []
    distance = _distance_squared(grid, rows, cols, _focus_of(box, focus))
    wanted = np.flatnonzero(urgency == urgency.min())
    nearest = wanted[np.argsort(distance.flat[wanted], kind="stable")][:most]
    places = np.unravel_index(nearest, urgency.shape)
    return list(zip(rows[places[0]].tolist(), cols[places[1]].tolist(), strict=True))


def tissue_tiles(
    grid: TileGrid,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    tissue: TissueMask | None,
) -> NDArray[np.bool_]:
    """Return whether the tiles touch tissue, bool, shape (len(rows), len(cols))."""
    if tissue is None:
        return np.ones((len(rows), len(cols)), dtype=bool)
    (y0, y1), (x0, x1) = (
        _mask_ends(index, grid.core_size * f, pixel, count)
        for index, f, pixel, count in zip(
            (rows, cols), grid.factor, tissue.factor, tissue.mask.shape, strict=True
        )
    )
    part = tissue.mask[y0[0] : y1[-1], x0[0] : x1[-1]]
    sums = np.zeros((part.shape[0] + 1, part.shape[1] + 1), dtype=np.int32)
    sums[1:, 1:] = part.cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
    top, bottom, left, right = y0 - y0[0], y1 - y0[0], x0 - x0[0], x1 - x0[0]
    inside = sums[bottom][:, right] - sums[top][:, right]
    return inside > sums[bottom][:, left] - sums[top][:, left]


def _mask_ends(
    index: NDArray[np.intp], side: float, pixel: float, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the half-open ranges of mask pixels that tiles of a side touch along one axis."""
    first = np.minimum(np.floor(index * side / pixel), count - 1)
    last = np.clip(np.ceil((index + 1) * side / pixel), first + 1, count)
    return first.astype(np.intp), last.astype(np.intp)


def _focus_of(box: Box, focus: tuple[float, float] | None) -> tuple[float, float]:
    """Return the focus if it lies in the box, else the box's centre."""
    y0, x0, y1, x1 = box
    if focus is not None and y0 <= focus[0] < y1 and x0 <= focus[1] < x1:
        return focus
    return (y0 + y1) / 2, (x0 + x1) / 2


def _distance_squared(
    grid: TileGrid, rows: NDArray[np.intp], cols: NDArray[np.intp], focus: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the squared distance of tile centres from a place, in tiles."""
    side_y, side_x = grid.core_size * grid.factor[0], grid.core_size * grid.factor[1]
    down = rows + 0.5 - (focus[0] + 0.5) / side_y
    right = cols + 0.5 - (focus[1] + 0.5) / side_x
    return np.asarray(down[:, None] ** 2 + right**2, dtype=np.float64)
