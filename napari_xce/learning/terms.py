"""What all losses for sparse annotations share: target convention, checks, terms by element.

Pure differentiable functions and one small base class; no state but settings, any thread. For each
element a target holds `UNANNOTATED` (-1: unknown), `BACKGROUND` (0: somebody said so) or a class
(1, 2, ...).
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNANNOTATED: Final = -1
"""Target of a place nobody said anything about: unknown, not background."""
BACKGROUND: Final = 0
"""Target of a place somebody said holds no cell: a rejection, or the rest of a reviewed region."""
LARGEST_LOG_ODDS: Final = 1e30
"""Where log-odds are cut off, so that sums and products of them stay finite in float32."""

Reduction = Literal["mean", "none"]


def check_target(logits: Tensor, target: Tensor) -> None:
    """Refuse logits and a target that do not fit each other.

    Parameters
    ----------
    logits : Tensor
        Floating point. Binary: any shape, one logit an element. Multiclass: shape (N, C, ...) with
        at least 2 channels, channel 0 is background.
    target : Tensor
        Signed integers or whole-number floats. Binary: shape of `logits`. Multiclass: shape
        (N, ...). Values `UNANNOTATED`, `BACKGROUND`, and 1 (binary) or 1 to C - 1 (multiclass).

    Raises
    ------
    ValueError
        If a type, a shape or a value is not as above; the sentence says which.
    """
    if not logits.is_floating_point():
        raise ValueError(f"The logits must be floating point, got {logits.dtype}.")
    if not target.dtype.is_signed or target.is_complex():
        raise ValueError(
            f"The target must be of a signed type, so that it can hold {UNANNOTATED} "
            f"(unannotated), got {target.dtype}."
        )
    classes = _class_count(logits, target)
    known = (target >= UNANNOTATED) & (target < classes) & (target == target.round())
    if not bool(known.all()):
        wrong = target[~known].flatten()[0].item()
        raise ValueError(
            f"The target may hold {UNANNOTATED} (unannotated), {BACKGROUND} (background) and "
            f"classes up to {classes - 1}, but holds {wrong}."
        )


def _class_count(logits: Tensor, target: Tensor) -> int:
    """Give the number of classes, background included, or refuse shapes that do not fit."""
    if is_multiclass(logits, target):
        if logits.shape[1] < 2:
            raise ValueError(
                "Multiclass logits need at least 2 channels, background first; "
                "for one logit an element give logits and target of the same shape."
            )
        return logits.shape[1]
    if logits.shape != target.shape:
        raise ValueError(
            f"Logits of shape {tuple(logits.shape)} and a target of shape {tuple(target.shape)} "
            "do not fit: give both the same shape (binary), or logits (N, C, ...) with a target "
            "(N, ...) (multiclass)."
        )
    return 2


def is_multiclass(logits: Tensor, target: Tensor) -> bool:
    """Tell whether logits are (N, C, ...) to a target (N, ...)."""
    return (
        target.ndim >= 1
        and logits.ndim == target.ndim + 1
        and logits.shape[:1] + logits.shape[2:] == target.shape
    )


def in_float32(logits: Tensor) -> Tensor:
    """Give half-precision logits in float32; float32 and float64 stay as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def cross_entropy_terms(logits: Tensor, target: Tensor) -> Tensor:
    """Compute plain cross-entropy of every element, an unannotated one taken as background.

    Parameters
    ----------
    logits, target : Tensor
        As in `check_target`.

    Returns
    -------
    Tensor
        float32 (float64 for float64 logits), shape of `target`, >= 0.
    """
    logits = in_float32(logits)
    taken = target.clamp(min=BACKGROUND)
    if is_multiclass(logits, target):
        return F.cross_entropy(logits, taken.long(), reduction="none")  # (N, ...)
    return F.binary_cross_entropy_with_logits(logits, taken.to(logits.dtype), reduction="none")


def foreground_logit(logits: Tensor, target: Tensor) -> Tensor:
    """Give the log-odds that an element is of any class rather than background.

    Parameters
    ----------
    logits, target : Tensor
        As in `check_target`; of the target only the shape matters.

    Returns
    -------
    Tensor
        float32 or float64, shape of `target`: log(p_fg / (1 - p_fg)), cut off (gradient too) at
        +-`LARGEST_LOG_ODDS`.

    Notes
    -----
    With p = softmax(z), 1 - p_0 = sigmoid(logsumexp(z_1 .. z_{C-1}) - z_0): the multiclass term
    -log p_0 is the binary one of this logit. One formula serves both, and nothing cancels as in
    1 - p_0. Its gradient by z_k is p_k, as it should be.
    """
    logits = in_float32(logits)
    if is_multiclass(logits, target):
        logits = torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]  # (N, C, ...) -> (N, ...)
    return logits.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def group_mean(terms: Tensor, target: Tensor) -> Tensor:
    """Sum the means over annotated classes (P), annotated background (N) and unannotated (U).

    Parameters
    ----------
    terms : Tensor
        Loss of every element, any shape.
    target : Tensor
        Same shape; values as in `check_target`.

    Returns
    -------
    Tensor
        Scalar: sum over P / |P| + sum over N / |N| + sum over U / |U|; an empty group counts 0.

    Notes
    -----
    Twenty clicks weigh as much as twenty thousand: a mean over all elements would scale their
    gradient with the density of labels. Dropped unannotated elements stay in |U|, so that dropping
    lowers the pull to background instead of moving it to the others.
    """
    groups = (target > BACKGROUND, target == BACKGROUND, target == UNANNOTATED)
    positive, negative, unannotated = (mean_where(terms, group) for group in groups)
    return positive + negative + unannotated


def mean_where(terms: Tensor, group: Tensor) -> Tensor:
    """Give the mean of the terms where `group` (bool, same shape) holds, 0 for an empty group."""
    return terms.where(group, 0.0).sum() / group.sum().clamp(min=1)


class SparseLoss(nn.Module):
    """What the losses of this package share, so that trainer and benchmarks can swap them.

    All are called as ``loss(logits, target)`` with the convention of `check_target`.

    Parameters
    ----------
    reduction : {"mean", "none"}
        Whether a call gives one number or the loss of every element.

    Attributes
    ----------
    progress : float
        Training progress, at first 0; losses without annealing ignore it.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f'The reduction must be "mean" or "none", got {reduction!r}.')
        self.reduction = reduction
        self.progress = 0.0

    def set_progress(self, progress: float) -> None:
        """Set the training progress, in the unit of the annealings (epochs, passes over clicks)."""
        if not math.isfinite(progress):
            raise ValueError(f"The progress must be a finite number, got {progress}.")
        self.progress = float(progress)
