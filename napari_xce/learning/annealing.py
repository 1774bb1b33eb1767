"""Quantities that rise with training progress: the two schedules of exclusive cross-entropy.

Plain numbers, no torch, any thread. Source: Panteli et al., ICCV 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Annealing:
    """Rise from 0 to a limit along a sigmoid of training progress.

    The value at progress t is ``limit * sigmoid((t - midpoint) / temperature)``.

    Parameters
    ----------
    limit : float
        The value that is approached late in training, in [0, 1].
    midpoint : float
        Progress at which half the limit is reached. Same unit as the progress: epochs in the
        published code, passes over the clicks when learning live.
    temperature : float
        Width of the rise, > 0, in the unit of the progress; from 12 % to 88 % of the limit takes
        four temperatures.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    .. [1] A. Panteli, J. Teuwen, H. Horlings, E. Gavves, "Sparse-shot Learning with Exclusive
       Cross-Entropy for Extremely Many Localisations", ICCV 2021.

    Examples
    --------
    >>> rising = Annealing(limit=0.5, midpoint=50, temperature=10)
    >>> [round(rising(epoch), 4) for epoch in (0, 50, 100)]
    [0.0033, 0.25, 0.4967]
    """

    limit: float
    midpoint: float
    temperature: float

    def __post_init__(self) -> None:
        """Refuse numbers out of their range."""
        check_fraction("The limit of an annealing", self.limit)
        if not math.isfinite(self.midpoint):
            raise ValueError(f"The midpoint of an annealing must be finite, got {self.midpoint}.")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(
                f"The temperature of an annealing must be above 0, got {self.temperature}."
            )

    def __call__(self, progress: float) -> float:
        """Give the value at a progress, in [0, limit]."""
        x = (progress - self.midpoint) / self.temperature
        if x >= 0:
            return self.limit / (1.0 + math.exp(-x))
        rising = math.exp(x)  # exp of a large positive number would overflow
        return self.limit * rising / (1.0 + rising)


def value_at(quantity: float | Annealing, progress: float) -> float:
    """Give the value of a constant or an annealed quantity at a progress."""
    return quantity(progress) if isinstance(quantity, Annealing) else quantity


def check_fraction(subject: str, value: float) -> None:
    """Raise ValueError unless the value is in [0, 1]; `subject` begins the sentence."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{subject} must be in [0, 1], got {value}.")
