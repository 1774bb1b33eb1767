"""Instances of a label mask as polygons along the pixels' edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from napari_xce.exchange.frames import CORNER, Origin

Area = shapely.Polygon | shapely.MultiPolygon


@dataclass(frozen=True, slots=True)
class Outline:
    """One instance as a polygon.

    Parameters
    ----------
    polygon : shapely Polygon or MultiPolygon
        Valid; coordinates (x, y), level-0 pixels, pixel centres at integers, so that a single
        pixel (0, 0) is the square from -0.5 to 0.5.
    label : str
        Class name.
    score : float or None
        Score in [0, 1], if there is one.
    """

    polygon: Area
    label: str
    score: float | None = None


def outlines(
    labels: ArrayLike,
    names: Mapping[int, str] | str,
    scores: Mapping[int, float] | None = None,
    *,
    origin: Origin = CORNER,
    factor: tuple[float, float] = (1.0, 1.0),
) -> Iterator[Outline]:
    """Trace the instances of a label mask, one after the other.

    Parameters
    ----------
    labels : int, shape (H, W)
        Label mask; 0 is background.
    names : mapping of label to class name, or one class name for all
    scores : mapping of label to score, optional
    origin : (float, float)
        Level-0 pixel, (y, x), at which the mask's first pixel begins.
    factor : (float, float)
        Level-0 pixels per mask pixel, (y, x).

    Yields
    ------
    Outline
        In the order of the labels. The area of a polygon is the number of its pixels times the
        factors; holes are holes; parts that touch only at a corner are parts of a MultiPolygon.

    Raises
    ------
    KeyError
        If `names` is a mapping that lacks a label of the mask.

    Notes
    -----
    Each instance is the union of its horizontal runs of pixels, so GEOS vouches for validity;
    about 0.3 ms a cell.
    """
    rows, starts, stops, values = _runs(np.asarray(labels))
    if not len(values):
        return
    (y0, x0), (fy, fx) = origin, factor
    boxes = shapely.box(
        x0 - 0.5 + starts * fx,
        y0 - 0.5 + rows * fy,
        x0 - 0.5 + stops * fx,
        y0 - 0.5 + (rows + 1) * fy,
    )
    begins = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    for begin, end in zip(begins, np.append(begins[1:], len(values)), strict=True):
        value = int(values[begin])
        polygon = cast(Area, shapely.simplify(shapely.union_all(boxes[begin:end]), 0))
        name = names if isinstance(names, str) else names[value]
        yield Outline(polygon, name, None if scores is None else scores.get(value))


def _runs(
    labels: NDArray[np.integer],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.integer]]:
    """Return row, first column, end column and label of each run, ordered by label."""
    padded = np.pad(labels, ((0, 0), (1, 1)))
    changes = padded[:, 1:] != padded[:, :-1]  # (H, W + 1)
    rows, columns = np.nonzero(changes)
    values = padded[rows, columns + 1]
    inside = np.flatnonzero(values)  # a run of background begins where the label becomes 0
    order = inside[np.argsort(values[inside], kind="stable")]
    return rows[order], columns[order], columns[order + 1], values[order]
