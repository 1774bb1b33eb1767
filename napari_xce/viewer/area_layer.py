"""The areas layer: rectangles and polygons to count cells in, with their names. GUI thread only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from napari.layers import Shapes

from napari_xce.annotations.journal import counted
from napari_xce.errors import XceError
from napari_xce.viewer.frame import mark, placement
from napari_xce.viewer.region_layer import SMALLEST_PX

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_xce.annotations.records import Area
    from napari_xce.session import Session

COLOR = "#000000"  # told from every class on tissue and glass, by every eye
LINE_PX = 3.0  # width of an outline on the screen


class AreaLayer:
    """Owns the ``xce: areas`` layer of one slide; a shape drawn there becomes an area to count in.

    Parameters
    ----------
    slide_layer : napari.layers.Layer
        The layer it lies on.
    session : Session
    slide_id : str
    on_drawn : callable
        Called after the user drew, reshaped or deleted an area.
    on_change : callable
        Called when there are others than before, for whatever reason: undo, a script, an import.
    on_error : callable
        Called with the sentence when the session refused.

    Notes
    -----
    napari's polygons have no holes: each ring of an area is a shape of its own. Deleting one
    deletes the area; only areas of a single ring can be reshaped by hand.
    """

    def __init__(
        self,
        slide_layer: Layer,
        session: Session,
        slide_id: str,
        on_drawn: Callable[[], None],
        on_change: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._session = session
        self._slide_id = slide_id
        self._on_drawn = on_drawn
        self._on_change = on_change
        self._on_error = on_error
        self._mirroring = False
        self._changed = False  # by the user, since the last tick
        self._width = LINE_PX  # of an outline, level-0 pixels
        self._stand: list[Area] = session.store.areas(slide_id)
        self._names: list[str] = []  # of the area that each shape belongs to
        self.layer = Shapes(
            ndim=2,
            name="xce: areas",
            edge_color=COLOR,
            face_color="transparent",
            features={"name": np.empty(0, dtype=object)},
            text={"string": "{name}", "color": COLOR, "anchor": "upper_left", "size": 12},
            **placement(slide_layer),
        )
        mark(self.layer, "areas")
        self.layer.events.data.connect(self._on_data)
        self._show()

    def mirror(self) -> None:
        """Show the areas of the session, if they are others than before."""
        stand = self._session.store.areas(self._slide_id)
        if stand != self._stand:
            self._stand = stand
            self._show()
            self._on_change()

    def _show(self) -> None:
        """Draw the areas that stand."""
        rings, names, titles = [], [], []
        for area in self._stand:
            lines = [
                line
                for part in shapely.get_parts(area.outline)
                for line in (part.exterior, *part.interiors)
            ]
            rings += [shapely.get_coordinates(line)[:-1, ::-1] for line in lines]
            names += [area.name] * len(lines)
            titles += [area.name] + [""] * (len(lines) - 1)
        self._names = names
        self._mirroring = True
        try:
            self.layer.selected_data = set()
            self.layer.data = []
            if rings:
                self.layer.add(
                    rings, shape_type="polygon", edge_color=COLOR, edge_width=self._width
                )
            self.layer.features = {"name": np.array(titles, dtype=object)}
        finally:
            self._mirroring = False

    def fit(self, screen_px_per_pixel: float) -> None:
        """Keep outlines as wide on the screen at every zoom; napari measures them in the slide's
        pixels.
        """
        width = LINE_PX / screen_px_per_pixel
        if not 0.75 < width / self._width < 1.33:
            self._width = width
            self.layer.current_edge_width = width
            self.layer.edge_width = [width] * len(self.layer.data)

    def tick(self) -> None:
        """Take up what the user drew; napari's layer cannot be changed while it tells of it."""
        if not self._changed:
            return
        self._changed = False
        self._attempt(lambda: self._add(self.layer.data[len(self._names) :]))
        self._stand = self._session.store.areas(self._slide_id)
        self._show()  # what was refused, too
        self._on_drawn()
        self._on_change()

    def close(self) -> None:
        """Stop listening. May be called twice."""
        self.layer.events.data.disconnect(self._on_data)

    def _on_data(self, event: Any) -> None:
        """Take up what the user reshaped or deleted; what is new at the next tick."""
        action = str(event.action)
        if self._mirroring or action.endswith("ing"):
            return
        indices = {int(i) for i in event.data_indices}
        if action == "removed":
            names = {self._names[i] for i in indices if i < len(self._names)}
            self._names = [n for i, n in enumerate(self._names) if i not in indices]
            self._attempt(lambda: self._delete(names))
        elif action == "changed":
            self._attempt(lambda: self._reshape(indices))
        self._changed = True

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something; what the session refuses is told."""
        try:
            act()
        except XceError as error:
            self._on_error(str(error))

    def _add(self, shapes: list[Any]) -> None:
        """Make an area of each new shape that is no slip of the mouse."""
        for vertices in shapes:
            if (np.ptp(vertices, axis=0) >= SMALLEST_PX).all():
                self._session.add_area(_polygon(vertices), slide=self._slide_id)

    def _delete(self, names: set[str]) -> None:
        """Delete areas, in one action."""
        with self._session.store.together(_words("Delete", names)):
            for name in names:
                self._session.delete_area(name, self._slide_id)

    def _reshape(self, indices: set[int]) -> None:
        """Give areas the outlines that their shapes have now, in one action."""
        shapes = {self._names[i]: self.layer.data[i] for i in indices if i < len(self._names)}
        if any(self._names.count(name) > 1 for name in shapes):
            self._on_error("An area with holes or of several parts cannot be reshaped by hand.")
            return
        with self._session.store.together(_words("Change", shapes)):
            for name, vertices in shapes.items():
                self._session.replace_area(name, _polygon(vertices), self._slide_id)


def _words(verb: str, names: Collection[str]) -> str:
    """Say what is done to which areas."""
    return f"{verb} {counted(len(names), 'area') if len(names) > 1 else ''.join(names)}"


def _polygon(vertices: Any) -> shapely.Polygon:
    """Return a shape's vertices (y, x) as a polygon in (x, y)."""
    return shapely.Polygon(np.asarray(vertices, dtype=float)[:, ::-1])
