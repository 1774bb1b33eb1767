"""What a promotion needs beside the better copy: its thresholds, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.calibration import LOWEST
from napari_xce.learning.model import CellModel
from napari_xce.learning.reclassing import with_classes

Thresholds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """How a fine-tuned copy was judged."""

    promoted: bool
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class Former:
    """The model before the last promotion, with its thresholds."""

    model: CellModel
    thresholds: Thresholds

    def of_classes(self, classes: list[str], sources: Sequence[int | None]) -> Former:
        """Return it with other classes; parameters as for `with_classes`."""
        thresholds = thresholds_of(self.thresholds, self.model.classes, classes, sources)
        return Former(with_classes(self.model, classes, sources), thresholds)

    def save(self, path: Path) -> None:
        """Write it, with a card."""
        self.model.save(path, {"calibrated": self.thresholds})

    @classmethod
    def load(cls, path: Path) -> Former:
        """Read what `save` wrote; raises ModelError as ``CellModel.load`` does."""
        model, card = CellModel.load(path)
        return cls(model, dict(card.get("calibrated", {})))


def thresholds_of(
    thresholds: Thresholds, old: list[str], classes: list[str], sources: Sequence[int | None]
) -> Thresholds:
    """Return the thresholds of classes under their new names.

    Parameters
    ----------
    thresholds : dict of str to float
        By old name; a class may be without one.
    old, classes : list of str
        Names before and after.
    sources : sequence of int or None
        For each of ``classes`` its number (from 0) in ``old``; None for a new one.
    """
    named = zip(classes, sources, strict=True)
    kept = {name: thresholds.get(old[k]) for name, k in named if k is not None}
    return {name: t for name, t in kept.items() if t is not None}


def moved_thresholds(
    thresholds: Thresholds,
    classes: list[str],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> Thresholds:
    """Return thresholds by which as many places count under new scores as under the old.

    Parameters
    ----------
    thresholds : dict of str to float
        By the old scores.
    classes : list of str
        Names, in the order of the scores.
    before, after : ndarray, float64, shape (C, N)
        Scores of each class at the same places. With no place the thresholds stay.
    """
    moved = dict(thresholds)
    if not before.shape[1]:
        return moved
    for name, then, now in zip(classes, before, after, strict=True):
        if name in moved:
            share = float((then < moved[name]).mean())
            moved[name] = max(float(np.quantile(now, share, method="higher")), LOWEST)
    return moved
