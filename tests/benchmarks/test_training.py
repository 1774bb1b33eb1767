from __future__ import annotations

import numpy as np
import pytest
import torch
from protocol.networks import CROP, STRIDE, FromScratch, OnTrunk, as_pixels, padded
from protocol.targets import disc_target
from protocol.training import LOSSES, ColdStartXCE, Crops, Examples, train, true_prior

from napari_xce.learning.baselines import CrossEntropy
from napari_xce.learning.devices import Device

CPU = Device("cpu", bfloat16=False)


def examples(head, annotated=1):
    """Return two images with four dark cells each, of which some are annotated."""
    rng, stride = np.random.default_rng(0), STRIDE[head]
    points = np.array([[20.0, 20], [20, 70], [60, 20], [60, 70]])
    seen, targets = [], []
    for _ in range(2):
        pixels = rng.integers(180, 255, (80, 96, 3), dtype=np.uint8)
        for y, x in points.astype(int):
            pixels[y - 6 : y + 6, x - 6 : x + 6] //= 3
        seen.append(as_pixels(pixels))
        targets.append(disc_target((80 // stride, 96 // stride), points[:annotated], 16, stride))
    return Examples(
        seen, targets, np.tile(points[:annotated], (2, 1)), np.repeat([0, 1], annotated)
    )


def test_image_is_mirrored_to_a_crop_and_to_a_multiple_of_sixteen():
    pixels = np.arange(50 * 70 * 3, dtype=np.uint32).astype(np.uint8).reshape(50, 70, 3)
    larger = padded(pixels)
    assert larger.shape == (CROP, 80, 3)
    assert (larger[:50, :70] == pixels).all()
    assert (larger[50, :70] == pixels[49]).all()


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_networks_begin_with_the_class_rare(head):
    torch.manual_seed(0)
    network = FromScratch(head).eval()
    logits = network(torch.full((1, 3, 64, 64), 128, dtype=torch.uint8))
    assert logits.shape == (1, 2, 64 // STRIDE[head], 64 // STRIDE[head])
    bias = (network.last if head == "yollo" else OnTrunk("unet").head.body[-1]).bias
    torch.testing.assert_close(bias.softmax(0)[1], torch.tensor(0.1))


def test_crop_and_target_show_the_same_place():
    data = examples("unet", annotated=4)
    inputs, target = Crops(data, "unet", seed=0).batch(turn=True)
    dark = inputs[0].float().mean(1) < 110  # (B, 64, 64)
    share = dark.float().unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))  # (B, 32, 32)
    assert (target == 1).any()
    assert (share[target == 1] > 0.5).float().mean() > 0.95


@pytest.mark.parametrize("loss", list(LOSSES))
def test_every_loss_trains_to_finite_weights(loss):
    network = train(loss, examples("yollo"), "yollo", "scratch", 0.1, 0, CPU, steps=4)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_same_seed_gives_the_same_network():
    first, second = (
        train("xce", examples("yollo"), "yollo", "scratch", 0.0, 5, CPU, steps=2) for _ in range(2)
    )
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_prior_is_the_share_of_the_class_in_the_crops():
    data = examples("yollo", annotated=1)
    everything = [np.ones_like(target) for target in data.targets]
    assert true_prior(data, everything, "yollo", seed=0) == 1
    annotated_only = true_prior(data, data.targets, "yollo", seed=0)
    assert 0 < annotated_only < 0.05


def test_cold_start_is_cross_entropy_until_it_is_warm():
    logits, target = torch.randn(2, 2, 8, 8), torch.full((2, 8, 8), -1)
    target[0, 2, 3] = 1
    loss = ColdStartXCE()
    torch.testing.assert_close(loss(logits, target), CrossEntropy()(logits, target))


def test_warm_loss_drops_what_is_likelier_a_missed_cell():
    # answers: annotated 0.4, unannotated 0.2, 0.3 and 0.1; L = c = 0.4, so that 1 / (2 - c) of L
    # is 0.25 and only the 0.3 is dropped
    answers = torch.tensor([0.4, 0.2, 0.3, 0.1])
    logits, target = torch.logit(answers), torch.tensor([1, -1, -1, -1])
    loss = ColdStartXCE()
    loss(logits, target)
    loss.set_progress(200)
    expected = -torch.log(torch.tensor([0.4, 0.8, 0.9])).sum() / 4
    torch.testing.assert_close(loss(logits, target), expected)
