from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_xce.learning.devices import Device
from napari_xce.learning.inference import Inference, fold_layers
from napari_xce.learning.model import CellModel
from napari_xce.learning.trunk import halve

CPU = Device("cpu", bfloat16=False)


@pytest.fixture
def model():
    return CellModel.from_shipped(["a"])


@pytest.fixture
def rgb():
    """Return noise in blocks, so that deep layers have something to see, too."""
    coarse = np.random.default_rng(0).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


@torch.no_grad()
def plain(model, rgb):
    return model(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255, with_mask=True)


def test_answer_is_that_of_the_model(model, rgb):
    expected, ready = plain(model, rgb), Inference(model, CPU)(rgb, with_mask=True)
    assert len(ready) == 2
    for k, one in enumerate(ready):
        torch.testing.assert_close(one.cells[0], expected.cells[k], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(one.nucleus[0], expected.nucleus[k], rtol=1e-3, atol=1e-3)
        for mine, its in zip(one.proposals, expected.proposals, strict=True):
            torch.testing.assert_close(mine[0], its[k], rtol=1e-3, atol=1e-3)


def test_context_is_seen_but_not_told_of(model, rgb):
    expected, ready = plain(model, rgb), Inference(model, CPU)(rgb, with_mask=True, context=80)
    inner = expected.cells[:1, :, 40:-40, 40:-40]  # 80 pixels further in no border is felt
    torch.testing.assert_close(ready[0].cells[:, :, 20:-20, 20:-20], inner, rtol=1e-3, atol=1e-3)
    inner = expected.nucleus[:1, :, 80:-80, 80:-80]
    torch.testing.assert_close(ready[0].nucleus[:, :, 40:-40, 40:-40], inner, rtol=1e-3, atol=1e-3)


def test_bfloat16_says_nearly_the_same(model, rgb):
    ready = Inference(model, Device("cpu", bfloat16=True))(rgb)
    expected = plain(model, rgb)
    seen = torch.cat([r.proposals.objectness for r in ready]).sigmoid()
    assert (seen - expected.proposals.objectness.sigmoid()).abs().mean() < 0.01


def test_model_is_left_as_it_was(model, rgb):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    Inference(model, Device("cpu", bfloat16=True))(rgb)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_model_with_another_network_is_told_apart(model):
    ready = Inference(model, CPU)
    assert ready.is_of(model)
    assert not ready.is_of(CellModel.from_shipped(["a"]))


def test_fused_convolution_says_what_its_parts_say():
    torch.manual_seed(0)
    conv, x = torch.nn.Conv2d(8, 16, 3, padding=1, stride=2), torch.randn(2, 8, 20, 24)
    x = x.contiguous(memory_format=torch.channels_last)
    folded = fold_layers(torch.nn.Sequential(torch.nn.Sequential(conv, torch.nn.ReLU())))
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), conv(x).relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_halving_without_gradients_is_maximum_pooling(memory_format):
    x = torch.randn(2, 16, 12, 20).contiguous(memory_format=memory_format)
    with torch.inference_mode():
        assert torch.equal(halve(x), torch.nn.functional.max_pool2d(x, 2))
