"""How fast training goes and how well, over the last few seconds."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

#: Seconds that the speed is measured over.
WINDOW = 5.0
#: Steps that the loss is averaged over.
LOSSES = 10


class Pace:
    """Count training steps.

    Attributes
    ----------
    steps : int
        All steps so far.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._begun = math.inf  # when the first step of this training began
        self._ends: deque[float] = deque()  # of the steps within the window
        self._losses: deque[float] = deque(maxlen=LOSSES)

    def begin_step(self, now: float) -> None:
        """Note that a piece of a step begins; times are seconds of a monotonic clock."""
        self._begun = min(self._begun, now)

    def end_step(self, now: float, loss: float) -> None:
        """Count a step; a loss that is NaN has no say."""
        self.steps += 1
        self._ends.append(now)
        if math.isfinite(loss):
            self._losses.append(loss)

    def begin_anew(self) -> None:
        """Forget speed and loss: what is trained from now on is another model."""
        self._begun = math.inf
        self._ends.clear()
        self._losses.clear()

    def steps_per_second(self, now: float) -> float:
        """Return the speed over the last seconds; 0 where there was no step."""
        while self._ends and self._ends[0] < now - WINDOW:
            self._ends.popleft()
        return len(self._ends) / min(WINDOW, max(now - self._begun, 1e-3)) if self._ends else 0.0

    def loss(self) -> float:
        """Return the mean loss of the last steps; NaN where there was none."""
        return float(np.mean(self._losses)) if self._losses else math.nan
