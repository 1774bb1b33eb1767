"""What the annotations of an image say at the head's stride: 1 the class, -1 not annotated."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.targets import DISC
from napari_xce.learning.terms import UNANNOTATED
from protocol.tasks import Picture

CLASS: Final = 1
Target = NDArray[np.int8]


def disc_target(
    shape: tuple[int, int], points: NDArray[np.float64], diameter: float, stride: int
) -> Target:
    """Draw a disc of 0.6 diameters for each annotated cell.

    Parameters
    ----------
    shape : (int, int)
        Of the result.
    points : ndarray, float64, shape (N, 2)
        Annotated centres (y, x), working pixels.
    diameter : float
        Of a cell, working pixels.
    stride : int
        Working pixels of an element of the result.

    Returns
    -------
    ndarray, int8
        The element in which a centre lies is always of the class.
    """
    target = np.full(shape, UNANNOTATED, np.int8)
    middles = np.floor((points + 0.5) / stride).astype(int)  # (N, 2), the element of each centre
    reach = DISC * diameter
    ticks = np.arange(-int(reach // stride) - 1, int(reach // stride) + 2)
    for step in np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2):
        elements = middles + step
        away = np.linalg.norm((elements + 0.5) * stride - 0.5 - points, axis=1)
        inside = ((elements >= 0) & (elements < shape)).all(1)
        drawn = inside & ((away <= reach) | (step == 0).all())
        target[tuple(elements[drawn].T)] = CLASS
    return target


def mask_target(
    shape: tuple[int, int], mask: NDArray[np.uint16], cells: NDArray[np.int64], stride: int
) -> Target:
    """Fill the masks of the annotated cells.

    Parameters
    ----------
    shape : (int, int)
        Of the result.
    mask : ndarray, uint16, shape (H, W)
        Cell i has the label i + 1.
    cells : ndarray, int64
        The annotated cells.
    stride : int
        An element is of the class where at least half of its pixels are.
    """
    inside = np.zeros((shape[0] * stride, shape[1] * stride), np.float32)
    inside[: mask.shape[0], : mask.shape[1]] = np.isin(mask, cells + 1)
    share = inside.reshape(shape[0], stride, shape[1], stride).mean((1, 3))
    return np.where(share >= 0.5, CLASS, UNANNOTATED).astype(np.int8)


def target_of(
    picture: Picture,
    cells: NDArray[np.int64],
    shape: tuple[int, int],
    diameter: float,
    stride: int,
    with_mask: bool,
) -> Target:
    """Return what some annotated cells of a picture say: their masks where asked for and known."""
    if with_mask and picture.mask is not None:
        return mask_target(shape, picture.mask, cells, stride)
    return disc_target(shape, picture.points[cells], diameter, stride)
