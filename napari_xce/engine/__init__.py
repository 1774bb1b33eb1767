"""The background thread that learns and predicts while the user clicks.

`engine` holds what the GUI calls and the thread's loop, `worker` what the thread does, piece by
piece, and `messages` what crosses between the two. It knows no viewer, layer or widget.
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
