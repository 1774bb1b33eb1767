"""Where the network looks, so that the click learner has something to learn from.

At the tiles of what was said, the newest first. All of a tile is remembered for a while, the places
that were clicked for as long as they stand, and a few cells of every tile for good. One thread at a
time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_xce.annotations.records import REGION, Annotations
from napari_xce.learning.click_learner import Standard
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.learning.memory import RING_RADIUS, Click, Memory, TileKey, TrainingRows
from napari_xce.learning.model import CellModel
from napari_xce.predictions.crops import SPOTS
from napari_xce.predictions.pool import CellPool
from napari_xce.predictions.predictor import Predictor, SlideAtWork

#: Tiles of a reviewed region that are looked at; their negatives are plenty.
MOST_REGION_TILES = 32
#: Cells that tell how cells vary; of fewer, those around the clicks tell more.
LEAST_CELLS = 50
#: Places looked at around each click.
RING_POINTS = 8


class Looking:
    """Look at tiles of slides with a model, and remember what was seen.

    Parameters
    ----------
    predictor : Predictor
        Runs the model.

    Attributes
    ----------
    slides : dict of str to SlideAtWork
        By id; those that can be looked at.
    memory : Memory
        Tiles and clicks.
    pool : CellPool
        A few cells of every tile.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.slides: dict[str, SlideAtWork] = {}
        self.memory = Memory()
        self.pool = CellPool()

    def unseen_tiles(self, said: Annotations) -> list[TileKey]:
        """Return the tiles with annotations that were not looked at, newest first.

        A reviewed region counts for the tiles it touches: its negatives lie all over it.
        """
        wanted = dict[TileKey, None]()
        keys = self._keys(said)
        for i in reversed(range(len(said))):
            key = keys[i]
            if key is not None and (
                key not in self.memory.tiles or not self.memory.knows(said.ids[i], said.points[i])
            ):
                wanted[key] = None
            if said.kinds[i] == REGION and not said.set_aside[i]:
                wanted |= dict.fromkeys(self._unseen_of_region(said, i))
        return list(wanted)

    def _unseen_of_region(self, said: Annotations, i: int) -> list[TileKey]:
        """Return the tiles of a reviewed region that were not looked at."""
        work, polygon = self.slides.get(str(said.slides[i])), said.polygons[i]
        if work is None or polygon is None:
            return []
        (y0, x0), (y1, x1) = polygon.min(0).tolist(), polygon.max(0).tolist()
        keys = [(work.id, tile) for tile in work.grid.tiles_in((y0, x0, y1, x1))]
        return [key for key in keys[:MOST_REGION_TILES] if key not in self.memory.tiles]

    def _keys(self, said: Annotations) -> list[TileKey | None]:
        """Return the tile of each annotation, None for a region or a slide that is not there."""
        keys: list[TileKey | None] = [None] * len(said)
        spots = np.isin(said.kinds, SPOTS)
        for id, work in self.slides.items():
            mine = np.flatnonzero(spots & (said.slides == id))
            for i, (row, column) in zip(mine, work.grid.tile_of(said.points[mine]), strict=True):
                keys[i] = (id, (int(row), int(column)))
        return keys

    def see(self, model: CellModel, key: TileKey) -> None:
        """Look at a tile, unless it is remembered."""
        if key not in self.memory.tiles:
            seen = self._predictor.observe(model, self.slides[key[0]], key[1])
            self.memory.observe(key, seen)
            self.pool.take(key, seen)

    def sample(self, model: CellModel, key: TileKey) -> None:
        """Look at a tile and keep a few cells of it, unless some are kept."""
        if key not in self.pool:
            self.pool.take(key, self._predictor.observe(model, self.slides[key[0]], key[1]))

    def training_rows(
        self, said: Annotations, classes: list[str], rng: np.random.Generator
    ) -> TrainingRows:
        """Put together what the click learner learns from, as ``Memory.training_rows``.

        The cells are measured against those of all tiles looked at, of every slide: what varies
        little where the clicks are may vary much where they are to be told apart.
        """
        rows = self.memory.training_rows(said, classes, rng)
        everywhere = self.pool.everywhere()
        enough = len(everywhere) >= LEAST_CELLS
        return replace(rows, standard=Standard.of(everywhere) if enough else None)

    def see_clicks(self, model: CellModel, key: TileKey, said: Annotations) -> None:
        """Look at what was said in a tile and is not remembered."""
        for i, own in enumerate(self._keys(said)):
            if own == key and not self.memory.knows(str(said.ids[i]), said.points[i]):
                self.memory.remember_click(str(said.ids[i]), self._look(model, key, said.points[i]))

    def _look(self, model: CellModel, key: TileKey, point: NDArray[np.float64]) -> Click:
        """Return what the network sees at and around a place in a tile."""
        work = self.slides[key[0]]
        radius = RING_RADIUS * REFERENCE_DIAMETER
        turns = np.linspace(0, 2 * np.pi, RING_POINTS, endpoint=False)
        ring = point + radius * np.column_stack([np.sin(turns), np.cos(turns)]) * work.grid.factor
        here = np.concatenate([point[None], ring])
        vectors = self._predictor.vectors_at(model, work, key[1], here)
        return Click((float(point[0]), float(point[1])), vectors[0], ring, vectors[1:], key)

    def forget(self) -> None:
        """Forget what was seen, because the same cells look otherwise now."""
        self.memory.forget()
        self.pool.forget()
