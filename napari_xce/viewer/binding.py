"""What ties one viewer and one of its slides to a session and its engine. GUI thread only.

No timer and no thread of its own: whoever owns it calls :meth:`Binding.tick` ten times a second,
and whenever the engine has something to tell. The engine publishes, the binding reads; it asks the
engine only by its methods, which return at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_xce.annotations import BACKGROUND
from napari_xce.engine import Engine, Message, ModelReady, Painted, Segmented
from napari_xce.errors import XceError
from napari_xce.predictions.detections import Box
from napari_xce.viewer import keys
from napari_xce.viewer.annotation_layer import AnnotationLayer
from napari_xce.viewer.area_layer import AreaLayer
from napari_xce.viewer.detection_layer import DetectionLayer
from napari_xce.viewer.frame import place, placement
from napari_xce.viewer.heat_layer import HeatLayer, meet
from napari_xce.viewer.masks_layer import MasksLayer
from napari_xce.viewer.pointer_layer import PointerLayer
from napari_xce.viewer.region_layer import RegionLayer
from napari_xce.viewer.view import ViewWatcher, fly_to, screen_px_per_pixel, view_box

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_xce.session import Session
    from napari_xce.suggestions import Suggestion

CELL_UM = 8.0  # usual diameter of a nucleus, where nobody said otherwise
MOST_TILES = 1000  # in a view, to ask whether it is painted to the end
VIEW_SETTING = "gui.view"


@dataclass(frozen=True)
class Hooks:
    """What the binding tells whoever shows it: sentences, and keys pressed on the canvas."""

    error: Callable[[str], None]
    note: Callable[[str], None]
    class_chosen: Callable[[str], None]
    suggest: Callable[[], None]
    area_drawn: Callable[[], None]
    help: Callable[[], None]


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
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        engine: Engine,
        slide_id: str,
        slide_layer: Image,
        hooks: Hooks,
    ) -> None:
        self.viewer = viewer
        self.session = session
        self.engine = engine
        self.slide_id = slide_id
        self.slide_layer = slide_layer
        self.hooks = hooks
        self.box: Box | None = None
        self.visible = {"heat": True, "cells": True, "masks": True}
        self.opacity = 0.8
        self.moved = True  # the view moved; whoever counts sets it back
        self._seen_revision = session.store.revision
        self._at_once = False
        self._fresh = False  # something in view was predicted, and not drawn to the end since
        self._placed: bytes = b""
        self._segmented: Segmented | None = None  # the latest
        self._view = ViewWatcher(viewer)
        diameter = self.diameter_px()
        self.heat = HeatLayer(viewer, slide_layer, session.factor(slide_id))
        self.cells = DetectionLayer(viewer, slide_layer, diameter)
        self.masks = MasksLayer(viewer, slide_layer)
        self.pointer = PointerLayer(viewer, slide_layer)
        self.regions: RegionLayer | None = None
        self.areas: AreaLayer | None = None
        self.clicks = AnnotationLayer(
            slide_layer, session.store, slide_id, diameter, self._annotated, hooks.error
        )
        self._actions = self._key_actions()
        self._show_layers()
        self.set_class(self._first_class())

    # ---- what the user does

    @property
    def current(self) -> str:
        """Name of the class of the next click."""
        return self.clicks.current

    def set_class(self, name: str) -> None:
        """Make this the class of the next click, and of the heat layer; get ready to click."""
        self.ensure_clicks()
        self.clicks.set_class(name)
        self.viewer.layers.selection.active = self.clicks.layer
        self._show_heat()
        self.hooks.class_chosen(name)

    def ensure_clicks(self) -> None:
        """Bring the clicks layer back if it was removed, on top of the others and in add mode."""
        layer = self.clicks.layer
        if layer not in self.viewer.layers:
            self.viewer.layers.append(layer)
            layer.visible = True
            keys.bind(layer, self._actions)
        if str(layer.mode) == "pan_zoom":
            layer.mode = "add"

    def undo(self) -> None:
        """Take back the last thing said, and say in words what it was."""
        words = self.session.undo()
        self.hooks.note(f"Undone: {words}" if words else "Nothing to undo")
        self._annotated()

    def redo(self) -> None:
        """Say again what was undone last."""
        words = self.session.redo()
        self.hooks.note(f"Done again: {words}" if words else "Nothing to redo")
        self._annotated()

    def reject_under_cursor(self) -> None:
        """Reject the predicted cell under the cursor; a click of the user's own there is taken away
        instead.
        """
        y, x = self.slide_layer.world_to_data(self.viewer.cursor.position)[-2:]
        own = self.clicks.nearest((y, x), self.diameter_px() / 4)
        index = self.cells.nearest((y, x))
        try:
            if own is not None:
                self.session.store.delete([own])
            elif index is not None:
                self.session.store.reject(self.slide_id, self.cells.cells.points[[index]])
            else:
                self.hooks.note("No predicted cell under the cursor")
                return
        except XceError as error:
            self.hooks.error(str(error))
        self._at_once = True
        self._annotated()

    def draw_region(self) -> None:
        """Let the user draw a rectangle that they have reviewed completely."""
        if self.regions is None or self.regions.layer not in self.viewer.layers:
            self._add_regions()
        assert self.regions is not None
        self.viewer.layers.selection.active = self.regions.layer
        self.regions.layer.mode = "add_rectangle"
        self.hooks.note("Draw a rectangle; inside it, what is not clicked counts as background")

    def draw_area(self, mode: str) -> None:
        """Let the user draw an area to count in; `mode` is one of the areas layer's."""
        if self.areas is None or self.areas.layer not in self.viewer.layers:
            self._add_areas()
        assert self.areas is not None
        self.viewer.layers.selection.active = self.areas.layer
        self.areas.layer.mode = mode
        self.hooks.note("Draw around the cells to count; an area teaches the model nothing")

    def show_areas(self) -> None:
        """Show the areas of the session as they are now, as soon as there are some."""
        if self.areas is not None:
            self.areas.mirror()
        elif self.session.areas(self.slide_id):
            with self._keep_selection():
                self._add_areas()

    def look_at(self, suggestion: Suggestion) -> None:
        """Fly to a suggestion and draw a ring around it."""
        y, x = (float(value) for value in suggestion.yx)
        fly_to(self.viewer, self.slide_layer, (y, x), self.diameter_px())
        self.pointer.point_at((y, x), 3 * self.diameter_px())

    def show(self, what: str, visible: bool) -> None:
        """Show or hide "heat", "cells" or "masks"; a layer that was removed comes back."""
        self.visible[what] = visible
        layer = self._overlay(what)
        if layer is not None:
            layer.visible = visible
        elif visible:
            self._show_layers()

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of all three overlays, in [0, 1]."""
        self.opacity = opacity
        for what in self.visible:
            layer = self._overlay(what)
            if layer is not None:
                layer.opacity = opacity

    def predictions_changed(self) -> None:
        """Query the cells anew at the next tick, without waiting; after thresholds moved."""
        self._at_once = True
        self.cells.changed()

    # ---- what the owner asks

    def tick(self) -> list[Message]:
        """Drain the engine, bring the layers up to date, return the messages; every 100 ms."""
        messages = self.engine.poll()
        if not self.alive:
            return messages
        for message in messages:
            self._take(message)
        self._notice_removed()
        self._follow_slide_layer()
        self._drop_masks()
        self.clicks.reconcile()
        if self.areas is not None:
            self.areas.tick()
        if self.session.store.revision != self._seen_revision:  # a script, or an import
            self._annotated()
        now = time.monotonic()
        self._follow_view()
        if self._fresh and self._view_is_complete():  # drawn at once, whatever was drawn before
            self._fresh = False
            self._at_once = True
        self.heat.tick(self.box, now, at_once=self._at_once)
        self._tick_cells(now)
        return messages

    @property
    def alive(self) -> bool:
        """Whether the slide's layer is still in the viewer."""
        return self.slide_layer in self.viewer.layers

    def diameter_px(self) -> float:
        """Return the usual cell diameter, level-0 pixels."""
        record = self.session.store.slides()[self.slide_id]
        if record.cell_diameter_px is not None:
            return record.cell_diameter_px
        mpp = self.session.slides[self.slide_id].mpp
        return CELL_UM / float(np.mean(mpp)) if mpp is not None else 2 * CELL_UM

    def size_in_words(self) -> str:
        """Return pixel size and where it comes from, and the size of the slide, in words."""
        slide = self.session.slides[self.slide_id]
        size = f"{slide.shape[1]:,} × {slide.shape[0]:,} px"
        if slide.mpp is None:
            return f"Cells of {self.diameter_px():.0f} px · {size}"
        return f"{np.mean(slide.mpp):.3g} µm/px, from {slide.mpp_source}"

    def colors(self) -> dict[str, str]:
        """Return "#rrggbb" by class name."""
        return {found.name: found.color for found in self.session.classes}

    def save_view(self) -> None:
        """Keep the camera in the session, in the slide's own pixels."""
        camera = self.viewer.scene.camera
        y, x = self.slide_layer.world_to_data(camera.center[-2:])[-2:]
        views = self.session.store.get_setting(VIEW_SETTING, {})
        zoom = screen_px_per_pixel(self.viewer, self.slide_layer)
        views[self.slide_id] = [float(y), float(x), zoom]
        self.session.store.set_setting(VIEW_SETTING, views)

    def restore_view(self) -> bool:
        """Bring back the camera of the last time; return False if there was none."""
        view = self.session.store.get_setting(VIEW_SETTING, {}).get(self.slide_id)
        if view is None:
            return False
        camera = self.viewer.scene.camera
        world = self.slide_layer.data_to_world(view[:2])
        camera.center = (*camera.center[:-2], *world[-2:])
        camera.zoom *= view[2] / screen_px_per_pixel(self.viewer, self.slide_layer)
        return True

    def close(self) -> None:
        """Save the view, take our layers away and stop listening. May be called twice."""
        if self.alive:
            self.save_view()
        self._view.close()
        self.clicks.close()
        if self.regions is not None:
            self.regions.close()
            self._remove(self.regions.layer)
        if self.areas is not None:
            self.areas.close()
            self._remove(self.areas.layer)
        for part in (self.heat, self.cells, self.masks, self.pointer):
            part.close()
        self._remove(self.clicks.layer)
        keys.unbind(self.slide_layer, self._actions)

    # ---- inside

    def _show_layers(self) -> None:
        """Put the layers that should be there into the viewer."""
        if self.visible["cells"]:
            layer = self.cells.add()
            layer.opacity = self.opacity
            keys.bind(layer, self._actions)
        keys.bind(self.slide_layer, self._actions)
        self.ensure_clicks()
        self._show_regions()
        self.show_areas()
        self._show_heat()
        self._show_masks()
        self.viewer.layers.selection.active = self.clicks.layer

    def _show_heat(self) -> None:
        """Draw the current class's heat; nothing while there is none. Background keeps the last."""
        last = self.heat.shown[0] if self.heat.shown is not None else None
        name = self.current if self.current != BACKGROUND else last
        color = self.colors().get(name) if name is not None else None
        predictions = self.session.predictions.get(self.slide_id)
        pyramid = predictions.heat.get(name) if predictions is not None and name else None
        if name is None or color is None or pyramid is None:
            self.heat.close()
        elif self.visible["heat"] and not self.heat.draws(pyramid, name, color):
            fresh = self.heat.layer is None
            with self._keep_selection():
                layer = self.heat.show(pyramid, name, color)
            if fresh:
                layer.opacity = self.opacity
                keys.bind(layer, self._actions)

    def _show_masks(self) -> None:
        """Draw the latest masks, hidden ones too, so that they are right when shown again."""
        masks, fresh = self._segmented, self.masks.layer is None
        if masks is not None and (self.visible["masks"] or not fresh):
            with self._keep_selection():
                layer = self.masks.show(
                    masks.labels, masks.names, self.colors(), masks.factor, masks.origin
                )
            if fresh:
                layer.opacity = self.opacity
                keys.bind(layer, self._actions)

    def _drop_masks(self) -> None:
        """Take the masks away when the head only detects."""
        if self._segmented is not None and self.session.head != "unet":
            self._segmented = None
            self.masks.close()

    @contextmanager
    def _keep_selection(self) -> Iterator[None]:
        """Leave the selected layer selected: napari selects every layer that is added."""
        active = self.viewer.layers.selection.active
        yield
        self.viewer.layers.selection.active = active

    def _show_regions(self) -> None:
        """Show the reviewed regions, as soon as there are some."""
        if self.regions is not None:
            self.regions.mirror()
        elif len(self.session.store.annotations(self.slide_id).of_kind("region")):
            with self._keep_selection():
                self._add_regions()

    def _add_regions(self) -> None:
        self.regions = RegionLayer(
            self.slide_layer, self.session.store, self.slide_id, self._drawn, self.hooks.error
        )
        self.viewer.layers.insert(self.viewer.layers.index(self.clicks.layer), self.regions.layer)
        keys.bind(self.regions.layer, self._actions)

    def _add_areas(self) -> None:
        self.areas = AreaLayer(
            self.slide_layer, self.session, self.slide_id, self._area_drawn, self.hooks.error
        )
        self.areas.fit(screen_px_per_pixel(self.viewer, self.slide_layer))
        self.viewer.layers.insert(self.viewer.layers.index(self.clicks.layer), self.areas.layer)
        keys.bind(self.areas.layer, self._actions)

    def _area_drawn(self) -> None:
        """Go back to clicking after an area was drawn."""
        assert self.areas is not None
        self.areas.layer.mode = "pan_zoom"
        self.viewer.layers.selection.active = self.clicks.layer
        self.hooks.area_drawn()

    def _take(self, message: Message) -> None:
        """Bring a message of the engine to its layer; late ones of another slide are dropped."""
        if getattr(message, "slide_id", self.slide_id) != self.slide_id:
            return
        if isinstance(message, Painted):
            self._show_heat()
            self.heat.painted(message.box)
            self.cells.changed()
            self._fresh |= self.box is not None and meet(message.box, self.box)
        elif isinstance(message, ModelReady):  # perhaps other thresholds
            self.cells.changed()
            self._fresh = True
        elif isinstance(message, Segmented) and self.session.head == "unet":
            self._segmented = message
            self._show_masks()

    def _annotated(self) -> None:
        """Tell the engine, and show, that what stands is another than before."""
        self._seen_revision = self.session.store.revision
        self.engine.annotations_changed()  # first: it works while the layers are put right
        self.clicks.mirror()
        self._show_regions()
        self.pointer.close()
        self._show_heat()
        self.masks.recolor(self.colors())
        self.cells.changed()

    def _drawn(self) -> None:
        """Go back to clicking after a region was drawn."""
        self._annotated()
        assert self.regions is not None
        self.regions.layer.mode = "pan_zoom"
        self.viewer.layers.selection.active = self.clicks.layer

    def _follow_view(self) -> None:
        if not self._view.take():
            return
        self.moved = True
        zoom = screen_px_per_pixel(self.viewer, self.slide_layer)
        self.clicks.fit(zoom)
        if self.areas is not None:
            self.areas.fit(zoom)
        flat = self.viewer.dims.ndisplay == 2
        self.box = view_box(self.viewer, self.slide_layer) if flat else None
        if self.box is not None:
            self.engine.set_viewport(self.slide_id, self.box)

    def _view_is_complete(self) -> bool:
        """Tell whether all in view is predicted by the present model."""
        predictions = self.session.predictions.get(self.slide_id)
        if self.box is None or predictions is None:
            return False
        row0, col0, row1, col1 = predictions.grid.tile_range(self.box)
        if (row1 - row0) * (col1 - col0) > MOST_TILES:
            return False
        known, revision = predictions.revisions, self.session.model_revision
        return all(known.get(tile) == revision for tile in predictions.grid.tiles_in(self.box))

    def _tick_cells(self, now: float) -> None:
        predictions = self.session.predictions.get(self.slide_id)
        if predictions is None:
            return
        loaded = self.cells.tick(
            self.box,
            screen_px_per_pixel(self.viewer, self.slide_layer),
            now,
            store=predictions.detections,
            thresholds=self.session.thresholds,
            colors=self.colors(),
            rejected=self.clicks.rejected(),
            at_once=self._at_once,
        )
        if loaded:
            self._at_once = False

    def _notice_removed(self) -> None:
        """Take a layer that the user removed for one they do not want to see."""
        for what, part in (("heat", self.heat), ("cells", self.cells), ("masks", self.masks)):
            if part.layer is None:
                continue
            if part.layer not in self.viewer.layers:
                part.close()
                self.visible[what] = False
            else:
                self.visible[what] = part.layer.visible

    def _follow_slide_layer(self) -> None:
        """Lie on the slide's layer also after it was given another scale or place."""
        now = b"".join(
            np.asarray(value).tobytes()
            for name, value in placement(self.slide_layer).items()
            if name in ("scale", "translate", "rotate", "shear")
        )
        if self._placed and now != self._placed:
            layers = [self.clicks.layer, self.cells.layer, self.pointer.layer]
            layers += [part.layer for part in (self.regions, self.areas) if part is not None]
            for layer in layers:
                if layer is not None:
                    place(layer, self.slide_layer)
            self.heat.follow()
            self._show_masks()
            self._view._note()
        self._placed = now

    def _overlay(self, what: str) -> Layer | None:
        return {"heat": self.heat, "cells": self.cells, "masks": self.masks}[what].layer

    def _remove(self, layer: Layer) -> None:
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _first_class(self) -> str:
        """Return the first class of the user's, or background where there is none."""
        own = [found.name for found in self.session.classes if found.id != 0]
        return own[0] if own else BACKGROUND

    def _key_actions(self) -> dict[str, Callable[[], None]]:
        actions: dict[str, Callable[[], None]] = {
            keys.SUGGEST: self.hooks.suggest,
            keys.REJECT: self.reject_under_cursor,
            keys.UNDO: self.undo,
            keys.REDO: self.redo,
            keys.REDO_TOO: self.redo,
            keys.HELP: self.hooks.help,
        }
        for digit in keys.DIGITS:
            actions[digit] = self._digit(digit)
        return actions

    def _digit(self, digit: str) -> Callable[[], None]:
        def press() -> None:
            for found in self.session.classes:
                if found.key == digit or (digit == "0" and found.id == 0):
                    self.set_class(found.name)
                    return
            self.hooks.note(f"No class has the key {digit}")

        return press
