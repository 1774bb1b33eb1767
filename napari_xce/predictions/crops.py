"""Cut the crops that fine-tuning learns on: pixels around the clicks, and what was said in them.

Called by the thread that owns the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from napari_xce.annotations.records import MASK, POINT, REJECTION, Annotations
from napari_xce.errors import SlideError
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.learning.targets import Said
from napari_xce.learning.trainer import CROP_SIZE, CropExample
from napari_xce.predictions.predictor import SlideAtWork

log = logging.getLogger(__name__)

#: Every so many clicks of a class one is held out from fine-tuning, to judge it.
HOLD_OUT_EVERY = 4
#: Crops in one fine-tuning run; the newest clicks come first.
MOST_CROPS = 96
#: Kinds of annotations that name a place.
SPOTS = (POINT, REJECTION, MASK)


def cut_crops(
    said: Annotations, slides: Iterable[SlideAtWork], classes: list[str], dense: Sequence[int]
) -> Iterator[CropExample]:
    """Cut crops, one by one, around the clicks, each with everything said inside it.

    Parameters
    ----------
    said : Annotations
        What may be learnt from.
    slides : iterable of SlideAtWork
        Those that are open.
    classes : list of str
        Names, without background.
    dense : sequence of int
        Which of them (from 0) the trunk does not propose.

    Yields
    ------
    CropExample
        The newest clicks first. A crop that reaches into a region set aside is left out: its
        pixels are not for learning.
    """
    cutters = (_Cutter(work, said.of_slide(work.id), classes, dense) for work in slides)
    return islice(chain.from_iterable(cutter.crops() for cutter in cutters), MOST_CROPS)


class _Cutter:
    """Cuts the crops of one slide."""

    def __init__(
        self, work: SlideAtWork, said: Annotations, classes: list[str], dense: Sequence[int]
    ) -> None:
        self._work = work
        self._regions = [work.grid.to_working(p) for p in said.regions().polygons if p is not None]
        self._aside = _boxes(work, said.regions(set_aside=True))
        held_out = np.zeros(len(said), bool)
        held_out[sorted(held_out_clicks(said))] = True
        spots = np.isin(said.kinds, SPOTS)
        self._held_out, self._said = held_out[spots], said.where(spots)
        self._points = work.grid.to_working(self._said.points)
        self._labels = label_indices(self._said.labels, classes)
        self._ringed = np.isin(self._labels, [k + 1 for k in dense]) & (self._said.kinds == POINT)

    def crops(self) -> Iterator[CropExample]:
        covered = np.zeros(len(self._points), bool)
        for i in reversed(range(len(self._points))):
            corner = np.round(self._points[i] - CROP_SIZE / 2).astype(int)
            if covered[i] or _meets(corner, self._aside):
                continue
            inside = ((self._points >= corner) & (self._points < corner + CROP_SIZE)).all(1)
            covered |= inside & (np.abs(self._points - self._points[i]) < CROP_SIZE / 3).all(1)
            try:
                crop = self._crop(corner, inside)
            except SlideError as error:  # the other clicks can still be trained on
                log.warning("a crop of %s is left out: %s", self._work.slide.name, error)
            else:
                yield crop

    def _crop(self, corner: NDArray[np.int64], inside: NDArray[np.bool_]) -> CropExample:
        """Read one crop and put together what was said in it."""
        grid, said = self._work.grid, self._said.where(inside)
        masks = [
            (grid.to_working(polygon) - corner, int(label))
            for polygon, label in zip(said.polygons, self._labels[inside], strict=True)
            if polygon is not None
        ]
        return CropExample(
            self._work.read(int(corner[0]), int(corner[1]), CROP_SIZE, CROP_SIZE),
            Said(
                self._points[inside] - corner,
                self._labels[inside],
                self._ringed[inside],
                masks,
                [polygon - corner for polygon in self._regions],
                REFERENCE_DIAMETER,
            ),
            np.flatnonzero(self._held_out[inside]),
        )


def label_indices(names: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return 0 for background (or a class that is gone), k + 1 for class k."""
    index = {name: k + 1 for k, name in enumerate(classes)}
    return np.array([index.get(str(name), 0) for name in names], np.int64)


def held_out_clicks(said: Annotations) -> set[int]:
    """Choose every fourth click of each class, in the order they were made."""
    chosen: set[int] = set()
    clicks = said.kinds == POINT
    for label in np.unique(said.labels[clicks]):
        of_label = np.flatnonzero(clicks & (said.labels == label))
        chosen.update(of_label[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY].tolist())
    return chosen


def _boxes(work: SlideAtWork, regions: Annotations) -> NDArray[np.float64]:
    """Return the boxes around regions, working pixels, shape (M, 2, 2): lowest, highest (y, x)."""
    corners = [work.grid.to_working(p) for p in regions.polygons if p is not None]
    return np.array([(c.min(0), c.max(0)) for c in corners]).reshape(-1, 2, 2)


def _meets(corner: NDArray[np.int64], boxes: NDArray[np.float64]) -> bool:
    """Tell whether a crop shares a pixel with one of the boxes."""
    return bool(((boxes[:, 0] < corner + CROP_SIZE) & (boxes[:, 1] >= corner)).all(1).any())
