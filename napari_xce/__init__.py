"""napari-xce: click a few cells on a whole-slide image and see them all.

The names below are the public API. Importing this package loads none of them: each is fetched from
its module at first use, so that neither torch nor Qt is loaded before it is needed (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; must say the same as _HOMES
    from napari_xce.annotations import Annotations, CellClass
    from napari_xce.engine import Engine
    from napari_xce.errors import (
        ExchangeError,
        ModelError,
        SessionError,
        SlideError,
        XceError,
        XceWarning,
    )
    from napari_xce.learning.losses import ExclusiveCrossEntropy
    from napari_xce.predictions.detections import Detections
    from napari_xce.session import Session
    from napari_xce.slides import open_slide
    from napari_xce.slides.slide import Slide
    from napari_xce.slides.synthetic import SyntheticSlide
    from napari_xce.suggestions import Suggestion

__version__ = "0.1.0"

__all__ = [
    "Annotations",
    "CellClass",
    "Detections",
    "Engine",
    "ExchangeError",
    "ExclusiveCrossEntropy",
    "ModelError",
    "Session",
    "SessionError",
    "Slide",
    "SlideError",
    "Suggestion",
    "SyntheticSlide",
    "XceError",
    "XceWarning",
    "__version__",
    "open_slide",
]

_HOMES = {
    "Annotations": "annotations",
    "CellClass": "annotations",
    "Detections": "predictions.detections",
    "Engine": "engine",
    "ExchangeError": "errors",
    "ExclusiveCrossEntropy": "learning.losses",
    "ModelError": "errors",
    "Session": "session",
    "SessionError": "errors",
    "Slide": "slides.slide",
    "SlideError": "errors",
    "Suggestion": "suggestions",
    "SyntheticSlide": "slides.synthetic",
    "XceError": "errors",
    "XceWarning": "errors",
    "open_slide": "slides",
}


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module, once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
