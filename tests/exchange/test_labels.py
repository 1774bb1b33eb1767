from __future__ import annotations

import numpy as np
import pytest

from napari_xce.errors import ExchangeError
from napari_xce.exchange.labels import LazyLabels, as_lazy


def test_tiles_come_row_by_row_and_are_cut_at_the_edge() -> None:
    lazy = LazyLabels((600, 1100), lambda y, x, h, w: np.zeros((h, w), np.int32))
    assert [box for box, _ in lazy.tiles()] == [
        (0, 0, 512, 512),
        (0, 512, 512, 512),
        (0, 1024, 512, 76),
        (512, 0, 88, 512),
        (512, 512, 88, 512),
        (512, 1024, 88, 76),
    ]


def test_small_masks_have_one_level_and_large_ones_more() -> None:
    def levels(height: int, width: int) -> list[tuple[int, int]]:
        return LazyLabels((height, width), lambda *box: np.zeros(box[2:])).level_shapes()

    assert levels(2048, 2048) == [(2048, 2048)]
    assert levels(2049, 10) == [(2049, 10), (512, 2)]
    assert levels(100_001, 40_000) == [
        (100_001, 40_000),
        (25_000, 10_000),
        (6_250, 2_500),
        (1_562, 625),
    ]


@pytest.mark.parametrize(
    ("dtype", "value", "kept"),
    [
        (bool, 1, np.int32),
        (np.uint8, 255, np.int32),
        (np.int64, 2**31 - 1, np.int32),
        (np.int64, 2**31, np.uint32),
        (np.uint32, 1, np.uint32),
    ],
)
def test_labels_are_kept_in_32_bits(dtype: type, value: int, kept: type) -> None:
    ((_, tile),) = as_lazy(np.array([[0, value]], dtype)).tiles()
    assert tile.dtype == kept
    assert tile.tolist() == [[0, value]]


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.zeros((2, 2, 2), int), "two dimensions"),
        (np.zeros((2, 2)), "whole numbers"),
        (np.zeros((0, 2), int), "empty"),
        (np.array([[2**32]]), "number the instances anew"),
        (np.array([[-1, 2**31]]), "number the instances anew"),
    ],
)
def test_what_is_no_mask_is_refused(labels: np.ndarray, match: str) -> None:
    with pytest.raises(ExchangeError, match=f"(?i){match}"):
        list(as_lazy(labels).tiles())


def test_tile_of_the_wrong_shape_is_an_error() -> None:
    lazy = LazyLabels((4, 4), lambda y, x, h, w: np.zeros((3, 3), int))
    with pytest.raises(ValueError, match=r"came with the shape \(3, 3\)"):
        list(lazy.tiles())
