"""Check what comes in as points, polygons and rectangles: level-0 pixels, (y, x), float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.errors import SessionError

Points = NDArray[np.float64]

FARTHEST_PX = 1e9  # no slide is larger; keeps areas and centroids far from overflow


def checked_points(points: ArrayLike) -> Points:
    """Return points as float64, shape (N, 2); an empty sequence is (0, 2).

    Raises
    ------
    SessionError
        The shape is not (N, 2), or a coordinate is not a number, not finite or beyond 1e9 pixels.
    """
    try:
        array = np.array(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SessionError(f"Points must be numbers, (y, x) in level-0 pixels: {error}.") from error
    if array.shape == (0,):
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise SessionError(
            f"Points must have the shape (N, 2), each (y, x); this has {array.shape}. "
            "Give one point as [[y, x]]."
        )
    if not np.isfinite(array).all():
        raise SessionError("A coordinate is NaN or infinite; give (y, x) in level-0 pixels.")
    if np.abs(array).max(initial=0.0) > FARTHEST_PX:
        raise SessionError(
            f"A coordinate is beyond {FARTHEST_PX:.0e} pixels; no slide is so large."
        )
    return array


def on_slide(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which points (N, 2) lie on a slide of (H, W) pixels, or less than a pixel beside it."""
    return np.asarray(((points > -1) & (points < shape)).all(axis=1))


def checked_polygon(polygon: ArrayLike) -> Points:
    """Return a polygon's vertices as float64, shape (M, 2), M >= 3, not closed.

    Raises
    ------
    SessionError
        As for points, and where fewer than three vertices are left or all lie on one line.
    """
    vertices = checked_points(polygon)
    if len(vertices) > 1 and (vertices[0] == vertices[-1]).all():
        vertices = vertices[:-1]
    if len(vertices) < 3:
        raise SessionError("A polygon needs at least three corners.")
    y, x = (vertices - vertices[0]).T
    far = np.argmax(y**2 + x**2)
    if np.all(y * x[far] == x * y[far]):
        raise SessionError("All corners of the polygon lie on one line: it encloses nothing.")
    return vertices


def checked_region(region: ArrayLike) -> Points:
    """Return a region's corners (M, 2); two points are opposite corners of a rectangle.

    Raises
    ------
    SessionError
        As for polygons.
    """
    corners = checked_points(region)
    if len(corners) != 2:
        return checked_polygon(corners)
    (y0, x0), (y1, x1) = corners.min(axis=0), corners.max(axis=0)
    if y0 == y1 or x0 == x1:
        raise SessionError("The rectangle has no area; give two opposite corners (y, x).")
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def centroid(vertices: Points) -> Points:
    """Return the centre of area (y, x) of a polygon (M, 2), float64, shape (2,).

    Notes
    -----
    The shoelace formula, from the first corner for accuracy. Where a self-crossing outline cancels
    its own area (a bow tie) it is the mean of the corners; it never lies outside their box.
    """
    y, x = (vertices - vertices[0]).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    if abs(area) <= 1e-9 * np.abs(cross).sum():
        return np.asarray(vertices.mean(axis=0))
    centre = np.array([(y + np.roll(y, -1)) @ cross, (x + np.roll(x, -1)) @ cross]) / (6 * area)
    return np.asarray(np.clip(vertices[0] + centre, vertices.min(axis=0), vertices.max(axis=0)))
