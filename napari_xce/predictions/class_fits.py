"""The click learner at work in a session's model.

It fits the classes of each kind to what was said, calibrates them piece by piece, and hands fit and
thresholds over to the model. One thread at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.appearance import APPEARANCE_SIZE
from napari_xce.learning.calibration import Calibrated, calibrate, calibrating
from napari_xce.learning.click_learner import DENSE_RIDGE, ridge_for
from napari_xce.learning.heads import CELL_SIZE, EMBEDDING_SIZE, KIND_SIZE
from napari_xce.learning.memory import Rows, TrainingRows
from napari_xce.learning.model import CellModel, Kind

#: Emphases of the two parts of a cell's vector, embedding and appearance, to choose from: on a
#: tissue that the embedding knows it says more, on another one appearance does.
EMPHASES: dict[Kind, list[NDArray[np.float64]]] = {
    "proposed": [
        np.repeat(parts, (EMBEDDING_SIZE, APPEARANCE_SIZE))
        for parts in ((0.7, 0.7), (1.0, 0.4), (0.3, 1.0))
    ],
    "dense": [np.ones(CELL_SIZE)],
}
Calibration = Generator[None, None, Calibrated]


class ClassFits:
    """Fit and calibrate the classes of a model.

    Attributes
    ----------
    thresholds : dict of str to float
        Calibrated score from which a cell of a class counts. Another dict after each change, as
        another thread may be reading the old one.
    """

    def __init__(self) -> None:
        self.thresholds: dict[str, float] = {}
        self._fits: dict[Kind, Calibrated] = {}
        self._calibrations: list[tuple[Kind, list[int], Calibration]] = []  # unfinished

    def __bool__(self) -> bool:
        """Whether there is any fit."""
        return bool(self._fits)

    def forget(self) -> None:
        """Forget the fits; their thresholds stay."""
        self._fits.clear()
        self.stop_calibrating()

    def stop_calibrating(self) -> None:
        """Leave calibrations undone, because what they fit to has changed."""
        self._calibrations.clear()

    def fit(self, model: CellModel, rows: TrainingRows) -> bool:
        """Fit the classes of a model, under the settings of the last calibration.

        Where there is no calibration of the same classes yet, it is done now; else it is due.

        Returns
        -------
        bool
            False when there is no class to fit.
        """
        before, layers = self._fits, model.layers
        known = {"proposed": layers.proposed, "dense": layers.dense}
        self._fits, self._calibrations = {}, []
        kept = [model.classes[k] for k in (*rows.proposed, *rows.dense)]
        self.thresholds = {name: t for name, t in self.thresholds.items() if name in kept}
        for kind, part, members in _by_kind(rows):
            old = before.get(kind)
            ridge = _ridge(kind, part, len(members))
            places = rows.places if kind == "proposed" else None  # dense ones differ within a place
            choices = (part, len(members), EMPHASES[kind], ridge)
            if not members:
                layers.set(kind, members, None)
            elif old is None or known[kind] != members:
                self._take_over(model, kind, members, calibrate(*choices, None, places))
            else:
                quick = replace(old, fit=old.refit(part, len(members), ridge))
                self._take_over(model, kind, members, quick)
                self._calibrations.append((kind, members, calibrating(*choices, quick, places)))
        return bool(kept)

    def calibrate_some(self, model: CellModel) -> bool | None:
        """Do a piece (one fit) of the calibration that is due.

        Returns
        -------
        bool or None
            Whether the model scores otherwise now; None if nothing was left to do.
        """
        if not self._calibrations:
            return None
        kind, members, steps = self._calibrations[-1]
        try:
            next(steps)
            return False
        except StopIteration as done:
            found: Calibrated = done.value
        self._calibrations.pop()
        before = self._fits[kind]
        same = np.array_equal(found.emphasis, before.emphasis)
        same &= found.unknown_weight == before.unknown_weight
        if same:
            found = replace(found, fit=before.fit)  # which is painted already
        self._take_over(model, kind, members, found)
        return not same

    def fitted_to(self, model: CellModel, rows: TrainingRows) -> CellModel:
        """Return a copy of a model that was fitted to other rows, under the present settings.

        The model itself where the rows have other classes or there is no fit.
        """
        layers = model.layers
        if (rows.proposed, rows.dense) != (layers.proposed, layers.dense) or not self._fits:
            return model
        fitted = copy.deepcopy(model)
        for kind, part, members in _by_kind(rows):
            if members:
                ridge = _ridge(kind, part, len(members))
                fitted.layers.set(kind, members, self._fits[kind].refit(part, len(members), ridge))
        return fitted

    def _take_over(
        self, model: CellModel, kind: Kind, members: list[int], found: Calibrated
    ) -> None:
        """Let a model answer with a fit and its thresholds."""
        self._fits[kind] = found
        model.layers.set(kind, members, found.fit)
        names = [model.classes[k] for k in members]
        self.thresholds = {**self.thresholds, **dict(zip(names, found.thresholds, strict=True))}


def _ridge(kind: Kind, rows: Rows, n_classes: int) -> float:
    """Return the L2 penalty under which classes of a kind are fitted."""
    return ridge_for(rows.labels, n_classes) if kind == "proposed" else DENSE_RIDGE


def _by_kind(rows: TrainingRows) -> list[tuple[Kind, Rows, list[int]]]:
    """Return the rows of each kind of classes, with the part of the vectors it is learnt on."""
    objects = rows.objects
    vectors = objects.vectors[:, :KIND_SIZE]
    kinds = replace(objects, vectors=vectors, standard=rows.standard)
    return [("proposed", kinds, rows.proposed), ("dense", rows.ground, rows.dense)]
