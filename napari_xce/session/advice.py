"""How good the model of a session is, and whether a place is like what it has learnt from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.annotations import Annotations, Store
from napari_xce.annotations.records import ACCEPTED, MASK, POINT, REGION
from napari_xce.errors import SessionError
from napari_xce.evaluation.appearance import Appearance, look_at, warnings_of
from napari_xce.evaluation.progress import Measured
from napari_xce.evaluation.quality import Quality, measure
from napari_xce.evaluation.scores import Score
from napari_xce.predictions.detections import Box, Detections
from napari_xce.session.predictions import as_box
from napari_xce.session.slides import WORKING_DIAMETER
from napari_xce.session.suggesting import SessionSuggestions

#: Distance, working pixels, within which a detection and a true cell are the same (6 um).
MATCH_RADIUS = 12.0
#: A region less than so many cells wide and high, such as "nothing here", is not measured in.
LEAST_CELLS_WIDE = 3.5
#: Points of the learning curve that are remembered.
MOST_MEASURED = 200
#: Places of the view, and of the clicks, whose appearance is compared.
_LOOKS_AT_VIEW, _LOOKS_AT_CLICKS = 4, 16
_LOOK_SIZE = 512
_CURVE = "learning_curve"


@dataclass(frozen=True, slots=True)
class _Field:
    """A place that was reviewed: overlapping regions of one slide together."""

    slide: str
    shape: shapely.Geometry  # (x, y), level-0 pixels


class SessionAdvice(SessionSuggestions):
    """The part of a session that measures how good it is."""

    def __init__(self, path: Path, store: Store) -> None:
        super().__init__(path, store)
        self._looks: dict[tuple[str, int, int], Appearance | None] = {}  # by tile

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
        return self.quality(slide).scores

    def quality(self, slide: str | None = None) -> Quality:
        """Measure how good the model is in the reviewed regions; blocks while they are predicted.

        Parameters
        ----------
        slide : str, optional
            By default all slides that have reviewed regions.

        Returns
        -------
        Quality
            Also confusions between classes and how far scores can be believed; `doubts` says
            whether there is enough to judge by.

        Raises
        ------
        SessionError
            As for `evaluate`.

        Notes
        -----
        Each measurement over all slides is a point of the learning curve.
        """
        ids = [self._slide_id(slide)] if slide is not None else list(self.slides)
        fields, tested = self._fields(ids)
        self._require_learnt()
        true = [self._true_cells(field) for field in fields]
        found = [self._found_cells(field) for field in fields]
        scales = [np.array(self.factor(field.slide)) for field in fields]
        result = measure(
            np.concatenate([said.points / f for said, f in zip(true, scales, strict=True)]),
            np.concatenate([said.labels for said in true]),
            np.repeat(np.arange(len(fields)), [len(said) for said in true]),
            np.concatenate([cells.points / f for cells, f in zip(found, scales, strict=True)]),
            np.concatenate([cells.labels for cells in found]),
            np.concatenate([cells.scores for cells in found]),
            np.repeat(np.arange(len(fields)), [len(cells) for cells in found]),
            MATCH_RADIUS,
            self.thresholds,
            n_regions=len(fields),
            tested=tested,
        )
        accepted = np.concatenate([s.labels[s.provenances == ACCEPTED] for s in true])
        for name, score in result.scores.items():
            count = int((accepted == name).sum())
            result.scores[name] = replace(score, accepted=count)
        if slide is None:
            self._note_quality(result)
        return result

    def _fields(self, ids: list[str]) -> tuple[list[_Field], bool]:
        """Return where to measure, and whether that is set aside."""
        regions = {id: self.store.annotations(id).of_kind(REGION) for id in ids}
        for tested in (True, False):
            fields = [
                _Field(id, shape)
                for id, said in regions.items()
                for shape in _joined(said.regions(tested), self._least_area(id))
            ]
            if fields:
                return fields, tested
        if any(len(said) for said in regions.values()):
            raise SessionError(
                "The reviewed regions are too small to measure in: review one at least "
                f"{LEAST_CELLS_WIDE:g} cells wide and high."
            )
        raise SessionError("No region has been reviewed: review one, then evaluate.")

    def _least_area(self, id: str) -> float:
        """Return the area, level-0 pixels, from which a region is measured in."""
        fy, fx = self.factor(id)
        return (LEAST_CELLS_WIDE * WORKING_DIAMETER) ** 2 * fy * fx

    def _true_cells(self, field: _Field) -> Annotations:
        """Return the cells annotated in a reviewed field."""
        said = self.store.annotations(field.slide)
        return said.where(np.isin(said.kinds, (POINT, MASK)) & _inside(field, said.points))

    def _found_cells(self, field: _Field) -> Detections:
        """Return the cells predicted in a reviewed field, whatever their scores."""
        x0, y0, x1, y1 = shapely.bounds(field.shape).tolist()
        self._predict_box(field.slide, (y0, x0, y1, x1))
        cells = self.predictions[field.slide].detections.query((y0, x0, y1, x1))
        return cells[_inside(field, cells.points)]

    # ---- the learning curve

    def learning_curve(self) -> list[Measured]:
        """Return what `quality` measured so far, in the order of measuring."""
        return [Measured(**point) for point in self.store.get_setting(_CURVE, [])]

    def _note_quality(self, quality: Quality) -> None:
        """Keep a point of the learning curve; nothing to keep where no class could be measured."""
        if math.isnan(quality.mean_f1):
            return
        said = self.store.annotations()
        regions = said.regions(quality.tested)
        known = [s for s in quality.scores.values() if s.true_positives + s.false_negatives]
        point = Measured(
            clicks=int((said.for_learning().kinds != REGION).sum()),
            revision=self.model_revision,
            f1=round(quality.mean_f1, 5),
            low=round(float(np.mean([s.f1_interval[0] for s in known])), 5),
            high=round(float(np.mean([s.f1_interval[1] for s in known])), 5),
            basis=" ".join(sorted(regions.ids.tolist())),
        )
        curve: list[dict[str, Any]] = self.store.get_setting(_CURVE, [])
        if not curve or curve[-1] != point.as_dict():
            self.store.set_setting(_CURVE, [*curve, point.as_dict()][-MOST_MEASURED:])

    # ---- is it like what was learnt from

    def unlike(self, slide: str | None = None, box: Box | None = None) -> list[str]:
        """Say what of a slide, or of a view, is unlike what the model has learnt from.

        Parameters
        ----------
        slide : str, optional
            Not needed when there is one slide.
        box : (y0, x0, y1, x1), optional
            Level-0 pixels; by default the whole slide.

        Returns
        -------
        list of str
            Sentences about colour, sharpness and pixel size, each with what to do; empty where
            nothing is unusual.

        Notes
        -----
        A few places of 0.25 mm are read; the clicks and the shipped weights' own training images
        are what they are compared with. Any thread may call; the model is not used.
        """
        id = self._slide_id(slide)
        mpp = self.slides[id].mpp  # now: the slide may be taken out of the session meanwhile
        area = box if box is not None else as_box(None, self.slides[id].shape)
        looks = [self._look(id, y, x) for y, x in self._places_to_look(id, area)]
        seen = [look for look in looks if look is not None]
        return warnings_of(seen, self._clicked_looks(), mpp)

    def _places_to_look(self, id: str, area: Box) -> list[tuple[float, float]]:
        """Return middles of a few tiles with tissue in an area, or its middle where it is small."""
        grid, tissue = self.predictions[id].grid, self.tissue(id)
        row0, column0, row1, column1 = grid.tile_range(area)
        if (row1 - row0) * (column1 - column0) <= _LOOKS_AT_VIEW:
            return [((area[0] + area[2]) / 2, (area[1] + area[3]) / 2)]
        rng = np.random.default_rng(0)
        tiles = rng.integers((row0, column0), (row1, column1), (20 * _LOOKS_AT_VIEW, 2)).tolist()
        boxes = [grid.core_box((row, column)) for row, column in dict.fromkeys(map(tuple, tiles))]
        full = sorted(boxes, key=lambda b: -tissue.fraction(*b))[:_LOOKS_AT_VIEW]
        return [((y0 + y1) / 2, (x0 + x1) / 2) for y0, x0, y1, x1 in full]

    def _look(self, id: str, y: float, x: float) -> Appearance | None:
        """Describe the tissue around a place."""
        return look_at(self.crop((y, x), id, _LOOK_SIZE))

    def _clicked_looks(self) -> list[Appearance]:
        """Describe the tissue around some clicks, each tile once."""
        said = self.store.annotations()
        chosen = np.flatnonzero(np.isin(said.kinds, (POINT, MASK)))[::-1]
        tiles: dict[tuple[str, int, int], tuple[float, float]] = {}
        for i in chosen.tolist():
            slide = str(said.slides[i])
            if slide in self.slides:
                row, column = self.predictions[slide].grid.tile_of(said.points[i : i + 1])[0]
                tiles.setdefault((slide, int(row), int(column)), tuple(said.points[i].tolist()))
            if len(tiles) == _LOOKS_AT_CLICKS:
                break
        for key, (y, x) in tiles.items():
            if key not in self._looks:
                self._looks[key] = self._look(key[0], y, x)
        return [look for key in tiles if (look := self._looks[key]) is not None]


def _joined(regions: Annotations, least_area: float) -> list[shapely.Geometry]:
    """Return regions large enough as shapes (x, y); those that overlap as one."""
    shapes = [shapely.Polygon(p[:, ::-1]).buffer(0) for p in regions.polygons if p is not None]
    union = shapely.unary_union([shape for shape in shapes if shape.area >= least_area])
    return [part for part in shapely.get_parts(union).tolist() if not part.is_empty]


def _inside(field: _Field, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which points (y, x) lie in a field."""
    return np.asarray(shapely.contains_xy(field.shape, points[:, 1], points[:, 0]), bool)
