"""What the model says, on the slide: heat, cells and masks, each shown or hidden. GUI thread
only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_xce.annotations import BACKGROUND
from napari_xce.engine import ModelReady, Painted, Segmented
from napari_xce.viewer.detection_layer import SMALLEST_CELL_PX, DetectionLayer, Said
from napari_xce.viewer.frame import keep_selection
from napari_xce.viewer.heat_layer import HeatLayer, meet
from napari_xce.viewer.masks_layer import MasksLayer
from napari_xce.viewer.view import screen_px_per_pixel

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_xce.predictions.detections import Box
    from napari_xce.session import Session

MOST_TILES = 1000  # in a view, to ask whether it is painted to the end


class Overlays:
    """The three layers of predictions on one slide.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    session : Session
    slide_id : str
    slide_layer : napari.layers.Image
    adopt : callable
        Called with each new layer, to give it keys.

    Attributes
    ----------
    visible : dict of str to bool
        What the user wants to see of "heat", "cells" and "masks".
    opacity : float
        Of all three, in [0, 1].
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        slide_id: str,
        slide_layer: Image,
        adopt: Callable[[Layer], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._slide_id = slide_id
        self._slide_layer = slide_layer
        self._adopt = adopt
        self._at_once = False
        self._fresh = False  # something in view was predicted, and not drawn to the end since
        self._segmented: Segmented | None = None  # the latest
        self.visible = {"heat": True, "cells": True, "masks": True}
        self.opacity = 0.8
        self.heat = HeatLayer(viewer, slide_layer, session.factor(slide_id))
        self.cells = DetectionLayer(viewer, slide_layer, session.cell_diameter(slide_id))
        self.masks = MasksLayer(viewer, slide_layer)

    # ---- what the user wants to see

    def show(self, what: str, visible: bool, current: str) -> None:
        """Show or hide "heat", "cells" or "masks"; a layer that was removed comes back."""
        self.visible[what] = visible
        layer = self._parts[what].layer
        if layer is not None:
            layer.visible = visible
        elif visible:
            self.show_all(current)

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of all three, in [0, 1]."""
        self.opacity = opacity
        for part in self._parts.values():
            if part.layer is not None:
                part.layer.opacity = opacity

    def show_all(self, current: str) -> None:
        """Put the layers that should be there into the viewer; heat is of the current class."""
        if self.visible["cells"]:
            with keep_selection(self._viewer):
                self._welcome(self.cells.add())
        self.show_heat(current)
        self._show_masks()

    def show_heat(self, current: str) -> None:
        """Draw the current class's heat; nothing while there is none. Background keeps the last."""
        last = self.heat.shown[0] if self.heat.shown is not None else None
        name = current if current != BACKGROUND else last
        color = self.colors().get(name) if name is not None else None
        predictions = self._session.predictions.get(self._slide_id)
        pyramid = predictions.heat.get(name) if predictions is not None and name else None
        if name is None or color is None or pyramid is None:
            self.heat.close()
        elif self.visible["heat"] and not self.heat.draws(pyramid, name, color):
            fresh = self.heat.layer is None
            with keep_selection(self._viewer):
                layer = self.heat.show(pyramid, name, color)
            if fresh:
                self._welcome(layer)

    def colors(self) -> dict[str, str]:
        """Return "#rrggbb" by class name."""
        return {found.name: found.color for found in self._session.classes}

    # ---- what happens

    def take(
        self, message: Painted | ModelReady | Segmented, current: str, box: Box | None
    ) -> None:
        """Bring a message of the engine to its layer; ``box`` is in view."""
        if isinstance(message, Painted):
            self.show_heat(current)
            self.heat.painted(message.box)
            self.cells.changed()
            self._fresh |= box is not None and meet(message.box, box)
        elif isinstance(message, ModelReady):  # perhaps other thresholds
            self.cells.changed()
            self._fresh = True
        elif self._session.head == "unet":
            self._segmented = message
            self._show_masks()

    def annotated(self, current: str) -> None:
        """Follow what was said, and the classes: at the next tick, without waiting."""
        self.show_heat(current)
        self.masks.recolor(self.colors())
        self.changed_at_once()

    def changed_at_once(self) -> None:
        """Query the cells anew at the next tick; for what the user did."""
        self._at_once = True
        self.cells.changed()

    def tick(self, box: Box | None, said: Said, now: float) -> None:
        """Draw what changed, if it is in view."""
        self._notice_removed()
        self._drop_masks()
        if self._fresh and self.is_painted(box):  # drawn at once, whatever was drawn before
            self._fresh = False
            self._at_once = True
        screen_px = screen_px_per_pixel(self._viewer, self._slide_layer)
        self.heat.fit(self.cells.diameter_px * screen_px < SMALLEST_CELL_PX)
        self.heat.tick(box, now, at_once=self._at_once)
        self.tick_cells(box, said, now)

    def tick_cells(self, box: Box | None, said: Said, now: float) -> None:
        """Draw the cells anew if they changed."""
        predictions = self._session.predictions.get(self._slide_id)
        if predictions is None:
            return
        loaded = self.cells.tick(
            box,
            screen_px_per_pixel(self._viewer, self._slide_layer),
            now,
            store=predictions.detections,
            thresholds=self._session.thresholds,
            colors=self.colors(),
            said=said,
            at_once=self._at_once,
        )
        if loaded:
            self._at_once = False

    def is_painted(self, box: Box | None) -> bool:
        """Tell whether all in view is predicted by the present model."""
        predictions = self._session.predictions.get(self._slide_id)
        if box is None or predictions is None:
            return False
        painted = predictions.revisions_in(box, MOST_TILES)
        return painted is not None and set(painted) <= {self._session.model_revision}

    def follow(self) -> None:
        """Lie on the slide's layer again, after it moved; the cells are moved like any points."""
        self.heat.follow()
        self._show_masks()

    def close(self) -> None:
        """Take the layers out of the viewer. May be called twice."""
        for part in self._parts.values():
            part.close()

    # ---- inside

    @property
    def _parts(self) -> dict[str, HeatLayer | DetectionLayer | MasksLayer]:
        return {"heat": self.heat, "cells": self.cells, "masks": self.masks}

    def _welcome(self, layer: Layer) -> None:
        """Make a new layer one of ours."""
        layer.opacity = self.opacity
        self._adopt(layer)

    def _show_masks(self) -> None:
        """Draw the latest masks, hidden ones too, so that they are right when shown again."""
        masks, fresh = self._segmented, self.masks.layer is None
        if masks is not None and (self.visible["masks"] or not fresh):
            with keep_selection(self._viewer):
                layer = self.masks.show(
                    masks.labels, masks.names, self.colors(), masks.factor, masks.origin
                )
            if fresh:
                self._welcome(layer)

    def _drop_masks(self) -> None:
        """Take the masks away when the head only detects."""
        if self._segmented is not None and self._session.head != "unet":
            self._segmented = None
            self.masks.close()

    def _notice_removed(self) -> None:
        """Take a layer that the user removed for one they do not want to see."""
        for what, part in self._parts.items():
            if part.layer is None:
                continue
            if part.layer not in self._viewer.layers:
                part.close()
                self.visible[what] = False
            else:
                self.visible[what] = part.layer.visible
