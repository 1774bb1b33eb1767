"""The part of the store that keeps areas: outlines to count in, which teach the model nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence, Set
from itertools import count

import shapely

from napari_xce.annotations.database import Database
from napari_xce.annotations.images import COLUMNS, Row
from napari_xce.annotations.journal import Change, JournalledStore, counted
from napari_xce.annotations.records import Area
from napari_xce.annotations.slides import find_slide, slide_id
from napari_xce.errors import SessionError

Outline = shapely.Polygon | shapely.MultiPolygon

SLIDE, VIEW = "slide", "view"  # where else cells are counted; no area is called so
_LONGEST_NAME = 200
_NAMES = ", ".join(COLUMNS["areas"])


class AreaStore(JournalledStore):
    """The part of the store that keeps areas, each known by its name on its slide."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._areas: dict[str, tuple[int, list[Area]]] = {}

    def areas(self, slide: str) -> list[Area]:
        """Return the areas of a slide in the order in which they were made.

        Raises
        ------
        SessionError
            No such slide.
        """
        kept = self._read(self._areas, slide, lambda connection: _standing(connection, slide))
        return list(kept)

    def add_areas(
        self, slide: str, names: Sequence[str | None], outlines: Sequence[Outline]
    ) -> list[str]:
        """Add areas, outlines in (x, y), level-0 pixels, in one action.

        Returns
        -------
        list of str
            Their names: one that is taken gets a number, None becomes "area 1", "area 2" and so on.

        Raises
        ------
        SessionError
            No such slide.
        """
        with self._journal.action() as change:
            number, _ = find_slide(change.connection, slide)
            taken = {row[2] for row in _rows(change.connection, number)}
            free: list[str] = []
            for name in names:
                free.append(_free_name(name, taken))
                taken.add(free[-1])
            if not free:
                return []
            ids = change.creates("areas", len(free))
            change.connection.executemany(
                f"INSERT INTO areas ({_NAMES}) VALUES (?, ?, ?, ?)",
                [
                    (id_, number, name, shapely.to_wkb(outline))
                    for id_, name, outline in zip(ids, free, outlines, strict=True)
                ],
            )
            change.words = f"Add {free[0] if len(free) == 1 else counted(len(free), 'area')}"
        return free

    def rename_area(self, slide: str, name: str, new: str) -> str:
        """Give an area another name; return it, with a number where it was taken.

        Raises
        ------
        SessionError
            No such slide or area.
        """
        with self._journal.action() as change:
            row, others = _to_change(change, slide, name)
            free = _free_name(new, others)
            if free != name:
                change.words = f"Rename {name} to {free}"
                change.connection.execute("UPDATE areas SET name = ? WHERE id = ?", (free, row[0]))
        return free

    def reshape_area(self, slide: str, name: str, outline: Outline) -> None:
        """Give an area another outline, in (x, y), level-0 pixels.

        Raises
        ------
        SessionError
            No such slide or area.
        """
        new = shapely.to_wkb(outline)
        with self._journal.action() as change:
            row, _ = _to_change(change, slide, name)
            if new != row[3]:
                change.words = f"Change {name}"
                change.connection.execute(
                    "UPDATE areas SET outline = ? WHERE id = ?", (new, row[0])
                )

    def delete_area(self, slide: str, name: str) -> None:
        """Delete an area.

        Raises
        ------
        SessionError
            No such slide or area.
        """
        with self._journal.action() as change:
            row, _ = _to_change(change, slide, name)
            change.words = f"Delete {name}"
            change.connection.execute("DELETE FROM areas WHERE id = ?", (row[0],))


def middles(rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    """Return the slide and the middle (y, x) of each of these rows of areas."""
    boxes = shapely.bounds(shapely.from_wkb([row[3] for row in rows])).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2  # (N, 2), (x, y)
    return [(slide_id(row[1]), y, x) for row, (x, y) in zip(rows, centres.tolist(), strict=True)]


def no_area(name: str, known: Sequence[str]) -> SessionError:
    """Say that there is no area of that name, and which there are."""
    names = ", ".join(known) or "none"
    return SessionError(f"There is no area {name!r} on this slide. Its areas: {names}.")


def _standing(connection: sqlite3.Connection, slide: str) -> list[Area]:
    number, _ = find_slide(connection, slide)
    return [Area(row[2], row[3]) for row in _rows(connection, number)]


def _rows(connection: sqlite3.Connection, number: int) -> list[Row]:
    statement = f"SELECT {_NAMES} FROM areas WHERE slide = ? ORDER BY id"
    return connection.execute(statement, (number,)).fetchall()


def _to_change(change: Change, slide: str, name: str) -> tuple[Row, Set[str]]:
    """Return an area's row, kept for undo, and the names of the slide's others."""
    number, _ = find_slide(change.connection, slide)
    rows = {row[2]: row for row in _rows(change.connection, number)}
    if name not in rows:
        raise no_area(name, list(rows))
    (row,) = change.changes("areas", [rows[name][0]])
    return row, rows.keys() - {name}


def _free_name(wanted: str | None, taken: Set[str]) -> str:
    """Return a name that no other area has."""
    name = " ".join((wanted or "").split())[:_LONGEST_NAME]
    if name and name not in taken and name not in (SLIDE, VIEW):
        return name
    stem = name or "area"
    return next(new for n in count(2 if name else 1) if (new := f"{stem} {n}") not in taken)
