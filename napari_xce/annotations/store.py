"""What the user said, on the disk before the call returns: classes, annotations, undo and redo.

The only door to a session's database. It knows no slides and no learning, only their records.
Any thread may call; the viewer writes while the engine reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import ArrayLike

from napari_xce.annotations import classes as class_rows
from napari_xce.annotations import rows as annotation_rows
from napari_xce.annotations import slide_records
from napari_xce.annotations.database import Database
from napari_xce.annotations.journal import Change, Journal, Row
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
    JournalEntry,
    SlideRecord,
    annotations_from_rows,
)
from napari_xce.annotations.shapes import checked_points, checked_polygon, checked_region
from napari_xce.errors import SessionError


class Store:
    """One session's record of what the user said; made by `create` or `open`.

    Every method that changes something is one transaction and one entry in the journal. When it
    returns, the change is on the disk; when it raises, nothing was changed. All raise
    `SessionError`, with a sentence, where the session is closed or the disk fails, beside what
    they list. Coordinates are level-0 pixels, (y, x), float64.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Store.create(f"{folder}/session.sqlite") as store:
    ...         slide = store.add_slide("a", None, "", (100, 100), (0.5, 0.5), "user")
    ...         lymphocyte = store.add_class("lymphocyte")
    ...         ids = store.add_points(slide, "lymphocyte", [[10, 20], [30, 40]])
    ...         print(store.annotations(slide).points.tolist(), store.undo())
    [[10.0, 20.0], [30.0, 40.0]] Add 2 lymphocyte points
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database)
        self._snapshots: dict[str | None, tuple[int, Annotations]] = {}

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Store:
        """Make a new session database at `path` and open it.

        Raises
        ------
        SessionError
            There is something of that name, or the folder is missing or cannot be written.
        """
        return cls(Database.create(path))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open a session database, bringing an older schema up to date.

        Raises
        ------
        SessionError
            It is missing, no session, damaged, of a newer version, not writable, or open elsewhere
            (the sentence says where).
        """
        return cls(Database.open(path))

    def close(self) -> None:
        """Close the database and let others open it; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The database file, absolute."""
        return self._database.path

    @property
    def revision(self) -> int:
        """Grows with every change (undo and redo too, settings not); kept over close and open."""
        return self._journal.revision

    # Slides: records that stay, outside undo

    def add_slide(
        self,
        name: str,
        path: str | os.PathLike[str] | None,
        fingerprint: str,
        shape: tuple[int, int],
        mpp: tuple[float, float] | None,
        mpp_source: str,
        cell_diameter_px: float | None = None,
    ) -> str:
        """Remember a slide; return its id.

        `shape` is (H, W) in level-0 pixels, `mpp` micrometres per pixel (y, x), None if unknown.

        Raises
        ------
        SessionError
            A size is not above 0 and finite.
        """
        fields = dict(
            name=name,
            path=path,
            fingerprint=fingerprint,
            shape=shape,
            mpp=mpp,
            mpp_source=mpp_source,
            cell_diameter_px=cell_diameter_px,
        )
        with self._journal.note() as note:
            slide = slide_records.insert_slide(note.connection, fields)
            note.words = f"Add slide {name}"
        return slide

    def slides(self) -> dict[str, SlideRecord]:
        """Return the slides by id, in the order in which they were added."""
        with self._database.reading() as connection:
            return slide_records.all_slides(connection)

    def update_slide(self, id: str, **fields: Any) -> None:
        """Change fields of a slide, named as in `add_slide`.

        Raises
        ------
        SessionError
            No such slide or field, or a size is not above 0 and finite.
        """
        with self._journal.note() as note:
            record = slide_records.find_slide(note.connection, id)
            slide_records.update_slide(note.connection, record.id, fields)
            note.words = f"Change {', '.join(fields)} of slide {record.name}"

    # Classes

    def classes(self) -> list[CellClass]:
        """Return the classes in the order of creation, background first."""
        with self._database.reading() as connection:
            return class_rows.all_classes(connection)

    def add_class(self, name: str, color: str | None = None, key: str | None = None) -> CellClass:
        """Add a class; without a colour or digit key it gets the next free one.

        Raises
        ------
        SessionError
            The name is empty or taken (also in other case), the colour is not "#rrggbb", the key
            is not "1" to "9" or taken.
        """
        with self._journal.action() as change:
            ids = annotation_rows.new_ids(change.connection, "classes", 1)
            change.creates("classes", ids)
            added = class_rows.insert_class(change.connection, ids[0], name, color, key)
            change.words = f"Add class {added.name}"
        return added

    def rename_class(self, name: str, new: str) -> None:
        """Give a class another name; its annotations follow.

        Raises
        ------
        SessionError
            No such class, it is background, or the new name is empty or taken.
        """
        new = class_rows.clean_name(new)
        self._change_class(
            name,
            "renamed",
            lambda old: (replace(old, name=new), f"Rename class {old.name} to {new}"),
        )

    def recolor_class(self, name: str, color: str) -> None:
        """Give a class another colour, "#rrggbb".

        Raises
        ------
        SessionError
            No such class, or no such colour.
        """
        color = class_rows.clean_color(color)
        self._change_class(
            name, None, lambda old: (replace(old, color=color), f"Recolour class {old.name}")
        )

    def set_class_key(self, name: str, key: str | None) -> None:
        """Give a class another digit key, "1" to "9", or none.

        Raises
        ------
        SessionError
            No such class, it is background, no such key, or it is another class's.
        """
        key = None if key is None else class_rows.clean_key(key)
        words = "Take the key from class {}" if key is None else f"Give class {{}} the key {key}"
        self._change_class(
            name, "given a key", lambda old: (replace(old, key=key), words.format(old.name))
        )

    def _change_class(
        self, name: str, doing: str | None, edit: Callable[[CellClass], tuple[CellClass, str]]
    ) -> None:
        """Write an edited class; `doing` is what background is refused, None if it is not."""
        with self._journal.action() as change:
            if doing is None:
                old = class_rows.find_class(change.connection, name)
            else:
                old = class_rows.find_own_class(change.connection, name, doing)
            new, words = edit(old)
            if new != old:
                change.changes("classes", [old.id])
                class_rows.update_class(change.connection, new)
                change.words = words

    def delete_class(self, name: str) -> None:
        """Delete a class together with its annotations; undo brings both back.

        Raises
        ------
        SessionError
            No such class, or it is background.
        """
        with self._journal.action() as change:
            old = class_rows.find_own_class(change.connection, name, "deleted")
            ids = annotation_rows.ids_of_class(change.connection, old.id)
            change.changes("classes", [old.id])
            change.words = f"Delete class {old.name}"
            if ids:
                change.changes("annotations", ids)
                change.words += f" and its {annotation_rows.counted(len(ids), 'annotation')}"
            class_rows.delete_class(change.connection, old)

    # Annotations

    def add_points(
        self, slide: str, class_name: str, points: ArrayLike, provenance: str = HUMAN
    ) -> list[str]:
        """Add points (N, 2) of a class in one action; return their ids.

        Raises
        ------
        SessionError
            No such slide, class or provenance ("human", "accepted", "imported"), the class is
            background (use `reject`), or the points are not finite numbers of shape (N, 2).
        """
        if provenance not in PROVENANCES:
            raise SessionError(f"Provenance must be one of {', '.join(PROVENANCES)}.")
        with self._journal.action() as change:
            found = class_rows.find_class(change.connection, class_name)
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
            No such slide, or the points are not finite numbers of shape (N, 2).
        """
        with self._journal.action() as change:
            background = class_rows.find_class(change.connection, BACKGROUND)
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
        record = slide_records.find_slide(change.connection, slide)
        if not len(checked):
            return []
        noun = "rejection" if kind == REJECTION else f"{found.name} point"
        change.words = f"Add {annotation_rows.counted(len(checked), noun)}"
        return annotation_rows.insert_points(change, record.id, found.id, kind, checked, provenance)

    def add_mask(self, slide: str, class_name: str, polygon: ArrayLike) -> str:
        """Add an outline (M, 2) whose inside is of a class (background too); return its id.

        Raises
        ------
        SessionError
            No such slide or class, or the outline encloses nothing.
        """
        vertices = checked_polygon(polygon)
        with self._journal.action() as change:
            record = slide_records.find_slide(change.connection, slide)
            found = class_rows.find_class(change.connection, class_name)
            id_ = annotation_rows.insert_polygon(change, record.id, found.id, MASK, vertices)
            change.words = f"Draw a {found.name} mask"
        return id_

    def review(self, slide: str, polygon: ArrayLike) -> str:
        """Declare a region complete: inside, what is not annotated is background; return its id.

        `polygon` is an outline (M, 2), or two opposite corners ((y0, x0), (y1, x1)) of a rectangle.

        Raises
        ------
        SessionError
            No such slide, or the outline encloses nothing.
        """
        vertices = checked_region(polygon)
        with self._journal.action() as change:
            record = slide_records.find_slide(change.connection, slide)
            id_ = annotation_rows.insert_polygon(change, record.id, 0, REGION, vertices)
            change.words = "Review a region"
        return id_

    def move(self, ids: Sequence[str], points: ArrayLike) -> None:
        """Move annotations to points (N, 2), one for each id; a mask is carried by its centroid.

        Raises
        ------
        SessionError
            No such annotation, one is named twice, or the points are not N finite (y, x).
        """
        checked = checked_points(points)
        if len(set(ids)) != len(checked) or len(ids) != len(checked):
            raise SessionError(
                f"Give one place for each: {len(ids)} ids and {len(checked)} points."
            )
        places = dict(zip(map(str, ids), checked.tolist(), strict=True))
        with self._journal.action() as change:
            rows = annotation_rows.rows_to_change(change, ids)
            new = [annotation_rows.moved(row, places[str(row[annotation_rows.ID])]) for row in rows]
            self._replace(change, rows, new, "Move {}")

    def relabel(self, ids: Sequence[str], class_name: str) -> None:
        """Give annotations another class; a point of background is a rejection, and back.

        Raises
        ------
        SessionError
            No such annotation or class, or one is a reviewed region, which has no class.
        """
        with self._journal.action() as change:
            found = class_rows.find_class(change.connection, class_name)
            rows = annotation_rows.rows_to_change(change, ids)
            new = [annotation_rows.relabelled(row, found.id) for row in rows]
            self._replace(change, rows, new, f"Relabel {{}} as {found.name}")

    def _replace(self, change: Change, rows: Sequence[Row], new: Sequence[Row], words: str) -> None:
        """Write edited rows; where all are as before, the action is none."""
        if list(rows) != list(new):
            change.words = words.format(annotation_rows.describe(change.connection, rows))
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
        with self._database.reading() as connection:
            revision, snapshot = self._snapshots.get(slide, (-1, None))
            if snapshot is not None and revision == self.revision:
                return snapshot
            if slide is not None:
                slide_records.find_slide(connection, slide)
            revision = self.revision
            names = {found.id: found.name for found in class_rows.all_classes(connection)}
            rows = annotation_rows.select_rows(connection, slide)
        made = annotations_from_rows(rows, names)
        self._snapshots[slide] = (revision, made)
        return made

    # Undo and redo

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return self._journal.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone action to redo."""
        return self._journal.can_redo

    def undo(self) -> str | None:
        """Take the latest action back; return its words ("Add 3 lymphocyte points"), or None."""
        return self._journal.undo()

    def redo(self) -> str | None:
        """Do the action undone last once more; return its words, or None."""
        return self._journal.redo()

    def journal(self) -> list[JournalEntry]:
        """Return every action ever taken, undone or redone, the oldest first."""
        return self._journal.entries()

    # Settings: outside undo and the journal

    def get_setting(self, key: str, default: Any = None) -> Any:
        """Return a setting as JSON gives it back, or `default` where it was never set."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_setting(self, key: str, value: Any) -> None:
        """Keep anything that JSON can hold under a name.

        Raises
        ------
        SessionError
            JSON cannot hold it.
        """
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SessionError(f"The setting {key!r} cannot be kept as JSON: {error}.") from error
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, text))
