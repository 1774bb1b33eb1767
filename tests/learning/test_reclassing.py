"""A model that is given other classes scores the old ones as before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_xce.learning.heads import CELL_SIZE, KIND_SIZE
from napari_xce.learning.model import CellModel
from napari_xce.learning.reclassing import with_classes


@pytest.fixture
def model() -> CellModel:
    """Return a model of classes a, b, c: a and c are proposed, b is dense; the heads correct."""
    torch.manual_seed(0)
    model = CellModel(["a", "b", "c"]).eval().requires_grad_(False)
    for head in (model.yollo, model.unet):
        head.body[2].weight.normal_(0, 0.1)
        head.body[2].bias.normal_(0, 0.1)
    layers = model.layers
    layers.proposed, layers.dense = [0, 2], [1]
    layers.kind_weight, layers.kind_bias = torch.randn(3, KIND_SIZE), torch.randn(3)
    layers.dense_weight, layers.dense_bias = torch.randn(2, CELL_SIZE), torch.randn(2)
    return model


@torch.no_grad()
def _logits(model: CellModel) -> tuple[Tensor, Tensor]:
    """Return grid and pixel logits of a fixed picture, channels last, without the heads' say."""
    torch.manual_seed(1)
    tiles = model(torch.rand(1, 3, 64, 64), with_mask=True)
    return model.grid_logits(tiles)[0], model.pixel_logits(tiles)[0]


def test_same_classes_under_other_names_score_the_same(model: CellModel) -> None:
    renamed = with_classes(model, ["x", "y", "z"], [0, 1, 2])
    assert renamed.classes == ["x", "y", "z"]
    for before, after in zip(_logits(model), _logits(renamed), strict=True):
        torch.testing.assert_close(after, before)


def test_order_of_classes_carries_their_scores_along(model: CellModel) -> None:
    turned = with_classes(model, ["c", "a", "b"], [2, 0, 1])
    assert turned.layers.proposed == [0, 1]
    assert turned.layers.dense == [2]
    for before, after in zip(_logits(model), _logits(turned), strict=True):
        torch.testing.assert_close(after, before[[0, 3, 1, 2]])


def test_new_class_scores_nothing_and_changes_nothing(model: CellModel) -> None:
    grown = with_classes(model, ["a", "new", "b", "c"], [0, None, 1, 2])
    before, after = _logits(model)[0], _logits(grown)[0]
    torch.testing.assert_close(after[[0, 1, 3, 4]], before)
    assert (after[2] < -9).all()  # the floor: log 1e-4


def test_class_left_out_is_forgotten(model: CellModel) -> None:
    less = with_classes(model, ["a", "b"], [0, 1])
    assert (less.layers.proposed, less.layers.dense) == ([0], [1])
    assert less.layers.kind_weight.shape == (2, KIND_SIZE)
    assert _logits(less)[0].shape[0] == 3
    none = with_classes(model, [], [])
    assert (none.layers.proposed, none.layers.dense) == ([], [])


def test_model_given_is_left_as_it_was(model: CellModel) -> None:
    before = _logits(model)[0]
    with_classes(model, ["b"], [1]).layers.dense_weight.zero_()
    assert model.classes == ["a", "b", "c"]
    torch.testing.assert_close(_logits(model)[0], before)
