"""From one doubtful cell to the next: a queue that is fixed when it starts, so that nobody waits
for the model. No napari.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_xce.predictions.detections import Detections


class Walk:
    """A position in a queue of cells.

    Parameters
    ----------
    cells : Detections
        The queue, at least one.
    is_settled : callable
        Tells of a place (y, x), level-0 pixels, whether something was said there meanwhile.
    """

    def __init__(
        self, cells: Detections, is_settled: Callable[[tuple[float, float]], bool]
    ) -> None:
        self._cells = cells
        self._is_settled = is_settled
        self._at = 0

    @property
    def current(self) -> Detections:
        """The cell to decide on, as detections of length 1."""
        return self._cells[self._at]

    @property
    def place(self) -> tuple[float, float]:
        """Where it is, (y, x), level-0 pixels."""
        return self._place(self._at)

    @property
    def counter(self) -> str:
        """How far it is: "12 of 40"."""
        return f"{self._at + 1} of {len(self._cells)}"

    def __len__(self) -> int:
        return len(self._cells)

    def forward(self) -> bool:
        """Go to the next cell of which nothing was said; False at the end, where it stays."""
        for at in range(self._at + 1, len(self._cells)):
            if not self._is_settled(self._place(at)):
                self._at = at
                return True
        return False

    def back(self) -> None:
        """Go back to the cell before, decided or not."""
        self._at = max(self._at - 1, 0)

    def go_to(self, places: NDArray[np.float64], radius: float) -> None:
        """Go to the cell within a radius of one of these places (N, 2), if there is one; pixels."""
        away = np.linalg.norm(self._cells.points[:, None] - places[None], axis=2).min(axis=1)
        if away.min() <= radius:
            self._at = int(away.argmin())

    def _place(self, at: int) -> tuple[float, float]:
        y, x = self._cells.points[at].tolist()
        return y, x
