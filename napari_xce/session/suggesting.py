"""Where to click next in a session: what was seen of the slide, what is shown once is not again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_xce.annotations import Store
from napari_xce.annotations.records import MASK, POINT, REGION
from napari_xce.predictions.detections import Box
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.tiles import Tile
from napari_xce.session.predictions import SessionPredictions
from napari_xce.session.slides import WORKING_DIAMETER
from napari_xce.session.survey import spread, tiles_with_tissue
from napari_xce.suggestions import Candidates, Suggestion, suggest

#: Tiles looked at in one call for want of cells to suggest.
_MOST_LOOKS = 4
#: A view of more tiles than this is too wide to be looked at for a suggestion.
_MOST_VIEW_TILES = 24
#: Where a whole slide is asked about, so many of its tiles should be known.
_ENOUGH_TILES = 48
#: Places of one slide that are remembered as suggested; the oldest are forgotten beyond.
MOST_REMEMBERED = 1000
_SETTING = "suggested"


class SessionSuggestions(SessionPredictions):
    """The part of a session that says where to click next."""

    def __init__(self, path: Path, store: Store) -> None:
        super().__init__(path, store)
        self._suggested: dict[str, list[tuple[float, float]]] = {
            id: [(float(y), float(x)) for y, x in places]
            for id, places in store.get_setting(_SETTING, {}).items()
        }

    def suggest(
        self, n: int = 1, slide: str | None = None, box: Box | None = None
    ) -> list[Suggestion]:
        """Return the next places that teach the model most, never the same twice.

        Parameters
        ----------
        n : int
            How many at most.
        slide : str, optional
            Not needed when there is one slide.
        box : (y0, x0, y1, x1), optional
            The present view, level-0 pixels: it goes first, then what lies around it. Without it
            the whole slide is asked about.

        Returns
        -------
        list of Suggestion
            Best first. Reviewed regions are left out: all is said there.

        Notes
        -----
        What was suggested is remembered in the session, the latest 1,000 places of each slide.
        """
        id = self._slide_id(slide)
        with self.lock:
            self.take_up_annotations()
            for key in self.live.unseen_tiles()[:_MOST_LOOKS]:
                self.live.observe(key)
            self._look_where_asked(id, box)
            found = self._suggest(id, n, box)
            if len(found) < n:
                self._look_at_tiles(id, self._unseen(id, None))
                found += self._suggest(id, n - len(found), box)
            if found:
                self._remember_suggested()
            return found

    def crop(
        self, yx: tuple[float, float], slide: str | None = None, side: int = 80
    ) -> NDArray[np.uint8]:
        """Read a small picture around a place, such as a suggestion; any thread.

        Parameters
        ----------
        yx : (float, float)
            Level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.
        side : int
            Working pixels (0.5 um) along each side.

        Returns
        -------
        ndarray, uint8, shape (side, side, 3)
            RGB.

        Raises
        ------
        SlideError
            The slide cannot be read.
        """
        id = self._slide_id(slide)
        grid = self.predictions[id].grid
        row, column = np.round(grid.to_working([yx])[0]).astype(int).tolist()
        work = SlideAtWork(id, self.slides[id], grid)
        return work.read(row - side // 2, column - side // 2, side, side)

    def _suggest(self, id: str, n: int, box: Box | None) -> list[Suggestion]:
        """Suggest among the cells of the tiles looked at so far."""
        said = self.store.annotations(id)
        candidates = Candidates(*self.live.candidates(id))
        reviewed = said.of_kind(REGION).cover(candidates.points)
        if reviewed.any():  # or it is a copy for nothing
            candidates = candidates[~reviewed]
        before = self._suggested.setdefault(id, [])
        names = list(self.live.model.classes)  # the session's may be others by now
        found = suggest(
            candidates,
            names,
            self.live.clicked_vectors(),
            n,
            avoid=np.concatenate([said.points, np.array(before).reshape(-1, 2)]),
            diameter=WORKING_DIAMETER * max(self.factor(id)),
            counts=self._clicks_by_class(names),
            box=box,
        )
        before.extend(s.yx for s in found)
        return found

    def _clicks_by_class(self, names: list[str]) -> list[int]:
        """Return how often each class was clicked, on all slides."""
        said = self.store.annotations()
        labels = said.labels[np.isin(said.kinds, (POINT, MASK))]
        return [int((labels == name).sum()) for name in names]

    def _remember_suggested(self) -> None:
        """Keep in the session what was suggested."""
        for places in self._suggested.values():
            del places[:-MOST_REMEMBERED]
        kept = {
            id: [[round(y, 1), round(x, 1)] for y, x in places]
            for id, places in self._suggested.items()
        }
        self.store.set_setting(_SETTING, kept)

    # ---- looking at more of the slide

    def _look_where_asked(self, id: str, box: Box | None) -> None:
        """Look at tiles of the view that nobody has looked at; without one, here and there."""
        if box is None:
            if self.live.tiles_seen(id) < _ENOUGH_TILES:
                self._look_at_tiles(id, self._unseen(id, None))
        elif len(self.predictions[id].grid.tiles_in(box)) <= _MOST_VIEW_TILES:
            self._look_at_tiles(id, self._unseen(id, box))

    def _unseen(self, id: str, box: Box | None) -> list[Tile]:
        """Return tiles with tissue of a box, or of the slide, of which no cell is known.

        Of very many only some are gone through, others at the next call.
        """
        return tiles_with_tissue(
            self.predictions[id].grid,
            self.tissue(id),
            box,
            begin=len(self._suggested.get(id, ())),
            wanted=lambda tile: not self.live.has_seen((id, tile)),
        )

    def _look_at_tiles(self, id: str, tiles: list[Tile]) -> None:
        """Look at a few of these tiles, spread evenly over them."""
        for tile in spread(tiles, _MOST_LOOKS):
            self.live.observe((id, tile))
