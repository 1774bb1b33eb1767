"""The learning curve: how F1 grew with the clicks, and what more clicks would bring.

Pure numpy; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

#: What more clicks would bring is told for so many.
MORE_CLICKS = 50
#: A gain of F1 below this is little.
LITTLE = 0.01
#: Measurements, and growth of the clicks, that a forecast needs.
LEAST_POINTS, LEAST_GROWTH = 4, 1.5


@dataclass(frozen=True, slots=True)
class Measured:
    """One point of the learning curve.

    Attributes
    ----------
    clicks : int
        Clicks and corrections that stood.
    revision : int
        Of the model.
    f1, low, high : float
        Mean F1 of the classes, and the mean of the limits of their 95 % intervals.
    basis : str
        What it was measured on; figures of another basis cannot be compared.
    """

    clicks: int
    revision: int
    f1: float
    low: float
    high: float
    basis: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


def comparable(curve: Sequence[Measured]) -> list[Measured]:
    """Return the points measured on what the last one was, by clicks; of equal clicks the last."""
    if not curve:
        return []
    by_clicks = {m.clicks: m for m in curve if m.basis == curve[-1].basis}
    return [by_clicks[clicks] for clicks in sorted(by_clicks)]


def forecast(curve: Sequence[Measured]) -> str:
    """Say what more clicks would bring; "" while nothing can be said.

    Parameters
    ----------
    curve : sequence of Measured
        In the order of measuring.

    Returns
    -------
    str

    Notes
    -----
    The rule: over the points from half the present clicks on (at least 4 of the same regions, over
    which the clicks grew at least by half), F1 = a + b log2(clicks) is fitted by least squares.
    The gain of 50 more clicks is b log2(1 + 50 / clicks). "More clicks will gain little now" is
    said only when the gain plus its standard error stays below 0.01; a gain below 0.01 whose error
    reaches beyond is said to be uncertain.
    """
    points = comparable(curve)
    late = [m for m in points if points[-1].clicks and m.clicks * 2 >= points[-1].clicks]
    if len(late) < LEAST_POINTS or late[-1].clicks < LEAST_GROWTH * late[0].clicks:
        return ""
    x = np.log2([max(m.clicks, 1) for m in late])
    y = np.array([m.f1 for m in late])
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    left = y - y.mean() - slope * (x - x.mean())
    error = float(np.sqrt((left**2).sum() / (len(x) - 2) / spread))
    more = float(np.log2(1.0 + MORE_CLICKS / late[-1].clicks))
    gain, reach = slope * more, (slope + error) * more
    if reach < LITTLE:
        return (
            f"More clicks will gain little now: {MORE_CLICKS} more, about "
            f"{max(gain, 0.0):.3f} of F1 (below {LITTLE})."
        )
    if gain < LITTLE:
        return f"Whether {MORE_CLICKS} more clicks gain anything is uncertain: measure again later."
    return f"{MORE_CLICKS} more clicks may gain about {gain:.2f} of F1."
