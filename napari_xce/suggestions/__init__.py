"""Where to click next, and why: places that teach the model most."""

from napari_xce.suggestions.suggest import Candidates, Suggestion, suggest

__all__ = ["Candidates", "Suggestion", "suggest"]
