"""Counts, densities and areas of a session."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import shapely

import napari_xce as xce
from napari_xce.session import Session

from .conftest import SHAPE, grey_slide, make_slide


def test_slide_is_counted_as_it_was_predicted(predicted: Session) -> None:
    cells, found = predicted.predict(), predicted.measure()
    assert sum(found.counts.values()) == len(cells)
    assert found.counts["tumour"] == (cells.labels == "tumour").sum()
    tissue = predicted.tissue(next(iter(predicted.slides))).area_px
    assert found.predicted == 1
    assert found.tissue_mm2 == pytest.approx(tissue * 0.25e-6)
    assert found.densities is not None
    assert found.densities["tumour"] == found.counts["tumour"] / found.tissue_mm2


def test_area_counts_the_cells_inside_it(predicted: Session) -> None:
    name = predicted.add_area(((50, 100), (250, 400)), "tumour edge")
    cells = predicted.predict().inside((50, 100, 250, 400))
    found = predicted.measure(name)
    assert (found.place, sum(found.counts.values())) == ("tumour edge", len(cells))
    assert sum(predicted.measure(((50, 100), (250, 400))).counts.values()) == len(cells)
    assert found.tissue_mm2 is not None
    assert found.tissue_mm2 <= 200 * 300 * 0.25e-6 * 1.01


def test_areas_stand_after_reopening_with_their_holes(session_dir: Path) -> None:
    ring = shapely.box(100, 100, 300.25, 300).difference(shapely.box(150, 150, 250, 250))
    with Session.create(session_dir) as session:
        session.add_slide(make_slide())
        assert session.add_area(ring) == "area 1"
        assert session.add_area(((0, 0), (10, 10))) == "area 2"
        assert session.add_area(((0, 0), (10, 10)), "area 1") == "area 1 2"
        session.delete_area("area 2")
    with Session.open(session_dir) as session:
        session.add_slide(make_slide())
        first, second = session.areas()
        assert (first.name, second.name) == ("area 1", "area 1 2")
        assert first.outline is not None
        assert first.outline.equals(ring)


def test_area_that_was_reshaped_keeps_its_name(session: Session) -> None:
    session.add_slide(make_slide())
    session.add_area(((0, 0), (10, 10)), "hot")
    session.replace_area("hot", ((5, 5), (20, 40)))
    (area,) = session.areas()
    assert (area.name, area.box) == ("hot", (5, 5, 20, 40))


def test_unknown_area_is_refused_with_the_names_there_are(session: Session) -> None:
    session.add_slide(make_slide())
    session.add_area(((0, 0), (10, 10)), "hot")
    for act in (session.measure, session.delete_area):
        with pytest.raises(xce.SessionError, match="Its areas: hot"):
            act("cold")


def test_unknown_pixel_size_gives_counts_only(session: Session) -> None:
    session.add_slide(grey_slide())
    found = session.measure()
    assert found.counts == {"lymphocyte": 0, "tumour": 0}
    assert (found.tissue_mm2, found.densities) == (None, None)


def test_grades_follow_a_renamed_class(session: Session) -> None:
    session.set_grades(negative="tumour", weak="lymphocyte")
    session.rename_class("tumour", "Ki67 negative")
    assert session.grades.negative == "Ki67 negative"
    with pytest.raises(xce.SessionError, match="no class 'tumour'"):
        session.set_grades(negative="tumour")


def test_indices_come_from_the_counts(predicted: Session) -> None:
    predicted.set_grades(negative="tumour", weak="lymphocyte")
    found = predicted.measure()
    assert found.positive is not None
    total = sum(found.counts.values())
    assert found.positive.value == found.counts["lymphocyte"] / total
    assert found.h_score is None


def test_csv_has_the_numbers_of_slide_and_areas(predicted: Session, tmp_path: Path) -> None:
    predicted.add_area(((0, 0), SHAPE), "=all")
    predicted.export_measures(tmp_path / "numbers.csv")
    with (tmp_path / "numbers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = {(r["place"], r["class"]): int(r["value"]) for r in rows if r["measure"] == "cells"}
    found = predicted.measure()
    assert counts["slide", "tumour"] == found.counts["tumour"]
    assert counts["'=all", "tumour"] == found.counts["tumour"]  # no formula for a spreadsheet


def test_view_is_measured_beside_the_slide(predicted: Session) -> None:
    slide, view = predicted.measure_all(view=(0.0, 0.0, 200.0, 200.0))
    assert (slide.place, view.place) == ("slide", "view")
    cells = predicted.predict().inside((0.0, 0.0, 200.0, 200.0))
    assert view.counts["tumour"] == np.sum(cells.labels == "tumour")
