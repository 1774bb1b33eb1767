"""Tiles from a file and tiles predicted since: in whatever mixture, the cells are the same."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.predictions.flat_cells import FlatCells
from napari_xce.predictions.tile_cells import Columns, TileCells
from napari_xce.predictions.tile_table import TileTable

SIDE = 10.0


def tile_of(row: int, column: int, rng: np.random.Generator, revision: int = 1) -> TileCells:
    """Return a tile with up to four cells."""
    n = int(rng.integers(0, 5))
    cells = Columns(
        rng.random((n, 2)) * SIDE + np.array([row, column]) * SIDE,
        rng.integers(0, 3, n).astype(np.int16),
        rng.random(n).astype(np.float32),
        np.full(n, 5.0, np.float32),
        np.zeros(n, np.uint8),
    )
    return TileCells((row, column), revision, cells)


@pytest.mark.parametrize("seed", range(8))
def test_cells_of_a_box_are_those_of_its_tiles_in_grid_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [(row, column) for row in range(6) for column in range(7)]
    stored = {}
    for n in rng.permutation(len(places))[:30]:  # a file may list them in any order
        stored[places[n]] = tile_of(*places[n], rng)
    table = TileTable(FlatCells.of_tiles(list(stored.values())))
    for n in rng.permutation(len(places))[:12]:  # predicted anew, or for the first time
        stored[places[n]] = tile_of(*places[n], rng, revision=2)
        table.put(stored[places[n]])
    low = rng.uniform(0, 30, 2)
    box = (low[0], low[1], low[0] + 30, low[1] + 25)

    cells = table.cells(table.near(box))
    near = [
        t
        for _, t in sorted(stored.items())
        if len(t)
        and (t.cells.points.min(0) < box[2:]).all()
        and (t.cells.points.max(0) >= box[:2]).all()
    ]
    np.testing.assert_array_equal(cells.points, np.concatenate([t.cells.points for t in near]))
    np.testing.assert_array_equal(cells.scores, np.concatenate([t.cells.scores for t in near]))
    assert table.revisions() == {place: t.revision for place, t in stored.items()}
    everything = table.flat()
    assert [tuple(t) for t in everything.tiles.tolist()] == sorted(stored)
    for n, place in enumerate(sorted(stored)):
        np.testing.assert_array_equal(everything.tile(n).cells.points, stored[place].cells.points)
        again = table.get(place)
        assert again is not None
        np.testing.assert_array_equal(again.cells.points, stored[place].cells.points)


def test_tiles_from_a_file_without_cells_are_known() -> None:
    rng = np.random.default_rng(0)
    empty = TileCells((3, 4), 7, Columns.none())
    table = TileTable(FlatCells.of_tiles([empty, tile_of(1, 1, rng)]))
    assert table.revisions() == {(1, 1): 1, (3, 4): 7}
    assert table.get((2, 2)) is None
    assert len(table.near((30.0, 40.0, 50.0, 60.0))) == 0


def test_tiles_that_come_after_others_were_told_are_told_too() -> None:
    rng = np.random.default_rng(0)
    table = TileTable(FlatCells.of_tiles([tile_of(1, 1, rng)]))
    assert table.revisions() == {(1, 1): 1}
    table.put(TileCells((0, 2), 7, Columns.none()))
    table.put(TileCells((1, 1), 8, Columns.none()))
    assert table.revisions() == {(1, 1): 8, (0, 2): 7}
    assert table.tiles().tolist() == [[1, 1], [0, 2]]
