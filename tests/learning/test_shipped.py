from __future__ import annotations

import json

import pytest
import torch

from napari_xce.errors import ModelError
from napari_xce.learning.shipped import WEIGHTS, ShippedModel
from napari_xce.learning.trunk import (
    CONTEXT_CHANNELS,
    GRID_CHANNELS,
    INPUT_MULTIPLE,
    SHALLOW_CHANNELS,
)


@pytest.fixture(scope="module")
def shipped():
    return ShippedModel.load()


def test_shipped_weights_are_small():
    assert WEIGHTS.stat().st_size <= 5 * 2**20


def test_shipped_network_is_small(shipped):
    assert 0.5e6 <= sum(p.numel() for p in shipped.parameters()) <= 1.5e6


def test_card_says_where_the_weights_come_from(shipped):
    card = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert card["parameters"] == sum(p.numel() for p in shipped.parameters())
    assert card["licences"].keys() >= {"brca_m2c", "dsb2018", "cbc"}
    assert {"data", "recipe", "steps"} <= card.keys()


@pytest.mark.parametrize("height", [INPUT_MULTIPLE, 4 * INPUT_MULTIPLE])
def test_features_have_the_strides_they_say(shipped, height):
    with torch.no_grad():
        features, proposals = shipped(torch.rand(2, 3, height, 32))
        mask_features, nucleus = shipped.mask(features)
    assert features.grid.shape == (2, GRID_CHANNELS, height // 4, 8)
    assert features.context.shape == (2, CONTEXT_CHANNELS, height // 8, 4)
    assert features.shallow.shape == (2, SHALLOW_CHANNELS, height // 2, 16)
    assert proposals.objectness.shape == (2, 1, height // 4, 8)
    assert proposals.offset.shape == (2, 2, height // 4, 8)
    assert nucleus.shape == (2, 1, height // 2, 16)
    assert mask_features.shape[2:] == nucleus.shape[2:]


def test_weights_survive_saving(shipped, tmp_path):
    shipped.save(tmp_path / "weights.safetensors")
    back = ShippedModel.load(tmp_path / "weights.safetensors")
    for name, tensor in shipped.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    assert not back.training


def test_missing_weights_are_told_in_words(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.safetensors cannot be used"):
        ShippedModel.load(tmp_path / "gone.safetensors")


def test_weights_of_another_network_are_told_in_words(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors cannot be used"):
        ShippedModel.load(tmp_path / "other.safetensors")
