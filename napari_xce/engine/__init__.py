"""The background thread that learns and predicts while the user clicks.

`engine` holds what the GUI calls and the thread's loop, `messages` what crosses between the two,
`worker` what the thread does next, and `learning`, `painting` and `slide_run` how that is done,
piece by piece. It knows no viewer, layer or widget.
"""

from napari_xce.engine.engine import Engine
from napari_xce.engine.messages import (
    Failed,
    Message,
    ModelReady,
    Painted,
    Progress,
    Promoted,
    Segmented,
    Status,
    SuggestionsReady,
)

__all__ = [
    "Engine",
    "Failed",
    "Message",
    "ModelReady",
    "Painted",
    "Progress",
    "Promoted",
    "Segmented",
    "Status",
    "SuggestionsReady",
]
