from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_xce.learning import pretrain
from napari_xce.learning.augment import Crop
from napari_xce.learning.datasets import LabelledImage
from napari_xce.learning.pretrain import (
    Loss,
    Run,
    Sources,
    centre_loss,
    collate,
    make_card,
    prefetched,
    read_sources,
    train,
)
from napari_xce.learning.shipped import ShippedModel

CROP = 32


@pytest.fixture(autouse=True)
def small(monkeypatch) -> Iterator[None]:
    """Train on small crops with one thread, so that sums have one order."""
    monkeypatch.setattr(pretrain, "CROP", CROP)
    monkeypatch.setattr(pretrain, "BATCH", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image(known=True, mask=False, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(5, 75, (12, 2))
    return LabelledImage(
        "a",
        "a",
        rng.integers(0, 256, (80, 80, 3), dtype=np.uint8),
        points,
        rng.integers(0, 3, 12) if known else np.full(12, -1),
        np.full(12, np.nan if known else 14.0),
        (rng.random((80, 80)) < 0.3).astype(np.uint16) if mask else None,
    )


def images():
    return {"brca": [image()], "violet": [image(known=False, mask=True)], "cbc": []}


def crop(points, labels=None, diameters=None, mask=None):
    n = len(points)
    pixels = np.random.default_rng(0).integers(0, 256, (CROP, CROP, 3), dtype=np.uint8)
    points = np.array(points, float).reshape(-1, 2)
    labels = np.zeros(n, np.int64) if labels is None else np.array(labels)
    return Crop(
        pixels, points, labels, np.full(n, np.nan) if diameters is None else diameters, mask
    )


def test_few_steps_give_weights_that_can_be_loaded(tmp_path):
    model = train(images(), steps=3, seed=0, out=tmp_path)
    assert all(torch.isfinite(t).all() for t in model.state_dict().values())
    model.save(tmp_path / "weights.safetensors")
    back = ShippedModel.load(tmp_path / "weights.safetensors")
    assert all(torch.equal(back.state_dict()[k], t) for k, t in model.state_dict().items())


def test_same_seed_gives_the_same_weights(tmp_path):
    one, other, third = (
        train(images(), steps=3, seed=seed, out=tmp_path).state_dict() for seed in (5, 5, 6)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], third[name]) for name in one)


def test_fault_in_making_a_crop_ends_the_training():
    sources = Sources({"brca": [image()]}, seed=0)

    def broken(rng):
        raise ValueError("no such stain")

    sources.crop = broken  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no such stain"):
        next(prefetched(sources, range(1, 51)))


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_as_many_batches_are_made_as_steps(steps):
    assert sum(1 for _ in prefetched(Sources(images(), seed=0), range(1, steps + 1))) == steps


def test_stopped_run_goes_on_to_the_same_weights(tmp_path):
    sources = Sources(images(), seed=0)
    torch.manual_seed(0)
    whole = Run(4)
    torch.manual_seed(0)
    first, second = Run(4), Run(4)
    for step in (1, 2):
        whole.step(sources.batch(step), step)
        first.step(sources.batch(step), step)
    first.save(tmp_path / "run.safetensors", 2)
    assert second.resume(tmp_path / "run.safetensors") == 2
    for step in (3, 4):
        whole.step(sources.batch(step), step)
        second.step(sources.batch(step), step)
    expected, found = whole.average.state_dict(), second.average.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_run_without_a_file_begins_at_the_beginning(tmp_path):
    assert Run(4).resume(tmp_path / "run.safetensors") == 0


def test_data_set_left_out_is_not_read(shared_data):
    assert set(read_sources(shared_data, "dsb")) == {"brca", "cbc"}


def test_targets_of_a_crop_are_worked_by_hand():
    batch = collate([crop([(5.0, 10.0)], [2], np.array([16.0])), crop([])])
    assert batch.pixels.shape == (2, 3, CROP, CROP)
    assert batch.at.tolist() == [[0, 1, 2]]  # pixels 4..7 and 8..11
    np.testing.assert_allclose(batch.offset, [[-0.125, 0.125]])  # from 5.5 and 9.5, in cells of 4
    assert batch.size.tolist() == [0.0]
    assert batch.label.tolist() == [2]
    assert batch.centres.shape == (2, 8, 8)
    assert batch.centres[0, 1, 2] == 1.0
    assert (batch.centres[0] == 1.0).sum() == 1
    assert (batch.centres[1] == 0).all()


def test_nucleus_target_of_dots_knows_middles_and_far_ground_only():
    target = collate([crop([(16.0, 16.0)])]).nucleus[0]
    assert target[8, 8] == 1
    assert target[8, 12] == -1  # 8 pixels away: may be nucleus or not
    assert target[0, 0] == 0  # 22 pixels away
    assert (collate([crop([])]).nucleus == 0).all()


def test_nucleus_target_of_a_mask_is_the_share_covered():
    mask = np.zeros((CROP, CROP), np.uint16)
    mask[0:2, 0:3] = 7
    target = collate([crop([], mask=mask)]).nucleus[0]
    assert target[0, :3].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    "crops",
    [
        pytest.param([crop([]), crop([])], id="no nuclei"),
        pytest.param([crop([(5, 5)], [-1], np.array([12.0]))], id="no class known"),
        pytest.param([crop([(5, 5)], [1])], id="no size known"),
    ],
)
def test_loss_and_gradient_are_finite_whatever_is_unknown(crops):
    torch.manual_seed(0)
    model, loss = ShippedModel(), Loss()
    terms = loss(model, collate([*crops, *crops]))
    assert terms.keys() == {"centre", "offset", "size", "label", "nucleus"}
    total = torch.stack(list(terms.values())).sum()
    assert torch.isfinite(total)
    total.backward()
    gradients = [p.grad for p in [*model.parameters(), *loss.parameters()] if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients)


def test_centre_loss_is_worked_by_hand():
    logit = torch.zeros(1, 1, 3)  # p = 1/2 everywhere
    target = torch.tensor([[[1.0, 0.5, 0.0]]])
    # hit: 1/4 log 2; misses: (1/2)^4 and 1 times 1/4 log 2; one centre
    expected = 0.25 * np.log(2) * (1 + 1 / 16 + 1)
    assert centre_loss(logit, target).item() == pytest.approx(expected, rel=1e-6)


def test_centre_loss_of_an_empty_crop_is_finite():
    assert torch.isfinite(centre_loss(torch.full((1, 2, 2), 40.0), torch.zeros(1, 2, 2)))


def test_card_counts_what_was_trained_on():
    card = make_card(images(), steps=3, seed=1, minutes=0.25)
    assert card["data"] == {
        "brca": {"images": 1, "nuclei": 12},
        "violet": {"images": 1, "nuclei": 12},
        "cbc": {"images": 0, "nuclei": 0},
    }
    assert (card["steps"], card["seed"]) == (3, 1)
    json.dumps(card)
