"""What the section "Show" does: overlays, threshold, opacity. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_xce.viewer.binding import Binding
    from napari_xce.widgets.annotator import Annotator
    from napari_xce.widgets.show_box import ShowBox


class ShowDesk:
    """Connects the box with the slide in use.

    Parameters
    ----------
    box : ShowBox
    annotator : Annotator
    moved : callable
        Called when another threshold stands.
    """

    def __init__(self, box: ShowBox, annotator: Annotator, moved: Callable[[], None]) -> None:
        self._annotator = annotator
        self._moved = moved
        box.toggled.connect(lambda what, on: self._with(lambda b: b.show(what, on)))
        box.opacity_moved.connect(lambda opacity: self._with(lambda b: b.set_opacity(opacity)))
        box.threshold_moved.connect(self._set_threshold)
        box.threshold_reset.connect(lambda: self._set_threshold(None))

    def _set_threshold(self, threshold: float | None) -> None:
        """Give the current class a threshold of the user's; None goes back to the model's."""

        def set_it(binding: Binding) -> None:
            binding.session.set_threshold(binding.current, threshold)
            binding.predictions_changed()
            self._moved()

        self._with(set_it)

    def _with(self, act: Callable[[Binding], Any]) -> None:
        """Do something with the slide in use, if there is one."""
        if self._annotator.binding is not None:
            act(self._annotator.binding)
