"""What a session counts: cells and densities of the slide and of areas drawn on it, and indices.

An area is where cells are counted; it teaches the model nothing. Undo takes it back like all that
was said. Grades are a setting of the session, outside undo.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from numpy.typing import ArrayLike

from napari_xce.annotations.areas import SLIDE, VIEW, no_area
from napari_xce.annotations.journal import counted
from napari_xce.errors import ExchangeError, SessionError, XceWarning
from napari_xce.exchange import read_areas
from napari_xce.exchange.stopping import ask_stop
from napari_xce.exchange.tables import write_rows
from napari_xce.measures import (
    Grades,
    Measures,
    Place,
    as_rows,
    measure,
    place_of_box,
    place_of_outline,
)
from napari_xce.measures.places import Outline
from napari_xce.predictions.detections import Box
from napari_xce.session.files import SessionFiles
from napari_xce.session.predictions import as_box

_GRADES = "grades"


class SessionMeasures(SessionFiles):
    """The part of a session that counts."""

    # ---- areas

    def areas(self, slide: str | None = None) -> list[Place]:
        """Return the areas of a slide in the order they were made."""
        id = self._slide_id(slide)
        return [place_of_outline(area.name, area.outline) for area in self.store.areas(id)]

    def add_area(
        self, outline: ArrayLike | Outline, name: str | None = None, slide: str | None = None
    ) -> str:
        """Add an area to count in; it is on the disk when this returns.

        Parameters
        ----------
        outline : array_like, float, shape (M, 2), or shapely Polygon or MultiPolygon
            Corners (y, x), level-0 pixels; two are opposite corners of a rectangle. Of shapely,
            coordinates (x, y), holes and all.
        name : str, optional
            By default "area 1", "area 2" and so on.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        str
            Its name; one that is taken gets a number.

        Raises
        ------
        XceError
            The area encloses nothing.
        """
        place = place_of_outline("area", outline)
        return self.store.add_areas(self._slide_id(slide), [name], [_outline(place)])[0]

    def import_areas(self, path: str | Path, slide: str | None = None) -> list[str]:
        """Read the annotated polygons of a GeoJSON file (QuPath) in as areas, holes and all; one
        undo takes all of them back.

        Parameters
        ----------
        path : path
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        list of str
            Their names: of the object, else of its class; a warning says what was left out.

        Raises
        ------
        ExchangeError
            The file is not as it must be, or has no such polygon.
        XceError
            One encloses nothing.
        """
        id = self._slide_id(slide)
        found, notes = read_areas(path, origin=self.slides[id].bounds_origin)
        if not found:
            raise ExchangeError(f"{path} has no annotated polygons to count in.")
        outlines = [_outline(place_of_outline(name, shape)) for name, shape in found]
        ask_stop(f"{path} was not read in: it was stopped.")
        with self.store.together(f"Import {counted(len(found), 'area')} from {Path(path).name}"):
            names = self.store.add_areas(id, [name for name, _ in found], outlines)
        if notes:
            warnings.warn(" ".join(notes), XceWarning, stacklevel=2)
        return names

    def replace_area(
        self, name: str, outline: ArrayLike | Outline, slide: str | None = None
    ) -> None:
        """Give an area another outline.

        Raises
        ------
        SessionError
            There is no such area.
        """
        place = place_of_outline(name, outline)
        self.store.reshape_area(self._slide_id(slide), name, _outline(place))

    def rename_area(self, name: str, new: str, slide: str | None = None) -> str:
        """Give an area another name; return it, with a number where it was taken.

        Raises
        ------
        SessionError
            There is no such area.
        """
        return self.store.rename_area(self._slide_id(slide), name, new)

    def delete_area(self, name: str, slide: str | None = None) -> None:
        """Delete an area.

        Raises
        ------
        SessionError
            There is no such area.
        """
        self.store.delete_area(self._slide_id(slide), name)

    # ---- grades

    @property
    def grades(self) -> Grades:
        """Which class stands for which grade of staining."""
        kept = self.store.get_setting(_GRADES, {})  # by number, as classes may be renamed
        names = self._names_by_id()
        return Grades(**{grade: names[id] for grade, id in kept.items() if id in names})

    def set_grades(
        self,
        negative: str | None = None,
        weak: str | None = None,
        moderate: str | None = None,
        strong: str | None = None,
    ) -> None:
        """Say which classes the labelling index and the H-score are made of.

        For a plain pair the positive class is `weak`; the H-score needs two grades of positive.

        Raises
        ------
        SessionError
            There is no such class.
        XceError
            A class is named twice.
        """
        numbers = {name: id for id, name in self._names_by_id().items()}
        chosen = {n: c for n, c in asdict(Grades(negative, weak, moderate, strong)).items() if c}
        for name in chosen.values():
            if name not in numbers:
                raise SessionError(f"There is no class {name!r} to grade by.")
        self.store.set_setting(_GRADES, {grade: numbers[name] for grade, name in chosen.items()})

    # ---- numbers

    def measure(
        self,
        area: str | ArrayLike | Outline | None = None,
        slide: str | None = None,
    ) -> Measures:
        """Count the cells found so far on the slide or in one area, with density and indices.

        Parameters
        ----------
        area : str, array_like or shapely geometry, optional
            Name of an area, or an outline as for :meth:`add_area`; by default the whole slide.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        Measures
            Densities are per square millimetre of tissue that was predicted; ``predicted`` says
            how much of the tissue that is. Without a pixel size there are counts only.

        Raises
        ------
        SessionError
            There is no such area.
        XceError
            The outline encloses nothing.

        Notes
        -----
        Nothing is predicted here: call ``predict`` first.
        """
        id = self._slide_id(slide)
        if area is None:
            place = place_of_box(SLIDE, as_box(None, self.slides[id].shape))
        elif isinstance(area, str):
            place = self._area(area, id)
        else:
            place = place_of_outline("area", area)
        return self._measure(id, [place])[0]

    def measure_all(self, slide: str | None = None, view: Box | None = None) -> list[Measures]:
        """Measure the slide, the view (y0, x0, y1, x1) if given, and every area."""
        id = self._slide_id(slide)
        places = [place_of_box(SLIDE, as_box(None, self.slides[id].shape))]
        places += [place_of_box(VIEW, view)] if view is not None else []
        return self._measure(id, [*places, *self.areas(id)])

    def _area(self, name: str, id: str) -> Place:
        known = self.areas(id)
        for place in known:
            if place.name == name:
                return place
        raise no_area(name, [place.name for place in known])

    def _measure(self, id: str, places: Sequence[Place]) -> list[Measures]:
        """Measure places of a slide, all from the same cells."""
        self.follow_classes()
        predictions = self.predictions[id]
        cells = self._cells(id)
        done = predictions.detections.tiles()
        return [
            measure(
                place,
                cells,
                self.class_names,
                tissue=self.tissue(id),
                grid=predictions.grid,
                done=done,
                mpp=self.slides[id].mpp,
                grades=self.grades,
            )
            for place in places
        ]

    def export_measures(self, path: str | Path, slide: str | None = None) -> Path:
        """Write the numbers of the slide and of every area as a table (CSV), one number a row.

        Raises
        ------
        ExchangeError
            The file cannot be written.
        """
        write_rows(path, as_rows(self.measure_all(slide)))
        return Path(path)


def _outline(place: Place) -> Outline:
    """Return the outline of an area, which has one."""
    assert place.outline is not None
    return place.outline
