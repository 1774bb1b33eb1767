"""Arrays of any kind become RGB, or are refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_xce.errors import SlideError
from napari_xce.slides import Slide
from napari_xce.slides.array import guess_value_range, on_white
from napari_xce.slides.source import true_downsamples


def pixels_of(data: Any) -> np.ndarray:
    slide = Slide.from_array(data)
    return slide.read(0, 0, *slide.shape, mpp=None)


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1)])
def test_grey_becomes_rgb(shape: tuple[int, ...]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(pixels_of(grey), np.repeat(grey.reshape(40, 50, 1), 3, axis=2))


def test_transparent_pixels_are_white() -> None:
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[:20, :, 3] = 255
    rgba[20:30] = (100, 50, 0, 51)  # a fifth of the colour, four fifths of white
    read = pixels_of(rgba)
    assert (read[:20] == 0).all()
    assert (read[20:30] == (224, 214, 204)).all()
    assert (read[30:] == 255).all()
    assert on_white(rgba[:0]).shape == (0, 40, 3)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[0, 4095]], np.uint16), [0, 255]),
        (np.array([[0, 200]], np.uint16), [0, 200]),
        (np.array([[0.0, 0.2, 1.0]]), [0, 51, 255]),
        (np.array([[0.0, 51.0, 255.0]], np.float32), [0, 51, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0.0, np.nan]]), [0, 0]),
    ],
)
def test_other_dtypes_become_eight_bits(data: np.ndarray, expected: list[int]) -> None:
    assert pixels_of(data)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("values", [np.array([-5.0, 3.0]), np.array([0, 10**6]), np.array([1e4])])
def test_values_that_are_no_colours_are_refused(values: np.ndarray) -> None:
    with pytest.raises(SlideError, match="8-bit RGB"):
        guess_value_range(values)


@pytest.mark.parametrize("shape", [(5,), (3, 40, 50), (40, 50, 2), (40, 50, 5), (2, 40, 50, 3)])
def test_stacks_are_refused_in_words(shape: tuple[int, ...]) -> None:
    with pytest.raises(SlideError, match="is not a slide"):
        Slide.from_array(np.zeros(shape, np.uint8))


def test_empty_pictures_are_refused() -> None:
    with pytest.raises(SlideError, match="empty"):
        Slide.from_array(np.zeros((0, 10, 3), np.uint8))
    with pytest.raises(SlideError, match="at least one level"):
        Slide.from_array([])


class LazyArray:
    """An array that only slices, as dask does, and counts how often."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.reads = data, data.shape, data.dtype, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        self.reads += 1
        return self.data[key]


def test_lazy_arrays_are_read_once_per_tile(picture: np.ndarray) -> None:
    lazy = LazyArray(picture)
    slide = Slide.from_array(lazy)
    before = lazy.reads
    for _ in range(3):
        assert np.array_equal(slide.read_level(0, 500, 500, 30, 30), picture[500:530, 500:530])
    assert lazy.reads == before + 4  # the region touches four tiles
    slide.close()


def test_true_factors_are_integers_for_cropped_edges() -> None:
    assert true_downsamples([(11801, 11003), (2950, 2750), (737, 687)])[1:] == [(4, 4), (16, 16)]
    assert true_downsamples([(3567, 4443), (1783, 2221)])[1] == (2, 2)
    assert true_downsamples([(1001, 999), (501, 500)])[1] == (2, 2)  # rounded up


def test_odd_factors_stay_as_they_are() -> None:
    height, width = true_downsamples([(40160, 32128), (10000, 8000)])[1]
    assert (height, width) == pytest.approx((4.016, 4.016))
