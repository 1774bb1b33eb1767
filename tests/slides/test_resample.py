"""Resampling keeps places and means, whatever the grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_xce.slides.resample import footprint, resample


@given(
    start=st.floats(-50, 50),
    step=st.floats(0.2, 40),
    count=st.integers(1, 40),
    vertical=st.booleans(),
)
def test_ramp_stays_the_ramp(start: float, step: float, count: int, vertical: bool) -> None:
    first, last = footprint(start, step, count)
    length = last - first
    slope = 250 / max(length, 1)
    column = np.rint(np.arange(length) * slope).astype(np.uint8)
    pixels = np.repeat(column[:, None, None], 3, axis=2)  # (length, 1, 3)
    if not vertical:
        pixels = pixels.transpose(1, 0, 2)
    along, across = (start - first, step, count), (0.0, 1.0, 1)
    y, x = (along, across) if vertical else (across, along)
    out = resample(pixels, (y[0], x[0]), (y[1], x[1]), (y[2], x[2]))
    middle = start - first + (np.arange(count) + 0.5) * step - 0.5
    assert np.abs(out[..., 0].ravel() - middle * slope).max() <= 1.05


@given(start=st.floats(-5, 5), step=st.floats(0.2, 20), value=st.integers(0, 255))
def test_even_colour_stays_even(start: float, step: float, value: int) -> None:
    first, last = footprint(start, step, 9)
    pixels = np.full((last - first, last - first, 3), value, np.uint8)
    out = resample(pixels, (start - first,) * 2, (step, step), (9, 9))
    assert (out == value).all()


def test_stripes_average_to_grey() -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[::2] = 200
    out = resample(stripes, (10.3, 10.3), (8.7, 8.7), (20, 20))
    assert np.abs(out.astype(int) - 100).max() <= 12  # no moire
