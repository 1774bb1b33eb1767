"""Cells kept between sessions: of the same grid, under the names that stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_xce.errors import SessionError
from napari_xce.predictions.cell_cache import follow_classes, load_cells, save_cells
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import TileGrid

NAMES = {1: "tumour", 2: "stroma"}
POINTS = [[10.0, 10.0], [50.0, 50.0]]


def _empty(factor: float = 1.0) -> SlidePredictions:
    return SlidePredictions(TileGrid((500, 500), (factor, factor)))


@pytest.fixture
def predictions() -> SlidePredictions:
    """Return one cell of each class, and their heat."""
    predictions = _empty()
    cells = Detections(POINTS, ["tumour", "stroma"], [0.9, 0.8], [12, 12], revision=7)
    heat = {name: np.full((112, 112), 100, np.uint8) for name in NAMES.values()}
    predictions.publish((0, 0), heat, cells)
    return predictions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions" / "slide-1.npz"


def test_cells_come_back(predictions: SlidePredictions, path: Path) -> None:
    save_cells(path, predictions, NAMES)
    again = _empty()
    assert load_cells(path, again, NAMES)
    found = again.detections.query()
    np.testing.assert_array_equal(found.points, POINTS)
    assert found.labels.tolist() == ["tumour", "stroma"]
    assert again.detections.tiles() == {(0, 0): 7}
    assert again.revisions == {}  # the heat is to be painted


def test_cells_of_another_scale_are_not_taken(predictions: SlidePredictions, path: Path) -> None:
    save_cells(path, predictions, NAMES)
    again = _empty(factor=2.0)
    assert not load_cells(path, again, NAMES)
    assert not again.detections.tiles()


def test_renamed_and_deleted_classes_are_followed(
    predictions: SlidePredictions, path: Path
) -> None:
    save_cells(path, predictions, NAMES)
    again = _empty()
    assert load_cells(path, again, {1: "epithelium", 3: "new"})
    assert again.detections.query().labels.tolist() == ["epithelium"]


def test_names_may_change_places(predictions: SlidePredictions) -> None:
    follow_classes(predictions, NAMES, {1: "stroma", 2: "tumour"})
    assert predictions.detections.query().labels.tolist() == ["stroma", "tumour"]
    assert set(predictions.heat) == {"stroma", "tumour"}


def test_nothing_is_loaded_where_nothing_was_saved(path: Path) -> None:
    assert not load_cells(path, _empty(), NAMES)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"grid": 1}', '{"grid": null, "classes": []}'])
def test_damaged_card_is_passed_over(predictions: SlidePredictions, path: Path, card: str) -> None:
    save_cells(path, predictions, NAMES)
    path.with_suffix(".json").write_text(card)
    assert not load_cells(path, _empty(), NAMES)


def test_damaged_cells_are_passed_over(predictions: SlidePredictions, path: Path) -> None:
    save_cells(path, predictions, NAMES)
    path.write_bytes(path.read_bytes()[:100])
    again = _empty()
    assert not load_cells(path, again, NAMES)
    assert not again.detections.tiles()


def test_cells_cut_short_by_a_kill_are_not_taken(
    predictions: SlidePredictions, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New cells, killed before their card: the old card must not vouch for them."""
    save_cells(path, predictions, NAMES)
    monkeypatch.setattr("napari_xce.predictions.cell_cache._grid_card", _killed)
    with pytest.raises(KeyboardInterrupt):
        save_cells(path, predictions, NAMES)
    monkeypatch.undo()
    assert not load_cells(path, _empty(), NAMES)


def _killed(_: object) -> None:
    raise KeyboardInterrupt


def test_full_disk_is_told_in_words(predictions: SlidePredictions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="could not be saved"):
        save_cells(tmp_path / "file" / "slide-1.npz", predictions, NAMES)
