"""Learn kinds of cells from a few clicks, in milliseconds (speeds 1 and 2 of the design).

The trunk has proposed nuclei and described each by a vector; here a balanced multinomial logistic
regression over those vectors learns which of them are meant. What nobody annotated counts as
"other" only until exclusive cross-entropy drops it: once the model is surer than ``tau`` that an
unannotated nucleus is of a class, that term is left out, for it is most likely a missed positive
(Panteli et al., ICCV 2021). Pure numpy and scipy; any thread may call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from threadpoolctl import ThreadpoolController

#: Label of a vector that is explicitly none of the classes.
OTHER = 0
#: Label of a vector nobody spoke of.
UNANNOTATED = -1
#: An unannotated vector is dropped where the model is surer than this that it is of a class.
TAU = 0.5
#: Rounds of fit and drop; the third changes little.
ROUNDS = 3
#: Gain in the loss, relative, at which a fit ends: thresholds move by less than 0.002 for it.
TOLERANCE = 1e-6
#: L2 penalty for cells that the trunk proposes, and for dense classes (``docs/method.md``).
RIDGE, DENSE_RIDGE = 3.0, 1.0
#: From so many clicks of each class on, the first one falls in inverse proportion to them.
FEW_CLICKS = 10


@dataclass(frozen=True, slots=True)
class Standard:
    """What vectors are measured against: mean and spread of each number.

    Attributes
    ----------
    mean, spread : ndarray, float64, shape (D,)
        No spread is so small that noise would rule.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Standard:
        """Take it from vectors, shape (N, D)."""
        x = np.asarray(vectors, np.float64)
        spread = x.std(0)
        return cls(x.mean(0), np.maximum(spread, 0.1 * spread.mean() + 1e-9))


@dataclass(frozen=True, slots=True)
class ClickModel:
    """A linear classifier of cell vectors.

    Attributes
    ----------
    mean, scale : ndarray, float64, shape (D,)
        Standardisation of the vectors; a column with more emphasis has a smaller scale.
    weight : ndarray, float64, shape (C + 1, D)
        Row 0 is "other", row k class k.
    bias : ndarray, float64, shape (C + 1,)
        Intercepts.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def affine(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight (C + 1, D) and bias (C + 1,) that act on vectors as they are."""
        weight = self.weight / self.scale
        return weight, self.bias - weight @ self.mean

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of "other" and each class, float64, shape (N, C + 1)."""
        weight, bias = self.affine()
        return softmax(vectors @ weight.T + bias, axis=1)


def ridge_for(labels: NDArray[np.integer], n_classes: int) -> float:
    """Return the L2 penalty that suits cells the trunk proposes.

    Parameters
    ----------
    labels : ndarray, int, shape (N,)
        As for `fit_clicks`.
    n_classes : int

    Returns
    -------
    float
        ``RIDGE`` up to ``FEW_CLICKS`` of each class on average, ``RIDGE * FEW_CLICKS / n`` for n.
        Balanced groups weigh the same however many clicks they have, so a constant penalty would
        never let many clicks say more than few.
    """
    clicks = int((np.asarray(labels) > OTHER).sum()) / max(n_classes, 1)
    return RIDGE * min(1.0, FEW_CLICKS / max(clicks, 1.0))


def fit_clicks(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    weights: NDArray[np.floating],
    n_classes: int,
    ridge: float = RIDGE,
    start: ClickModel | None = None,
    emphasis: NDArray[np.float64] | None = None,
    unknown_weight: float = 1.0,
    like: ClickModel | None = None,
    standard: Standard | None = None,
) -> ClickModel:
    """Fit the classifier to clicks, rejections and unannotated cells.

    Parameters
    ----------
    vectors : ndarray, float, shape (N, D)
        One row a cell.
    labels : ndarray, int, shape (N,)
        1..n_classes annotated, 0 (``OTHER``) explicitly none of them, -1 (``UNANNOTATED``).
    weights : ndarray, float, shape (N,)
        How much each row counts within its group, for instance how surely it is a cell.
    n_classes : int
        Number of classes, without "other".
    ridge : float
        L2 penalty on standardised weights, per group of unit weight.
    start : ClickModel, optional
        A former fit of as many classes, from which to go on.
    emphasis : ndarray, float64, shape (D,), optional
        Spread given to each standardised column, > 0, by default 1: the ridge shrinks what has
        less of it more.
    unknown_weight : float
        Weight of the kept unannotated rows together, beside groups of weight 1.
    like : ClickModel, optional
        A fit of nearly the same rows, instead of ``start``: what it is sure of is dropped, in one
        round. A fit without a few clicks costs a third so.
    standard : Standard, optional
        Of the cells that the fit is to tell apart in the end; by default of these vectors.

    Returns
    -------
    ClickModel
        With no unannotated and no rejected row nothing speaks for "other": every cell is of one
        of the classes.

    Notes
    -----
    Each class and the rejections are groups of weight 1, so that five clicks stand against
    thousands of unknowns; the unannotated weigh ``unknown_weight`` together.
    """
    labels = np.asarray(labels)
    x = np.asarray(vectors, np.float64)
    standard = standard or Standard.of(x)
    mean, scale = standard.mean, standard.spread
    if emphasis is not None:
        scale = scale / emphasis
    x = (x - mean) / scale
    share = _group_shares(labels, np.asarray(weights, np.float64), n_classes)
    target = np.maximum(labels, OTHER)
    theta = _initial(like or start, mean, scale, n_classes, x.shape[1])
    kept = np.ones(len(x), bool)
    if like is not None:
        follows = _kept(theta, x, labels)
        kept = follows if follows[labels == UNANNOTATED].any() else kept
    for _ in range(ROUNDS if like is None else 1):
        shares = _renormalise(share, kept, labels, unknown_weight)
        theta = _minimise(theta, x, target, shares, ridge)
        kept = _kept(theta, x, labels)
        if not kept[labels == UNANNOTATED].any():
            break
    return ClickModel(mean, scale, theta[:, :-1], theta[:, -1])


def _kept(
    theta: NDArray[np.float64], x: NDArray[np.float64], labels: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Tell which rows exclusive cross-entropy keeps: all but the unannotated it is sure of."""
    other = softmax(x @ theta[:, :-1].T + theta[:, -1], axis=1)[:, OTHER]
    return (labels != UNANNOTATED) | (1.0 - other <= TAU)


def _group_shares(
    labels: NDArray[np.integer], weights: NDArray[np.float64], n_classes: int
) -> NDArray[np.float64]:
    """Scale the weights so that every group present sums to one."""
    share = np.zeros(len(labels))
    for label in range(UNANNOTATED, n_classes + 1):
        group = labels == label
        if group.any():
            share[group] = weights[group] / max(weights[group].sum(), 1e-9)
    return share


def _renormalise(
    share: NDArray[np.float64],
    kept: NDArray[np.bool_],
    labels: NDArray[np.integer],
    unknown_weight: float,
) -> NDArray[np.float64]:
    """Drop rows, and let the kept unannotated ones sum to their weight again."""
    out = np.where(kept, share, 0.0)
    unknown = labels == UNANNOTATED
    total = out[unknown].sum()
    if total > 0:
        out[unknown] *= unknown_weight / total
    return out


def _initial(
    start: ClickModel | None,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    n_classes: int,
    size: int,
) -> NDArray[np.float64]:
    """Begin at zero, or at a former fit moved to the present standardisation."""
    if start is None or start.weight.shape != (n_classes + 1, size):
        return np.zeros((n_classes + 1, size + 1))
    weight, bias = start.affine()
    return np.column_stack([weight * scale, bias + weight @ mean])


@cache
def _pools() -> ThreadpoolController:
    """Return what sets the number of threads of numpy's BLAS; finding it takes a while."""
    return ThreadpoolController()


def _minimise(
    theta: NDArray[np.float64],
    x: NDArray[np.float64],
    target: NDArray[np.integer],
    share: NDArray[np.float64],
    ridge: float,
) -> NDArray[np.float64]:
    """Minimise weighted cross-entropy plus ridge with L-BFGS; rows of no weight are left out."""
    used = share > 0
    # matrices this small take ten times as long on two threads as on one, which wait for each other
    with _pools().limit(limits=1, user_api="blas"):
        result = minimize(
            loss_and_gradient,
            theta.ravel(),
            (x[used], target[used], share[used], ridge),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 60, "ftol": TOLERANCE},
        )
    return result.x.reshape(theta.shape)


def loss_and_gradient(
    flat: NDArray[np.float64],
    x: NDArray[np.float64],
    target: NDArray[np.integer],
    share: NDArray[np.float64],
    ridge: float,
) -> tuple[float, NDArray[np.float64]]:
    """Return weighted cross-entropy plus ridge, and its gradient.

    Parameters
    ----------
    flat : ndarray, float64, shape ((C + 1) * (D + 1),)
        For "other" and each class, D weights and the intercept; intercepts bear no ridge.
    x : ndarray, float64, shape (N, D)
        Standardised vectors.
    target : ndarray, int, shape (N,)
        0..C.
    share : ndarray, float64, shape (N,)
        Weight of each row.
    ridge : float
        L2 penalty.
    """
    t = flat.reshape(-1, x.shape[1] + 1)
    rows = np.arange(len(x))
    logits = x @ t[:, :-1].T + t[:, -1]  # (N, C + 1)
    logits -= logits.max(1, keepdims=True)  # by hand: scipy's logsumexp takes twice the time
    p = np.exp(logits)
    total = p.sum(1, keepdims=True)
    loss = float((share * (np.log(total[:, 0]) - logits[rows, target])).sum())
    p /= total
    p[rows, target] -= 1.0
    p *= share[:, None]
    gradient = np.column_stack([p.T @ x + ridge * t[:, :-1], p.sum(0)])
    return loss + 0.5 * ridge * float((t[:, :-1] ** 2).sum()), gradient.ravel()
