"""All numbers of one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_xce.measures.distances import Distance, nearest_distances
from napari_xce.measures.indices import (
    NO_GRADES,
    Fraction,
    Grades,
    h_score,
    positive_fraction,
)
from napari_xce.measures.places import Place, tissue_area_px
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides.tissue import TissueMask

NO_DENSITY = "The pixel size is unknown: there are counts, but no areas, densities or distances."


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of one place.

    Parameters
    ----------
    place : str
        Its name.
    counts : mapping of class name to int
        Cells found.
    tissue_mm2 : float or None
        Tissue in it that was predicted; None where the pixel size is unknown.
    predicted : float
        Share [0, 1] of its tissue that was predicted; 0 where there is none.
    distances : tuple of Distance
        Nearest neighbours; empty where the pixel size is unknown.
    grades : Grades
        What the two indices are made of.
    positive : Fraction or None
        Labelling index; None without grades or cells.
    h_score : float or None
        None unless two grades of positive cells have a class.
    """

    place: str
    counts: Mapping[str, int]
    tissue_mm2: float | None
    predicted: float
    distances: tuple[Distance, ...] = ()
    grades: Grades = NO_GRADES
    positive: Fraction | None = None
    h_score: float | None = None

    @property
    def densities(self) -> dict[str, float] | None:
        """Cells per square millimetre of predicted tissue by class; None where unknown."""
        area = self.tissue_mm2
        return {n: count / area for n, count in self.counts.items()} if area else None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        pairs = [
            {"from": d.source, "to": d.target, "median_um": d.median_um, "cells": d.cells}
            for d in self.distances
        ]
        share = self.positive
        interval = None if share is None else [share.low, share.high]
        return {
            "place": self.place,
            "counts": dict(self.counts),
            "per_mm2": self.densities,
            "tissue_mm2": self.tissue_mm2,
            "predicted": self.predicted,
            "positive_fraction": None if share is None else share.value,
            "positive_fraction_interval": interval,
            "h_score": self.h_score,
            "nearest": pairs,
        }


def measure(
    place: Place,
    cells: Detections,
    classes: Sequence[str],
    *,
    tissue: TissueMask,
    grid: TileGrid,
    done: Collection[Tile],
    mpp: tuple[float, float] | None,
    grades: Grades = NO_GRADES,
) -> Measures:
    """Measure a place.

    Parameters
    ----------
    place : Place
    cells : Detections
        All cells of the slide that count, level-0 pixels.
    classes : sequence of str
        The classes to report, also those without cells.
    tissue, grid : TissueMask, TileGrid
        Of the slide.
    done : collection of (row, column)
        The tiles that were predicted.
    mpp : (float, float) or None
        Micrometres per level-0 pixel, (y, x).
    grades : Grades
        For the labelling index and the H-score.

    Notes
    -----
    Cells are counted wherever they were found in the place, areas only where there is tissue that
    was predicted: glass, and what nobody looked at, thin nothing out.
    """
    inside = place.contains(cells.points)
    counts = {name: int(((cells.labels == name) & inside).sum()) for name in classes}
    whole, predicted = tissue_area_px(place, tissue, grid, done)
    negative, *stained = grades.numbers(counts)
    paired = grades.negative is not None and grades.positive
    return Measures(
        place.name,
        counts,
        None if mpp is None else predicted * mpp[0] * mpp[1] * 1e-6,
        predicted / whole if whole else 0.0,
        () if mpp is None else nearest_distances(cells, inside, classes, mpp),
        grades,
        positive_fraction(sum(stained), negative) if paired else None,
        h_score(negative, *stained) if len(grades.positive) > 1 else None,
    )
