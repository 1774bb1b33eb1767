"""A tour of suggested places: which is looked at, and what the user says of it. GUI thread only.

It knows no widget: whoever owns it shows what `suggestions`, `current` and `done` hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_xce.annotations import BACKGROUND
from napari_xce.annotations.records import ACCEPTED

if TYPE_CHECKING:
    from napari_xce.suggestions import Suggestion
    from napari_xce.viewer.binding import Binding

#: What the keys say of a place; the first is left out where the model has no guess to say yes to.
YES_HINT = "A yes · "
HINT = f"{YES_HINT}X no · 1-9 class · E nothing · Space skip"


class Tour:
    """Suggestions of one slide, gone through one by one.

    Attributes
    ----------
    suggestions : list of Suggestion
    done : list of bool
        Which of them were answered or skipped.
    current : int or None
        Number of the one that is looked at.
    """

    def __init__(self) -> None:
        self.suggestions: list[Suggestion] = []
        self.done: list[bool] = []
        self.current: int | None = None
        self._binding: Binding | None = None
        self._revision = -1

    def begin(self, binding: Binding, suggestions: Sequence[Suggestion]) -> None:
        """Take over new suggestions, of the binding's slide."""
        self._binding = binding
        self.suggestions = list(suggestions)
        self.done = [False] * len(self.suggestions)
        self.current = None

    def end(self) -> None:
        """Forget all of it."""
        self.suggestions, self.done, self.current, self._binding = [], [], None, None

    @property
    def place(self) -> Suggestion | None:
        """The suggestion that is asked about; None once something else was said or nothing is."""
        if self.current is None or self._binding is None:
            return None
        if self._binding.session.store.revision != self._revision:
            return None  # the user clicked instead, or undid
        return self.suggestions[self.current]

    def look_at(self, index: int) -> None:
        """Fly to a suggestion and ask about it."""
        assert self._binding is not None
        if self.current is not None and self.current != index:
            self.done[self.current] = True
        self.current = index
        self._revision = self._binding.session.store.revision
        self._binding.look_at(self.suggestions[index])

    def next(self) -> bool:
        """Go to the next that is not done; False when there is none."""
        if self.current is not None:
            self.done[self.current] = True
        for index, done in enumerate(self.done):
            if not done:
                self.look_at(index)
                return True
        self.current = None
        return False

    def leave(self) -> None:
        """Ask about nothing any more; the suggestions stay."""
        if self._binding is not None:
            self._binding.pointer.close()
        if self.current is not None:
            self.done[self.current] = True
        self.current = None

    # ---- what the user says of the present one

    def accept(self) -> None:
        """Say that it is what the model takes it for."""
        self._say(self._asked.guess, ACCEPTED)

    def name(self, class_name: str) -> None:
        """Say that it is of a class, or of none."""
        self._say(class_name, None)

    def nothing_here(self) -> None:
        """Say that there is no cell around it at all."""
        assert self._binding is not None
        self._binding.session.nothing_here(self._asked.yx, self._binding.slide_id)
        self._binding.show_said()

    @property
    def _asked(self) -> Suggestion:
        assert self.current is not None
        return self.suggestions[self.current]

    def _say(self, class_name: str, provenance: str | None) -> None:
        assert self._binding is not None
        session, slide_id, yx = self._binding.session, self._binding.slide_id, self._asked.yx
        if class_name in ("", BACKGROUND):
            session.reject([yx], slide_id)
        elif provenance is not None:
            session.store.add_points(slide_id, class_name, [yx], provenance)
        else:
            session.annotate(class_name, [yx], slide_id)
        self._binding.show_said()
