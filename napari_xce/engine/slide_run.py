"""A whole-slide run: the tiles still to do, and how far it is. Belongs to the engine's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from napari_xce.engine.messages import Progress
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import Tile


@dataclass(slots=True)
class SlideRun:
    """Predict these tiles of a slide.

    Attributes
    ----------
    slide_id : str
    predictions : SlidePredictions
        Whose grid the tiles are of.
    tiles : list of tile
        Still to do, the next one last.
    total : int
        How many there were.
    """

    slide_id: str
    predictions: SlidePredictions
    tiles: list[Tile]
    total: int
    _started: float = field(default_factory=time.monotonic)

    def progress(self) -> Progress:
        """Say how far it is, and how long it will take at the pace so far."""
        done = self.total - len(self.tiles)
        each = (time.monotonic() - self._started) / max(done, 1)
        return Progress(self.slide_id, done, self.total, each * len(self.tiles))
