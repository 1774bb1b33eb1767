"""Where cells are counted: the slide, the view, or an area that was drawn; and its tissue."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from napari_xce.errors import XceError
from napari_xce.predictions.detections import Box
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides.tissue import TissueMask

Outline = shapely.Polygon | shapely.MultiPolygon
Points = NDArray[np.float64]

_SAMPLES = 512
"""Least number of samples along each side of a place; the area is then good to about 1 in 1,000."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to count.

    Parameters
    ----------
    name : str
        What it is called in tables.
    box : (y0, x0, y1, x1)
        What encloses it, level-0 pixels, half-open.
    outline : shapely Polygon or MultiPolygon, optional
        Its outline in (x, y), level-0 pixels, holes and all; without one it is the whole box.
    """

    name: str
    box: Box
    outline: Outline | None = None

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Tell which points, float, shape (N, 2), level-0 (y, x), lie in the place."""
        y, x = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        y0, x0, y1, x1 = self.box
        inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        if self.outline is not None:
            shapely.prepare(self.outline)
            near = np.flatnonzero(inside)
            inside[near] = shapely.intersects_xy(self.outline, x[near], y[near])
        return inside


def place_of_box(name: str, box: Box) -> Place:
    """Return a box as a place."""
    return Place(name, box)


def place_of_outline(name: str, outline: ArrayLike | Outline) -> Place:
    """Return an area as a place.

    Parameters
    ----------
    name : str
    outline : array_like, float, shape (M, 2), or shapely Polygon or MultiPolygon
        Corners (y, x); two are opposite corners of a rectangle. Of shapely, coordinates (x, y) and
        holes. Level-0 pixels. One that crosses itself is taken for what it encloses.

    Raises
    ------
    XceError
        It has no area, or a corner is not a finite number.
    """
    shape = outline if isinstance(outline, Outline) else _polygon(outline)
    valid = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    if not isinstance(valid, Outline) or valid.is_empty or valid.area <= 0:
        raise XceError("The area encloses nothing; draw it around some cells.")
    x0, y0, x1, y1 = valid.bounds
    return Place(name, (y0, x0, y1, x1), valid)


def _polygon(corners: ArrayLike) -> shapely.Polygon:
    """Return corners (y, x) as a polygon in (x, y)."""
    try:
        points = np.asarray(corners, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise XceError(f"An area is made of corners (y, x): {error}.") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise XceError(
            "An area is ((y0, x0), (y1, x1)) or at least three corners (y, x); this has the shape "
            f"{points.shape}."
        )
    if not np.isfinite(points).all():
        raise XceError("A corner of the area is not a finite number; give (y, x) in pixels.")
    if len(points) == 2:
        (y0, x0), (y1, x1) = points.min(0), points.max(0)
        return shapely.box(x0, y0, x1, y1)
    return shapely.Polygon(points[:, ::-1])


def tissue_area_px(
    place: Place, tissue: TissueMask, grid: TileGrid, done: Collection[Tile]
) -> tuple[float, float]:
    """Return how much tissue there is in a place, and how much of it was predicted.

    Parameters
    ----------
    place : Place
        What lies beyond the slide does not count.
    tissue : TissueMask
    grid : TileGrid
    done : collection of (row, column)
        The tiles of the grid that were predicted.

    Returns
    -------
    float, float
        Level-0 pixels squared.

    Notes
    -----
    Counted on a lattice of at least 512 x 512 samples, whole ones to each pixel of the mask, so
    that the slide as a whole comes out exactly as the mask has it.
    """
    height, width = tissue.shape
    y0, x0 = (max(v, -0.5) for v in place.box[:2])
    y1, x1 = min(place.box[2], height - 0.5), min(place.box[3], width - 0.5)
    if y1 <= y0 or x1 <= x0:
        return 0.0, 0.0
    ys, xs = _samples(y0, y1, tissue.factor[0]), _samples(x0, x1, tissue.factor[1])
    counted = tissue.mask[np.ix_(_index(ys, tissue, 0), _index(xs, tissue, 1))]
    if place.outline is not None:
        shapely.prepare(place.outline)
        counted &= shapely.intersects_xy(place.outline, xs[np.newaxis, :], ys[:, np.newaxis])
    rows, columns = (
        grid.tile_of(np.stack([ys, np.zeros_like(ys)], 1))[:, 0],
        grid.tile_of(np.stack([np.zeros_like(xs), xs], 1))[:, 1],
    )
    predicted = np.zeros((grid.rows, grid.cols), bool)
    if done:
        predicted[tuple(np.array(list(done)).T)] = True
    each = (y1 - y0) * (x1 - x0) / counted.size
    both = counted & predicted[np.ix_(rows, columns)]
    return float(counted.sum()) * each, float(both.sum()) * each


def _samples(low: float, high: float, factor: float) -> Points:
    """Return the centres of equal parts of an interval, some for each pixel of the mask."""
    pixels = max(1, round((high - low) / factor))
    count = pixels * math.ceil(_SAMPLES / pixels)
    return low + (np.arange(count) + 0.5) * (high - low) / count


def _index(places: Points, tissue: TissueMask, axis: int) -> NDArray[np.intp]:
    """Return the pixel of the mask that each level-0 place lies in, along one axis."""
    index = np.floor((places + 0.5) / tissue.factor[axis]).astype(np.intp)
    return np.clip(index, 0, tissue.mask.shape[axis] - 1)
