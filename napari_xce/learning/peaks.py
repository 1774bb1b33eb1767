"""From a grid of scores to cells: local maxima, moved by the offset, one for each cell."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from napari_xce.learning.trunk import GRID_STRIDE
from napari_xce.learning.windows import highest_around


def find_peaks(score: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Find the grid cells whose score is the highest of the eight around them.

    Parameters
    ----------
    score : Tensor, float, shape (h, w)
        Probability of a centre in each grid cell, [0, 1].
    threshold : float
        Lower scores are passed over.

    Returns
    -------
    rows, columns : Tensor, int64, shape (N,)
        The peaks in reading order.
    """
    highest = highest_around(score[None, None])[0, 0]
    rows, columns = torch.nonzero((score >= highest) & (score > threshold), as_tuple=True)
    return rows, columns


def grid_to_working(
    rows: Tensor, columns: Tensor, offset: Tensor | None = None
) -> NDArray[np.float64]:
    """Turn grid cells (and offsets within them) into working pixels.

    Parameters
    ----------
    rows, columns : Tensor, int64, shape (N,)
        Grid cells.
    offset : Tensor, float, shape (2, h, w), optional
        Centre minus the middle of the grid cell, (y, x), in grid cells.

    Returns
    -------
    ndarray, float64, shape (N, 2)
        Centres (y, x) in working pixels of the tile, pixel centres at integers.
    """
    cells = torch.stack([rows, columns], 1).double() + 0.5
    if offset is not None:
        cells = cells + offset[:, rows, columns].T.double().clamp(-1.0, 1.0)
    return (cells * GRID_STRIDE - 0.5).cpu().numpy()


def suppress_neighbours(
    points: NDArray[np.float64], scores: NDArray[np.float32], radii: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Keep one point where several stand for the same cell.

    Parameters
    ----------
    points : ndarray, float64, shape (N, 2)
        Centres.
    scores : ndarray, float32, shape (N,)
        Higher wins; ties go to the first.
    radii : ndarray, float32, shape (N,)
        A point silences weaker ones nearer than its radius, in the unit of ``points``.

    Returns
    -------
    ndarray, int64, shape (M,)
        Indices kept, in ascending order.
    """
    if len(points) < 2:
        return np.arange(len(points))
    order = np.argsort(-scores, kind="stable")
    pairs = cKDTree(points).query_pairs(float(radii.max()), output_type="ndarray")
    if len(pairs) == 0:
        return np.arange(len(points))
    rank = np.empty(len(points), np.int64)
    rank[order] = np.arange(len(points))
    first_wins = rank[pairs[:, 0]] < rank[pairs[:, 1]]
    winner = np.where(first_wins, pairs[:, 0], pairs[:, 1])
    loser = np.where(first_wins, pairs[:, 1], pairs[:, 0])
    near = np.linalg.norm(points[winner] - points[loser], axis=1) < radii[winner]
    winner, loser = winner[near], loser[near]
    alive = np.ones(len(points), bool)
    for k in np.argsort(rank[winner], kind="stable"):  # strongest first: the silenced stay silent
        if alive[winner[k]]:
            alive[loser[k]] = False
    return np.flatnonzero(alive)
