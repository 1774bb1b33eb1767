"""What a session predicts: cells of a slide or a region, and their masks. Tile by tile, so that an
engine at work on the same session gets its turn in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_xce.errors import SessionError
from napari_xce.exchange.outlines import Outline, outlines
from napari_xce.learning.trunk import MASK_STRIDE
from napari_xce.predictions.block_reader import BlockReader
from napari_xce.predictions.detections import Box, Detections
from napari_xce.predictions.instances import (
    MARGIN,
    Foreground,
    enlarge,
    label_instances,
    mask_box,
)
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.scheduler import tissue_tiles
from napari_xce.predictions.tiles import Tile
from napari_xce.session.learning import SessionLearning

Region = tuple[tuple[float, float], tuple[float, float]]
#: Tiles whose foreground is kept while the mask of a whole slide is made: about 100 MB.
_FOREGROUNDS = 512


class SessionPredictions(SessionLearning):
    """The part of a session that predicts."""

    def predict(self, slide: str | None = None, region: Region | None = None) -> Detections:
        """Predict the cells of a slide, or of a part of it; blocks.

        Parameters
        ----------
        slide : str, optional
            Not needed when there is one slide.
        region : ((y0, x0), (y1, x1)), optional
            Level-0 pixels, half-open; by default the whole slide, glass left out.

        Returns
        -------
        Detections
            Those that reach the threshold of their class, centred in the region.

        Raises
        ------
        SessionError
            Nothing has been learnt yet, or the region encloses nothing.
        SlideError
            A tile cannot be read.

        Notes
        -----
        What the present model has predicted before is not predicted again. Where an engine learns
        meanwhile, tiles may be of different revisions; ``Detections.revision`` is the oldest.
        """
        id = self._slide_id(slide)
        box = as_box(region, self.slides[id].shape)
        self._require_learnt()
        self._warn_of_unknown_size(id, 3)
        self._predict_box(id, box, skip_glass=region is None)
        return self._cells(id, box)

    def _predict_box(self, id: str, box: Box, skip_glass: bool = False) -> None:
        """Predict the tiles of a box that the present model has not predicted."""
        for _ in self.predict_tiles(id, self.stale_tiles(id, box, skip_glass)):
            pass

    def predict_tiles(self, slide: str, tiles: Sequence[Tile]) -> Iterator[list[Tile]]:
        """Predict many tiles, reading ahead; yield those that were just published.

        Raises
        ------
        SlideError
            A tile cannot be read; what was predicted before stays.
        """
        with self.read_ahead(slide, tiles) as reader:
            while reader.tiles_left:
                yield self.predict_next(slide, reader)

    def read_ahead(self, slide: str, tiles: Sequence[Tile]) -> BlockReader:
        """Return a reader of the pixels of many tiles, for ``predict_next``; close it."""
        with self.lock:
            return self.live.read_ahead(slide, tiles)

    def predict_next(self, slide: str, reader: BlockReader) -> list[Tile]:
        """Predict and publish the tiles that a reader hands out next; return which they were.

        Raises
        ------
        SlideError
            One of them cannot be read; the next call goes on with others.
        """
        with self.lock:
            found = self.live.predict_next(reader)
            for tile, prediction in found.items():
                self.predictions[slide].publish(tile, prediction.heat, prediction.detections)
            return list(found)

    def stale_tiles(
        self, slide: str, box: Box | None = None, skip_glass: bool = False
    ) -> list[Tile]:
        """Return the tiles that the present model has not predicted.

        Parameters
        ----------
        slide : str
            Its id.
        box : (y0, x0, y1, x1), optional
            Level-0 pixels; by default the whole slide.
        skip_glass : bool
            Leave out tiles without tissue, unless something was annotated there.
        """
        with self.lock:
            predictions = self.predictions[self._slide_id(slide)]
            grid, revision = predictions.grid, self.live.revision
            known = predictions.detections.tiles()
            tiles = grid.tiles_in(box or as_box(None, self.slides[slide].shape))
            tiles = [tile for tile in tiles if known.get(tile) != revision]
            if skip_glass and tiles:
                said = self.store.annotations(slide).points
                spoken_of = {(int(r), int(c)) for r, c in grid.tile_of(said)}
                rows, cols = np.arange(grid.rows), np.arange(grid.cols)
                is_tissue = tissue_tiles(grid, rows, cols, self.tissue(slide))  # (R, C)
                tiles = [tile for tile in tiles if is_tissue[tile] or tile in spoken_of]
            return tiles

    def look_ahead(self, slide: str, tiles: Sequence[Tile]) -> None:
        """Look at tiles that are to be predicted next, all at once, so that each is there sooner.

        Raises
        ------
        ModelError
            As for ``predict_tile``. A tile that cannot be read is left to that.
        """
        with self.lock:
            work = SlideAtWork(slide, self.slides[slide], self.predictions[slide].grid)
            self.live.predictor.look_ahead(self.live.model, work, tiles)

    def predict_tile(self, slide: str, tile: Tile) -> None:
        """Predict one tile and publish it: heat first, then the cells."""
        with self.lock:
            found = self.live.predict_tile(slide, tile)
            self.predictions[slide].publish(tile, found.heat, found.detections)

    def _cells(self, id: str, box: Box | None = None) -> Detections:
        """Return the cells of a slide, or of a box, found so far."""
        return self.predictions[id].detections.query(box, thresholds=self.thresholds)

    # ---- masks

    def segment(self, slide: str | None = None, region: Region | None = None) -> NDArray[np.int32]:
        """Label each cell of a region.

        Parameters
        ----------
        slide : str, optional
            Not needed when there is one slide.
        region : ((y0, x0), (y1, x1)), optional
            Level-0 pixels; by default the whole slide.

        Returns
        -------
        ndarray, int32, shape (height, width)
            Level-0 pixels of the region, also where it reaches beyond the slide. 0 is no cell;
            k + 1 is cell k of ``predict(slide, region)``. Higher labels are cells centred outside
            the region that reach into it.

        Raises
        ------
        SessionError, SlideError
            As for ``predict``.
        """
        id = self._slide_id(slide)
        shape = self.slides[id].shape
        box = as_box(region, shape)
        y0, x0, y1, x1 = as_pixels(box, shape)
        inside = self.predict(id, region)
        if region is None:
            return self._labels(id, (0, 0, *shape), inside)
        wide = self._widened(id, box)
        self._predict_box(id, wide)
        around = self._cells(id, wide)
        y, x = around.points.T
        outside = (y < box[0]) | (y >= box[2]) | (x < box[1]) | (x >= box[3])
        cells = Detections.concatenate([inside, around[outside]])
        return self._labels(id, (y0, x0, y1 - y0, x1 - x0), cells)

    def _widened(self, id: str, box: Box) -> Box:
        """Return a box with room around it for cells that reach into it."""
        fy, fx = (MARGIN * f for f in self.predictions[id].grid.factor)
        return box[0] - fy, box[1] - fx, box[2] + fy, box[3] + fx

    def _labels(
        self,
        id: str,
        region: tuple[int, int, int, int],
        cells: Detections,
        foreground: Foreground | None = None,
    ) -> NDArray[np.int32]:
        """Label the given cells of a slide in a rectangle (y, x, height, width), level 0."""
        grid = self.predictions[id].grid
        box = mask_box(grid, region)
        return enlarge(self.mask_labels(id, box, cells, foreground), box[:2], grid, region)

    def mask_labels(
        self,
        slide: str,
        box: tuple[int, int, int, int],
        cells: Detections,
        foreground: Foreground | None = None,
    ) -> NDArray[np.int32]:
        """Label cells in a rectangle (y, x, height, width) of mask pixels, 1 um each.

        ``foreground`` may bring what is known of the tiles already.
        """
        grid = self.predictions[slide].grid
        with self.lock:
            return label_instances(grid, foreground or self._foreground(slide), cells, box)

    def _foreground(self, slide: str) -> Foreground:
        return lambda tile: self.live.foreground(slide, tile)

    def _kept_foreground(self, slide: str) -> Foreground:
        """Return the foreground by tile, remembered: neighbouring rectangles ask for it again."""
        return lru_cache(_FOREGROUNDS)(self._foreground(slide))

    def _outlines(self, id: str, cells: Detections) -> Iterator[Outline]:
        """Yield the outline of each cell; a cell without a mask of its own is drawn as a disc."""
        grid = self.predictions[id].grid
        foreground = self._kept_foreground(id)
        step = grid.core_size // MASK_STRIDE
        margin = MARGIN // MASK_STRIDE
        factor = (MASK_STRIDE * grid.factor[0], MASK_STRIDE * grid.factor[1])
        owners = grid.tile_of(cells.points)
        names = dict(enumerate(cells.labels.tolist(), start=1))
        scores = dict(enumerate(cells.scores.tolist(), start=1))
        for row, column in np.unique(owners, axis=0).tolist():
            mine = np.flatnonzero((owners == (row, column)).all(1)) + 1
            y, x = row * step - margin, column * step - margin
            side = step + 2 * margin
            labels = self.mask_labels(id, (y, x, side, side), cells, foreground)
            labels = np.where(np.isin(labels, mine), labels, 0)
            origin = (y * factor[0], x * factor[1])
            yield from outlines(labels, names, scores, origin=origin, factor=factor)
            for lost in np.setdiff1d(mine, labels).tolist():
                (cy, cx), diameter = cells.points[lost - 1], cells.diameters[lost - 1]
                disc = shapely.Point(cx, cy).buffer(max(float(np.nan_to_num(diameter)), 2.0) / 2)
                yield Outline(disc, names[lost], scores[lost])


def as_box(region: Region | None, shape: tuple[int, int]) -> Box:
    """Return a region as (y0, x0, y1, x1), level-0 pixels; without one the whole slide."""
    if region is None:
        return -0.5, -0.5, shape[0] - 0.5, shape[1] - 0.5
    try:
        (y0, x0), (y1, x1) = np.asarray(region, dtype=np.float64).tolist()
    except (TypeError, ValueError) as error:
        raise SessionError(f"A region is ((y0, x0), (y1, x1)), not {region!r}.") from error
    if not (np.isfinite([y0, x0, y1, x1]).all() and y1 > y0 and x1 > x0):
        raise SessionError(f"A region needs y1 > y0 and x1 > x0, finite; not {region!r}.")
    return y0, x0, y1, x1


def as_pixels(box: Box, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole pixels (y0, x0, y1, x1) whose centres lie in a box."""
    y0, x0, y1, x1 = (int(np.ceil(v)) for v in box)
    if y1 <= max(y0, 0) or x1 <= max(x0, 0) or y0 >= shape[0] or x0 >= shape[1]:
        raise SessionError("The region lies outside the slide.")
    return y0, x0, y1, x1
