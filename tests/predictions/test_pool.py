"""A few cells of every tile stay, so that a whole slide can be asked about."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.learning.heads import CELL_SIZE, KIND_SIZE
from napari_xce.learning.memory import Observation
from napari_xce.predictions import pool as pool_module
from napari_xce.predictions.pool import CELLS, GROUND, CellPool


def seen(n: int, at: float = 0.0, likely: float = 0.9) -> Observation:
    points = np.column_stack([np.full(n, at), np.arange(n, dtype=float)])
    return Observation(
        points=points,
        objects=np.full(n, likely, np.float32),
        diameters=np.full(n, 16, np.float32),
        vectors=np.tile(points[:, 1:], CELL_SIZE).astype(np.float32),
        ground_points=np.zeros((50, 2)),
        ground_vectors=np.ones((50, CELL_SIZE), np.float32),
        cell_diameter=16.0,
    )


def test_few_cells_of_a_tile_stay_spread_over_it() -> None:
    pool = CellPool()
    pool.take(("a", (0, 0)), seen(480))
    cells = pool.cells("a", [])
    assert len(cells.points) == CELLS
    assert cells.points[-1, 1] >= 400  # not only the first ones
    np.testing.assert_array_equal(cells.vectors[:, 0], cells.points[:, 1])
    assert cells.vectors.shape == (CELLS, KIND_SIZE)
    assert pool.ground("a").vectors.shape == (GROUND, CELL_SIZE)


def test_more_cells_of_tiles_that_are_still_remembered() -> None:
    pool = CellPool()
    tiles = {("a", (0, column)): seen(480, at=float(column)) for column in range(2)}
    for key, observation in tiles.items():
        pool.take(key, observation)
    lately = [(("a", (0, 1)), tiles["a", (0, 1)]), (("b", (0, 0)), seen(30))]
    rows = pool.cells("a", lately).points[:, 0]
    assert (np.sum(rows == 0), np.sum(rows == 1)) == (CELLS, 480)


def test_unlikely_nuclei_are_not_asked_about() -> None:
    pool = CellPool()
    pool.take(("a", (0, 0)), seen(40, likely=0.4))
    assert pool.cells("a", []).points.shape == (0, 2)


def test_other_slides_and_what_was_forgotten_are_left_out() -> None:
    pool = CellPool()
    pool.take(("a", (0, 0)), seen(5))
    assert pool.cells("b", []).points.shape == (0, 2)
    assert (pool.count("a"), pool.count("b")) == (1, 0)
    pool.forget()
    assert ("a", (0, 0)) not in pool
    assert pool.cells("a", []).vectors.shape == (0, KIND_SIZE)


def test_pool_does_not_grow_without_bound(monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "MOST_TILES", 10)
    pool = CellPool()
    for column in range(30):
        pool.take(("a", (0, column)), seen(3))
    assert pool.count("a") == 10
    assert ("a", (0, 29)) in pool


def test_cells_of_all_slides_stand_for_how_cells_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = CellPool()
    assert pool.everywhere().shape == (0, KIND_SIZE)
    for column in range(40):
        pool.take(("large", (0, column)), seen(24))
    pool.take(("small", (0, 0)), seen(24, at=7.0))
    assert pool.everywhere().shape == (41 * 24, KIND_SIZE)
    monkeypatch.setattr(pool_module, "SAMPLED_TILES", 8)
    assert 4 <= len(pool.everywhere()) / 24 - 1 <= 8  # the small slide still has its tile
