"""What the engine paints: the tiles of the view, those around it, and masks. Its thread owns it."""

from __future__ import annotations

import os
from collections.abc import Callable

from napari_xce.engine.failures import Failures
from napari_xce.engine.messages import Message, Painted
from napari_xce.engine.view_masks import segment_view
from napari_xce.predictions.detections import Box
from napari_xce.predictions.scheduler import next_tiles
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session

#: Tiles on a side of the view that are painted: far out the view's middle, not half a slide.
MOST_TILES = 64
#: Tiles of the view that are looked at at once, a core for each.
AT_ONCE = os.cpu_count() or 1

Point = tuple[float, float]


class Painting:
    """Paint what is looked at.

    Each method that returns a bool does a short piece of work, and returns False if there is none.

    Parameters
    ----------
    session : Session
    tell : callable
        Takes each message.
    failures : Failures

    Attributes
    ----------
    is_due : bool
        Whether a tile of the view was painted when last asked.
    """

    def __init__(
        self, session: Session, tell: Callable[[Message], None], failures: Failures
    ) -> None:
        self._session = session
        self._tell = tell
        self._failures = failures
        self._view: tuple[str, Box] | None = None
        self._focus: tuple[str, Point] | None = None  # slide and place of the latest click
        self._masks_shown: object = None
        self.is_due = False

    def look_at(self, slide_id: str, box: Box) -> None:
        """Paint this view from now on, level-0 pixels, its middle first."""
        self._view, self._focus = (slide_id, box), None

    def begin_at_latest(self) -> None:
        """Begin where the latest annotation is that stands."""
        self._focus = _latest_place(self._session)

    def paint_view(self) -> bool:
        """Predict the next tiles of the view, one for each core."""
        self.is_due = self._paint(AT_ONCE, around=False)
        return self.is_due

    def recall_heat(self) -> bool:
        """Draw the cells of an earlier session far out, where nothing else is shown."""
        view = self._view_store()
        if view is None or view[2].heat_is_recalled:
            return False
        slide_id, _, predictions = view
        predictions.recall_heat()
        self._tell_all(slide_id, predictions)
        return True

    def paint_around(self) -> bool:
        """Predict one tile next to the view."""
        return self._paint(1, around=True)

    def _paint(self, most: int, around: bool) -> bool:
        view = self._view_predictions()
        if view is None:
            return False
        slide_id, box, predictions = view
        box = predictions.grid.middle_of(box, MOST_TILES)
        revision = self._session.model_revision
        revisions = dict(predictions.revisions)
        for (id, broken), failed_at in self._failures.broken.items():
            if id == slide_id and failed_at == revision:
                revisions[broken] = revision
        tissue = self._session.tissue(slide_id) if around else None
        focus = self._focus[1] if self._focus is not None and self._focus[0] == slide_id else None
        tiles = next_tiles(box, predictions.grid, revisions, revision, tissue, focus, most)
        if not tiles or not (around or tiles[0] in predictions.grid.tiles_in(box)):
            return False
        self._failures.guarded(lambda: self._session.look_ahead(slide_id, tiles))
        for tile in tiles:
            self._predict(slide_id, tile)
        return True

    def _view_predictions(self) -> tuple[str, Box, SlidePredictions] | None:
        """Return the view and what is predicted there, if anything can be."""
        return self._view_store() if self._session.live.has_learnt else None

    def _view_store(self) -> tuple[str, Box, SlidePredictions] | None:
        """Return the view and the cells of its slide, which may have come from a file."""
        if self._view is None:
            return None
        predictions = self._session.predictions.get(self._view[0])
        return None if predictions is None else (*self._view, predictions)

    def _predict(self, slide_id: str, tile: Tile) -> None:
        """Predict a tile and say so."""
        if self._failures.on_tile(
            (slide_id, tile), lambda: self._session.predict_tile(slide_id, tile)
        ):
            box = self._session.predictions[slide_id].grid.core_box(tile)
            self._tell(Painted(slide_id, box, self._session.model_revision))

    def show_masks(self) -> bool:
        """Segment what is in view, once for each view and model, when the head is "unet"."""
        view = self._view_predictions() if self._session.head == "unet" else None
        if view is None:
            return False
        slide_id, box, predictions = view
        model = (self._session.model_revision, self._session.thresholds)
        wanted = (slide_id, box, predictions, model)
        if wanted == self._masks_shown:
            return False
        self._masks_shown = wanted
        masks = segment_view(self._session, slide_id, box)
        if masks is not None:
            self._tell(masks)
        return True

    def clear(self) -> None:
        """Take what was predicted away, because all it was learnt from was taken back."""
        for id, predictions in list(self._session.predictions.items()):
            if predictions.detections.tiles():
                predictions.clear()
                self._tell_all(id, predictions)

    def _tell_all(self, slide_id: str, predictions: SlidePredictions) -> None:
        """Say that the whole slide looks otherwise now."""
        height, width = predictions.grid.shape
        whole = (-0.5, -0.5, height - 0.5, width - 0.5)
        self._tell(Painted(slide_id, whole, self._session.model_revision))


def _latest_place(session: Session) -> tuple[str, Point] | None:
    """Return where the latest annotation is that stands."""
    said = session.annotations()
    if not len(said):
        return None
    y, x = said.points[-1].tolist()
    return str(said.slides[-1]), (y, x)
