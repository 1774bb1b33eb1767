"""Cells and places that the user may be asked about, with what the click learner says of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from napari_xce.learning.heads import KIND_SIZE
from napari_xce.learning.memory import Memory
from napari_xce.learning.model import CellModel
from napari_xce.predictions.pool import CellPool


def candidates(
    slide: str, model: CellModel, pool: CellPool, memory: Memory
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Return some cells of all tiles of a slide that were looked at.

    Returns
    -------
    points : ndarray, float64, shape (N, 2)
        Level-0 pixels.
    probabilities : ndarray, float64, shape (N, C + 1)
        Of "other" and of each class.
    vectors : ndarray, float32, shape (N, KIND_SIZE)
    objects : ndarray, float32, shape (N,)
        Probability that each is a cell at all; 1 for places on the grid.
    """
    layers, n_classes = model.layers, len(model.classes)
    parts = []
    if layers.proposed or not layers.dense:
        cells = pool.cells(slide, memory.tiles.items())
        logits = _logits(cells.vectors, layers.kind_weight, layers.kind_bias)
        parts.append((cells, logits, layers.proposed))
    if layers.dense:
        cells = pool.ground(slide)
        logits = _logits(cells.vectors, layers.dense_weight, layers.dense_bias)
        parts.append((cells, logits, layers.dense))
    return (
        np.concatenate([cells.points for cells, *_ in parts]),
        np.concatenate([_probabilities(z, members, n_classes) for _, z, members in parts]),
        np.concatenate([cells.vectors[:, :KIND_SIZE] for cells, *_ in parts]),
        np.concatenate([cells.objects for cells, *_ in parts]),
    )


def _logits(vectors: NDArray[np.float32], weight: Tensor, bias: Tensor) -> NDArray[np.float32]:
    """Return what the click learner says of vectors, shape (N, members + 1)."""
    return np.asarray(vectors @ weight.detach().cpu().numpy().T + bias.detach().cpu().numpy())


def _probabilities(
    logits: NDArray[np.float32], members: list[int], n_classes: int
) -> NDArray[np.float64]:
    """Return the probabilities in the columns of their classes; even ones before any fit."""
    if not members:
        return np.full((len(logits), n_classes + 1), 1.0 / (n_classes + 1))
    out = np.zeros((len(logits), n_classes + 1))
    out[:, [0, *(k + 1 for k in members)]] = softmax(logits.astype(np.float64), axis=1)
    return out
