"""Slides are read at exact places at any scale; their pixel size is never made up."""

from __future__ import annotations

import numpy as np
import pytest

from napari_xce.errors import SlideError
from napari_xce.slides import Slide


def ramp(height: int, width: int) -> np.ndarray:
    """Return 0.3 grey levels per row plus 0.5 per column, rounded, as RGB."""
    grey = np.rint(0.3 * np.arange(height)[:, None] + 0.5 * np.arange(width)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(
    "factor", [(1, 1), (2, 2), (1.002, 1.002), (1.5, 1.37), (4.4, 3.1), (0.5, 0.6)]
)
@pytest.mark.parametrize("origin", [(10, 12), (10.3, 7.7)])
def test_ramp_is_read_at_its_places(
    factor: tuple[float, float], origin: tuple[float, float]
) -> None:
    slide = Slide.from_array(ramp(250, 250))
    y = origin[0] - 0.5 + (np.arange(30) + 0.5) * factor[0]
    x = origin[1] - 0.5 + (np.arange(40) + 0.5) * factor[1]
    expected = 0.3 * y[:, None] + 0.5 * x
    read = slide.read_scaled(*origin, 30, 40, factor)
    assert read.shape == (30, 40, 3)
    assert read.dtype == np.uint8
    assert (
        np.abs(read[..., 0] - expected).max() < 1.0
    )  # rounded once in the ramp, once in the result
    assert abs((read[..., 0] - expected).mean()) < 0.12


def test_coarser_levels_show_the_same_ramp() -> None:
    fine = ramp(256, 256)
    coarse = np.rint(fine.reshape(64, 4, 64, 4, 3).mean((1, 3))).astype(np.uint8)
    slide = Slide.from_array([fine, coarse])
    expected = 0.3 * (20 - 0.5 + (np.arange(20) + 0.5) * 5.5)[:, None] + 0.5 * (
        30 - 0.5 + (np.arange(20) + 0.5) * 5.5
    )
    assert np.abs(slide.read_scaled(20, 30, 20, 20, (5.5, 5.5))[..., 0] - expected).max() < 1.2


def test_whole_factors_average_whole_blocks(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture)
    blocks = picture[100:340, 60:300].reshape(80, 3, 80, 3, 3).mean((1, 3))
    assert np.abs(slide.read_scaled(100, 60, 80, 80, (3, 3)) - blocks).max() <= 0.51


def test_level_zero_pixels_come_unchanged(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture)
    assert np.array_equal(slide.read(17, 23, 64, 50, mpp=None), picture[17:81, 23:73])


def test_read_takes_micrometres_per_axis(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture, mpp=(0.25, 0.5))
    expected = picture[0:40].reshape(20, 2, -1, 3).mean(1)[:, :30]
    assert np.abs(slide.read(0, 0, 20, 30, mpp=0.5) - expected).max() <= 0.51


def test_outside_the_slide_is_white(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture)
    corner = slide.read_level(0, -10, -20, 30, 40)
    assert (corner[:10] == 255).all()
    assert (corner[:, :20] == 255).all()
    assert np.array_equal(corner[10:, 20:], picture[:20, :20])
    assert (slide.read_scaled(5000, 5000, 8, 8, (1.5, 1.5)) == 255).all()
    assert slide.read_scaled(1170, 1090, 20, 20, (1.7, 1.7)).shape == (20, 20, 3)


def test_reads_do_not_share_memory_with_the_array(picture: np.ndarray) -> None:
    pixels = picture.copy()
    slide = Slide.from_array(pixels)
    read = slide.read(0, 0, *pixels.shape[:2], mpp=None)
    read[:] = 0
    assert np.array_equal(pixels, picture)


def test_unknown_pixel_size_refuses_micrometres(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture)
    assert slide.mpp is None
    assert slide.mpp_source == "unknown"
    with pytest.raises(SlideError, match="set_mpp"):
        slide.read(0, 0, 10, 10)


def test_given_pixel_size_says_who_gave_it(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture)
    slide.set_mpp(0.3)
    assert (slide.mpp, slide.mpp_source) == ((0.3, 0.3), "user")
    slide.set_mpp((0.2, 0.4), "cell diameter")
    assert (slide.mpp, slide.mpp_source) == ((0.2, 0.4), "cell diameter")


@pytest.mark.parametrize("mpp", [0, -0.5, float("nan"), float("inf"), (0.5, 0.0)])
def test_impossible_pixel_size_is_refused(mpp: float | tuple[float, float]) -> None:
    slide = Slide.from_array(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(SlideError, match="above 0"):
        slide.set_mpp(mpp)


def test_impossible_factor_is_refused() -> None:
    slide = Slide.from_array(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(SlideError, match="above 0"):
        slide.read_scaled(0, 0, 4, 4, (0.0, 1.0))


def test_fingerprint_tells_pictures_apart(picture: np.ndarray) -> None:
    other = picture.copy()
    other[0:64, 0:64] = 0
    assert Slide.from_array(picture).fingerprint == Slide.from_array(picture.copy()).fingerprint
    assert Slide.from_array(picture).fingerprint != Slide.from_array(other).fingerprint
    assert Slide.from_array(picture).fingerprint != Slide.from_array(picture[:-1]).fingerprint


def test_coarsest_fine_enough_level_is_read() -> None:
    shades = [np.full((512 >> k, 512 >> k, 3), 10 * k, np.uint8) for k in range(4)]
    slide = Slide.from_array(shades)
    factors = [0.5, 1.0, 1.9, 2.0, 3.9, 4.0, 7.0, 8.0, 20.0]
    used = [int(slide.read_scaled(0, 0, 4, 4, (f, f))[1, 1, 0]) // 10 for f in factors]
    assert used == [0, 0, 0, 1, 1, 2, 2, 3, 3]
