"""Undo and redo in the window: it is said in words what was taken back, and where. GUI thread only.

The camera stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_xce.errors import XceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_xce.predictions.detections import Box
    from napari_xce.viewer.binding import Binding


def undo(binding: Binding) -> None:
    """Take back the last thing said."""
    _go(binding, binding.session.undo, "Undone", "Nothing to undo")


def redo(binding: Binding) -> None:
    """Say again what was undone last."""
    _go(binding, binding.session.redo, "Done again", "Nothing to redo")


def _go(binding: Binding, step: Callable[[], str | None], done: str, nothing: str) -> None:
    """Go a step back or forth, and tell of it."""
    binding.shapes.tick()  # what was drawn a moment ago is the last thing said
    try:
        words = step()
    except XceError as error:
        binding.hooks.error(str(error))
        return
    if words is None:
        told = nothing
    else:
        places = binding.session.store.places_restored()
        binding.show_said()
        binding.corrections.undone(places.get(binding.slide_id))
        told = f"{done}: {words}{_whereabouts(places, binding.slide_id, binding.box)}"
    binding.corrections.caption.brief(told)
    binding.hooks.note(told)


def _whereabouts(places: dict[str, NDArray[np.float64]], slide_id: str, box: Box | None) -> str:
    """Say where something changed if it cannot be seen."""
    if not places or box is None:
        return ""
    here = places.get(slide_id)
    if here is None:
        return " (on another slide)"
    seen = (here >= box[:2]) & (here <= box[2:])
    return "" if seen.all(axis=1).any() else " (outside the view)"
