"""What the user said, as plain read-only records: classes, slides and annotations.

Nothing here knows SQLite; the store makes these, everyone else reads them, on any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from skimage.measure import points_in_poly

from napari_xce.errors import SessionError

BACKGROUND = "background"
POINT, REJECTION, MASK, REGION = "point", "rejection", "mask", "region"
HUMAN, ACCEPTED, IMPORTED = PROVENANCES = ("human", "accepted", "imported")

Texts = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class CellClass:
    """A kind of cell: number in the session (background is 0), name, "#rrggbb", digit key."""

    id: int
    name: str
    color: str
    key: str | None


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """What the session remembers of a slide, whether or not its file is there.

    `shape` is (H, W) in level-0 pixels, `mpp` micrometres per pixel (y, x) or None where unknown,
    `cell_diameter_px` level-0 pixels or None, `created` Unix seconds.
    """

    id: str
    name: str
    path: Path | None
    fingerprint: str
    shape: tuple[int, int]
    mpp: tuple[float, float] | None
    mpp_source: str
    cell_diameter_px: float | None
    created: float


@dataclass(frozen=True, slots=True)
class Area:
    """An area to count in: `wkb` is its outline as well-known binary, (x, y), level-0 pixels.

    Bytes, not a geometry, so that two are compared and many are read in no time.
    """

    name: str
    wkb: bytes

    @property
    def outline(self) -> shapely.Polygon | shapely.MultiPolygon:
        """The outline, coordinates (x, y), holes and all.

        Raises
        ------
        SessionError
            It is damaged.
        """
        shape = shapely.from_wkb(self.wkb, on_invalid="ignore")  # None where it is none
        if not isinstance(shape, shapely.Polygon | shapely.MultiPolygon):
            raise SessionError(
                f"The outline of {self.name} is damaged. Delete this area and draw it anew."
            )
        return shape


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal: `kind` is "do", "undo", "redo" or "note"; `time` Unix seconds.

    `action` is the id of the entry that was undone or redone, None for the other kinds.
    """

    id: int
    time: float
    kind: str
    action: int | None
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What stands now, as a struct of arrays in the order of creation.

    Attributes
    ----------
    ids : str, shape (N,)
    points : float64, shape (N, 2)
        Level-0 pixels, (y, x); of a mask or region the centroid.
    labels : str, shape (N,)
        Names of classes; a rejection and a reviewed region have "background".
    kinds : str, shape (N,)
        "point", "rejection", "mask" or "region".
    provenances : str, shape (N,)
        "human", "accepted" or "imported".
    polygons : tuple of N float64 arrays of shape (M, 2), or None
        Level-0 pixels, (y, x), not closed; None for points and rejections.
    slides : str, shape (N,)
        Ids of slides.
    created : float64, shape (N,)
        Unix seconds.
    set_aside : bool, shape (N,)
        Whether it is a reviewed region kept for testing, which learning never sees.
    """

    ids: Texts
    points: NDArray[np.float64]
    labels: Texts
    kinds: Texts
    provenances: Texts
    polygons: tuple[NDArray[np.float64] | None, ...]
    slides: Texts
    created: NDArray[np.float64]
    set_aside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def of_kind(self, kind: str) -> Annotations:
        """Return those of one kind."""
        return self.where(self.kinds == kind)

    def of_slide(self, slide: str) -> Annotations:
        """Return those on one slide."""
        return self.where(self.slides == slide)

    def where(self, chosen: NDArray[np.bool_]) -> Annotations:
        """Return those chosen by a mask, bool, shape (N,)."""
        return Annotations(
            ids=self.ids[chosen],
            points=self.points[chosen],
            labels=self.labels[chosen],
            kinds=self.kinds[chosen],
            provenances=self.provenances[chosen],
            polygons=tuple(self.polygons[i] for i in np.flatnonzero(chosen)),
            slides=self.slides[chosen],
            created=self.created[chosen],
            set_aside=self.set_aside[chosen],
        )

    def regions(self, set_aside: bool = False) -> Annotations:
        """Return the reviewed regions that teach, or those that are set aside for testing."""
        return self.where((self.kinds == REGION) & (self.set_aside == set_aside))

    def for_learning(self) -> Annotations:
        """Return these without what lies in a region that is set aside.

        The set-aside regions themselves stay, so that learning knows where not to look.
        """
        aside = self.regions(set_aside=True)
        if not len(aside):
            return self
        hidden = np.zeros(len(self), bool)
        for slide in np.unique(aside.slides):
            here = np.flatnonzero((self.slides == slide) & (self.kinds != REGION))
            hidden[here] = aside.of_slide(slide).cover(self.points[here])
        return self.where(~hidden)

    def cover(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points (M, 2) lie inside a polygon of these, which are of one slide."""
        inside = np.zeros(len(points), bool)
        for polygon in self.polygons:
            if polygon is not None and len(points):
                low, high = polygon.min(axis=0), polygon.max(axis=0)
                # most are far off: of a hundred thousand points only a few need the polygon itself
                near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
                if len(near):
                    inside[near] |= points_in_poly(points[near], polygon)
        return inside
