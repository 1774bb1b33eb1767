"""The target convention, its check, and the pieces all losses share; values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from napari_xce.learning.terms import (
    SparseLoss,
    check_target,
    cross_entropy_terms,
    foreground_logit,
    group_mean,
)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (8, 8), (4, 1, 8, 8)])
def test_binary_target_of_any_shape_fits(shape: tuple[int, ...]) -> None:
    check_target(torch.zeros(shape), torch.full(shape, -1))


@pytest.mark.parametrize("places", [(), (0,), (5,), (4, 4), (2, 3, 4)])
def test_multiclass_target_of_any_shape_fits(places: tuple[int, ...]) -> None:
    check_target(torch.zeros((2, 3, *places)), torch.full((2, *places), 2))


@pytest.mark.parametrize(
    ("logits", "target", "sentence"),
    [
        (torch.zeros(2, dtype=torch.int64), torch.zeros(2), "logits must be floating point"),
        (torch.zeros(2), torch.zeros(3), r"\(2,\) and a target of shape \(3,\) do not fit"),
        (torch.zeros(2, 1, 4), torch.zeros(2, 4), "at least 2 channels"),
        (torch.zeros(2), torch.tensor([0, 2]), "classes up to 1, but holds 2"),
        (torch.zeros(2), torch.tensor([0.0, 0.5]), "but holds 0.5"),
        (torch.zeros(2), torch.tensor([0.0, math.nan]), "but holds nan"),
        (torch.zeros(2, 3), torch.tensor([-2, 1]), "classes up to 2, but holds -2"),
        (torch.zeros(2), torch.tensor([True, False]), "signed type"),
        (torch.zeros(2), torch.tensor([1, 255], dtype=torch.uint8), "signed type"),
    ],
)
def test_what_does_not_fit_is_refused(logits: Tensor, target: Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_target(logits, target)


def test_cross_entropy_takes_unannotated_as_background() -> None:
    logits = torch.tensor([math.log(3)] * 3)  # p = 3/4
    terms = cross_entropy_terms(logits, torch.tensor([1, 0, -1]))
    torch.testing.assert_close(terms, torch.tensor([math.log(4 / 3), math.log(4.0), math.log(4.0)]))


def test_foreground_sums_all_classes() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))
    odds = foreground_logit(logits, torch.tensor([-1])).exp()
    torch.testing.assert_close(odds, torch.tensor([4.0]))


def test_group_mean_weighs_each_group_once() -> None:
    terms = torch.tensor([1.0, 3.0, 10.0, 4.0, 0.0, 0.0])
    target = torch.tensor([1, 2, 0, -1, -1, -1])
    assert group_mean(terms, target).item() == pytest.approx(2 + 10 + 4 / 3)


def test_group_mean_of_nothing_is_zero() -> None:
    assert group_mean(torch.zeros(0), torch.zeros(0, dtype=torch.long)).item() == 0


def test_progress_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite number, got nan"):
        SparseLoss().set_progress(math.nan)


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match='"mean" or "none", got \'sum\''):
        SparseLoss(reduction="sum")  # type: ignore[arg-type]
