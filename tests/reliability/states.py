"""What stands in a store, in a few characters, to compare from one process to another."""

from __future__ import annotations

import hashlib

from napari_xce.annotations import Store


def state(store: Store, revision: int | None = None) -> str:
    """Return what stands, or stood, in a few characters."""
    standing = store.annotations() if revision is None else store.annotations_at(revision)
    parts = (standing.ids, standing.points, standing.kinds, standing.labels, standing.set_aside)
    words = [part.tolist() for part in parts]
    with store._journal.at(store.revision if revision is None else revision) as connection:
        words.append(connection.execute("SELECT * FROM areas ORDER BY id").fetchall())
    words.append([None if p is None else p.tolist() for p in standing.polygons])
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]
