"""Slides from napari layers of any reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_xce.errors import SlideError
from napari_xce.slides import Slide


def pixels_of(slide: Slide) -> np.ndarray:
    return slide.read(0, 0, *slide.shape, mpp=None)


def test_layer_of_our_levels_leads_back_to_its_slide(picture: np.ndarray) -> None:
    slide = Slide.from_array(picture, mpp=0.25)
    assert Slide.from_layer(Image(slide.levels, multiscale=True, rgb=True)) is slide


def test_multiscale_rgb_keeps_its_levels(picture: np.ndarray) -> None:
    slide = Slide.from_layer(
        Image([picture, picture[::2, ::2]], multiscale=True, rgb=True, name="he")
    )
    assert slide.level_shapes == [(1181, 1103), (591, 552)]
    assert slide.name == "he"
    assert np.array_equal(pixels_of(slide), picture)


def test_rgba_is_laid_on_white(picture: np.ndarray) -> None:
    rgba = np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])
    assert (pixels_of(Slide.from_layer(Image(rgba, rgb=True))) == 255).all()


def test_grey_layer_becomes_rgb_within_its_contrast_limits() -> None:
    grey = np.tile(np.array([100, 600, 1100], np.uint16), (40, 20))
    layer = Image(grey, contrast_limits=(100, 1100))
    read = pixels_of(Slide.from_layer(layer))
    assert read[0, :3].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_axes_of_length_one_are_taken_off(picture: np.ndarray) -> None:
    slide = Slide.from_layer(Image(picture[None], rgb=True))
    assert np.array_equal(pixels_of(slide), picture)


def test_stack_layer_is_refused_in_words() -> None:
    with pytest.raises(SlideError, match="not one flat colour image"):
        Slide.from_layer(Image(np.zeros((5, 40, 50), np.uint8)))


@pytest.mark.parametrize(
    ("options", "mpp", "source"),
    [
        ({"scale": (0.3, 0.25), "units": "um"}, (0.3, 0.25), "layer (scale and units)"),
        ({"scale": (250, 250), "units": "nm"}, (0.25, 0.25), "layer (scale and units)"),
        ({"scale": (1.0, 1.0), "units": "um"}, None, "unknown"),
        ({"scale": (0.25, 0.25)}, None, "unknown"),
        ({"metadata": {"resolution": (0.5, 0.4)}}, (0.5, 0.4), "layer (metadata resolution)"),
        ({"metadata": {"resolution": None}}, None, "unknown"),
        ({"metadata": {"resolution": (0.0, 0.0)}}, None, "unknown"),
        (
            {"scale": (1, 1), "units": "um", "metadata": {"resolution": (0.5, 0.5)}},
            (0.5, 0.5),
            "layer (metadata resolution)",
        ),
    ],
    ids=str,
)
def test_pixel_size_is_looked_for_in_the_layer(
    options: dict[str, Any], mpp: tuple[float, float] | None, source: str
) -> None:
    slide = Slide.from_layer(Image(np.zeros((40, 50, 3), np.uint8), rgb=True, **options))
    assert slide.mpp == (None if mpp is None else pytest.approx(mpp))
    assert slide.mpp_source == source


def layer_from_file(data: np.ndarray, path: Path) -> SimpleNamespace:
    """Return what a foreign reader's layer looks like to us."""
    return SimpleNamespace(
        data=data,
        multiscale=False,
        rgb=True,
        name="foreign",
        scale=(1.0, 1.0),
        units=("pixel", "pixel"),
        metadata={},
        contrast_limits=(0, 255),
        source=SimpleNamespace(path=str(path)),
    )


def test_pixel_size_is_looked_for_in_the_file(
    picture: np.ndarray, write_pyramid: Callable[..., Path]
) -> None:
    path = write_pyramid([picture], mpp=0.23)
    slide = Slide.from_layer(layer_from_file(picture, path))
    assert slide.mpp == pytest.approx((0.23, 0.23))
    assert slide.mpp_source == "file (TIFF resolution)"
    assert slide.path == path
    cropped = Slide.from_layer(layer_from_file(picture[:100], path))
    assert cropped.mpp is None  # not the picture in the file


def test_file_that_is_gone_leaves_the_size_unknown(picture: np.ndarray, tmp_path: Path) -> None:
    slide = Slide.from_layer(layer_from_file(picture, tmp_path / "gone.svs"))
    assert (slide.mpp, slide.path) == (None, None)
