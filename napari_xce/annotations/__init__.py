"""What the user said: the SQLite store of classes and annotations, with undo and redo."""

from napari_xce.annotations.records import (
    BACKGROUND,
    Annotations,
    CellClass,
    JournalEntry,
    SlideRecord,
)
from napari_xce.annotations.store import Store

__all__ = ["BACKGROUND", "Annotations", "CellClass", "JournalEntry", "SlideRecord", "Store"]
