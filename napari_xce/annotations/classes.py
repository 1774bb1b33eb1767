"""Classes of cells: what names, colours and digit keys may be, and their rows."""

from __future__ import annotations

import colorsys
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace

from napari_xce.annotations.database import Database
from napari_xce.annotations.journal import Change, JournalledStore, counted
from napari_xce.annotations.records import BACKGROUND, CellClass
from napari_xce.errors import SessionError

KEYS = tuple("123456789")

# After Okabe & Ito, "Color Universal Design" (2008): told apart by the colour-blind too. Their
# green, blue, vermillion and purple are changed, because some eyes do not see those on the pink and
# violet of H&E; tests/annotations/test_palette.py holds both.
PALETTE = ("#e69f00", "#56b4e9", "#00a868", "#f0e442", "#0000cc", "#b33c00", "#99ffcc")
_GOLDEN_RATIO = 0.618034  # as a step in hue it never comes back to where it was


class ClassStore(JournalledStore):
    """The part of the store that keeps classes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._classes: dict[None, tuple[int, list[CellClass]]] = {}

    def classes(self) -> list[CellClass]:
        """Return the classes in the order of creation, background first."""
        kept = self._read(self._classes, None, all_classes)
        return list(kept)

    def add_class(self, name: str, color: str | None = None, key: str | None = None) -> CellClass:
        """Add a class; without a colour or digit key it gets the next free one.

        Raises
        ------
        SessionError
            The name is empty or taken (also in other case), the colour is not "#rrggbb", the key
            is not "1" to "9" or taken.
        """
        with self._journal.action() as change:
            present = all_classes(change.connection)
            (number,) = change.creates("classes", 1)
            added = CellClass(
                id=number,
                name=clean_name(name),
                color=_next_color(present) if color is None else clean_color(color),
                key=_next_key(present) if key is None else clean_key(key),
            )
            _refuse_double(added, present)
            change.connection.execute(
                "INSERT INTO classes (id, name, color, key) VALUES (?, ?, ?, ?)",
                (added.id, added.name, added.color, added.key),
            )
            change.words = f"Add class {added.name}"
        return added

    def rename_class(self, name: str, new: str) -> None:
        """Give a class another name; its annotations follow.

        Raises
        ------
        SessionError
            No such class, it is background, or the new name is empty or taken.
        """
        new = clean_name(new)
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
        color = clean_color(color)
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
        key = None if key is None else clean_key(key)
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
                old = find_class(change.connection, name)
            else:
                old = find_own_class(change.connection, name, doing)
            new, words = edit(old)
            if new != old:
                change.changes("classes", [old.id])
                _refuse_double(new, all_classes(change.connection))
                change.connection.execute(
                    "UPDATE classes SET name = ?, color = ?, key = ? WHERE id = ?",
                    (new.name, new.color, new.key, new.id),
                )
                change.words = words

    def delete_class(self, name: str) -> None:
        """Delete a class together with its annotations; undo brings both back.

        Raises
        ------
        SessionError
            No such class, or it is background.
        """
        with self._journal.action() as change:
            old = find_own_class(change.connection, name, "deleted")
            count = _keep_with_annotations(change, old)
            change.words = f"Delete class {old.name}"
            if count:
                change.words += f" and its {counted(count, 'annotation')}"
            change.connection.execute("DELETE FROM annotations WHERE class = ?", (old.id,))
            change.connection.execute("DELETE FROM classes WHERE id = ?", (old.id,))

    def merge_class(self, name: str, into: str) -> None:
        """Give the annotations of a class to another one, and delete it; undo parts them again.

        Raises
        ------
        SessionError
            No such class, one of them is background, or both are the same.
        """
        with self._journal.action() as change:
            old = find_own_class(change.connection, name, "merged")
            target = find_own_class(change.connection, into, "merged")
            if old.id == target.id:
                raise SessionError(f"The class {old.name!r} cannot be merged with itself.")
            count = _keep_with_annotations(change, old)
            change.words = f"Merge class {old.name} into {target.name}"
            if count:
                change.words += f", {counted(count, 'annotation')}"
            change.connection.execute(
                "UPDATE annotations SET class = ? WHERE class = ?", (target.id, old.id)
            )
            change.connection.execute("DELETE FROM classes WHERE id = ?", (old.id,))


def _keep_with_annotations(change: Change, old: CellClass) -> int:
    """Keep a class and its annotations for undo; return how many annotations it has."""
    found = change.connection.execute("SELECT id FROM annotations WHERE class = ?", (old.id,))
    ids = [row[0] for row in found]
    change.changes("classes", [old.id])
    if ids:
        change.changes("annotations", ids)
    return len(ids)


def all_classes(connection: sqlite3.Connection) -> list[CellClass]:
    """Return the classes in the order of creation, background first."""
    rows = connection.execute("SELECT id, name, color, key FROM classes ORDER BY id")
    return [CellClass(*row) for row in rows]


def find_class(connection: sqlite3.Connection, name: str) -> CellClass:
    """Return the class of that name.

    Raises
    ------
    SessionError
        There is none; the sentence lists those that there are.
    """
    cleaned = clean_name(name)
    classes = all_classes(connection)
    for cell_class in classes:
        if cell_class.name == cleaned:
            return cell_class
    known = ", ".join(cell_class.name for cell_class in classes[1:]) or "none yet"
    raise SessionError(f"There is no class {name!r} (classes: {known}). Add it first.")


def find_own_class(connection: sqlite3.Connection, name: str, doing: str) -> CellClass:
    """Return a class of the user's; background may not be renamed, deleted and so on."""
    found = find_class(connection, name)
    if found.id == 0:
        raise SessionError(f"The class {BACKGROUND!r} is built in and cannot be {doing}.")
    return found


def clean_name(name: str) -> str:
    """Return a name without spaces around it or double ones inside."""
    if not isinstance(name, str):
        raise SessionError(f"The name of a class must be a text, not {name!r}.")
    cleaned = unicodedata.normalize("NFC", " ".join(name.split()))
    if not cleaned:
        raise SessionError("The name of a class is empty; give it one, such as 'lymphocyte'.")
    if not cleaned.isprintable():
        raise SessionError(f"The name {cleaned!r} holds characters that cannot be shown.")
    return cleaned


def clean_color(color: str) -> str:
    """Return a colour as lower-case "#rrggbb"."""
    if not isinstance(color, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        raise SessionError(f"{color!r} is no colour; write it as '#rrggbb', such as '#e69f00'.")
    return color.lower()


def clean_key(key: str) -> str:
    """Return a digit key, "1" to "9"."""
    if key not in KEYS:
        raise SessionError(f"{key!r} cannot be the key of a class; choose a digit from '1' to '9'.")
    return key


def _refuse_double(candidate: CellClass, classes: list[CellClass]) -> None:
    for other in classes:
        if other.id == candidate.id:
            continue
        if other.name.casefold() == candidate.name.casefold():
            raise SessionError(f"There is a class {other.name!r} already; choose another name.")
        if candidate.key is not None and other.key == candidate.key:
            raise SessionError(
                f"The key {candidate.key} belongs to the class {other.name!r}; choose another, or "
                "take it from that class first."
            )


def _next_color(classes: list[CellClass]) -> str:
    used = {cell_class.color for cell_class in classes}
    return next(color for color in _palette() if color not in used)


def _next_key(classes: list[CellClass]) -> str | None:
    used = {cell_class.key for cell_class in classes}
    return next((key for key in KEYS if key not in used), None)


def _palette() -> Iterator[str]:
    """Yield distinct colours without end: the palette, then hues far apart in three lightnesses."""
    yield from PALETTE
    hue, number = 0.0, 0
    while True:
        red, green, blue = colorsys.hls_to_rgb(hue, (0.35, 0.65, 0.5)[number % 3], 0.75)
        yield f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
        hue, number = (hue + _GOLDEN_RATIO) % 1.0, number + 1
