"""Indices of immunohistochemistry: labelling index and H-score, from counted cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from napari_xce.errors import XceError

_Z = 1.959963984540054  # of the normal distribution, for 95 %


@dataclass(frozen=True, slots=True)
class Grades:
    """Which class stands for which grade of staining; None for none.

    For a plain positive-negative pair the positive class is `weak`, and the rest None.
    """

    negative: str | None = None
    weak: str | None = None
    moderate: str | None = None
    strong: str | None = None

    def __post_init__(self) -> None:
        named = [name for name in astuple(self) if name is not None]
        if len(set(named)) < len(named):
            raise XceError("A class can stand for one grade only: name each class once.")

    @property
    def positive(self) -> tuple[str, ...]:
        """The classes that count as positive, weakest first."""
        return tuple(n for n in (self.weak, self.moderate, self.strong) if n is not None)

    def numbers(self, counts: Mapping[str, int]) -> tuple[int, int, int, int]:
        """Return the cells of each grade, negative first."""
        negative, weak, moderate, strong = (
            0 if name is None else counts.get(name, 0) for name in astuple(self)
        )
        return negative, weak, moderate, strong


@dataclass(frozen=True, slots=True)
class Fraction:
    """A share of cells with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    positive: int
    total: int


NO_GRADES = Grades()


def positive_fraction(positive: int, negative: int) -> Fraction | None:
    """Return the share of positive cells (labelling index), None without any cell.

    Parameters
    ----------
    positive, negative : int
        Counted cells, at least 0.

    Notes
    -----
    positive / (positive + negative). The interval is Wilson's score interval, which tells how
    sure the share is if each cell was counted right; errors of counting come on top.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    Examples
    --------
    >>> positive_fraction(30, 70).value
    0.3
    """
    total = positive + negative
    if total == 0:
        return None
    share, square = positive / total, _Z * _Z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = math.sqrt(share * (1 - share) / total + square / (4 * total**2)) * _Z
    half /= 1 + square / total
    return Fraction(share, max(0.0, middle - half), min(1.0, middle + half), positive, total)


def h_score(negative: int, weak: int, moderate: int, strong: int) -> float | None:
    """Return the H-score, 0 to 300, None without any cell.

    Parameters
    ----------
    negative, weak, moderate, strong : int
        Counted cells of each intensity (0, 1+, 2+, 3+).

    Notes
    -----
    1 x (percentage of weak) + 2 x (percentage of moderate) + 3 x (percentage of strong).

    References
    ----------
    McCarty, Miller, Cox, Konrath, McCarty, Estrogen receptor analyses: correlation of biochemical
    and immunohistochemical methods using monoclonal antireceptor antibodies, Archives of Pathology
    and Laboratory Medicine 109 (1985), 716-721.

    Examples
    --------
    >>> h_score(40, 30, 20, 10)
    100.0
    """
    total = negative + weak + moderate + strong
    if total == 0:
        return None
    return 100 * (weak + 2 * moderate + 3 * strong) / total
