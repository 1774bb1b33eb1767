"""The rivals of exclusive cross-entropy: hand-worked values, one convention, finite gradients."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import Tensor

from napari_xce.learning import baselines
from napari_xce.learning.baselines import (
    ClassBalancedCrossEntropy,
    CrossEntropy,
    FocalLoss,
    IgnoreUnannotated,
    NonNegativePU,
)
from napari_xce.learning.terms import SparseLoss

LN2 = math.log(2)
LOG3 = math.log(3)  # the logit of p = 3/4
TARGET = torch.tensor([1, 0, -1, -1])
RIGHT = torch.tensor([LOG3, -LOG3, -LOG3, -LOG3])  # 3/4 for the right answer everywhere
ALL: list[SparseLoss] = [
    CrossEntropy(),
    ClassBalancedCrossEntropy(),
    FocalLoss(),
    IgnoreUnannotated(),
]
ALL += [NonNegativePU(prior=0.3)]


def name(loss: SparseLoss) -> str:
    return type(loss).__name__


@pytest.mark.parametrize(
    ("loss", "logits", "expected"),
    [
        (CrossEntropy(), torch.zeros(4), LN2),
        (CrossEntropy(), RIGHT, math.log(4 / 3)),
        (CrossEntropy(), -RIGHT, math.log(4)),
        # one positive wrong, three (un)annotated backgrounds right: each class weighs half
        (
            ClassBalancedCrossEntropy(),
            torch.tensor([-LOG3] * 4),
            (math.log(4) + math.log(4 / 3)) / 2,
        ),
        (FocalLoss(alpha=0.25, gamma=2), torch.zeros(4), 0.25 * LN2 * (0.25 + 3 * 0.75) / 4),
        (FocalLoss(alpha=0.5, gamma=0), RIGHT, 0.5 * math.log(4 / 3)),
        (
            IgnoreUnannotated(),
            torch.tensor([LOG3, LOG3, 9.0, 9.0]),
            (math.log(4 / 3) + math.log(4)) / 2,
        ),
        # 0.3 * R_p(class) + R_u(background) - 0.3 * R_p(background), all log 2
        (NonNegativePU(prior=0.3), torch.zeros(4), LN2),
        # R_u(background) = log 4/3 < 0.9 * R_p(background) = 0.9 log 4: held at 0
        (NonNegativePU(prior=0.9), RIGHT, 0.9 * math.log(4 / 3)),
    ],
)
def test_loss_equals_the_hand_worked_value(
    loss: SparseLoss, logits: Tensor, expected: float
) -> None:
    assert loss(logits, TARGET).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_right_answers_lose_less_than_wrong_ones(loss: SparseLoss) -> None:
    assert loss(RIGHT, TARGET) < loss(-RIGHT, TARGET)


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_two_channels_equal_one_logit(loss: SparseLoss) -> None:
    logits = torch.tensor([1.5, -0.5, 0.25, 3.0])
    two = torch.stack([torch.full_like(logits, 0.7), logits + 0.7], dim=1)
    torch.testing.assert_close(loss(two, TARGET), loss(logits, TARGET))


@pytest.mark.parametrize("kind", [CrossEntropy, ClassBalancedCrossEntropy, FocalLoss])
def test_unannotated_counts_as_background(kind: type[SparseLoss]) -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5])
    torch.testing.assert_close(kind()(logits, TARGET), kind()(logits, TARGET.clamp(min=0)))


def test_ignored_places_get_no_gradient() -> None:
    logits = torch.ones(4, requires_grad=True)
    IgnoreUnannotated()(logits, TARGET).backward()
    assert logits.grad is not None
    assert logits.grad[2:].tolist() == [0, 0]


@pytest.mark.parametrize("loss", ALL[:-1], ids=name)
def test_mean_of_the_terms_is_the_loss(loss: SparseLoss) -> None:
    logits = torch.randn((2, 3, 4), generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 1, 2, -1], [-1, -1, 0, 1]])
    assert isinstance(loss, CrossEntropy)
    terms = loss.terms(logits, target)
    assert terms.shape == target.shape
    torch.testing.assert_close(terms.mean(), loss(logits, target))


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_analytic_gradient_equals_the_numerical(loss: SparseLoss) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((6, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 2, -1, -1, -1])
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)


@pytest.mark.parametrize("loss", ALL, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_stay_finite_at_the_ends(loss: SparseLoss, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    ends = torch.tensor([0.0, 88.0, 1e4, 1e30, largest], dtype=dtype)
    ends = torch.cat([ends, -ends])
    for value in (-1, 0, 1):
        one = ends.clone().requires_grad_()
        loss(one, torch.full((10,), value)).backward()
        assert one.grad is not None
        assert one.grad.isfinite().all()
        pairs = torch.cartesian_prod(ends, ends).requires_grad_()  # (100, 2)
        loss(pairs, torch.full((100,), value)).backward()
        assert pairs.grad is not None
        assert pairs.grad.isfinite().all()


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_nothing_to_learn_from_gives_zero(loss: SparseLoss) -> None:
    logits = torch.zeros((0, 3), requires_grad=True)
    value = loss(logits, torch.zeros(0, dtype=torch.long))
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_target_is_checked_at_the_door(loss: SparseLoss) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        loss(torch.zeros(3), torch.zeros(2))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prior must be in \[0, 1\]"):
        NonNegativePU(prior=2)
    with pytest.raises(ValueError, match="gamma must be a finite number"):
        FocalLoss(gamma=-1)


def test_docstring_examples_hold() -> None:
    result = doctest.testmod(baselines)
    assert result.attempted > 0
    assert result.failed == 0
