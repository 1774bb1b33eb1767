"""What the page says, as tables of words and as pictures; the writers only lay it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from napari_xce.annotations.records import CellClass
from napari_xce.evaluation.scores import Score
from napari_xce.measures import Fraction, HotSpot, Measures, Place, hot_spots
from napari_xce.measures.hotspots import RADIUS_UM
from napari_xce.measures.measure import NO_DENSITY
from napari_xce.predictions.detections import Detections
from napari_xce.report.pictures import Frame, draw_crop, draw_map, draw_overview
from napari_xce.slides import Slide

RESEARCH = "For research use only. Not for diagnosis or treatment."
NOT_MEASURED = "Not measured"
NONE = "–"
MOST_MAPS = 3
MOST_AREAS = 3
MOST_CLASSES = 10
MOST_DISTANCES = 6

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of words; the first column is left-aligned, the others are numbers.

    A "\\n" in a cell breaks its line. A head of empty words is not shown, and its table is one of
    words, all left-aligned. `colors` has "#rrggbb" or None for the dot in front of each row.
    """

    title: str
    head: Row
    rows: tuple[Row, ...]
    note: str = ""
    colors: tuple[str | None, ...] = ()

    @property
    def has_head(self) -> bool:
        """Whether the columns have titles."""
        return any(self.head)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its caption."""

    image: Image.Image
    caption: str


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A class with its hot spots, most cells first."""

    found: CellClass
    spots: tuple[HotSpot, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores by class from reviewed regions, or why there are none; and what to mind."""

    scores: Mapping[str, Score]
    words: str


@dataclass(frozen=True, slots=True)
class Page:
    """The page.

    Parameters
    ----------
    title : str
        Name of the slide.
    lines : tuple of str
        What is said below the title: slide, session, time, version.
    maps, crops : tuple of Picture
        The slide and the density of its classes; its hot spots.
    tables : tuple of Table
    notes : tuple of str
        Sentences below the tables.
    """

    title: str
    lines: tuple[str, ...]
    maps: tuple[Picture, ...]
    crops: tuple[Picture, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def make_page(
    slide: Slide,
    cells: Detections,
    classes: Sequence[CellClass],
    measures: Sequence[Measures],
    areas: Sequence[Place],
    *,
    factor: tuple[float, float],
    quality: Quality,
    model: Sequence[tuple[str, str]],
    lines: Sequence[str],
) -> Page:
    """Say everything that is known of a slide.

    Parameters
    ----------
    slide : Slide
        Read for the pictures.
    cells : Detections
        Its cells that count.
    classes : sequence of CellClass
        The user's, in their order.
    measures : sequence of Measures
        Of the slide, then of its areas.
    areas : sequence of Place
        Drawn into the overview.
    factor : (float, float)
        Level-0 pixels per working pixel (0.5 um), (y, x).
    quality : Quality
    model : sequence of (str, str)
        The model card: what, and its value.
    lines : sequence of str
        Below the title.
    """
    maps = _class_maps(cells, classes, factor, slide.shape)
    frame = Frame(slide)
    pictures = [Picture(draw_overview(frame, areas), _overview_caption(slide, areas))]
    pictures += [
        Picture(draw_map(frame, cells, m.found, m.spots, factor), _caption(m)) for m in maps
    ]
    crops = [
        Picture(
            draw_crop(slide, m.spots[0], cells, classes, factor),
            f"{m.found.name}, hot spot 1: {m.spots[0].cells:,} cells, here its middle",
        )
        for m in maps
        if m.spots
    ]
    notes = [] if slide.mpp is not None else [NO_DENSITY]
    tables = [_counts(measures, classes), _places(measures), _spots(maps, slide.mpp)]
    tables += [_distances(measures[0]), _quality(quality, classes), _model(model)]
    return Page(
        title=slide.name,
        lines=tuple(lines),
        maps=tuple(pictures),
        crops=tuple(crops),
        tables=tuple(table for table in tables if table.rows),
        notes=tuple(notes),
    )


def _class_maps(
    cells: Detections,
    classes: Sequence[CellClass],
    factor: tuple[float, float],
    shape: tuple[int, int],
) -> list[ClassMap]:
    """Return the classes that get a map: the first ones that have cells."""
    radius = disc_radius(factor, shape)
    found: list[ClassMap] = []
    for one in classes:
        points = cells.points[cells.labels == one.name]
        if len(points) and len(found) < MOST_MAPS:
            found.append(ClassMap(one, tuple(hot_spots(points, radius, shape))))
    return found


def disc_radius(factor: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
    """Return the radius of a hot spot, level-0 pixels, (y, x); smaller on a small slide."""
    share = min(
        1.0, *(side / (8 * RADIUS_UM / 0.5 * f) for side, f in zip(shape, factor, strict=True))
    )
    return factor[0] * RADIUS_UM / 0.5 * share, factor[1] * RADIUS_UM / 0.5 * share


def _overview_caption(slide: Slide, areas: Sequence[Place]) -> str:
    height, width = slide.shape
    if slide.mpp is None:
        size = f"{width:,} × {height:,} px"
    else:
        size = f"{width * slide.mpp[1] / 1000:.1f} × {height * slide.mpp[0] / 1000:.1f} mm"
    return f"The slide, {size}" + (" with its areas" if areas else "")


def _caption(one: ClassMap) -> str:
    return f"{one.found.name}: density of cells, hot spots"


def _counts(measures: Sequence[Measures], classes: Sequence[CellClass]) -> Table:
    """Return cells and densities, a row each class, two columns each place."""
    shown = list(measures[: 1 + MOST_AREAS])
    head = ["Class"]
    for found in shown:
        head += [f"{found.place}\ncells"]
        head += ["\nper mm²"] if found.densities is not None else []
    rows, colors = [], []
    for one in classes[:MOST_CLASSES]:
        row = [one.name]
        for found in shown:
            row.append(f"{found.counts.get(one.name, 0):,}")
            if found.densities is not None:
                row.append(f"{found.densities.get(one.name, 0):,.0f}")
        rows.append(tuple(row))
        colors.append(one.color)
    left = [
        f"{len(items) - most} more {what}"
        for items, most, what in (
            (measures, 1 + MOST_AREAS, "areas"),
            (classes, MOST_CLASSES, "classes"),
        )
        if len(items) > most
    ]
    note = "Densities are per square millimetre of predicted tissue."
    note += f" Not shown: {' and '.join(left)}; they are in the table (CSV)." if left else ""
    return Table("Cells", tuple(head), tuple(rows), note, tuple(colors))


def _places(measures: Sequence[Measures]) -> Table:
    """Return tissue, share predicted and the indices, a row each place."""
    shown = measures[: 1 + MOST_AREAS]
    graded = any(found.positive is not None for found in shown)
    scored = any(found.h_score is not None for found in shown)
    head: Row = ("Place", "tissue\npredicted", "share of\nits tissue")
    head += ("positive\n(95 % interval)",) if graded else ()
    head += ("H-score\n(0–300)",) if scored else ()
    rows = []
    for found in shown:
        area = NONE if found.tissue_mm2 is None else f"{found.tissue_mm2:,.2f} mm²"
        row: Row = (found.place, area, f"{100 * found.predicted:.0f} %")
        if graded:
            row += (_fraction(found.positive),)
        if scored:
            row += (NONE if found.h_score is None else f"{found.h_score:.0f}",)
        rows.append(row)
    grades = measures[0].grades
    note = ""
    if graded:
        note = f"Positive: {', '.join(grades.positive)}; negative: {grades.negative}."
    return Table("Tissue and indices", head, tuple(rows), note)


def _fraction(share: Fraction | None) -> str:
    """Return a share in percent, with its interval and of how many cells."""
    if share is None:
        return NONE
    interval = f"{100 * share.low:.1f}–{100 * share.high:.1f}"
    return f"{100 * share.value:.1f} %\n({interval})\nn = {share.total:,}"


def _spots(maps: Sequence[ClassMap], mpp: tuple[float, float] | None) -> Table:
    """Return where the hot spots are."""
    head: Row = ("Hot spot", "cells")
    head += () if mpp is None else ("per mm²",)
    head += ("x, y (px)",) if mpp is None else ("x, y (µm)",)
    rows, colors = [], []
    for one in maps:
        for number, spot in enumerate(one.spots, start=1):
            y, x = spot.yx
            row: Row = (f"{one.found.name} {number}", f"{spot.cells:,}")
            if mpp is not None:
                area = math.pi * spot.radius[0] * spot.radius[1] * mpp[0] * mpp[1] * 1e-6
                row += (f"{spot.cells / area:,.0f}",)
                y, x = y * mpp[0], x * mpp[1]
            rows.append((*row, f"{x:,.0f}, {y:,.0f}"))
            colors.append(one.found.color)
    note = ""
    if maps and maps[0].spots and mpp is not None:
        across = 2 * maps[0].spots[0].radius[0] * mpp[0] / 1000
        note = f"Discs of {across:.2g} mm across, of tissue or not; none overlaps another."
    return Table("Hot spots", head, tuple(rows), note, tuple(colors))


def _distances(found: Measures) -> Table:
    """Return nearest-neighbour distances on the slide."""
    rows = [
        (f"{d.source} to {d.target}", f"{d.median_um:.1f} µm", f"{d.lower_um:.1f}–{d.upper_um:.1f}")
        for d in found.distances[:MOST_DISTANCES]
    ]
    left = len(found.distances) - len(rows)
    note = "From each cell to the nearest of the other class, centre to centre."
    note += f" Not shown: {left} more pairs; they are in the table (CSV)." if left else ""
    return Table("Distances on the slide", ("From, to", "median", "quartiles"), tuple(rows), note)


def _quality(quality: Quality, classes: Sequence[CellClass]) -> Table:
    """Return the accuracy by class, or that it was not measured."""
    head = ("Class", "precision", "recall", "F1", "true\ncells")
    known = {one.name: one.color for one in classes}
    rows = [
        (
            name,
            _figure(score.precision, score.precision_interval),
            _figure(score.recall, score.recall_interval),
            _figure(score.f1, score.f1_interval),
            f"{score.true_positives + score.false_negatives:,}",
        )
        for name, score in quality.scores.items()
    ]
    if not rows:
        return Table("Accuracy", (NOT_MEASURED,), ((quality.words,),))  # one column, of words
    colors = tuple(known.get(row[0]) for row in rows)
    return Table("Accuracy", head, tuple(rows), quality.words, colors)


def _figure(value: float, interval: tuple[float, float]) -> str:
    if np.isnan(value):
        return NONE
    return f"{value:.2f}\n({interval[0]:.2f}–{interval[1]:.2f})"


def _model(card: Sequence[tuple[str, str]]) -> Table:
    return Table("Model", ("", ""), tuple(card))
