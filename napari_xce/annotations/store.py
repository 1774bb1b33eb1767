"""What the user said, on the disk before the call returns: classes, annotations, areas, undo.

The only door to a session's database. It knows no slides and no learning, only their records.
Any thread may call; the viewer writes while the engine reads.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from napari_xce.annotations.annotation_store import AnnotationStore
from napari_xce.annotations.areas import AreaStore, middles
from napari_xce.annotations.classes import ClassStore
from napari_xce.annotations.database import Database
from napari_xce.annotations.records import JournalEntry
from napari_xce.annotations.rows import SLIDE, X, Y
from napari_xce.annotations.shapes import Points
from napari_xce.annotations.slides import SlideStore, slide_id
from napari_xce.errors import SessionError


class Store(SlideStore, ClassStore, AnnotationStore, AreaStore):
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
        super().__init__(database)
        self._settings: dict[str, str | None] = {}  # those asked for, as they are on the disk

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
        database = Database.open(path)
        try:
            return cls(database)
        except BaseException:
            database.close()
            raise

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

    def places_restored(self) -> dict[str, Points]:
        """Return where the latest undo or redo changed annotations and areas, by slide: (N, 2).

        Of what was moved, both places; of a mask, region or area the middle.
        """
        replaced = self._journal.replaced
        places = middles(replaced.get("areas", []))
        rows = replaced.get("annotations", [])
        places += [(slide_id(row[SLIDE]), row[Y], row[X]) for row in rows]
        return {
            slide: np.array([(y, x) for found, y, x in places if found == slide])
            for slide in {slide for slide, _, _ in places}
        }

    def together(self, words: str) -> AbstractContextManager[None]:
        """Make one action, and one step of undo, of all that a ``with`` block does.

        All of it is done or, where the block raises, none. `words` say what it is. Annotations,
        areas and classes may be changed in the block, settings and slides may not.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Store.create(f"{folder}/session.sqlite") as store:
        ...         with store.together("Add the usual classes"):
        ...             tumour, stroma = store.add_class("tumour"), store.add_class("stroma")
        ...         print(store.undo(), len(store.classes()))
        Add the usual classes 1
        """
        return self._journal.together(words)

    def journal(self) -> list[JournalEntry]:
        """Return every action ever taken, undone or redone, the oldest first."""
        return self._journal.entries()

    def audit(self) -> None:
        """Tell the whole history anew, and compare its end with what stands.

        Raises
        ------
        SessionError
            The history is damaged; or they differ, because the file was damaged, or changed by
            another program.
        """
        self._journal.audit()

    # Settings: outside undo and the journal

    def get_setting(self, key: str, default: Any = None) -> Any:
        """Return a setting as JSON gives it back; `default` where never set, or damaged."""
        if key not in self._settings or self._database.closed:
            with self._database.reading() as connection:
                row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,))
                (self._settings[key],) = row.fetchone() or (None,)
        text = self._settings[key]  # without waiting for another thread that writes
        try:
            return default if text is None else json.loads(text)
        except ValueError:
            return default

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
        self._settings[key] = text
