"""Putting right what was predicted, with one key: the cell under the mouse, all in a lasso, or one
doubtful cell after the other. GUI thread only.

What was said shows at once; the model learns from it when it comes to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_xce.annotations.journal import counted
from napari_xce.annotations.records import ACCEPTED, POINT, REJECTION
from napari_xce.errors import XceError
from napari_xce.predictions.detections import Box, Detections
from napari_xce.viewer.annotation_layer import AnnotationLayer
from napari_xce.viewer.caption import Caption
from napari_xce.viewer.detection_layer import DetectionLayer
from napari_xce.viewer.lasso_layer import LassoLayer
from napari_xce.viewer.ring_layer import CHOSEN, CURRENT, HOVERED, RingLayer
from napari_xce.viewer.stepping import Walk
from napari_xce.viewer.view import MouseWatcher, bring_into_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_xce.session import Session

MOST_CHOSEN = 20_000  # cells in one lasso; a napari layer of more points is slow
WALK_KEYS = "A yes · X no · 1-9 class · Space skip · Esc end"
LASSO_KEYS = "A accept all · X reject all · 1-9 class of all · Esc cancel"
HOVER_KEYS = "A accept · X reject · Ctrl+1-9 class"

Say = Callable[[Detections], list[str]]


class Corrections:
    """What the keys A, X, digits, Space, L and R do on one slide.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    slide_id : str
    slide_layer : napari.layers.Image
    cells : DetectionLayer
        What was predicted, as it is drawn.
    clicks : AnnotationLayer
        What was said.
    adopt : callable
        Called with each new layer, to give it keys.
    on_change : callable
        Called after something was said.
    on_error, on_note : callable
        Called with a sentence.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        slide_id: str,
        slide_layer: Image,
        cells: DetectionLayer,
        clicks: AnnotationLayer,
        *,
        adopt: Callable[[Layer], None],
        on_change: Callable[[], None],
        on_error: Callable[[str], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._slide_id = slide_id
        self._slide_layer = slide_layer
        self._cells = cells
        self._clicks = clicks
        self._adopt = adopt
        self._on_change = on_change
        self._on_error = on_error
        self._on_note = on_note
        self._diameter = session.cell_diameter(slide_id)
        self._mouse = MouseWatcher(viewer, slide_layer, self.hover)
        self._walk: Walk | None = None
        self._lasso: LassoLayer | None = None
        self._chosen: Detections | None = None
        self.rings = RingLayer(viewer, slide_layer, self._diameter, adopt)
        self.caption = Caption(viewer)

    # ---- what the keys do

    @property
    def mode(self) -> Literal["", "walk", "draw", "chosen"]:
        """What the next key is about: the cell under the mouse (""), the current one of a walk, a
        lasso being drawn, or the cells in it.
        """
        if self._walk is not None:
            return "walk"
        if self._chosen is not None:
            return "chosen"
        return "draw" if self._lasso is not None else ""

    @property
    def takes_digits(self) -> bool:
        """Whether a digit key is about cells that were chosen, not about the next click."""
        return self.mode in ("walk", "chosen")

    def accept(self) -> None:
        """Say that the cells meant are what they were predicted to be."""
        self._say("accepted", lambda cells: self._session.accept(cells, self._slide_id))

    def reject(self) -> None:
        """Say that the cells meant are none; on a click of the user's own, take that away."""
        own = self._click_under_mouse(POINT, REJECTION)
        if own is not None:
            self._do(lambda: self._session.store.delete([own]))
        else:
            self._say("rejected", lambda cells: self._session.reject(cells, self._slide_id))

    def relabel(self, name: str) -> None:
        """Say that the cells meant are of another class; so, too, a click under the mouse."""
        own = self._click_under_mouse(POINT)
        if own is not None:
            self._do(lambda: self._session.store.relabel([own], name))
        else:
            self._say(name, lambda cells: self._session.relabel(cells, name, self._slide_id))

    def draw(self, tool: Literal["add_polygon_lasso", "add_rectangle"]) -> None:
        """Let the user draw around cells."""
        self.leave()
        self._lasso = LassoLayer(self._viewer, self._slide_layer, tool, self._choose)
        self._adopt(self._lasso.layer)
        self.rings.clear()
        self.caption.hold("Draw around the cells\nEsc cancel")

    def step(self, box: Box | None) -> None:
        """Go to the next doubtful cell; at first, queue those in the view `box`."""
        if self._walk is None:
            self._begin_walk(box)
        elif self._walk.forward():
            self._show_current()
        else:
            self._end_walk()

    def step_back(self) -> None:
        """Go back to the doubtful cell before."""
        if self._walk is not None:
            self._walk.back()
            self._show_current()

    def leave(self) -> None:
        """End the mode: keys are about the cell under the mouse again. Nothing is taken back."""
        if self._lasso is not None:
            self._lasso.close()
            self._select_clicks()
        self._walk = self._lasso = self._chosen = None
        self.rings.clear()
        self.caption.hold("")

    # ---- what else happens

    def undone(self, places: NDArray[np.float64] | None) -> None:
        """Go back to the cell about which a decision was undone, at these places (N, 2)."""
        if self._walk is not None and places is not None:
            self._walk.go_to(places, self._diameter / 2)
            self._show_current()

    def hover(self) -> None:
        """Show which cell the next key is about, where that is the one under the mouse."""
        if self.mode:
            return
        place = self._mouse.place()
        cell = Detections.empty() if place is None else self._cells.under(place)
        if _same(cell, self.rings.drawn):
            return
        self.rings.draw(cell, HOVERED)
        words = f"{cell.labels[0]} {cell.scores[0]:.2f}\n{HOVER_KEYS}" if len(cell) else ""
        self.caption.hint(words)

    def tick(self) -> None:
        """Follow what happened without a key or a move of the mouse."""
        if self._lasso is not None and self._lasso.layer not in self._viewer.layers:
            self.leave()  # the user removed the layer
        self.hover()
        self.caption.tick()

    def close(self) -> None:
        """Take everything of ours off the canvas. May be called twice."""
        if self._lasso is not None:
            self._lasso.close()
        self._mouse.close()
        self.rings.close()
        self.caption.close()

    # ---- one, many, or one after the other

    def _say(self, done: str, say: Say) -> None:
        """Say something of the cells meant, and go on."""
        if self._walk is not None:
            self._say_of_current(say)
        elif self._chosen is not None:
            self._say_of_chosen(done, say)
        else:
            self._say_of_cell_under_mouse(done, say)

    def _say_of_cell_under_mouse(self, done: str, say: Say) -> None:
        cell = self._cell_under_mouse()
        if not len(cell):
            self._on_note("No predicted cell under the cursor")
        elif self._do(lambda: say(cell)):
            self._on_note(f"{cell.labels[0]}: {done}")
        else:
            self._on_note("Nothing to change: you said so already")

    def _say_of_current(self, say: Say) -> None:
        assert self._walk is not None
        cell = self._walk.current
        self._do(lambda: say(cell))
        self.step(None)

    def _say_of_chosen(self, done: str, say: Say) -> None:
        cells = self._chosen
        assert cells is not None
        made: list[str] = []
        self._do(lambda: made.extend(say(cells)))
        self.leave()
        kept = len(cells) - len(made)
        words = f"{counted(len(made), 'cell')}: {done}"
        words += f" ({counted(kept, 'cell')} as before)" if kept else ""
        self.caption.brief(f"{words}\nCtrl+Z takes it back")

    def _do(self, act: Callable[[], Any]) -> bool:
        """Do something to the store and show it at once; tell whether it changed anything."""
        before = self._session.store.revision
        try:
            act()
        except XceError as error:
            self._on_error(str(error))
        if self._session.store.revision == before:
            return False
        self._on_change()
        return True

    # ---- the cell under the mouse

    def _cell_under_mouse(self) -> Detections:
        """Return the predicted cell under the mouse, or the one rejected there, or none."""
        place = self._mouse.place()
        if place is None:
            return Detections.empty()
        drawn = self._cells.under(place)
        return drawn if len(drawn) else self._cells.under(place, rejected=True)

    def _click_under_mouse(self, *kinds: str) -> str | None:
        """Return the click of these kinds under the mouse, where the mouse is what counts; of any
        kind where no cell is predicted.
        """
        place = self._mouse.place()
        if place is None or self.takes_digits:
            return None
        if not len(self._cell_under_mouse()):
            kinds = (POINT, ACCEPTED, REJECTION)
        return self._clicks.nearest(place, self._diameter / 4, kinds)

    # ---- many

    def _choose(self, outline: NDArray[np.float64] | None) -> None:
        """Take the cells inside an outline; the next key is about them."""
        self._select_clicks()
        if outline is None:
            self.leave()
            return
        try:
            cells = self._session.found(outline, self._slide_id)
        except XceError as error:
            self.leave()
            self._on_error(str(error))
            return
        if not 0 < len(cells) <= MOST_CHOSEN:
            self.leave()
            words = f"{len(cells):,} cells are too many for one lasso: draw a smaller one"
            self.caption.brief(words if len(cells) else "No predicted cell inside")
            return
        self._chosen = cells
        self.rings.draw(cells, CHOSEN)
        self.caption.hold(f"{counted(len(cells), 'cell')} in the lasso\n{LASSO_KEYS}")

    def _select_clicks(self) -> None:
        if self._clicks.layer in self._viewer.layers:
            self._viewer.layers.selection.active = self._clicks.layer

    # ---- one after the other

    def _begin_walk(self, box: Box | None) -> None:
        self.leave()
        queue = Detections.empty()
        if box is not None and self._cells.layer is not None and self._cells.layer.visible:
            queue = self._session.doubtful(box, self._slide_id)
        if not len(queue):
            self.caption.brief("No predicted cell in view is left to look at")
            return
        self._walk = Walk(queue, self._is_settled)
        self._show_current()

    def _is_settled(self, place: tuple[float, float]) -> bool:
        return self._clicks.nearest(place, self._diameter / 2) is not None

    def _show_current(self) -> None:
        walk = self._walk
        assert walk is not None
        cell = walk.current
        bring_into_view(self._viewer, self._slide_layer, walk.place, self._diameter)
        self.rings.draw(cell, CURRENT)
        asked = f"{cell.labels[0]}, {cell.scores[0]:.2f}?"
        self.caption.hold(f"{walk.counter}: {asked}\n{WALK_KEYS}")

    def _end_walk(self) -> None:
        walk = self._walk
        assert walk is not None
        self.leave()
        self.caption.brief(f"That was the last of {counted(len(walk), 'cell')}")


def _same(one: Detections, other: Detections) -> bool:
    """Tell whether two are the same cells with the same classes."""
    return np.array_equal(one.points, other.points) and np.array_equal(one.labels, other.labels)
