"""The part of the store that keeps annotations: points, rejections, masks, reviewed regions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from napari_xce.annotations import rows as annotation_rows
from napari_xce.annotations.classes import all_classes, find_class
from napari_xce.annotations.database import Database
from napari_xce.annotations.images import EVERY_ID, Row, Runs
from napari_xce.annotations.journal import Change, JournalledStore, counted
from napari_xce.annotations.records import (
    BACKGROUND,
    HUMAN,
    MASK,
    POINT,
    PROVENANCES,
    REGION,
    REJECTION,
    Annotations,
    CellClass,
)
from napari_xce.annotations.shapes import (
    centroid,
    checked_points,
    checked_polygon,
    checked_region,
)
from napari_xce.annotations.slides import find_slide, refuse_outside
from napari_xce.errors import SessionError

#: Of ids that are read anew one by one. Among 20,000 annotations 300 runs take a third of the time
#: of reading all, 1,000 as long; among 200,000 a tenth; among 2,000 more, but all of it is little.
_MOST_RUNS = 300


class AnnotationStore(JournalledStore):
    """The part of the store that keeps annotations. Coordinates: level-0 pixels, (y, x)."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._snapshots: dict[str | None, tuple[int, Annotations]] = {}
        self._journal.heed(self._renew)

    def add_points(
        self, slide: str, class_name: str, points: ArrayLike, provenance: str = HUMAN
    ) -> list[str]:
        """Add points (N, 2) of a class in one action; return their ids.

        Raises
        ------
        SessionError
            No such slide, class or provenance ("human", "accepted", "imported"), the class is
            background (use `reject`), or the points are not finite numbers of shape (N, 2) on the
            slide.
        """
        _check_provenance(provenance)
        with self._journal.action() as change:
            found = find_class(change.connection, class_name)
            if found.id == 0:
                raise SessionError(
                    "Points cannot be of the class 'background': use reject instead."
                )
            return self._add_points(change, slide, found, POINT, points, provenance)

    def reject(self, slide: str, points: ArrayLike) -> list[str]:
        """Say that at these points (N, 2) there is no cell of any class; return their ids.

        Raises
        ------
        SessionError
            No such slide, or the points are not finite numbers of shape (N, 2) on the slide.
        """
        with self._journal.action() as change:
            background = find_class(change.connection, BACKGROUND)
            return self._add_points(change, slide, background, REJECTION, points, HUMAN)

    def _add_points(
        self,
        change: Change,
        slide: str,
        found: CellClass,
        kind: str,
        points: ArrayLike,
        provenance: str,
    ) -> list[str]:
        checked = checked_points(points)
        number, _ = find_slide(change.connection, slide)
        refuse_outside(change.connection, number, checked)
        if not len(checked):
            return []
        noun = "rejection" if kind == REJECTION else f"{found.name} point"
        change.words = f"Add {counted(len(checked), noun)}"
        return annotation_rows.insert_points(change, number, found.id, kind, checked, provenance)

    def add_mask(self, slide: str, class_name: str, polygon: ArrayLike) -> str:
        """Add an outline (M, 2) whose inside is of a class (background too); return its id.

        Raises
        ------
        SessionError
            No such slide or class, the outline encloses nothing, or its middle is off the slide.
        """
        return self.add_masks(slide, class_name, [polygon])[0]

    def add_masks(
        self, slide: str, class_name: str, polygons: Sequence[ArrayLike], provenance: str = HUMAN
    ) -> list[str]:
        """Add outlines (M, 2) of a class in one action; return their ids.

        Raises
        ------
        SessionError
            As for `add_points` and `add_mask`; none is added then.
        """
        _check_provenance(provenance)
        vertices = [checked_polygon(polygon) for polygon in polygons]
        with self._journal.action() as change:
            number, _ = find_slide(change.connection, slide)
            found = find_class(change.connection, class_name)
            if not vertices:
                return []
            middles = np.array([centroid(polygon) for polygon in vertices])
            refuse_outside(change.connection, number, middles)
            count = len(vertices)
            noun = f"{found.name} mask"
            change.words = f"Draw a {noun}" if count == 1 else f"Draw {counted(count, noun)}"
            return annotation_rows.insert_polygons(
                change, number, found.id, MASK, vertices, provenance
            )

    def review(self, slide: str, polygon: ArrayLike, set_aside: bool = False) -> str:
        """Declare a region complete: inside, what is not annotated is background; return its id.

        `polygon` is an outline (M, 2), or two opposite corners ((y0, x0), (y1, x1)) of a rectangle.
        One that is set aside serves to test: nothing is learnt from it, nor from what lies in it.

        Raises
        ------
        SessionError
            No such slide, the outline encloses nothing, or its middle is off the slide.
        """
        vertices = checked_region(polygon)
        with self._journal.action() as change:
            number, _ = find_slide(change.connection, slide)
            refuse_outside(change.connection, number, centroid(vertices)[np.newaxis])
            change.words = "Set a region aside for testing" if set_aside else "Review a region"
            return annotation_rows.insert_polygons(
                change, number, 0, REGION, [vertices], set_aside=set_aside
            )[0]

    def move(self, ids: Sequence[str], points: ArrayLike) -> None:
        """Move annotations to points (N, 2), one for each id; a mask is carried by its centroid.

        Raises
        ------
        SessionError
            No such annotation, one is named twice, or the points are not N finite (y, x) on the
            slide.
        """
        checked = checked_points(points)
        if len(set(ids)) != len(checked) or len(ids) != len(checked):
            raise SessionError(
                f"Give one place for each: {len(ids)} ids and {len(checked)} points."
            )
        places = dict(zip(map(str, ids), checked.tolist(), strict=True))
        with self._journal.action() as change:
            rows = annotation_rows.rows_to_change(change, ids)
            for number in {row[annotation_rows.SLIDE] for row in rows}:
                mine = [places[str(r[0])] for r in rows if r[annotation_rows.SLIDE] == number]
                refuse_outside(change.connection, number, np.array(mine))
            new = [annotation_rows.moved(row, places[str(row[annotation_rows.ID])]) for row in rows]
            self._replace(change, rows, new, "Move", "")

    def reshape(self, ids: Sequence[str], polygons: Sequence[ArrayLike]) -> None:
        """Give masks and reviewed regions other outlines, (M, 2) or two corners, one for each id.

        Raises
        ------
        SessionError
            No such annotation, one is a point or named twice, or an outline encloses nothing or
            lies off the slide.
        """
        if not len(set(ids)) == len(ids) == len(polygons):
            raise SessionError(
                f"Give one outline for each: {len(ids)} ids and {len(polygons)} outlines."
            )
        outlines = dict(zip(map(str, ids), map(checked_region, polygons), strict=True))
        with self._journal.action() as change:
            rows = annotation_rows.rows_to_change(change, ids)
            new = [
                annotation_rows.reshaped(row, outlines[str(row[annotation_rows.ID])])
                for row in rows
            ]
            for row in new:
                middle = np.array([[row[annotation_rows.Y], row[annotation_rows.X]]])
                refuse_outside(change.connection, row[annotation_rows.SLIDE], middle)
            self._replace(change, rows, new, "Change", "")

    def relabel(self, ids: Sequence[str], class_name: str) -> None:
        """Give annotations another class; a point of background is a rejection, and back.

        Raises
        ------
        SessionError
            No such annotation or class, or one is a reviewed region, which has no class.
        """
        with self._journal.action() as change:
            found = find_class(change.connection, class_name)
            rows = annotation_rows.rows_to_change(change, ids)
            new = [annotation_rows.relabelled(row, found.id) for row in rows]
            self._replace(change, rows, new, "Relabel", f" as {found.name}")

    def _replace(
        self, change: Change, rows: list[Row], new: list[Row], verb: str, ending: str
    ) -> None:
        """Write edited rows; where all are as before, the action is none."""
        if rows != new:
            described = annotation_rows.describe(change.connection, rows)
            change.words = f"{verb} {described}{ending}"
            annotation_rows.update_rows(change.connection, new)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete annotations.

        Raises
        ------
        SessionError
            One of them is not there; none is deleted then.
        """
        with self._journal.action() as change:
            rows = annotation_rows.rows_to_change(change, ids)
            if rows:
                change.words = f"Delete {annotation_rows.describe(change.connection, rows)}"
                annotation_rows.delete_rows(change.connection, rows)

    def annotations(self, slide: str | None = None) -> Annotations:
        """Return what stands now, on one slide or on all, in the order of creation.

        Raises
        ------
        SessionError
            No such slide.

        Notes
        -----
        The arrays are read-only; until something changes, the same object is returned.
        """
        return self._read(self._snapshots, slide, lambda connection: _standing(connection, slide))

    def _renew(self, entry: int, touched: dict[str, Runs]) -> None:
        """Bring what was read up to date with an entry, reading only what it touched."""
        runs = touched.get("annotations", [])
        for slide, (_, kept) in list(self._snapshots.items()):
            try:
                with self._database.reading() as connection:
                    if "classes" in touched or len(runs) > _MOST_RUNS:
                        made = _standing(connection, slide)
                    else:
                        fresh = [_standing(connection, slide, run) for run in runs]
                        made = annotation_rows.replace_runs(kept, runs, fresh)
                self._snapshots[slide] = (entry, made)
            except SessionError:  # what was written stands; whoever reads it next is told
                del self._snapshots[slide]

    def annotations_at(self, revision: int, slide: str | None = None) -> Annotations:
        """Return what stood after an entry of the journal (its id), on one slide or on all.

        Raises
        ------
        SessionError
            No such slide, or the history is damaged so far back.
        """
        with self._journal.at(revision) as connection:
            return _standing(connection, slide)


def _standing(
    connection: sqlite3.Connection, slide: str | None, run: tuple[int, int] = EVERY_ID
) -> Annotations:
    """Return what the tables hold, on one slide or on all, of a run of ids."""
    number = None if slide is None else find_slide(connection, slide)[0]
    names = {found.id: found.name for found in all_classes(connection)}
    rows = annotation_rows.select_rows(connection, number, run)
    try:
        return annotation_rows.arrays_of_rows(rows, names)
    except (KeyError, TypeError, ValueError) as error:
        raise SessionError(
            f"An annotation of the session is damaged ({error}): another program wrote it. Restore "
            "the session from a backup."
        ) from error


def _check_provenance(provenance: str) -> None:
    if provenance not in PROVENANCES:
        raise SessionError(f"Provenance must be one of {', '.join(PROVENANCES)}.")
