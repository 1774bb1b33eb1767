"""What ties one viewer and one of its slides to a session and its engine. GUI thread only.

No timer and no thread of its own: whoever owns it calls :meth:`Binding.tick` ten times a second,
and whenever the engine has something to tell. The engine publishes, the binding reads; it asks the
engine only by its methods, which return at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_xce.annotations import BACKGROUND
from napari_xce.engine import Engine, Message, ModelReady, Painted, Segmented, Status
from napari_xce.predictions.detections import Box
from napari_xce.viewer import keys, undoing
from napari_xce.viewer.annotation_layer import AnnotationLayer
from napari_xce.viewer.compat import (
    find_view_by_drawing,
    find_view_without_drawing,
    forget_old_presses,
    remember_old_presses,
)
from napari_xce.viewer.corrections import Corrections
from napari_xce.viewer.detection_layer import DetectionLayer
from napari_xce.viewer.drawn_shapes import DrawnShapes
from napari_xce.viewer.frame import place, placement
from napari_xce.viewer.heat_layer import HeatLayer
from napari_xce.viewer.kept_view import bring_back_view, keep_view
from napari_xce.viewer.key_actions import key_actions
from napari_xce.viewer.one_frame import OneFrame
from napari_xce.viewer.overlays import Overlays
from napari_xce.viewer.pointer_layer import PointerLayer
from napari_xce.viewer.view import ViewWatcher, fly_to, screen_px_per_pixel, view_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_xce.session import Session
    from napari_xce.suggestions import Suggestion


@dataclass(frozen=True)
class Hooks:
    """What the binding tells whoever shows it: sentences, and keys pressed on the canvas."""

    error: Callable[[str], None]
    note: Callable[[str], None]
    class_chosen: Callable[[str], None]
    suggest: Callable[[], None]
    areas_changed: Callable[[], None]
    answer: Callable[[str], bool]  # a key pressed: whether it was about a suggested place


class Binding:
    """One viewer, one slide's layer, one session, one engine.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    engine : Engine
        Started by the owner, and shut down by it.
    slide_id : str
        The slide, one of the session's.
    slide_layer : napari.layers.Image
        The layer that shows it.
    hooks : Hooks
    wake : callable
        Called when there should be a tick soon: the view moved.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        engine: Engine,
        slide_id: str,
        slide_layer: Image,
        hooks: Hooks,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.viewer = viewer
        self.session = session
        self.engine = engine
        self.slide_id = slide_id
        self.slide_layer = slide_layer
        self.hooks = hooks
        self.box: Box | None = None
        self.moved = True  # the view moved; whoever counts sets it back
        self._seen_revision = session.store.revision
        self._current_id = 0  # of the class of the next click: it may be renamed, or go
        self._placed: bytes = b""
        self._view = ViewWatcher(viewer, wake)
        self._frame = OneFrame(viewer, engine.rest)
        find_view_without_drawing(viewer)
        forget_old_presses(viewer)
        self._answers = False  # the engine learns from what is said now
        self._asked: int | None = None  # the revision when something was said, until it is answered
        self._actions = key_actions(self)
        self._undo_actions = {key: self._actions[key] for key in keys.OF_THE_VIEWER}
        self.overlays = Overlays(viewer, session, slide_id, slide_layer, self._adopt)
        self.pointer = PointerLayer(viewer, slide_layer)
        self.shapes = DrawnShapes(self, self._annotated, self._actions)
        self.clicks = AnnotationLayer(
            slide_layer,
            session.store,
            slide_id,
            session.cell_diameter(slide_id),
            self._annotated,
            hooks.error,
        )
        self.corrections = Corrections(
            viewer,
            session,
            slide_id,
            slide_layer,
            self.overlays.cells,
            self.clicks,
            adopt=self._adopt,
            on_change=self._corrected,
            on_error=hooks.error,
            on_note=hooks.note,
        )
        keys.bind(viewer, self._undo_actions)
        keys.bind(slide_layer, self._actions)
        self.set_class(self._first_class())
        self.overlays.show_all(self.current)
        self.shapes.begin()
        bring_back_view(viewer, slide_layer, session, slide_id)

    # ---- what the user does

    @property
    def current(self) -> str:
        """Name of the class of the next click."""
        return self.clicks.current

    @property
    def cells(self) -> DetectionLayer:
        """The predicted cells as they are drawn."""
        return self.overlays.cells

    @property
    def heat(self) -> HeatLayer:
        """The heat as it is drawn."""
        return self.overlays.heat

    @property
    def visible(self) -> dict[str, bool]:
        """What the user wants to see of "heat", "cells" and "masks"."""
        return self.overlays.visible

    def set_class(self, name: str) -> None:
        """Make this the class of the next click, and of the heat layer; get ready to click."""
        self.ensure_clicks()
        self.clicks.set_class(name)
        self._current_id = next((c.id for c in self.session.classes if c.name == name), 0)
        self.viewer.layers.selection.active = self.clicks.layer
        self.overlays.show_heat(self.current)
        self.hooks.class_chosen(name)

    def ensure_clicks(self) -> None:
        """Bring the clicks layer back if it was removed, on top of the others and in add mode."""
        layer = self.clicks.layer
        if layer not in self.viewer.layers:
            self.viewer.layers.append(layer)
            layer.visible = True
            self._adopt(layer)
        if str(layer.mode) == "pan_zoom":
            layer.mode = "add"

    def undo(self) -> None:
        """Take back the last thing said, and say in words what it was."""
        undoing.undo(self)

    def redo(self) -> None:
        """Say again what was undone last."""
        undoing.redo(self)

    def step(self) -> None:
        """Go to the next doubtful cell in view; at the first call, find out which they are."""
        self.corrections.step(self.box)

    def show_said(self) -> None:
        """Show what a script or the dock just said, without waiting for the next tick."""
        self._corrected()

    def draw_area(self, mode: str) -> None:
        """Let the user draw an area to count in; `mode` is one of the areas layer's."""
        self.corrections.leave()
        self.shapes.draw_area(mode)
        self.hooks.note("Draw around the cells to count; an area teaches the model nothing")

    def show_areas(self) -> None:
        """Show the areas of the session as they are now, as soon as there are some."""
        self.shapes.show_areas()

    def look_at(self, suggestion: Suggestion) -> None:
        """Fly to a suggestion and draw a ring around it."""
        y, x = (float(value) for value in suggestion.yx)
        fly_to(self.viewer, self.slide_layer, (y, x), self.diameter_px())
        self.pointer.point_at((y, x), 3 * self.diameter_px())

    def show(self, what: str, visible: bool) -> None:
        """Show or hide "heat", "cells" or "masks"; a layer that was removed comes back."""
        self.overlays.show(what, visible, self.current)

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of all three overlays, in [0, 1]."""
        self.overlays.set_opacity(opacity)

    def predictions_changed(self) -> None:
        """Query the cells anew at the next tick, without waiting; after thresholds moved."""
        self.overlays.changed_at_once()

    def predictions_replaced(self) -> None:
        """Show cells that were read from a file in the place of those found here.

        Far out only one class is drawn: one that the file has.
        """
        cells = self.session.predictions[self.slide_id].detections.by_class()
        counts = {name: len(points) for name, (points, _) in cells.items()}
        if any(counts.values()) and not counts.get(self.current):
            self.set_class(max(counts, key=lambda name: counts[name]))
        height, width = self.session.slides[self.slide_id].shape
        whole = (-0.5, -0.5, height - 0.5, width - 0.5)
        self.overlays.take(Painted(self.slide_id, whole, 0), self.current, self.box)
        self.overlays.changed_at_once()

    # ---- what the owner asks

    def tick(self) -> list[Message]:
        """Drain the engine, bring the layers up to date, return the messages; every 100 ms."""
        messages = self.engine.poll()
        if not self.alive:
            return messages
        for message in messages:
            self._take(message)
        self._follow_slide_layer()
        self.clicks.reconcile()
        self.shapes.tick()
        if self.session.store.revision != self._seen_revision:  # a script, or an import
            self._annotated()
        self._follow_view()
        if not self._frame.holds:
            self.overlays.tick(self.box, self.clicks.said(), time.monotonic())
        self.corrections.tick()
        return messages

    @property
    def alive(self) -> bool:
        """Whether the slide's layer is still in the viewer."""
        return self.slide_layer in self.viewer.layers

    def diameter_px(self) -> float:
        """Return the usual cell diameter, level-0 pixels."""
        return self.session.cell_diameter(self.slide_id)

    def size_in_words(self) -> str:
        """Return pixel size and where it comes from, and the size of the slide, in words."""
        slide = self.session.slides[self.slide_id]
        size = f"{slide.shape[1]:,} × {slide.shape[0]:,} px"
        if slide.mpp is None:
            return f"Cells of {self.diameter_px():.0f} px · {size}"
        return f"{np.mean(slide.mpp):.3g} µm/px, from {slide.mpp_source}"

    def colors(self) -> dict[str, str]:
        """Return "#rrggbb" by class name."""
        return self.overlays.colors()

    def close(self) -> None:
        """Save the view, take our layers away and stop listening. May be called twice."""
        if self.alive:
            keep_view(self.viewer, self.slide_layer, self.session, self.slide_id)
        self._frame.close()
        self._view.close()
        find_view_by_drawing(self.viewer)
        remember_old_presses(self.viewer)
        self.corrections.close()
        self.clicks.close()
        self.shapes.close()
        self.overlays.close()
        self.pointer.close()
        self._remove(self.clicks.layer)
        keys.unbind(self.slide_layer, self._actions)
        keys.unbind(self.viewer, self._undo_actions)

    # ---- inside

    def _adopt(self, layer: Layer) -> None:
        """Give a layer of ours our keys."""
        keys.bind(layer, self._actions)

    def _take(self, message: Message) -> None:
        """Bring a message of the engine to its layer; late ones of another slide are dropped."""
        if getattr(message, "slide_id", self.slide_id) != self.slide_id:
            return
        if isinstance(message, Status):
            self._answers = message.state in ("learning", "learnt")
        elif isinstance(message, (Painted, Segmented, ModelReady)):
            self.overlays.take(message, self.current, self.box)
        if isinstance(message, Painted):
            self._hear_answer(message)

    def _hear_answer(self, painted: Painted) -> None:
        """Draw at once what the model says after something was said."""
        if self._asked is not None and painted.revision > self._asked:
            self._asked = None
            self.overlays.changed_at_once()
            self._frame.draw_answer()

    def _annotated(self) -> None:
        """Tell the engine, and show, that what stands is another than before."""
        self._seen_revision = self.session.store.revision
        self.engine.annotations_changed()  # first: it works while the layers are put right
        self._asked = self.session.model_revision
        if self._answers:
            self._frame.hold()
        self._follow_classes()
        self.clicks.mirror()
        self.shapes.show()
        self.pointer.close()
        self.overlays.annotated(self.current)

    def _corrected(self) -> None:
        """Show what was said of a cell now, not at the next tick."""
        self._annotated()
        self.overlays.tick_cells(self.box, self.clicks.said(), time.monotonic())

    def _follow_classes(self) -> None:
        """Go on with the current class under its new name; with another while it is gone."""
        names = {found.id: found.name for found in self.session.classes}
        meant = self._current_id
        stays = self.current if self.current in names.values() else self._first_class()
        name = names.get(meant, stays)
        if name != self.current:
            self.clicks.layer.selected_data = set()  # or they would get the class, too
            self.set_class(name)
            self._current_id = meant  # which may come back

    def _follow_view(self) -> None:
        if not self._view.take():
            return
        self.moved = True
        zoom = screen_px_per_pixel(self.viewer, self.slide_layer)
        self.clicks.fit(zoom)
        self.shapes.fit(zoom)
        flat = self.viewer.dims.ndisplay == 2
        self.box = view_box(self.viewer, self.slide_layer) if flat else None
        self.clicks.follow(self.box)
        if self.box is not None:
            self.engine.set_viewport(self.slide_id, self.box)

    def _follow_slide_layer(self) -> None:
        """Lie on the slide's layer also after it was given another scale or place."""
        now = b"".join(
            np.asarray(value).tobytes()
            for name, value in placement(self.slide_layer).items()
            if name in ("scale", "translate", "rotate", "shear")
        )
        if self._placed and now != self._placed:
            layers = [self.clicks.layer, self.cells.layer, self.pointer.layer]
            layers += [self.corrections.rings.layer, *self.shapes.layers]
            for layer in layers:
                if layer is not None:
                    place(layer, self.slide_layer)
            self.overlays.follow()
            self._view.note()
        self._placed = now

    def _remove(self, layer: Layer) -> None:
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _first_class(self) -> str:
        """Return the first class of the user's, or background where there is none."""
        own = [found.name for found in self.session.classes if found.id != 0]
        return own[0] if own else BACKGROUND
