"""The clicks layer: what the user said, as points that are added, moved and deleted with napari's
own tools.

The store is the truth. What napari does to the layer is compared with what the store last said, and
the difference becomes one action of the store; what the store does (undo, redo, import) is mirrored
back. Of very many, only those in view are drawn. GUI thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Points
from numpy.typing import NDArray

from napari_xce.annotations import BACKGROUND, Store
from napari_xce.annotations.journal import counted
from napari_xce.annotations.records import ACCEPTED, POINT, REJECTION
from napari_xce.errors import XceError
from napari_xce.viewer.compat import forgive_small_drags, one_update
from napari_xce.viewer.detection_layer import Said
from napari_xce.viewer.frame import mark, placement, rgba
from napari_xce.viewer.standing_clicks import StandingClicks
from napari_xce.viewer.view import lies_within, widened

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_xce.predictions.detections import Box

DISC, DIAMOND, CROSS = "disc", "diamond", "x"  # a click, an accepted cell, "not a cell"
SYMBOLS = {POINT: DISC, ACCEPTED: DIAMOND, REJECTION: CROSS}
SMALLEST_ON_SCREEN_PX = 12.0


class AnnotationLayer:
    """Owns the ``xce: clicks`` layer of one slide.

    Parameters
    ----------
    slide_layer : napari.layers.Layer
        The layer it lies on.
    store : Store
        Where every click goes before the call that made it returns.
    slide_id : str
    diameter_px : float
        Usual cell diameter, level-0 pixels; a click is drawn half as large.
    on_change : callable
        Called after the user changed something.
    on_error : callable
        Called with the sentence when the store refused; the layer then shows what the store holds.
    """

    def __init__(
        self,
        slide_layer: Layer,
        store: Store,
        slide_id: str,
        diameter_px: float,
        on_change: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._store = store
        self._diameter_px = diameter_px
        self._slide_id = slide_id
        self._on_change = on_change
        self._on_error = on_error
        self._mirroring = False
        self._all: StandingClicks  # of the slide; what is drawn of them:
        self._ids: list[str] = []  # of the layer's rows, in order
        self._points = np.empty((0, 2))  # (N, 2), level-0 px: where the store has them
        self._labels: list[str] = []
        self._kinds: list[str] = []
        self._view: Box | None = None
        self._loaded: Box | None = None  # what was on screen when they were chosen; None: all
        self._thinned = False
        self._revision = -1
        self.current = BACKGROUND
        self.layer = self._new_layer(slide_layer, diameter_px)
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)
        self.mirror()

    def set_class(self, name: str) -> None:
        """Make this the class of the next click; in select mode, also of the selected points."""
        chosen = [self._ids[i] for i in sorted(self.layer.selected_data)]
        if chosen and str(self.layer.mode) == "select":
            self._act(lambda: self._store.relabel(chosen, name))
            self.mirror()
        self.current = name
        self._show_current()

    def mirror(self) -> None:
        """Show what the store holds, if it changed since the last time."""
        if self._revision == self._store.revision:
            return
        self._revision = self._store.revision
        self._all = StandingClicks.of(self._store.annotations(self._slide_id))
        self._said = Said(self._all.points, self._all.labels.tolist())
        self._show()

    def follow(self, view: Box | None) -> None:
        """Draw those in view, a box in level-0 pixels, where there are too many to draw all."""
        self._view = view
        if view is None or self._loaded is None:
            return
        closer = self._thinned and _area(view) < _area(self._loaded) / 4
        if closer or not lies_within(view, self._loaded):
            self._show()

    def _show(self) -> None:
        """Draw what is to be drawn."""
        self._choose()
        layer, features = self.layer, self._features()
        moved = not np.array_equal(layer.data, self._points)
        repainted = moved or not self._looks_right()
        if not repainted and features.equals(layer.features):
            return
        with self._quietly():
            if repainted:
                with one_update(layer):
                    layer.selected_data = set()
                    if moved:
                        layer.data = self._points.copy()
                    layer.features = features
                    self._paint()
            else:  # a click, which napari has drawn as it should be
                layer.features = features
        self._show_current()

    def fit(self, screen_px: float) -> None:
        """Keep the clicks large enough to see at this zoom, in canvas pixels per level-0 pixel.

        Not left to ``canvas_size_limits``: where vispy enlarges a marker, it makes the border half
        of it, which hides the colour of the class.
        """
        size = max(self._diameter_px / 2, SMALLEST_ON_SCREEN_PX / screen_px)
        if not 0.9 < self.layer.current_size / size < 1.1:
            with self._quietly():
                self.layer.selected_data = set()
                self.layer.current_size = size
                self.layer.size = size

    def said(self) -> Said:
        """Return places and classes of the clicks and rejections."""
        return self._said

    def nearest(
        self,
        yx: tuple[float, float],
        radius: float,
        kinds: Collection[str] = (POINT, ACCEPTED, REJECTION),
    ) -> str | None:
        """Return the id of the click nearest to a place, within a radius in level-0 pixels.

        Of the `kinds` "point" (by hand), "accepted" and "rejection" only those given count.
        """
        row = self._all.nearest(yx, radius, kinds)
        return None if row is None else str(self._all.ids[row])

    def reconcile(self) -> None:
        """Take over what napari did without telling: pasting points emits no event."""
        if not self._mirroring and len(self.layer.data) != len(self._ids):
            self._on_data(None)

    def close(self) -> None:
        """Stop listening. The layer itself is the viewer's. May be called twice."""
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.features.disconnect(self._on_features)

    def _on_data(self, event: Any) -> None:
        """Turn what the user did to the layer into one action of the store."""
        action = getattr(event, "action", None)
        if self._mirroring or (action is not None and str(action).endswith("ing")):
            return
        gone, kept = self._removed(event)
        rows = np.asarray(self.layer.data, dtype=float).reshape(-1, 2)
        before = self._points[kept]
        added = rows[len(kept) :]
        moved = np.flatnonzero((rows[: len(kept)] != before).any(axis=1))

        parts: list[Callable[[], None]] = []
        if gone:
            parts.append(lambda: self._store.delete([self._ids[i] for i in gone]))
        if len(moved):
            ids = [self._ids[kept[i]] for i in moved]
            parts.append(lambda: self._store.move(ids, rows[moved]))
        if len(added):
            parts.append(lambda: self._add(added))
        if len(parts) == 1:
            self._act(parts[0])
        elif parts:
            self._act(lambda: self._together("Edit clicks", parts))

    def _removed(self, event: Any) -> tuple[list[int], list[int]]:
        """Return the rows that went and those that stayed, as indices into what the store last
        said.
        """
        count = len(self._ids)
        if event is not None and str(event.action) == "removed" and len(self.layer.data) < count:
            indices = {int(i) % count for i in event.data_indices} or set(range(count))
        else:
            indices = set(range(len(self.layer.data), count))
        return sorted(indices), [i for i in range(count) if i not in indices]

    def _add(self, points: NDArray[np.float64]) -> None:
        """Add clicks of the current class; one on a click of another class corrects that one
        instead.
        """
        if len(points) == 1:
            row = self._all.nearest(tuple(points[0]), self.layer.current_size / 2, tuple(SYMBOLS))
            if row is not None and self._all.labels[row] != self.current:
                self._store.relabel([str(self._all.ids[row])], self.current)
                return
        if self.current == BACKGROUND:
            self._store.reject(self._slide_id, points)
        else:
            self._store.add_points(self._slide_id, self.current, points)

    def _on_features(self, event: Any = None) -> None:
        """Take over a class that was typed into napari's features table."""
        if self._mirroring or len(self.layer.features) != len(self._ids):
            return
        labels = [str(label) for label in self.layer.features["class"]]
        if labels == self._labels:
            return

        changed = np.array(labels, dtype=object) != np.array(self._labels, dtype=object)
        ids, new = np.array(self._ids)[changed], np.array(labels)[changed]

        def relabel(label: str) -> Callable[[], None]:
            return lambda: self._store.relabel(ids[new == label].tolist(), label)

        words = f"Relabel {counted(len(ids), 'click')}"
        parts = [relabel(label) for label in np.unique(new).tolist()]
        self._act(lambda: self._together(words, parts))

    def _together(self, words: str, parts: list[Callable[[], None]]) -> None:
        """Do several things to the store as one action."""
        with self._store.together(words):
            for part in parts:
                part()

    def _act(self, act: Callable[[], None]) -> None:
        """Do something to the store, and show what it then holds, also when it refused."""
        try:
            act()
        except XceError as error:
            self._revision = -1
            self._on_error(str(error))
        self._on_change()  # first: the engine works while the layer is put right
        self.mirror()

    def _choose(self) -> None:
        """Keep row by row what is drawn."""
        self._loaded = None
        if self._all.many and self._view is not None:
            self._loaded = widened(self._view)
        drawn, self._thinned = self._all.to_draw(self._loaded)
        self._ids, self._points = drawn.ids.tolist(), drawn.points
        self._labels, self._kinds = drawn.labels.tolist(), drawn.kinds.tolist()

    def _looks_right(self) -> bool:
        """Tell whether the rows, as many as there should be, look as their classes do."""
        return (
            np.allclose(self.layer.face_color, self._row_colors())
            and [str(symbol) for symbol in self.layer.symbol] == self._row_symbols()
        )

    def _features(self) -> pd.DataFrame:
        features = {"class": self._labels, "uuid": self._ids, "kind": self._kinds}
        return pd.DataFrame(features, dtype=object)

    def _row_colors(self) -> NDArray[np.float64]:
        colors = {found.name: rgba(found.color) for found in self._store.classes()}
        return np.array([colors[label] for label in self._labels]).reshape(-1, 4)

    def _row_symbols(self) -> list[str]:
        return [SYMBOLS[kind] for kind in self._kinds]

    def _paint(self) -> None:
        """Give the rows the colour and symbol of their class."""
        if self._ids:
            self.layer.face_color = self._row_colors()
            self.layer.symbol = self._row_symbols()
            self.layer.border_color = "white"
            self.layer.size = self.layer.current_size

    def _show_current(self) -> None:
        """Make the next click look as what it will be."""
        colors = {found.name: found.color for found in self._store.classes()}
        with self._quietly():
            self.layer.selected_data = set()  # or napari would repaint the last click too
            self.layer.feature_defaults = {
                "class": self.current,
                "uuid": "",
                "kind": REJECTION if self.current == BACKGROUND else POINT,
            }
            self.layer.current_face_color = colors.get(self.current, "#ffffff")
            self.layer.current_symbol = CROSS if self.current == BACKGROUND else DISC

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change the layer without taking it for the user's doing."""
        before, self._mirroring = self._mirroring, True
        try:
            yield
        finally:
            self._mirroring = before

    def _new_layer(self, slide_layer: Layer, diameter_px: float) -> Points:
        layer = Points(
            np.empty((0, 2)),
            ndim=2,
            name="xce: clicks",
            features=pd.DataFrame({"class": [], "uuid": [], "kind": []}, dtype=object),
            size=diameter_px / 2,
            border_color="white",
            border_width=0.08,
            canvas_size_limits=(2, 60),
            **placement(slide_layer),
        )
        mark(layer, "clicks")
        forgive_small_drags(layer)
        layer.events.mode.connect(_say_keys)
        return layer


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _say_keys(event: Any) -> None:
    """Put our keys into napari's footer: its own text names digits that mean classes here."""
    event.source.help = (
        "1-9 class · A accept · X reject · Space step · N suggest · Ctrl+Z undo · ? help"
    )
