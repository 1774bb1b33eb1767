"""Exclusive cross-entropy: hand-worked values, the published numbers, and what it must never do."""

from __future__ import annotations

import doctest
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_xce.learning import annealing, losses
from napari_xce.learning.losses import (
    BACKGROUND,
    UNANNOTATED,
    Annealing,
    ExclusiveCrossEntropy,
    focal_background_terms,
)

LOG3 = math.log(3)  # the logit of p = 3/4
CASES = 63


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits)[0]


# --- values worked by hand ---


@pytest.mark.parametrize(
    ("logit", "label", "expected"),
    [
        (LOG3, 1, math.log(4 / 3)),
        (-LOG3, 1, math.log(4)),
        (LOG3, BACKGROUND, math.log(4)),
        (-LOG3, BACKGROUND, math.log(4 / 3)),
        (0.0, UNANNOTATED, 0.2 * 0.5**0.1 * math.log(2)),  # p = tau is kept
        (-LOG3, UNANNOTATED, 0.2 * 0.25**0.1 * math.log(4 / 3)),
        (LOG3, UNANNOTATED, 0.0),
    ],
)
def test_element_loss_equals_the_hand_worked_value(
    logit: float, label: int, expected: float
) -> None:
    terms = ExclusiveCrossEntropy(reduction="none")(torch.tensor([logit]), torch.tensor([label]))
    assert terms.item() == pytest.approx(expected, rel=1e-6)


def test_mean_sums_the_means_of_the_groups() -> None:
    logits = torch.tensor([LOG3, -LOG3, -LOG3, -LOG3, LOG3])  # one of two clicks is right
    target = torch.tensor([1, 1, BACKGROUND, UNANNOTATED, UNANNOTATED])
    right, wrong = math.log(4 / 3), math.log(4)
    expected = (right + wrong) / 2 + right + 0.2 * 0.25**0.1 * right / 2
    assert ExclusiveCrossEntropy()(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_label_density_does_not_change_the_scale() -> None:
    clicks = torch.tensor([0.5, 1, -0.5, 2])
    loss = ExclusiveCrossEntropy()

    def click_gradient(unannotated: int) -> Tensor:
        logits = torch.cat([clicks, torch.full((unannotated,), -1.0)]).requires_grad_()
        target = torch.tensor([1] * 4 + [UNANNOTATED] * unannotated)
        return gradient(loss(logits, target), logits)[:4]

    torch.testing.assert_close(click_gradient(10), click_gradient(10_000))


def test_curvature_of_the_background_term_peaks_at_a_half() -> None:
    logits = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    loss = focal_background_terms(logits, alpha=1, gamma=0)
    first = torch.autograd.grad(loss.sum(), logits, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), logits, create_graph=True)[0]
    third = torch.autograd.grad(second.sum(), logits)[0]
    p = torch.sigmoid(logits)
    torch.testing.assert_close(first, p)
    torch.testing.assert_close(second, p * (1 - p))
    torch.testing.assert_close(third, p * (1 - p) * (1 - 2 * p))


# --- what is kept and what is dropped ---


def test_confident_missed_positive_is_not_pushed_to_background() -> None:
    logits = torch.tensor([0.01, 1.0, 5.0, 50.0, 1e4], requires_grad=True)
    target = torch.full((5,), UNANNOTATED)
    assert gradient(ExclusiveCrossEntropy()(logits, target), logits).tolist() == [0] * 5


def test_confident_background_is_kept() -> None:
    logits = torch.tensor([[4.0, 0.0, 0.0]], requires_grad=True)  # published: margin 4, dropped
    terms = ExclusiveCrossEntropy(reduction="none")(logits, torch.tensor([UNANNOTATED]))
    assert terms.item() > 0
    assert gradient(terms, logits)[0, 0] < 0  # towards more background


def test_doubt_between_two_classes_is_not_pushed_to_background() -> None:
    logits = torch.tensor([[-6.0, 3.0, 2.9]], requires_grad=True)
    target = torch.tensor([UNANNOTATED])
    assert gradient(ExclusiveCrossEntropy()(logits, target), logits).abs().sum() == 0
    published = ExclusiveCrossEntropy("published")
    keep = torch.zeros(1)
    assert published(logits, target, uniform=keep, progress=300).item() == pytest.approx(
        1.93, abs=0.01
    )


def test_two_channels_equal_one_logit() -> None:
    logits = torch.tensor([1.5, -0.5, 0.25, -3.0, 0.0, 7.0])
    two = torch.stack([torch.full_like(logits, -0.3), logits - 0.3], dim=1)
    target = torch.tensor([1, 0, -1, -1, -1, 1])
    loss = ExclusiveCrossEntropy()
    torch.testing.assert_close(loss(two, target), loss(logits, target))


def test_threshold_moves_with_progress() -> None:
    loss = ExclusiveCrossEntropy(exclusivity_threshold=Annealing(0.5, midpoint=10, temperature=1))
    logits, target = torch.tensor([-LOG3]), torch.tensor([UNANNOTATED])  # p = 1/4
    assert loss(logits, target, progress=9) == 0
    assert loss(logits, target, progress=11) > 0
    assert loss(logits, target) == 0
    loss.set_progress(11)
    assert loss(logits, target) > 0


def test_sampling_keeps_the_asked_share() -> None:
    generator = torch.Generator().manual_seed(0)
    loss = ExclusiveCrossEntropy(background_sampling=0.3, reduction="none", generator=generator)
    terms = loss(torch.zeros(10_000), torch.full((10_000,), UNANNOTATED))
    assert (terms > 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_same_generator_seed_gives_same_sample() -> None:
    def draw() -> Tensor:
        generator = torch.Generator().manual_seed(7)
        loss = ExclusiveCrossEntropy(background_sampling=0.5, reduction="none", generator=generator)
        return loss(torch.zeros(100), torch.full((100,), UNANNOTATED))

    assert torch.equal(draw(), draw())


def test_sampling_never_drops_annotations() -> None:
    loss = ExclusiveCrossEntropy(background_sampling=0.0, reduction="none")
    target = torch.tensor([1, BACKGROUND, UNANNOTATED])
    assert (loss(torch.zeros(3), target, uniform=torch.ones(3)) > 0).tolist() == [True, True, False]


# --- gradients ---


@pytest.mark.parametrize("shape", [(12,), (12, 2), (12, 4)])
def test_analytic_gradient_equals_the_numerical(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    target = torch.tensor([1, 1, 0, 0] + [UNANNOTATED] * 8)
    loss = ExclusiveCrossEntropy(gamma=0.1)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


EXTREMES = [0.0, 16.6, 88.8, 104.0, 1e4, 1e30, 3.3e38]
LOGITS = st.one_of(
    st.floats(-50, 50), st.floats(-1e4, 1e4), st.sampled_from(EXTREMES + [-x for x in EXTREMES])
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw logits (binary, or of 2 to 4 channels) and any target, empty or one-sided too."""
    count = draw(st.integers(0, 6))
    channels = draw(st.sampled_from([1, 2, 3, 4]))
    values = draw(st.lists(LOGITS, min_size=count * channels, max_size=count * channels))
    labels = draw(st.lists(st.integers(-1, max(1, channels - 1)), min_size=count, max_size=count))
    if draw(st.booleans()):
        labels = [UNANNOTATED] * count
    logits = torch.tensor(values).reshape((count, channels) if channels > 1 else (count,))
    return logits, torch.tensor(labels, dtype=torch.long)


@settings(max_examples=300, deadline=None)
@given(
    batch=batches(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    mode=st.sampled_from(["default", "published"]),
    reduction=st.sampled_from(["mean", "none"]),
    tau=st.sampled_from([0.0, 0.5, 1.0]),
    gamma=st.sampled_from([0.0, 0.1, 2.0]),
)
def test_gradients_are_finite_for_any_finite_logits(
    batch: tuple[Tensor, Tensor],
    dtype: torch.dtype,
    mode: Any,
    reduction: Any,
    tau: float,
    gamma: float,
) -> None:
    logits, target = batch[0].to(dtype).requires_grad_(), batch[1]
    loss = ExclusiveCrossEntropy(
        mode,
        exclusivity_threshold=tau,
        background_sampling=1.0,
        gamma=gamma,
        reduction=reduction,
    )
    grad = gradient(loss(logits, target), logits)
    assert grad.dtype == dtype
    assert grad.isfinite().all()


@pytest.mark.parametrize("tau", [0.5, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_stay_finite_at_the_ends(tau: float, gamma: float, dtype: torch.dtype) -> None:
    ends = torch.tensor([0.0, 88.0, 1e4, 1e30, torch.finfo(dtype).max], dtype=dtype)
    ends = torch.cat([ends, -ends])
    logits = torch.cartesian_prod(ends, ends, ends).requires_grad_()  # (1000, 3)
    loss = ExclusiveCrossEntropy(exclusivity_threshold=tau, gamma=gamma)
    for value in (UNANNOTATED, BACKGROUND, 1):
        terms = loss(logits, torch.full((1000,), value))
        assert gradient(terms, logits).isfinite().all()
        one = ends.clone().requires_grad_()
        assert gradient(loss(one, torch.full((10,), value)), one).isfinite().all()


@settings(max_examples=100, deadline=None)
@given(batch=batches())
def test_loss_of_ordinary_logits_is_finite(batch: tuple[Tensor, Tensor]) -> None:
    value = ExclusiveCrossEntropy()(batch[0].clamp(-1e4, 1e4), batch[1])
    assert value.isfinite()
    assert value >= 0


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.5, 1.0])
@pytest.mark.parametrize("label", [UNANNOTATED, BACKGROUND, 1])
def test_probabilities_at_the_ends_have_finite_gradients(p: float, label: int) -> None:
    inputs = torch.tensor([p], requires_grad=True)
    loss = ExclusiveCrossEntropy("published", probabilities=True)
    terms = loss(inputs, torch.tensor([label]), uniform=torch.zeros(1), progress=300)
    assert gradient(terms, inputs).isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    logits = torch.tensor([-12.0, -3.0], dtype=torch.bfloat16)
    target = torch.tensor([UNANNOTATED, UNANNOTATED])
    loss = ExclusiveCrossEntropy(reduction="none")
    assert torch.equal(loss(logits, target), loss(logits.float(), target))


@pytest.mark.parametrize("shape", [(), (1,), (8, 8), (4, 1, 8, 8)])
def test_any_shape_gives_one_loss_an_element(shape: tuple[int, ...]) -> None:
    target = torch.full(shape, UNANNOTATED)
    assert ExclusiveCrossEntropy(reduction="none")(torch.zeros(shape), target).shape == shape
    assert ExclusiveCrossEntropy()(torch.zeros(shape), target).shape == ()
    assert (
        ExclusiveCrossEntropy("published", reduction="mean")(torch.zeros(shape), target).shape == ()
    )


# --- the published mode ---


@cache
def reference_cases(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["cases"])


def tensor_of(numbers: list[Any]) -> Tensor:
    """Give nested lists of numbers as a tensor, null as NaN."""
    return torch.tensor(json.loads(json.dumps(numbers).replace("null", "NaN")))


@pytest.mark.parametrize("as_given", [True, False], ids=["zeros", "unannotated"])
@pytest.mark.parametrize("index", range(CASES))
def test_published_mode_reproduces_the_recorded_numbers(
    index: int, as_given: bool, shared_data: Path
) -> None:
    case = reference_cases(shared_data / "xce_reference.json")[index]
    inputs, target = tensor_of(case["input"]).requires_grad_(), torch.tensor(case["target"])
    if not as_given:
        target = target.masked_fill(torch.tensor(case["unannotated"]), UNANNOTATED)
    loss = ExclusiveCrossEntropy("published", probabilities=case["kind"] == "bce_probability")
    loss.set_progress(case["epoch"])
    terms = loss(inputs, target, uniform=tensor_of(case["uniform"]))
    torch.testing.assert_close(terms, tensor_of(case["loss"]), rtol=1e-6, atol=1e-7)
    expected = tensor_of(case["grad"]).nan_to_num(nan=0.0)  # recorded NaN: terms that are dropped
    torch.testing.assert_close(gradient(terms, inputs), expected, rtol=1e-6, atol=1e-7)


def test_every_recorded_case_is_tried(shared_data: Path) -> None:
    assert len(reference_cases(shared_data / "xce_reference.json")) == CASES


def test_published_mean_is_over_all_elements() -> None:
    logits, target = torch.tensor([LOG3, 1.0, 2.0, 3.0]), torch.tensor([1, 0, 0, 0])
    loss = ExclusiveCrossEntropy("published", reduction="mean")
    assert loss(logits, target, uniform=torch.ones(4)).item() == pytest.approx(math.log(4 / 3) / 4)


# --- the doors ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "paper"}, '"default" or "published", got \'paper\''),
        ({"exclusivity_threshold": 1.2}, r"threshold must be in \[0, 1\], got 1.2"),
        ({"background_sampling": -0.1}, r"sampling must be in \[0, 1\], got -0.1"),
        ({"alpha": math.inf}, "alpha must be a finite number >= 0"),
        ({"gamma": -1}, "gamma must be a finite number >= 0"),
        ({"probabilities": True}, "Only the published mode takes probabilities"),
        ({"reduction": "sum"}, '"mean" or "none"'),
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ExclusiveCrossEntropy(**arguments)


def test_inputs_that_do_not_fit_are_refused() -> None:
    loss = ExclusiveCrossEntropy()
    with pytest.raises(ValueError, match="do not fit"):
        loss(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"shape of the target, \(3,\), got \(2,\)"):
        loss(torch.zeros(3), torch.zeros(3), uniform=torch.zeros(2))


def test_probabilities_that_are_none_are_refused() -> None:
    loss = ExclusiveCrossEntropy("published", probabilities=True)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        loss(torch.tensor([1.5]), torch.tensor([1]))
    with pytest.raises(ValueError, match="for the binary loss"):
        loss(torch.zeros(1, 2), torch.tensor([1]))


@pytest.mark.parametrize("module", [losses, annealing])
def test_docstring_examples_hold(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
