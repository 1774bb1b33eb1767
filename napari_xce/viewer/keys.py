"""Keys on layers, bound on the instance: keys bound on the viewer lose to the layers' own. GUI
thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

ACCEPT, REJECT = "A", "X"
LASSO, RECTANGLE = "L", "R"
STEP, STEP_BACK, LEAVE = "Space", "B", "Escape"
SUGGEST, NOTHING = "N", "E"
UNDO, REDO, REDO_TOO = "Control-Z", "Control-Shift-Z", "Control-Y"
OF_THE_VIEWER = (UNDO, REDO)  # also while a layer is selected that is not ours
OF_SHAPES = (LASSO, RECTANGLE, LEAVE)  # which napari needs where shapes are drawn
DIGITS = tuple("0123456789")

Actions = Mapping[str, Callable[[], None]]


def bind(to: Layer | ViewerModel, actions: Actions) -> None:
    """Make these keys do these things while the layer is selected; of a viewer, while no layer has
    a use of its own for them.
    """
    for key, action in actions.items():
        to.bind_key(key, _callback(action), overwrite=True)


def unbind(of: Layer | ViewerModel, actions: Actions) -> None:
    """Give the keys back to napari."""
    for key in actions:
        of.bind_key(key, None)


def _callback(action: Callable[[], None]) -> Callable[[object], None]:
    def press(layer_or_viewer: object) -> None:
        action()

    return press
