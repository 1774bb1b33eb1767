"""Keys on layers, bound on the instance: keys bound on the viewer lose to the layers' own. GUI
thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

SUGGEST, REJECT, UNDO, REDO, REDO_TOO, HELP = (
    "N",
    "X",
    "Control-Z",
    "Control-Shift-Z",
    "Control-Y",
    "Slash",  # what "?" arrives as
)
DIGITS = tuple("0123456789")

Actions = Mapping[str, Callable[[], None]]


def bind(layer: Layer, actions: Actions) -> None:
    """Make these keys do these things while the layer is selected."""
    for key, action in actions.items():
        layer.bind_key(key, _callback(action), overwrite=True)


def unbind(layer: Layer, actions: Actions) -> None:
    """Give the keys back to napari."""
    for key in actions:
        layer.bind_key(key, None)


def _callback(action: Callable[[], None]) -> Callable[[Layer], None]:
    def press(layer: Layer) -> None:
        action()

    return press
