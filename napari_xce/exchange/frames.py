"""Between our coordinates and those of other programs.

Ours: (y, x), pixel centres at integers, so the first pixel covers -0.5 to 0.5. QuPath, GeoJSON and
COCO: (x, y), and the first pixel covers 0 to 1, so its centre is at 0.5. Hence half a pixel each
way. `origin` is the level-0 pixel, (y, x), that the other program has at its corner: QuPath crops
slides with a bounds property (MRXS) to those bounds, and its coordinates count from there
(qupath/qupath#820).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce.errors import ExchangeError

Origin = tuple[float, float]
CORNER: Origin = (0.0, 0.0)


def to_corner_xy(points: ArrayLike, origin: Origin = CORNER) -> NDArray[np.float64]:
    """Return our points (N, 2) as (x, y) that count from the corner of the first pixel.

    Examples
    --------
    >>> to_corner_xy([[10.0, 20.0]]).tolist()
    [[20.5, 10.5]]
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return (points + 0.5 - np.asarray(origin))[:, ::-1]


def from_corner_xy(xy: ArrayLike, origin: Origin = CORNER) -> NDArray[np.float64]:
    """Return points (N, 2) that count from the corner, (x, y), in our frame.

    Examples
    --------
    >>> from_corner_xy([[20.5, 10.5]]).tolist()
    [[10.0, 20.0]]
    """
    xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    return xy[:, ::-1] - 0.5 + np.asarray(origin)


def refuse_not_finite(coordinates: ArrayLike, what: str, number: int | None = None) -> None:
    """Raise ExchangeError naming the first object with a coordinate that is not finite.

    Parameters
    ----------
    coordinates : float, shape (N, 2)
        One row for each object, or all rows of the one object `number`, counted from 0.
    what : str
        What the objects are, to begin the sentence with.
    """
    bad = ~np.isfinite(np.asarray(coordinates, dtype=np.float64)).all(axis=-1)
    if bad.any():
        number = int(np.argmax(bad)) if number is None else number
        raise ExchangeError(
            f"{what} {number + 1} has a coordinate that is not a finite number, so nothing was "
            "written. Remove it and export again."
        )
