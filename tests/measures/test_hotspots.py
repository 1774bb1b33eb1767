from __future__ import annotations

import numpy as np
import pytest

from napari_xce.measures.hotspots import hot_spots


def crowd(y: float, x: float, count: int) -> np.ndarray:
    """Return cells within 20 pixels of a place."""
    return np.random.default_rng(count).uniform(-14, 14, (count, 2)) + (y, x)


def test_densest_disc_is_found_first_with_all_its_cells() -> None:
    points = np.concatenate([crowd(200, 300, 40), crowd(700, 800, 60)])
    first, second = hot_spots(points, (100, 100), (1000, 1000), count=5)[:2]
    assert (first.cells, second.cells) == (60, 40)
    assert first.yx == pytest.approx((700, 800), abs=100)
    assert second.yx == pytest.approx((200, 300), abs=100)


def test_spots_do_not_overlap() -> None:
    points = np.random.default_rng(0).uniform(0, 1000, (3000, 2))
    spots = hot_spots(points, (100, 100), (1000, 1000), count=6)
    centres = np.array([spot.yx for spot in spots])
    gaps = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    assert len(spots) > 2
    assert gaps[~np.eye(len(spots), dtype=bool)].min() >= 2 * 100 - 13  # the half bins


def test_cells_of_a_spot_are_those_within_the_radius() -> None:
    points = np.random.default_rng(1).uniform(0, 500, (400, 2))
    for spot in hot_spots(points, (60, 60), (500, 500)):
        assert spot.cells == (np.hypot(*(points - spot.yx).T) <= 60).sum()


def test_no_cells_have_no_hot_spots() -> None:
    assert hot_spots(np.empty((0, 2)), (100, 100), (1000, 1000)) == []


def test_three_cells_are_one_spot_not_three() -> None:
    (spot,) = hot_spots(crowd(50, 50, 3), (100, 100), (300, 300))
    assert spot.cells == 3
