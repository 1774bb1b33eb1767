"""Exclusive cross-entropy (XCE), the loss for images of which only some cells are annotated.

Pure functions first, the module is a thin shell over them; no state but the settings and the
progress, any thread. Source: Panteli, Teuwen, Horlings, Gavves, ICCV 2021, and the published code
NKI-AI/ece_loss v1.1 (no code copied), whose faults the default mode mends. The target convention
(-1 unannotated, 0 background, classes from 1) is that of `napari_xce.learning.terms`.
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_xce.learning.annealing import Annealing, check_fraction, value_at
from napari_xce.learning.terms import (
    BACKGROUND,
    UNANNOTATED,
    Reduction,
    SparseLoss,
    check_target,
    cross_entropy_terms,
    foreground_logit,
    group_mean,
    in_float32,
    is_multiclass,
)

__all__ = [
    "BACKGROUND",
    "PUBLISHED_EXCLUSIVITY",
    "PUBLISHED_SAMPLING",
    "UNANNOTATED",
    "Annealing",
    "ExclusiveCrossEntropy",
    "exclusive_cross_entropy_terms",
    "focal_background_terms",
    "published_terms",
]

Mode = Literal["default", "published"]

PUBLISHED_EXCLUSIVITY: Final = Annealing(limit=0.5, midpoint=50, temperature=10)
"""The published threshold T(epoch)."""
PUBLISHED_SAMPLING: Final = Annealing(limit=0.5, midpoint=150, temperature=10)
"""The published sampling rate b(epoch)."""


def focal_background_terms(foreground: Tensor, alpha: float, gamma: float) -> Tensor:
    """Compute the focal-weighted loss of elements treated as background.

    Parameters
    ----------
    foreground : Tensor
        Log-odds of foreground, any shape; p = sigmoid(foreground).
    alpha, gamma : float
        Weight and exponent of the focal factor, both >= 0.

    Returns
    -------
    Tensor
        ``alpha * p**gamma * -log(1 - p)``, same shape.

    Notes
    -----
    The focal factor (1 - exp(-l))**gamma of l = -log(1 - p) is p**gamma. Taken as
    exp(gamma * log p), with log p from the logit, its slope in the logit is
    gamma * p**gamma * (1 - p), finite everywhere. As a power of p it has infinite slope at p = 0
    for gamma < 1, which is where the published code turns to NaN.
    """
    weight = torch.exp(gamma * F.logsigmoid(foreground))
    return alpha * weight * -F.logsigmoid(-foreground)


def exclusive_cross_entropy_terms(
    logits: Tensor,
    target: Tensor,
    sampled: Tensor,
    *,
    exclusivity_threshold: float = 0.5,
    alpha: float = 0.2,
    gamma: float = 0.1,
) -> Tensor:
    """Compute exclusive cross-entropy of every element in the default mode.

    Parameters
    ----------
    logits, target : Tensor
        As in `check_target`.
    sampled : Tensor
        bool, shape of `target`: the unannotated elements that take part this time.
    exclusivity_threshold : float
        tau in [0, 1]: an unannotated element is kept while its foreground probability is <= tau.
    alpha, gamma : float
        Focal weight of the kept unannotated elements.

    Returns
    -------
    Tensor
        float32 or float64, shape of `target`: cross-entropy where annotated, focal-weighted
        -log(1 - p_fg) where unannotated and kept, 0 with zero gradient where dropped.
    """
    unannotated = target == UNANNOTATED
    foreground = foreground_logit(logits, target)
    likely_background = torch.sigmoid(foreground.detach()) <= exclusivity_threshold
    kept = unannotated & sampled & likely_background
    # Selecting before the weights, not only after, keeps 0 * inf out of the chain rule.
    background = focal_background_terms(foreground.where(kept, 0.0), alpha, gamma)
    annotated = cross_entropy_terms(logits, target)
    return torch.where(unannotated, background.where(kept, 0.0), annotated)


def published_terms(
    inputs: Tensor,
    target: Tensor,
    sampled: Tensor,
    *,
    exclusivity_threshold: float,
    alpha: float = 0.2,
    gamma: float = 0.1,
    probabilities: bool = False,
) -> Tensor:
    """Compute the loss of the published code, faults included, but with finite gradients.

    Parameters
    ----------
    inputs : Tensor
        Logits as in `check_target`, or (binary, ``probabilities=True``) probabilities in [0, 1].
    target : Tensor
        As in `check_target`; `BACKGROUND` counts as unannotated, as in the published code.
    sampled : Tensor
        bool, shape of `target`.
    exclusivity_threshold : float
        Kept are unannotated elements of confidence <= this. Confidence is the raw input (binary)
        or the margin of the two largest raw logits (multiclass).
    alpha, gamma : float
        Focal weight of the kept unannotated elements.
    probabilities : bool
        Whether `inputs` are probabilities.

    Returns
    -------
    Tensor
        float32 or float64, shape of `target`.

    Notes
    -----
    Operations are in the published order: float32 results are the same to the last bit. Where the
    published gradient is NaN or infinite it is 0 here: terms are selected before the power, and a
    kept term whose 1 - exp(-l) rounds to 0 has weight 0 without slope (its true gradient by the
    logit, about alpha * (1 + gamma) * p**(1 + gamma), tends to 0 with p).
    """
    inputs = in_float32(inputs)
    unannotated = target <= BACKGROUND
    if probabilities:
        labels = (target > BACKGROUND).to(inputs.dtype)
        cross_entropy = F.binary_cross_entropy(inputs, labels, reduction="none")
    else:
        cross_entropy = cross_entropy_terms(inputs, target)
    unsure = _published_confidence(inputs.detach(), target) <= exclusivity_threshold
    kept = unannotated & sampled & unsure
    loss = cross_entropy.where(kept, 0.0)
    missed = 1 - torch.exp(-loss)
    weight = (missed.where(missed > 0, 1.0) ** gamma).where(missed > 0, 0.0)
    return torch.where(unannotated, alpha * weight * loss, cross_entropy)


def _published_confidence(inputs: Tensor, target: Tensor) -> Tensor:
    """Give the published confidence: the raw input, or the margin of the two largest logits."""
    if not is_multiclass(inputs, target):
        return inputs
    largest = inputs.topk(2, dim=1).values  # (N, 2, ...)
    return largest[:, 0] - largest[:, 1]  # (N, ...)


class ExclusiveCrossEntropy(SparseLoss):
    r"""Learn from a few annotations; what is not annotated is unknown, not background.

    Annotated elements give plain cross-entropy. Unannotated ones are treated as background only
    while the model itself does not take them for foreground; those terms are sampled and
    focal-weighted, all others are dropped.

    Parameters
    ----------
    mode : {"default", "published"}
        "default" is right; "published" gives the numbers of the published code (see Notes).
    exclusivity_threshold : float or Annealing, optional
        tau in [0, 1]: unannotated terms with p_fg <= tau are kept. By default a constant 0.5, right
        for a warm start; published: ``Annealing(0.5, midpoint=50, temperature=10)``.
    background_sampling : float or Annealing, optional
        b in [0, 1]: the share of unannotated elements drawn in each call. By default a constant 1
        (sample crops or objects instead: draws by element are noisy and save nothing); published:
        ``Annealing(0.5, midpoint=150, temperature=10)``.
    alpha, gamma : float
        Focal weight alpha * p**gamma of the kept unannotated terms, both >= 0.
    reduction : {"mean", "none"}, optional
        By default "mean" (`group_mean`); published: "none", and "mean" is that of all elements.
    probabilities : bool
        Published mode only: binary inputs are probabilities in [0, 1], not logits.
    generator : torch.Generator, optional
        Source of the sampling, on the device of the target; by default torch's own.

    Raises
    ------
    ValueError
        If a setting is out of its range; in a call, if logits, target or `uniform` do not fit.

    Notes
    -----
    **Why drop at p = 1/2.** Treated as background, an unannotated place with p = sigmoid(z) has the
    term l = -log(1 - p), with derivatives by the logit z

    .. math:: l' = p, \qquad l'' = p (1 - p), \qquad l''' = p (1 - p) (1 - 2p).

    The curvature l'' grows until p = 1/2, where l''' changes sign, and then falls while the
    gradient l' goes on to 1: past that point the term pushes hardest exactly where the model is
    surest that it sees an object, that is, where a missed positive is likeliest. XCE [1]_ drops
    those terms. (The equation numbers of the paper could not be checked; the rule is that of its
    published code.) With y the target, u ~ U(0, 1) by element and t the progress, an element's
    loss is

    .. math:: l_y [y \ne -1] + \alpha\, p^\gamma\, l\, [y = -1]\, [u \le b(t)]\, [p \le \tau(t)]

    where l_y is cross-entropy and p^gamma = (1 - e^-l)^gamma the focal weight [2]_. For several
    classes p = p_fg = 1 - p_background, the sum of all classes (`foreground_logit`).

    **What "published" does, and what the default changes.**

    1. NaN gradients for confident background (0 * inf in the focal power). Both modes select before
       the power, giving the right zero. Default: a weight in log space without infinite slope, and
       float32 inside for half-precision logits.
    2. Multiclass confidence on raw logits: T = 0.5 means p <= 0.62 and drifts with the norm of the
       weights. Default: p_fg <= tau.
    3. The binary confidence is the raw logit, too: annealing moves p from 0.5008 to 0.6225 only.
       Default: p_fg <= tau.
    4. |top1 - top2| drops confident *background*, too, and starves the negatives. Default: drops
       only what looks like foreground.
    5. The margin may lie between two foreground classes: with logits (-6, 3, 2.9) a near-certain
       cell counts as unsure and is pushed to background. Default: background against all classes.
    6. No word for annotated background. Default: -1, 0 and classes. Published: 0 and -1 are both
       unannotated. (Its binary losses by default treat annotated positives as unannotated as well;
       neither the recorded numbers nor this module do.)
    7. A mask of shape (N,) fails on images. Both modes: any shape.
    8. The "mean" has a wrong shape and value. Both modes: one number.
    9. A mean over all pixels lets the density of labels set the scale. Default: `group_mean`.
    10. Midpoints of 50 and 150 epochs mean nothing when learning live, and train on positives only
        for about 100 epochs. Default: constants; to train from scratch give an `Annealing` in a
        unit of your own and call `set_progress`.
    11. Draws by pixel are noisy and cost a full pass anyway. Default: all; sample crops or objects.

    **Edge cases.** Empty groups and empty tensors give 0 with zero gradients. Gradients are finite
    for any finite logits; the loss itself is inf where logits differ by more than float32 holds.

    References
    ----------
    .. [1] A. Panteli, J. Teuwen, H. Horlings, E. Gavves, "Sparse-shot Learning with Exclusive
       Cross-Entropy for Extremely Many Localisations", ICCV 2021. Published code:
       NKI-AI/ece_loss v1.1, Apache-2.0.
    .. [2] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal Loss for Dense Object
       Detection", ICCV 2017, equation 4.

    Examples
    --------
    A click, a rejection, and two unannotated places, the last of which looks like a cell:

    >>> logits = torch.tensor([2.0, -2.0, -2.0, 2.0], requires_grad=True)
    >>> target = torch.tensor([1, BACKGROUND, UNANNOTATED, UNANNOTATED])
    >>> ExclusiveCrossEntropy(reduction="none")(logits, target).detach()
    tensor([0.1269, 0.1269, 0.0205, 0.0000])
    >>> loss = ExclusiveCrossEntropy()(logits, target)
    >>> round(loss.item(), 4)  # 0.1269 / 1 + 0.1269 / 1 + (0.0205 + 0) / 2
    0.2641
    >>> loss.backward()
    >>> logits.grad[3].item()  # the cell nobody clicked is not pushed to background
    0.0
    """

    def __init__(
        self,
        mode: Mode = "default",
        *,
        exclusivity_threshold: float | Annealing | None = None,
        background_sampling: float | Annealing | None = None,
        alpha: float = 0.2,
        gamma: float = 0.1,
        reduction: Reduction | None = None,
        probabilities: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f'The mode must be "default" or "published", got {mode!r}.')
        published = mode == "published"
        if probabilities and not published:
            raise ValueError("Only the published mode takes probabilities; give logits.")
        if exclusivity_threshold is None:
            exclusivity_threshold = PUBLISHED_EXCLUSIVITY if published else 0.5
        if background_sampling is None:
            background_sampling = PUBLISHED_SAMPLING if published else 1.0
        if reduction is None:
            reduction = "none" if published else "mean"
        _check_settings(exclusivity_threshold, background_sampling, alpha, gamma)
        super().__init__(reduction)
        self.mode = mode
        self.exclusivity_threshold = exclusivity_threshold
        self.background_sampling = background_sampling
        self.alpha = alpha
        self.gamma = gamma
        self.probabilities = probabilities
        self.generator = generator

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        uniform: Tensor | None = None,
        progress: float | None = None,
    ) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        logits, target : Tensor
            As in `check_target`.
        uniform : Tensor, optional
            Shape of `target`, in [0, 1]: replaces the random draw of the sampling.
        progress : float, optional
            Training progress of this call alone; by default that of `set_progress`.

        Returns
        -------
        Tensor
            Scalar, or without reduction the shape of `target`; float32 (float64 for float64).
        """
        self._check_inputs(logits, target, uniform)
        progress = self.progress if progress is None else progress
        threshold = value_at(self.exclusivity_threshold, progress)
        sampled = self._sample(target, value_at(self.background_sampling, progress), uniform)
        if self.mode == "published":
            terms = published_terms(
                logits,
                target,
                sampled,
                exclusivity_threshold=threshold,
                alpha=self.alpha,
                gamma=self.gamma,
                probabilities=self.probabilities,
            )
            return terms if self.reduction == "none" else terms.sum() / max(1, terms.numel())
        terms = exclusive_cross_entropy_terms(
            logits,
            target,
            sampled,
            exclusivity_threshold=threshold,
            alpha=self.alpha,
            gamma=self.gamma,
        )
        return terms if self.reduction == "none" else group_mean(terms, target)

    def extra_repr(self) -> str:
        """Name the settings in the printed form of the module."""
        return (
            f"mode={self.mode!r}, exclusivity_threshold={self.exclusivity_threshold}, "
            f"background_sampling={self.background_sampling}, alpha={self.alpha}, "
            f"gamma={self.gamma}, reduction={self.reduction!r}"
        )

    def _check_inputs(self, inputs: Tensor, target: Tensor, uniform: Tensor | None) -> None:
        """Refuse what does not fit."""
        check_target(inputs, target)
        if uniform is not None and uniform.shape != target.shape:
            raise ValueError(
                f"`uniform` must have the shape of the target, {tuple(target.shape)}, "
                f"got {tuple(uniform.shape)}."
            )
        if self.probabilities:
            if is_multiclass(inputs, target):
                raise ValueError("Probabilities are for the binary loss; give multiclass logits.")
            if not bool(((inputs >= 0) & (inputs <= 1)).all()):
                raise ValueError("Probabilities must be in [0, 1]; for logits leave the flag off.")

    def _sample(self, target: Tensor, rate: float, uniform: Tensor | None) -> Tensor:
        """Draw the elements that take part, u <= b(t); bool, shape of the target."""
        if uniform is None:
            if rate >= 1.0:
                return torch.ones_like(target, dtype=torch.bool)
            uniform = torch.empty(target.shape, dtype=torch.float32, device=target.device)
            uniform.uniform_(generator=self.generator)
        return uniform <= rate


def _check_settings(
    threshold: float | Annealing, sampling: float | Annealing, alpha: float, gamma: float
) -> None:
    """Refuse settings out of their range (an Annealing has checked itself)."""
    if not isinstance(threshold, Annealing):
        check_fraction("The exclusivity threshold", threshold)
    if not isinstance(sampling, Annealing):
        check_fraction("The background sampling", sampling)
    for name, value in (("alpha", alpha), ("gamma", gamma)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, got {value}.")
