"""What the list of classes does: naming, adding, merging and deleting them. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_xce.session import Session
    from napari_xce.widgets.annotator import Annotator
    from napari_xce.widgets.class_box import ClassBox


class ClassDesk:
    """Connects the box with the session in use.

    Parameters
    ----------
    box : ClassBox
    annotator : Annotator
    attempt : callable
        Does something; shows the sentence of an XceError and returns None.
    note : callable
        Shows a passing remark.
    show : callable
        Shows the classes that stand.
    """

    def __init__(
        self,
        box: ClassBox,
        annotator: Annotator,
        attempt: Callable[[Callable[[], Any]], Any],
        note: Callable[[str], None],
        show: Callable[[], None],
    ) -> None:
        self._box = box
        self._annotator = annotator
        self._try = attempt
        self._note = note
        self._show = show
        box.chosen.connect(self._choose)
        box.added.connect(self._add)
        box.renamed.connect(self._rename)
        box.merged.connect(self._merge)
        box.deleted.connect(self._delete)
        box.rekeyed.connect(
            lambda name, key: self._change(lambda s: s.store.set_class_key(name, key or None))
        )
        box.recolored.connect(
            lambda name, color: self._change(lambda s: s.store.recolor_class(name, color))
        )

    def _choose(self, name: str) -> None:
        if self._annotator.binding is not None:
            self._annotator.binding.set_class(name)

    def _add(self) -> None:
        """Add a class under the first name that is free, to be given another one."""
        session = self._annotator.session
        if session is None:
            self._note("Choose a slide first")
            return
        taken = {found.name for found in session.classes}
        number = next(n for n in range(len(taken), 1000) if f"class {n}" not in taken)
        added = self._try(lambda: session.add_class(f"class {number}"))
        if added is not None:
            self._choose(added.name)
            self._show()
            self._box.edit_name(added.name)

    def _rename(self, name: str, new: str) -> None:
        self._change(lambda session: self._go_on(name, session.rename_class(name, new)))

    def _merge(self, name: str, into: str) -> None:
        def merge(session: Session) -> None:
            session.merge_class(name, into)
            self._go_on(name, into)

        self._change(merge)

    def _delete(self, name: str) -> None:
        def delete(session: Session) -> None:
            session.delete_class(name)
            self._go_on(name, session.classes[-1].name)

        self._change(delete)

    def _go_on(self, gone: str, name: str) -> None:
        """Let the next click be of a class, if it was to be of one that is gone."""
        binding = self._annotator.binding
        if binding is not None and binding.current == gone:
            binding.set_class(name)

    def _change(self, change: Callable[[Session], Any]) -> None:
        """Change classes, and show those that stand then."""
        session = self._annotator.session
        if session is not None:
            self._try(lambda: change(session))
        self._show()
