from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from napari_xce.learning.click_learner import ClickModel
from napari_xce.learning.devices import Device
from napari_xce.learning.heads import KIND_SIZE, REFERENCE_DIAMETER
from napari_xce.learning.targets import Said
from napari_xce.learning.trainer import (
    CROP_SIZE,
    LEAST_HELD_OUT,
    CropExample,
    Trainer,
)

from .conftest import disc_image

NUCLEI = np.array([(y, x) for y in (22.0, 62.0, 102.0) for x in (26.0, 66.0, 106.0)])


def crop(held_out=(), points=NUCLEI, labels=None, regions=()):
    """Return a crop of nine nuclei, all clicked as class 1."""
    labels = np.ones(len(points), np.int64) if labels is None else np.array(labels, np.int64)
    ringed = np.zeros(len(points), bool)
    said = Said(np.array(points, float), labels, ringed, [], list(regions), REFERENCE_DIAMETER)
    pixels = disc_image(CROP_SIZE, NUCLEI, REFERENCE_DIAMETER)
    return CropExample(pixels, said, np.array(held_out, int))


def trust_nuclei(model, bias):
    """Let the first class be any nucleus (bias high) or none (bias low)."""
    weight = np.zeros((2, KIND_SIZE))
    fit = ClickModel(weight[0], weight[0] + 1, weight, np.array([0.0, bias]))
    model.layers.set("proposed", [0], fit)
    return model


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("head", "trained"), [("yollo", ("yollo.", "trunk.decoder4.")), ("unet", ("unet.", "mask."))]
)
def test_step_changes_only_head_and_last_decoder_block(model, cpu, head, trained):
    model.head = head
    before = state(model)
    trainer = Trainer(model, [crop()], cpu)
    for _ in range(3):
        assert np.isfinite(trainer.step())
    names = changed(before, state(trainer.model))
    assert names
    assert all(name.startswith(trained) for name in names)
    assert not any("running" in name or "tracked" in name for name in names)
    assert any(name.startswith(trained[0]) for name in names)
    assert any(name.startswith(trained[1]) for name in names)
    assert not changed(before, state(model))


class Broken(nn.Module):
    """A loss that is not finite, or whose gradient is not."""

    def __init__(self, finite_loss: bool) -> None:
        super().__init__()
        self.finite_loss = finite_loss

    def forward(self, logits, target):
        zero = (logits * 0.0).sum()
        return torch.sqrt(zero) if self.finite_loss else zero / 0.0


@pytest.mark.parametrize("finite_loss", [False, True])
def test_step_that_is_not_finite_changes_nothing(model, cpu, monkeypatch, finite_loss):
    monkeypatch.setattr(
        "napari_xce.learning.trainer.ExclusiveCrossEntropy", lambda **_: Broken(finite_loss)
    )
    trainer = Trainer(model, [crop()], cpu)
    before = state(trainer.model)
    assert np.isnan(trainer.step())
    assert not changed(before, state(trainer.model))
    assert trainer.steps == 0


def test_training_goes_on_after_a_step_that_was_not_taken(model, cpu):
    trainer = Trainer(model, [crop()], cpu)
    good = trainer._loss
    trainer._loss = Broken(finite_loss=True)
    trainer.step()
    trainer._loss = good
    assert np.isfinite(trainer.step())
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_loss_goes_down(model, cpu, head):
    model.head = head
    whole = np.array([(-0.5, -0.5), (-0.5, 127.5), (127.5, 127.5), (127.5, -0.5)])
    trainer = Trainer(model, [crop(regions=[whole])], cpu)
    losses = [trainer.step() for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_same_seed_gives_the_same_steps(model, cpu):
    crops = [crop(), crop(points=NUCLEI[:4])]
    one, other = (Trainer(model, crops, cpu, seed=7) for _ in range(2))
    assert [one.step() for _ in range(3)] == [other.step() for _ in range(3)]


@dataclass(frozen=True)
class Watching(Device):
    """A device that keeps the pixels it was given."""

    seen: list = field(default_factory=list)

    def pixels(self, rgb):
        self.seen.append(rgb.copy())
        return super().pixels(rgb)


def test_pixels_and_targets_are_turned_together(model):
    device = Watching("cpu", False)
    trainer = Trainer(model, [crop(points=NUCLEI[:2])], device)
    loss, targets = trainer._loss, []

    def watch(logits, target):
        targets.append(target.numpy())
        return loss(logits, target)

    trainer._loss = watch
    for _ in range(12):
        trainer.step()
    assert len({t.tobytes() for t in targets}) > 3  # several of the eight symmetries
    for pixels, target in zip(device.seen, targets, strict=True):
        for b, row, column in np.argwhere(target == 1):
            assert pixels[b, 4 * row + 2, 4 * column + 2].mean() < 150  # a nucleus, not pink


def test_better_copy_is_to_be_promoted(model, cpu):
    crops = [crop(held_out=range(1, 7))]
    trainer = Trainer(trust_nuclei(model, -30.0), crops, cpu)
    trust_nuclei(trainer.model, 30.0)
    found = trainer.compare()
    assert found.better
    assert "held-out" in found.words


def test_worse_or_equal_copy_is_not_promoted(model, cpu):
    crops = [crop(held_out=range(1, 7))]
    trainer = Trainer(trust_nuclei(model, 30.0), crops, cpu)
    assert not trainer.compare().better
    trust_nuclei(trainer.model, -30.0)
    assert not trainer.compare().better


def test_too_few_held_out_clicks_promote_nothing(model, cpu):
    crops = [crop(held_out=range(LEAST_HELD_OUT - 1))]
    trainer = Trainer(trust_nuclei(model, -30.0), crops, cpu)
    trust_nuclei(trainer.model, 30.0)
    found = trainer.compare()
    assert not found.better
    assert "too few" in found.words


def test_gain_that_may_be_chance_promotes_nothing(model, cpu, monkeypatch):
    trainer = Trainer(model, [crop()], cpu)
    answers = [np.array([0.9, 0.2, 0.9, 0.2, 0.9, 0.6]), np.full(6, 0.6)]
    monkeypatch.setattr(trainer, "judge", lambda model: answers[model is not trainer.model])
    assert answers[0].mean() > 0.6
    assert not trainer.compare().better
    answers[0] = np.array([0.9, 0.5, 0.9, 0.5, 0.9, 0.6])  # two standard errors are no proof of six
    assert answers[0].mean() > 0.6 + answers[0].std(ddof=1) / np.sqrt(6)
    assert not trainer.compare().better
    answers[0] = np.array([0.7, 0.8, 0.7, 0.8, 0.7, 0.6])
    assert trainer.compare().better


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_judgement_ranks_held_out_nuclei_high(model, cpu, head):
    model.head = head
    trainer = Trainer(trust_nuclei(model, 30.0), [crop(held_out=[2, 5])], cpu)
    found = trainer.judge(trainer.model)
    assert found.shape == (2,)
    assert (found > 0.85).all()


def test_held_out_rejections_are_not_judged(model, cpu):
    trainer = Trainer(model, [crop(held_out=[0, 1], labels=[0] + [1] * 8)], cpu)
    assert trainer.judge(model).shape == (1,)


def test_nothing_held_out_gives_an_empty_judgement(model, cpu):
    assert len(Trainer(model, [crop()], cpu).judge(model)) == 0


def test_click_at_the_far_edge_of_a_crop_is_judged(model, cpu):
    points = np.array([(127.9, 127.9), (0.0, 127.6)])
    found = Trainer(model, [crop(held_out=[0, 1], points=points)], cpu).judge(model)
    assert np.isfinite(found).all()


def test_crop_that_is_reviewed_all_over_is_judged(model, cpu):
    whole = np.array([(-1.0, -1.0), (-1.0, 129.0), (129.0, 129.0), (129.0, -1.0)])
    found = Trainer(model, [crop(held_out=[0, 1], regions=[whole])], cpu).judge(model)
    assert np.isfinite(found).all()


def test_held_out_clicks_keep_their_place_but_not_their_label():
    example = crop(held_out=[0, 3])
    learnt = example.training_said()
    assert learnt.labels.tolist() == [-1, 1, 1, -1, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(learnt.points, example.said.points)
    assert (example.said.labels == 1).all()
