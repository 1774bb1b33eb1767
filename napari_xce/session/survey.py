"""Which tiles of the slides to look at, so that a few cells are known from all over them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_xce.predictions.detections import Box
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides.tissue import TissueMask

#: Tiles looked at of each slide, and of all together, before anything is learnt.
TILES_A_SLIDE, MOST_TILES = 4, 48
#: Tiles of a slide that are gone through in search of tissue.
_MOST_SCANNED = 2000


def tiles_with_tissue(
    grid: TileGrid,
    tissue: TissueMask,
    box: Box | None = None,
    begin: int = 0,
    wanted: Callable[[Tile], bool] = lambda _: True,
) -> list[Tile]:
    """Return tiles with tissue.

    Parameters
    ----------
    grid : TileGrid
        Of the slide.
    tissue : TissueMask
    box : (y0, x0, y1, x1), optional
        Level-0 pixels; by default the whole slide.
    begin : int
        Of very many tiles only some are gone through; another number stands for others.
    wanted : callable
        Tells whether a tile is of interest; asked before the tissue is.
    """
    inside = grid.tiles_in(box) if box is not None else None
    count = len(inside) if inside is not None else grid.rows * grid.cols
    step = max(-(-count // _MOST_SCANNED), 1)
    picks = range(begin % step, count, step)
    # of a whole slide only those that are gone through are made: it has hundreds of thousands
    tiles = [inside[i] if inside is not None else divmod(i, grid.cols) for i in picks]
    return [tile for tile in tiles if wanted(tile) and tissue.fraction(*grid.core_box(tile)) > 0]


def spread(tiles: list[Tile], n: int) -> list[Tile]:
    """Return up to n of these tiles, spread evenly over them."""
    picks = np.unique(np.linspace(0, len(tiles) - 1, n).astype(int)) if tiles else ()
    return [tiles[pick] for pick in picks]


def shares(slides: list[str]) -> dict[str, int]:
    """Return of which slides tiles are looked at, and of how many each: of very many, some."""
    some = slides[:: max(-(-len(slides) // MOST_TILES), 1)]
    each = min(TILES_A_SLIDE, MOST_TILES // max(len(some), 1))
    return dict.fromkeys(some, each)
