"""Classes of cells: what names, colours and digit keys may be, and their rows."""

from __future__ import annotations

import colorsys
import re
import sqlite3
from collections.abc import Iterator

from napari_xce.annotations.records import BACKGROUND, CellClass
from napari_xce.errors import SessionError

KEYS = tuple("123456789")

# Okabe & Ito, "Color Universal Design" (2008), without black: told apart by the colour-blind too.
OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_GOLDEN_RATIO = 0.618034  # as a step in hue it never comes back to where it was


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
    classes = all_classes(connection)
    for cell_class in classes:
        if cell_class.name == clean_name(name):
            return cell_class
    known = ", ".join(cell_class.name for cell_class in classes[1:]) or "none yet"
    raise SessionError(f"There is no class {name!r} (classes: {known}). Add it first.")


def find_own_class(connection: sqlite3.Connection, name: str, doing: str) -> CellClass:
    """Return a class of the user's; background may not be renamed, deleted and so on."""
    found = find_class(connection, name)
    if found.id == 0:
        raise SessionError(f"The class {BACKGROUND!r} is built in and cannot be {doing}.")
    return found


def insert_class(
    connection: sqlite3.Connection, number: int, name: str, color: str | None, key: str | None
) -> CellClass:
    """Insert a class under `number`; without a colour or key it gets the next free one."""
    classes = all_classes(connection)
    new = CellClass(
        id=number,
        name=clean_name(name),
        color=_next_color(classes) if color is None else clean_color(color),
        key=_next_key(classes) if key is None else clean_key(key),
    )
    _refuse_double(new, classes)
    connection.execute(
        "INSERT INTO classes (id, name, color, key) VALUES (?, ?, ?, ?)",
        (new.id, new.name, new.color, new.key),
    )
    return new


def update_class(connection: sqlite3.Connection, changed: CellClass) -> None:
    """Write a class back under its id."""
    _refuse_double(changed, all_classes(connection))
    connection.execute(
        "UPDATE classes SET name = ?, color = ?, key = ? WHERE id = ?",
        (changed.name, changed.color, changed.key, changed.id),
    )


def delete_class(connection: sqlite3.Connection, cell_class: CellClass) -> None:
    """Delete a class and its annotations."""
    connection.execute("DELETE FROM annotations WHERE class = ?", (cell_class.id,))
    connection.execute("DELETE FROM classes WHERE id = ?", (cell_class.id,))


def clean_name(name: str) -> str:
    """Return a name without spaces around it or double ones inside."""
    if not isinstance(name, str):
        raise SessionError(f"The name of a class must be a text, not {name!r}.")
    cleaned = " ".join(name.split())
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
    """Yield distinct colours without end: Okabe-Ito, then hues far apart in three lightnesses."""
    yield from OKABE_ITO
    hue, number = 0.0, 0
    while True:
        red, green, blue = colorsys.hls_to_rgb(hue, (0.35, 0.65, 0.5)[number % 3], 0.75)
        yield f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
        hue, number = (hue + _GOLDEN_RATIO) % 1.0, number + 1
