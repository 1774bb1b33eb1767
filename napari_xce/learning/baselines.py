"""Losses to measure exclusive cross-entropy against, with its target convention and call.

Same contract as `napari_xce.learning.losses`: no state but settings, any thread, float32 inside,
finite gradients for any finite logits. Cross-entropy, class-balanced cross-entropy and focal loss
take the unannotated as background; the ignoring and the positive-unlabelled loss do not.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_xce.learning.annealing import check_fraction
from napari_xce.learning.terms import (
    BACKGROUND,
    LARGEST_LOG_ODDS,
    UNANNOTATED,
    Reduction,
    SparseLoss,
    check_target,
    cross_entropy_terms,
    foreground_logit,
    in_float32,
    is_multiclass,
    mean_where,
)


class CrossEntropy(SparseLoss):
    """Plain cross-entropy: what is not annotated is background.

    Parameters
    ----------
    reduction : {"mean", "none"}
        The mean over all elements, or the loss of each.

    Examples
    --------
    >>> loss = CrossEntropy()(torch.zeros(4), torch.tensor([1, 0, -1, -1]))
    >>> round(loss.item(), 4)  # log 2
    0.6931
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of logits and a target (`check_target`): a scalar, or one an element."""
        check_target(logits, target)
        terms = self.terms(logits, target)
        return terms if self.reduction == "none" else terms.sum() / max(1, terms.numel())

    def terms(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of every element, shape of the target; its mean is the loss."""
        return cross_entropy_terms(logits, target)


class ClassBalancedCrossEntropy(CrossEntropy):
    """Cross-entropy in which every class present weighs the same, background too.

    The unannotated are background.

    Parameters
    ----------
    reduction : {"mean", "none"}
        The mean of the classes' means, or the loss of each element times
        n / (classes present * n_class), whose mean it is.
    """

    def terms(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of every element, shape of the target; its mean is the loss."""
        terms = cross_entropy_terms(logits, target)
        taken = target.clamp(min=BACKGROUND).long()
        counts = torch.bincount(taken.flatten())  # (largest class present + 1,)
        weights = taken.numel() / ((counts > 0).sum() * counts.clamp(min=1)).to(terms.dtype)
        return weights[taken] * terms


class FocalLoss(CrossEntropy):
    """Focal loss [1]_: cross-entropy times alpha_t * (1 - p_t)**gamma; unannotated is background.

    Parameters
    ----------
    alpha : float
        Weight of foreground, in [0, 1]; background has 1 - alpha.
    gamma : float
        Exponent of the focusing factor, >= 0.
    reduction : {"mean", "none"}
        The mean over all elements, or the loss of each. (The paper divides by the number of
        positives instead.)

    Notes
    -----
    Equation 5 of [1]_, with p_t the probability of the target's class. 1 - p_t is taken in log
    space, so that no gamma has an infinite slope.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object
       Detection", ICCV 2017.

    Examples
    --------
    >>> loss = FocalLoss()(torch.zeros(1), torch.tensor([1]))
    >>> round(loss.item(), 5)  # 0.25 * 0.5**2 * log 2
    0.04332
    """

    def __init__(
        self, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        check_fraction("alpha", alpha)
        if not (math.isfinite(gamma) and gamma >= 0):
            raise ValueError(f"gamma must be a finite number >= 0, got {gamma}.")
        self.alpha = alpha
        self.gamma = gamma

    def terms(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of every element, shape of the target; its mean is the loss."""
        log_odds = _target_log_odds(logits, target)
        focus = torch.exp(self.gamma * F.logsigmoid(-log_odds))  # (1 - p_t)**gamma
        alpha_t = torch.full_like(log_odds, 1 - self.alpha)
        alpha_t = alpha_t.masked_fill(target > BACKGROUND, self.alpha)
        return alpha_t * focus * -F.logsigmoid(log_odds)


class IgnoreUnannotated(CrossEntropy):
    """Partial cross-entropy: only what is annotated counts.

    Without annotated background nothing speaks against "everything is a cell".

    Parameters
    ----------
    reduction : {"mean", "none"}
        The mean over the annotated elements (0 if there are none), or the loss of each element
        times n / n_annotated, whose mean it is.
    """

    def terms(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of every element, shape of the target; its mean is the loss."""
        annotated = target != UNANNOTATED
        terms = cross_entropy_terms(logits, target).where(annotated, 0.0)
        return target.numel() / annotated.sum().clamp(min=1).to(terms.dtype) * terms


class NonNegativePU(SparseLoss):
    """Learn from positives and unlabelled elements, given the share of positives (nnPU [1]_).

    Parameters
    ----------
    prior : float
        Share of foreground among the unlabelled, in [0, 1].

    Notes
    -----
    Equation 6 of [1]_ with the logistic loss, R_p and R_u means over the annotated classes and over
    the rest: ``prior * R_p(class) + max(0, R_u(background) - prior * R_p(background))``. There is
    no third group: annotated background joins the unlabelled. It is a number of the whole batch,
    so there is no loss of each element.

    References
    ----------
    .. [1] R. Kiryo, G. Niu, M. C. du Plessis, M. Sugiyama, "Positive-Unlabeled Learning with
       Non-Negative Risk Estimator", NeurIPS 2017.
    """

    def __init__(self, prior: float) -> None:
        super().__init__()
        check_fraction("The prior", prior)
        self.prior = prior

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of logits and a target (`check_target`): a scalar."""
        check_target(logits, target)
        positive = target > BACKGROUND
        as_class = cross_entropy_terms(logits, target)
        as_background = -F.logsigmoid(-foreground_logit(logits, target))
        unlabelled_risk = mean_where(as_background, ~positive)
        negative_risk = unlabelled_risk - self.prior * mean_where(as_background, positive)
        return self.prior * mean_where(as_class, positive) + negative_risk.clamp(min=0)


def _target_log_odds(logits: Tensor, target: Tensor) -> Tensor:
    """Give log(p_t / (1 - p_t)) of the target's class (unannotated: background), cut off."""
    logits = in_float32(logits)
    taken = target.clamp(min=BACKGROUND).long()
    if is_multiclass(logits, target):
        index = taken.unsqueeze(1)  # (N, 1, ...)
        others = torch.logsumexp(logits.scatter(1, index, -torch.inf), dim=1)  # (N, ...)
        log_odds = logits.gather(1, index).squeeze(1) - others
    else:
        log_odds = torch.where(taken > BACKGROUND, logits, -logits)
    return log_odds.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
