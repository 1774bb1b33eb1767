"""Levels are sliced like numpy arrays and hand out plain RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xce.slides import Slide

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
LEVEL = Slide.from_array(PIXELS).levels[0]

spans = st.builds(
    slice,
    st.none() | st.integers(-50, 50),
    st.none() | st.integers(-50, 50),
    st.none() | st.integers(-5, 5).filter(bool),
)


@given(rows=spans | st.integers(-37, 36), columns=spans | st.integers(-23, 22), channel=spans)
def test_slices_equal_numpy(rows: Any, columns: Any, channel: Any) -> None:
    key = (rows, columns, channel)
    assert np.array_equal(LEVEL[key], PIXELS[key])


@pytest.mark.parametrize(
    "key", [3, slice(2, 9), (..., 1), (4, ...), (..., slice(3, 8), 2), (), (np.int64(3), 5, 1), ...]
)
def test_short_and_ellipsis_keys_equal_numpy(key: Any) -> None:
    assert np.array_equal(LEVEL[key], PIXELS[key])


@pytest.mark.parametrize("key", [37, (0, -24), (1, 2, 3, 4), (..., ...), [1, 2], None, "a"])
def test_other_keys_are_index_errors(key: Any) -> None:
    with pytest.raises(IndexError):
        LEVEL[key]


def test_level_looks_like_an_array() -> None:
    assert (LEVEL.shape, LEVEL.dtype, LEVEL.ndim, LEVEL.size) == (
        (37, 23, 3),
        np.uint8,
        3,
        37 * 23 * 3,
    )
    assert len(LEVEL) == 37
    assert np.array_equal(np.asarray(LEVEL), PIXELS)
    assert np.asarray(LEVEL, dtype=np.float32).dtype == np.float32


def test_level_leads_back_to_its_slide() -> None:
    assert LEVEL.slide.levels[LEVEL.level] is LEVEL
