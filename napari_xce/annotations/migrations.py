"""The written schema of a session, as numbered steps from an empty database.

A released step is never edited; a change of the schema is a new step at the end, and a session
written by each released version is kept in `tests/annotations/sessions`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import shapely


@dataclass(frozen=True, slots=True)
class Migration:
    """A step to schema version `version`: `apply` runs inside the transaction that records it."""

    version: int
    name: str
    apply: Callable[[sqlite3.Connection], None]


_INITIAL = (
    """
    CREATE TABLE slides (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        path TEXT,
        fingerprint TEXT NOT NULL,
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        mpp_y REAL,
        mpp_x REAL,
        mpp_source TEXT NOT NULL,
        cell_diameter_px REAL,
        created REAL NOT NULL
    )
    """,
    """
    CREATE TABLE classes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        color TEXT NOT NULL,
        key TEXT UNIQUE
    )
    """,
    "INSERT INTO classes (id, name, color, key) VALUES (0, 'background', '#808080', NULL)",
    """
    CREATE TABLE annotations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        slide INTEGER NOT NULL REFERENCES slides (number) DEFERRABLE INITIALLY DEFERRED,
        class INTEGER NOT NULL REFERENCES classes (id) DEFERRABLE INITIALLY DEFERRED,
        kind TEXT NOT NULL,  -- point, rejection, mask, region
        provenance TEXT NOT NULL,  -- human, accepted, imported
        y REAL NOT NULL,
        x REAL NOT NULL,
        polygon BLOB,  -- of a mask or region: vertices (y, x) as little-endian float64
        created REAL NOT NULL,
        -- OR, because IN with more than two values builds a table for each row (4 times slower)
        CHECK (kind = 'point' OR kind = 'rejection' OR kind = 'mask' OR kind = 'region'),
        CHECK (provenance = 'human' OR provenance = 'accepted' OR provenance = 'imported'),
        CHECK ((polygon IS NULL) = (kind = 'point' OR kind = 'rejection'))
    )
    """,
    "CREATE INDEX annotations_of_slide ON annotations (slide)",
    """
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('do', 'undo', 'redo', 'note')),
        action INTEGER REFERENCES journal (id),
        words TEXT NOT NULL,
        before TEXT NOT NULL
    )
    """,
    """
    CREATE TRIGGER journal_keeps_entries BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
    """
    CREATE TRIGGER journal_keeps_words BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


def _initial(connection: sqlite3.Connection) -> None:
    for statement in _INITIAL:
        connection.execute(statement)


def _set_aside(connection: sqlite3.Connection) -> None:
    connection.execute(
        "ALTER TABLE annotations ADD COLUMN set_aside INTEGER NOT NULL DEFAULT 0 "
        "CHECK (NOT set_aside OR kind = 'region')"
    )


def _after(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE journal ADD COLUMN after TEXT")


def _areas(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE areas (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            slide INTEGER NOT NULL REFERENCES slides (number) DEFERRABLE INITIALLY DEFERRED,
            name TEXT NOT NULL,
            outline BLOB NOT NULL  -- polygon or multipolygon (x, y) as well-known binary
        )
        """
    )
    take_up_areas(connection)


def take_up_areas(connection: sqlite3.Connection) -> None:
    """Move areas that are kept among the settings, as they were before schema 4, to their table."""
    found = connection.execute("SELECT value FROM settings WHERE key = 'areas'").fetchone()
    try:
        rows = [
            (number, area["name"], shapely.to_wkb(shapely.from_wkt(area["wkt"])))
            for number, id_ in connection.execute("SELECT number, 'slide-' || number FROM slides")
            for area in json.loads(found[0] if found else "{}").get(id_, ())
        ]
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        return  # damaged: it could not be read before either
    connection.executemany("INSERT INTO areas (slide, name, outline) VALUES (?, ?, ?)", rows)
    connection.execute("DELETE FROM settings WHERE key = 'areas'")


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the first schema", _initial),
    Migration(2, "regions set aside for testing", _set_aside),
    Migration(3, "the journal tells what each action led to", _after),
    Migration(4, "areas to count in are part of the history", _areas),
)
