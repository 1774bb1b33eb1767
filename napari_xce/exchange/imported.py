"""What is read in from other programs, and the rules for names that come from outside."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import ExchangeError
from napari_xce.predictions.detections import Detections

LONGEST_NAME = 200  # characters of a class name; arrays of names take the longest one's room
FARTHEST = 1e9  # pixels; no slide is larger, and sums of such numbers stay exact


@dataclass(frozen=True, slots=True, eq=False)
class ImportedPoints:
    """Points, as they come from a file, ready to become annotations.

    Parameters
    ----------
    points : float64, shape (N, 2)
        Level-0 pixels, (y, x), pixel centres at integers; of a polygon the centroid.
    labels : str, shape (N,)
        Class names; "" where the object has none, "background" for a rejected cell.
    colors : dict of class name to "#rrggbb"
        For classes whose colour the file tells.
    polygons : tuple of N float64 arrays of shape (M, 2), or None
        The outer outline where the object was a polygon, same frame, not closed.
    regions : tuple of float64 arrays of shape (M, 2)
        Reviewed regions, same frame, not closed; they are not among the points.
    set_aside : tuple of float64 arrays of shape (M, 2)
        Reviewed regions that are kept for testing.
    notes : tuple of str
        Sentences about what was left out, for the user.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.str_]
    colors: dict[str, str]
    polygons: tuple[NDArray[np.float64] | None, ...]
    regions: tuple[NDArray[np.float64], ...] = ()
    set_aside: tuple[NDArray[np.float64], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)


class ImportedCells(NamedTuple):
    """Cells that were found, as they come from a file.

    `colors` maps class names to "#rrggbb", `notes` are sentences about what was left out.
    """

    cells: Detections
    colors: dict[str, str]
    notes: tuple[str, ...]


class PointCollector:
    """Gathers points while a file is read; `finish` makes the arrays.

    There may be a million: coordinates and numbers of class names are kept in flat arrays. Where
    there are more than `most`, `refuse_more` says so.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.colors: dict[str, str] = {}
        self.regions: list[NDArray[np.float64]] = []
        self.set_aside: list[NDArray[np.float64]] = []
        self.left_out: dict[str, int] = {}
        self._yx = array("d")
        self._codes = array("i")
        self._names: dict[str, int] = {}
        self._renamed: dict[str, str] = {}
        self._polygons: list[NDArray[np.float64] | None] = []

    def __len__(self) -> int:
        return len(self._codes)

    def add(
        self, points: NDArray[np.float64], label: str, polygon: NDArray[np.float64] | None = None
    ) -> None:
        """Add points (K, 2) of one class, which share a polygon if they have one."""
        for y, x in points.tolist():
            self.add_one(y, x, label, polygon)

    def add_one(
        self, y: float, x: float, label: str, polygon: NDArray[np.float64] | None = None
    ) -> None:
        """Add one point."""
        self.refuse_more(1)
        self._yx.append(y)
        self._yx.append(x)
        self._codes.append(self._names.setdefault(label, len(self._names)))
        self._polygons.append(polygon)

    def rename(self, names: Mapping[str, str]) -> None:
        """Give what was collected under these labels these names."""
        self._renamed = dict(names)

    def refuse_more(self, count: int) -> None:
        """Refuse to hold so many more, where that is more than wanted.

        Raises
        ------
        ExchangeError
        """
        if self._most is not None and len(self) + count > self._most:
            raise ExchangeError(
                f"it has more than {self._most:,} points, too many to learn from. Import them "
                "as cells, to show and count them, or keep only points that teach."
            )

    def leave_out(self, what: str) -> None:
        """Count an object that cannot become what is wanted."""
        self.left_out[what] = self.left_out.get(what, 0) + 1

    @property
    def points(self) -> NDArray[np.float64]:
        """What was gathered, float64, shape (N, 2)."""
        return np.array(self._yx, dtype=np.float64).reshape(-1, 2)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Class names, shape (N,)."""
        names = [self._renamed.get(label, label) for label in self._names]
        return np.array([*names, ""], dtype=np.str_)[np.array(self._codes, dtype=np.intp)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was left out."""
        return tuple(f"Left out: {n} {what}." for what, n in self.left_out.items())

    def finish(self) -> ImportedPoints:
        """Return everything gathered."""
        return ImportedPoints(
            points=self.points,
            labels=self.labels,
            colors=self.colors,
            polygons=tuple(self._polygons),
            regions=tuple(self.regions),
            set_aside=tuple(self.set_aside),
            notes=self.notes,
        )


class CellCollector(PointCollector):
    """Gathers cells that were found: points with a score and a diameter, without outlines."""

    def __init__(self) -> None:
        super().__init__()
        self._scores, self._diameters = array("f"), array("f")

    def add_cell(self, y: float, x: float, label: str, score: float, diameter: float) -> None:
        """Add one cell; a score that is not in [0, 1] is 1, a diameter not above 0 unknown."""
        self.add_one(y, x, label)
        self._scores.append(score if 0 <= score <= 1 else 1.0)
        self._diameters.append(diameter if diameter > 0 else math.nan)

    def finish_cells(self) -> ImportedCells:
        """Return everything gathered."""
        sizes = np.asarray(self._scores), np.asarray(self._diameters)
        return ImportedCells(Detections(self.points, self.labels, *sizes), self.colors, self.notes)


def clean_name(name: str, where: str) -> str:
    """Return a class name on one line and without characters that cannot be shown.

    Raises
    ------
    ExchangeError
        If it is longer than any name can sensibly be.
    """
    if len(name) > LONGEST_NAME:
        raise ExchangeError(
            f"{where} has a class name of {len(name)} characters; at most {LONGEST_NAME} are "
            "read. Shorten the name in the file."
        )
    shown = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(shown.split())
