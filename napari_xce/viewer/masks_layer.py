"""The masks layer: instance masks of what is in view, when the head segments. GUI thread only.

A small single-scale Labels layer that is replaced whole: napari cannot draw a live multiscale one
without converting it on the GUI thread, and what is on screen at working resolution is a few
megabytes at most.

A mask has the colour of its class, its rim in stronger paint than its inside, so that touching
cells are told apart. The layer therefore holds not the cells' own numbers but one number for the
inside and one for the rim of each class: napari needs 0.4 s on the GUI thread to colour 3,000
numbers by a table, and less than 0.01 s for these (measured with napari 0.9.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_xce.viewer.frame import mark, place, placement, rgba, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

ABOVE = ("cells", "regions", "clicks")  # roles of the layers that masks must not cover
INSIDE, RIM = 0.25, 1.0  # opacity of the paint
GONE = "#ffffff"  # of a class that is not there any more


class MasksLayer:
    """Owns the ``xce: masks`` layer of one slide."""

    def __init__(self, viewer: ViewerModel, slide_layer: Layer) -> None:
        self._viewer = viewer
        self._slide_layer = slide_layer
        self._colors: dict[str, str] = {}  # of the classes drawn, in the order of their numbers
        self.layer: Labels | None = None

    def show(
        self,
        labels: NDArray[np.int32],
        names: Sequence[str],
        colors: Mapping[str, str],
        factor: tuple[float, float],
        origin: tuple[float, float],
    ) -> Labels:
        """Show these masks in place of those before.

        Parameters
        ----------
        labels : int32, shape (h, w)
            0 is no cell, each cell its own number.
        names : sequence of str
            The class of cell i is names[i - 1].
        colors : mapping of class name to "#rrggbb"
        factor : tuple of float, (y, x)
            Level-0 pixels per label pixel.
        origin : tuple of float, (y, x)
            Level-0 place of the first label pixel's centre.

        Returns
        -------
        napari.layers.Labels
        """
        classes, painted = _paint(labels, names)
        self._colors = {name: colors.get(name, GONE) for name in classes}
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = Labels(
                painted,
                name="xce: masks",
                colormap=_colormap(self._colors),
                **placement(self._slide_layer, factor, origin),
            )
            mark(self.layer, "masks")
            above = [role_of(layer) in ABOVE for layer in self._viewer.layers]
            at = above.index(True) if any(above) else len(self._viewer.layers)
            self._viewer.layers.insert(at, self.layer)
        else:
            self.layer.data = painted
            self.layer.colormap = _colormap(self._colors)
            place(self.layer, self._slide_layer, factor, origin)
        self.layer.features = _features(classes)
        self.layer.editable = False
        return self.layer

    def recolor(self, colors: Mapping[str, str]) -> None:
        """Follow the classes' colours.

        A class that was renamed keeps its colour until the engine sends masks with its new name.
        """
        now = {name: colors.get(name, color) for name, color in self._colors.items()}
        if now != self._colors and self.layer is not None:
            self._colors = now
            self.layer.colormap = _colormap(now)

    def close(self) -> None:
        """Take the layer out of the viewer. May be called twice."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def _paint(
    labels: NDArray[np.int32], names: Sequence[str]
) -> tuple[list[str], NDArray[np.unsignedinteger]]:
    """Return the classes that occur, and 2k + 1 inside cells of class k and 2k + 2 on their rim."""
    classes, index = np.unique(np.array(names, dtype=str), return_inverse=True)
    inside = np.concatenate([[0], 2 * index + 1])
    dtype = np.min_scalar_type(2 * len(classes))
    painted = inside.astype(dtype)[labels]
    around = np.pad(labels, 1, mode="edge")
    rim = np.zeros(labels.shape, bool)
    for neighbour in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
        rim |= neighbour != labels
    painted[rim & (labels > 0)] += 1
    return classes.tolist(), painted


def _colormap(colors: Mapping[str, str]) -> CyclicLabelColormap:
    """Return the colours of the numbers that `_paint` gives.

    Not napari's direct colormap: that compiles for seconds when it is first used.
    """
    rows = [(0.0, 0.0, 0.0, 0.0)]
    for color in colors.values():
        rows += [rgba(color, INSIDE), rgba(color, RIM)]
    return CyclicLabelColormap(colors=np.array(rows, np.float32), background_value=0)


def _features(classes: Sequence[str]) -> dict[str, list[object]]:
    """Return what napari's status bar says of each number."""
    twice = [name for name in classes for _ in (INSIDE, RIM)]
    return {"index": list(range(len(twice) + 1)), "class": ["", *twice]}
