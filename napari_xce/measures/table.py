"""The numbers as one plain table: one number a row, for spreadsheets and other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from napari_xce.measures.measure import Measures

COLUMNS = ("place", "measure", "class", "to_class", "value", "low", "high", "unit")

Row = tuple[str, ...]


def as_rows(measures: Iterable[Measures]) -> Iterator[Row]:
    """Yield the header, then each number with its place, class and unit.

    `low` and `high` are the ends of the 95 % interval of a fraction, and the quartiles of
    distances. Numbers have a decimal point, whatever the locale.
    """
    yield COLUMNS
    for found in measures:
        yield from _rows_of(found)


def _rows_of(found: Measures) -> Iterator[Row]:
    """Yield the rows of one place."""
    place, densities = found.place, found.densities
    for name, count in found.counts.items():
        yield place, "cells", name, "", str(count), "", "", "cells"
        if densities is not None:
            yield place, "density", name, "", f"{densities[name]:.2f}", "", "", "cells/mm2"
    if found.tissue_mm2 is not None:
        yield place, "predicted tissue", "", "", f"{found.tissue_mm2:.4f}", "", "", "mm2"
    yield place, "share of tissue predicted", "", "", f"{found.predicted:.4f}", "", "", ""
    share, grades = found.positive, found.grades
    if share is not None:
        figures = (f"{value:.4f}" for value in (share.value, share.low, share.high))
        names = " + ".join(grades.positive), grades.negative or ""
        yield (place, "positive fraction", *names, *figures, "")
    if found.h_score is not None:
        yield place, "H-score", "", "", f"{found.h_score:.1f}", "", "", "0-300"
    for d in found.distances:
        figures = (f"{value:.2f}" for value in (d.median_um, d.lower_um, d.upper_um))
        yield (place, "nearest distance (median)", d.source, d.target, *figures, "um")
