"""Give a model other classes: those that stay keep what they learnt, wherever they now stand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_xce.learning.model import CellModel, ClassLayers

_LAST = ("body.2.weight", "body.2.bias")  # of a head: the only parameters with a row for each class


def with_classes(model: CellModel, classes: list[str], sources: Sequence[int | None]) -> CellModel:
    """Return a model of other classes.

    Parameters
    ----------
    model : CellModel
        Left as it is; trunk, proposer and mask decoder are shared with the new one.
    classes : list of str
        Names, without background.
    sources : sequence of int or None
        For each class its number (from 0) in ``model``; None for a class that is new.

    Returns
    -------
    CellModel
        It scores a class as ``model`` scores its source; a new one scores 0.
    """
    new = CellModel(classes, model.head)
    new.trunk, new.proposer, new.mask = model.trunk, model.proposer, model.mask
    for head, old_head in ((new.yollo, model.yollo), (new.unet, model.unet)):
        _copy_head(head, old_head, sources)
    old, layers = model.layers, ClassLayers()
    layers.proposed, layers.kind_weight, layers.kind_bias = _pick(
        old.proposed, old.kind_weight, old.kind_bias, sources
    )
    layers.dense, layers.dense_weight, layers.dense_bias = _pick(
        old.dense, old.dense_weight, old.dense_bias, sources
    )
    new.layers = layers
    return new.eval()


def _copy_head(head: nn.Module, old: nn.Module, sources: Sequence[int | None]) -> None:
    """Copy the rows of background and of each class that stays; others stay zero."""
    state = old.state_dict()
    for name in _LAST:
        before, after = state[name], torch.zeros_like(head.state_dict()[name])
        after[0] = before[0]
        for k, source in enumerate(sources):
            if source is not None:
                after[k + 1] = before[source + 1]
        state[name] = after
    head.load_state_dict(state)


def _pick(
    members: list[int], weight: Tensor, bias: Tensor, sources: Sequence[int | None]
) -> tuple[list[int], Tensor, Tensor]:
    """Return members, weight and bias of one kind of classes under their new numbers."""
    kept = [k for k, source in enumerate(sources) if source is not None and source in members]
    rows = [0, *(members.index(source) + 1 for k in kept if (source := sources[k]) is not None)]
    return kept, weight[rows].clone(), bias[rows].clone()
