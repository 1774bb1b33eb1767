"""The clicks of a slide that stand; which are drawn: all, or of very many those in view.

napari's Points spends Python time and, in software OpenGL, a frame's time on every point. Clicks by
hand are few; an import may be tens of thousands.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.annotations import BACKGROUND, Annotations
from napari_xce.annotations.records import ACCEPTED, IMPORTED, POINT, REJECTION
from napari_xce.predictions.detections import Box

MOST_DRAWN = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class StandingClicks:
    """Points and rejections, row by row.

    Attributes
    ----------
    ids, labels, kinds : str, shape (N,)
        Kinds are "point" (by hand or imported), "accepted" and "rejection".
    points : float64, shape (N, 2)
        Level-0 pixels, (y, x).
    imported : bool, shape (N,)
    """

    ids: NDArray[np.str_]
    points: NDArray[np.float64]
    labels: NDArray[np.str_]
    kinds: NDArray[np.str_]
    imported: NDArray[np.bool_]

    @classmethod
    def of(cls, stands: Annotations) -> StandingClicks:
        """Take the clicks out of what stands on one slide."""
        clicks = (stands.kinds == POINT) | (stands.kinds == REJECTION)
        labels, provenances = stands.labels[clicks], stands.provenances[clicks]
        kinds = np.where(provenances == ACCEPTED, ACCEPTED, POINT)
        return cls(
            ids=stands.ids[clicks],
            points=stands.points[clicks],
            labels=labels,
            kinds=np.where(labels == BACKGROUND, REJECTION, kinds),
            imported=provenances == IMPORTED,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def many(self) -> bool:
        """Whether they are too many to draw them all."""
        return len(self) > MOST_DRAWN

    def at(self, rows: NDArray[np.intp]) -> StandingClicks:
        """Return those of some rows."""
        columns = (self.ids, self.points, self.labels, self.kinds, self.imported)
        return StandingClicks(*(column[rows] for column in columns))

    def to_draw(self, box: Box | None) -> tuple[StandingClicks, bool]:
        """Return those to draw where a box (y0, x0, y1, x1) is on screen, and whether some in it
        are left out: then those by hand come first, the latest of them, and an even choice of the
        imported ones.
        """
        if not self.many:
            return self, False
        rows = np.arange(len(self))
        if box is not None:
            inside = ((self.points >= box[:2]) & (self.points <= box[2:])).all(axis=1)
            rows = np.flatnonzero(inside)
        if len(rows) <= MOST_DRAWN:
            return self.at(rows), False
        by_hand = rows[~self.imported[rows]][-MOST_DRAWN:]
        imported = rows[self.imported[rows]]
        step = -(-len(imported) // max(MOST_DRAWN - len(by_hand), 1))  # rounded up
        return self.at(np.union1d(by_hand, imported[:: max(step, 1)])), True

    def nearest(self, yx: tuple[float, float], radius: float, kinds: Collection[str]) -> int | None:
        """Return the row of some kinds nearest to a place (y, x), within a radius in level-0 px."""
        if not len(self):
            return None
        distance = np.linalg.norm(self.points - np.asarray(yx), axis=1)
        if len(kinds) < len((POINT, ACCEPTED, REJECTION)):
            distance[~np.isin(self.kinds, list(kinds))] = np.inf
        row = int(distance.argmin())
        return row if distance[row] <= radius else None
