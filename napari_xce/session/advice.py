"""How good the model of a session is so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_xce.annotations import Annotations
from napari_xce.annotations.records import ACCEPTED, MASK, POINT, REGION
from napari_xce.errors import SessionError
from napari_xce.evaluation.scores import Score, score_detections
from napari_xce.predictions.detections import Detections
from napari_xce.session.suggesting import SessionSuggestions

#: Distance, working pixels, within which a detection and a true cell are the same (6 um).
MATCH_RADIUS = 12.0


class SessionAdvice(SessionSuggestions):
    """The part of a session that measures how good it is."""

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
            By class, with 95 % intervals. Cells match within 6 um (12 working pixels). ``accepted``
            tells how many of the true cells are accepted predictions, not clicks.

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
        scores = score_detections(
            np.concatenate([said.points / f for said, f in zip(true, scales, strict=True)]),
            np.concatenate([said.labels for said in true]),
            np.concatenate([cells.points / f for cells, f in zip(found, scales, strict=True)]),
            np.concatenate([cells.labels for cells in found]),
            np.concatenate([cells.scores for cells in found]),
            MATCH_RADIUS,
            self.class_names,
            truth_images=np.repeat(ids, [len(said) for said in true]),
            images=np.repeat(ids, [len(cells) for cells in found]),
        )
        accepted = np.concatenate([s.labels[s.provenances == ACCEPTED] for s in true])
        return {
            name: replace(score, accepted=int((accepted == name).sum()))
            for name, score in scores.items()
        }

    def _true_cells(self, id: str, regions: Annotations) -> Annotations:
        """Return the cells annotated in reviewed regions of a slide."""
        said = self.store.annotations(id)
        return said.where(np.isin(said.kinds, (POINT, MASK)) & regions.cover(said.points))

    def _found_cells(self, id: str, regions: Annotations) -> Detections:
        """Return the cells predicted in reviewed regions of a slide, each once."""
        self._require_learnt()
        for polygon in regions.polygons:
            assert polygon is not None
            (y0, x0), (y1, x1) = polygon.min(0).tolist(), polygon.max(0).tolist()
            self._predict_box(id, (y0, x0, y1, x1))
        cells = self._cells(id)
        return cells[regions.cover(cells.points)]
