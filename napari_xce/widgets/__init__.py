"""The dock: thin Qt over session and engine. ``AnnotatorDock`` is fetched at first use, so that the
manifest loads fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_xce.widgets.dock import AnnotatorDock

__all__ = ["AnnotatorDock"]


def __getattr__(name: str) -> Any:
    """Fetch the dock from its module (PEP 562)."""
    if name != "AnnotatorDock":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_xce.widgets.dock import AnnotatorDock

    return AnnotatorDock
