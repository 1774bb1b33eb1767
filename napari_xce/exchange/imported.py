"""What is read in from other programs, and the rules for names that come from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_xce.errors import ExchangeError

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


@dataclass(slots=True)
class PointCollector:
    """Gathers points while a file is read; `finish` makes the arrays."""

    points: list[NDArray[np.float64]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    colors: dict[str, str] = field(default_factory=dict)
    polygons: list[NDArray[np.float64] | None] = field(default_factory=list)
    regions: list[NDArray[np.float64]] = field(default_factory=list)
    set_aside: list[NDArray[np.float64]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(
        self, points: NDArray[np.float64], label: str, polygon: NDArray[np.float64] | None = None
    ) -> None:
        """Add points (K, 2) of one class, which share a polygon if they have one."""
        self.points.append(points)
        self.labels.extend([label] * len(points))
        self.polygons.extend([polygon] * len(points))

    def add_rows(self, points: NDArray[np.float64], labels: list[str]) -> None:
        """Add points (K, 2), each of its own class."""
        self.points.append(points)
        self.labels.extend(labels)
        self.polygons.extend([None] * len(points))

    def leave_out(self, what: str) -> None:
        """Count an object that cannot become an annotation."""
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def finish(self) -> ImportedPoints:
        """Return everything gathered."""
        return ImportedPoints(
            points=np.concatenate([*self.points, np.empty((0, 2))]),
            labels=np.array(self.labels, dtype=np.str_),
            colors=self.colors,
            polygons=tuple(self.polygons),
            regions=tuple(self.regions),
            set_aside=tuple(self.set_aside),
            notes=tuple(f"Left out: {n} {what}." for what, n in self.left_out.items()),
        )


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
