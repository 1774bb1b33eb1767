"""What a session advises: where to click next, and how good the model is so far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_xce.annotations import Annotations, Store
from napari_xce.annotations.records import MASK, POINT, REGION
from napari_xce.errors import SessionError
from napari_xce.evaluation.scores import Score, score_detections
from napari_xce.predictions.detections import Box, Detections
from napari_xce.session.predictions import SessionPredictions, as_box
from napari_xce.session.slides import WORKING_DIAMETER
from napari_xce.suggestions import Candidates, Suggestion, suggest

#: Distance, working pixels, within which a detection and a true cell are the same (6 um).
MATCH_RADIUS = 12.0
#: Tiles looked at in one call for want of cells to suggest.
_MOST_LOOKS = 4

Points = NDArray[np.float64]


class SessionAdvice(SessionPredictions):
    """The part of a session that advises."""

    def __init__(self, path: Path, store: Store) -> None:
        super().__init__(path, store)
        self._suggested: dict[str, list[tuple[float, float]]] = {}

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
            The present view, which goes first; level-0 pixels.

        Returns
        -------
        list of Suggestion
            Best first. Reviewed regions are left out: all is said there.
        """
        id = self._slide_id(slide)
        with self.lock:
            self.take_up_annotations()
            for key in self.live.unseen_tiles()[:_MOST_LOOKS]:
                self.live.observe(key)
            found = self._suggest(id, n, box)
            if len(found) < n:
                self._look_around(id, box)
                found += self._suggest(id, n - len(found), box)
            return found

    def _suggest(self, id: str, n: int, box: Box | None) -> list[Suggestion]:
        """Suggest among the cells of the tiles looked at so far."""
        said = self.store.annotations(id)
        candidates = Candidates(*self.live.candidates(id))
        candidates = candidates[~said.of_kind(REGION).cover(candidates.points)]
        before = self._suggested.setdefault(id, [])
        found = suggest(
            candidates,
            self.class_names,
            self.live.clicked_vectors(),
            n,
            avoid=np.concatenate([said.points, np.array(before).reshape(-1, 2)]),
            diameter=WORKING_DIAMETER * max(self.factor(id)),
            box=box,
        )
        before.extend(s.yx for s in found)
        return found

    def _look_around(self, id: str, box: Box | None) -> None:
        """Look at a few more tiles with tissue: those of the view, then others, spread evenly."""
        grid, tissue = self.predictions[id].grid, self.tissue(id)
        for area in (box, as_box(None, self.slides[id].shape)):
            tiles = [
                tile
                for tile in (grid.tiles_in(area) if area is not None else [])
                if not self.live.has_seen((id, tile)) and tissue.fraction(*grid.core_box(tile)) > 0
            ]
            if tiles:
                picks = np.unique(np.linspace(0, len(tiles) - 1, _MOST_LOOKS).astype(int))
                for pick in picks.tolist():
                    self.live.observe((id, tiles[pick]))
                return

    def evaluate(self, slide: str | None = None) -> dict[str, Score]:
        """Measure precision, recall and F1 in the reviewed regions.

        Where regions are set aside (``review(..., set_aside=True)``), in those alone.

        Parameters
        ----------
        slide : str, optional
            By default all slides that have reviewed regions.

        Returns
        -------
        dict of str to Score
            By class, with 95 % intervals. Cells match within 6 um (12 working pixels).

        Raises
        ------
        SessionError
            No region has been reviewed, or nothing has been learnt.

        Notes
        -----
        The clicks inside a reviewed region also teach the model, so that these figures lean to
        the good side, unless the region was set aside.
        """
        ids = [self._slide_id(slide)] if slide is not None else list(self.slides)
        regions = {id: self.store.annotations(id).of_kind(REGION) for id in ids}
        aside = any(said.set_aside.any() for said in regions.values())
        regions = {id: s for id, said in regions.items() if len(s := said.regions(aside))}
        if not regions:
            raise SessionError("No region has been reviewed: review one, then evaluate.")
        ids = list(regions)
        true = [self._true_cells(id, regions[id]) for id in ids]
        found = [self._found_cells(id, regions[id]) for id in ids]
        scales = [np.array(self.factor(id)) for id in ids]
        return score_detections(
            np.concatenate([points / f for (points, _), f in zip(true, scales, strict=True)]),
            np.concatenate([labels for _, labels in true]),
            np.concatenate([cells.points / f for cells, f in zip(found, scales, strict=True)]),
            np.concatenate([cells.labels for cells in found]),
            np.concatenate([cells.scores for cells in found]),
            MATCH_RADIUS,
            self.class_names,
            truth_images=np.repeat(ids, [len(labels) for _, labels in true]),
            images=np.repeat(ids, [len(cells) for cells in found]),
        )

    def _true_cells(self, id: str, regions: Annotations) -> tuple[Points, NDArray[np.str_]]:
        """Return centres and classes of the cells annotated in reviewed regions of a slide."""
        said = self.store.annotations(id)
        chosen = np.isin(said.kinds, (POINT, MASK)) & regions.cover(said.points)
        return said.points[chosen], said.labels[chosen]

    def _found_cells(self, id: str, regions: Annotations) -> Detections:
        """Return the cells predicted in reviewed regions of a slide, each once."""
        self._require_learnt()
        for polygon in regions.polygons:
            assert polygon is not None
            (y0, x0), (y1, x1) = polygon.min(0).tolist(), polygon.max(0).tolist()
            self._predict_box(id, (y0, x0, y1, x1))
        cells = self._cells(id)
        return cells[regions.cover(cells.points)]
