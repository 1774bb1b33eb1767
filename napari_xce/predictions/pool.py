"""A few cells of every tile that was looked at: what a whole slide can be asked about.

The learner's memory holds whole tiles, but only the latest; of a slide of a million cells it
forgets most. Here a handful of each tile stays, a few kilobytes. Owned by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.budget import bytes_for
from napari_xce.learning.heads import CELL_SIZE, KIND_SIZE
from napari_xce.learning.memory import Observation, TileKey

#: Proposals and random places kept of each tile.
CELLS, GROUND = 24, 12
#: Tiles kept, of all slides; of more, any one makes room.
MOST_TILES = bytes_for("pool") // ((CELLS + GROUND) * (4 * CELL_SIZE + 20))
#: Cells of one slide that are asked about at once: from the tiles seen lately, and from the others.
MOST_CELLS = 20_000
#: Tiles whose cells tell how cells vary; of more, some.
SAMPLED_TILES = 256
#: A proposal that is less likely a nucleus is not asked about.
LEAST_OBJECT = 0.5


@dataclass(frozen=True, slots=True)
class Pooled:
    """Places with what describes them: points (N, 2), level-0 pixels; vectors (N, D).

    ``objects``, shape (N,), is the probability that there is a cell.
    """

    points: NDArray[np.float64]
    vectors: NDArray[np.float32]
    objects: NDArray[np.float32]


class CellPool:
    """Keep some cells of each tile."""

    def __init__(self) -> None:
        self._tiles: dict[TileKey, tuple[Pooled, Pooled]] = {}
        self._rng = np.random.default_rng(0)

    def forget(self) -> None:
        """Forget everything, because the vectors have changed."""
        self._tiles.clear()

    def __contains__(self, key: TileKey) -> bool:
        return key in self._tiles

    def count(self, slide: str) -> int:
        """Return how many tiles of a slide are kept."""
        return sum(key[0] == slide for key in self._tiles)

    def take(self, key: TileKey, seen: Observation) -> None:
        """Keep some cells and some ground of a tile."""
        if key not in self._tiles and len(self._tiles) >= MOST_TILES:
            del self._tiles[list(self._tiles)[self._rng.integers(len(self._tiles))]]
        points, vectors = seen.ground_points[:GROUND].copy(), seen.ground_vectors[:GROUND].copy()
        ground = Pooled(points, vectors, np.ones(len(points), np.float32))
        self._tiles[key] = cells_of(seen, CELLS), ground

    def cells(self, slide: str, lately: Iterable[tuple[TileKey, Observation]]) -> Pooled:
        """Return cells of a slide, KIND_SIZE numbers each: more of the tiles seen lately."""
        recent = {key: seen for key, seen in lately if key[0] == slide}
        share = max(CELLS, MOST_CELLS // max(len(recent), 1))
        parts = [cells_of(seen, share) for seen in recent.values()]
        others = [c for k, (c, _) in self._tiles.items() if k[0] == slide and k not in recent]
        step = max(-(-sum(len(c.points) for c in others) // MOST_CELLS), 1)
        parts += [Pooled(c.points[::step], c.vectors[::step], c.objects[::step]) for c in others]
        return _join(parts, KIND_SIZE)

    def everywhere(self) -> NDArray[np.float32]:
        """Return cells of all slides, alike of each: float32, shape (N, KIND_SIZE)."""
        slides: dict[str, list[Pooled]] = {}
        for (slide, _), (cells, _) in self._tiles.items():
            slides.setdefault(slide, []).append(cells)
        parts = [np.empty((0, KIND_SIZE), np.float32)]
        for tiles in slides.values():
            step = max(len(tiles) * len(slides) // SAMPLED_TILES, 1)
            parts += [cells.vectors for cells in tiles[::step]]
        return np.concatenate(parts)

    def ground(self, slide: str) -> Pooled:
        """Return random places of a slide, CELL_SIZE numbers each."""
        return _join([ground for key, (_, ground) in self._tiles.items() if key[0] == slide], None)


def cells_of(seen: Observation, most: int) -> Pooled:
    """Return up to so many of the likely cells of a tile, spread evenly over them."""
    likely = np.flatnonzero(seen.objects >= LEAST_OBJECT)
    chosen = likely[:: max(-(-len(likely) // most), 1)]
    return Pooled(seen.points[chosen], seen.vectors[chosen, :KIND_SIZE], seen.objects[chosen])


def _join(parts: list[Pooled], width: int | None) -> Pooled:
    if not parts:
        none = np.empty(0, np.float32)
        return Pooled(np.empty((0, 2)), np.empty((0, width or CELL_SIZE), np.float32), none)
    return Pooled(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.vectors for p in parts]),
        np.concatenate([p.objects for p in parts]),
    )
