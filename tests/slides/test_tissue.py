"""Tissue is found on any stain, and never lost altogether."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from napari_xce.slides import Slide, open_slide
from napari_xce.slides.tissue import tissue_mask


def stained(colour: tuple[int, int, int], background: tuple[int, int, int]) -> Slide:
    """Return a 1000 x 1000 slide with a disc of tissue of radius 300 in the middle."""
    y, x = np.mgrid[:1000, :1000]
    inside = np.hypot(y - 500, x - 500) < 300
    pixels = np.where(inside[..., None], colour, background).astype(float)
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return Slide.from_array(np.clip(pixels + noise, 0, 255).astype(np.uint8), mpp=0.5)


@pytest.mark.parametrize(
    ("colour", "background"),
    [
        ((180, 100, 160), (245, 244, 246)),  # H&E
        ((235, 200, 215), (245, 244, 246)),  # pale eosin
        ((190, 205, 225), (240, 240, 240)),  # haematoxylin of an IHC
        ((120, 80, 50), (230, 228, 225)),  # DAB on greyish glass
        ((10, 10, 120), (3, 3, 4)),  # fluorescence as RGB
    ],
    ids=["he", "pale", "counterstain", "dab", "fluorescence"],
)
def test_disc_of_tissue_is_found(
    colour: tuple[int, int, int], background: tuple[int, int, int]
) -> None:
    tissue = tissue_mask(stained(colour, background))
    assert tissue.area_px == pytest.approx(np.pi * 300**2, rel=0.06)
    assert tissue.fraction(450, 450, 550, 550) == 1.0
    assert tissue.fraction(0, 0, 100, 100) == 0.0
    assert 0.3 < tissue.fraction(150, 400, 250, 600) < 0.7


def test_picture_full_of_tissue_keeps_it() -> None:
    tissue = tissue_mask(Slide.from_array(skimage.data.immunohistochemistry()))
    assert tissue.fraction(0, 0, 512, 512) > 0.9


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_even_picture_counts_whole(grey: int) -> None:
    tissue = tissue_mask(Slide.from_array(np.full((300, 400, 3), grey, np.uint8)))
    assert tissue.mask.all()
    assert tissue.area_px == 300 * 400


def test_tiny_picture_has_a_mask() -> None:
    assert tissue_mask(Slide.from_array(np.full((3, 5, 3), 200, np.uint8))).mask.shape == (3, 5)


def test_box_outside_the_slide_has_no_tissue() -> None:
    tissue = tissue_mask(stained((180, 100, 160), (245, 245, 245)))
    assert tissue.fraction(-500, -500, -1, -1) == 0.0
    assert tissue.fraction(5000, 5000, 6000, 6000) == 0.0
    assert tissue.fraction(-1000, -1000, 2000, 2000) == pytest.approx(tissue.mask.mean())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("CMU-1-Small-Region.svs", 0.3, 0.5),
        ("tcga-cr-7395-01a-01-ts1.svs", 0.55, 0.75),
        ("openslide_crops/OS-1-detail.ome.tif", 0.95, 1.0),
        ("openslide_crops/OS-2-ndpi.ome.tif", 0.65, 0.9),
    ],
)
def test_real_slides_have_the_tissue_one_sees(
    name: str, low: float, high: float, shared_data: Path
) -> None:
    """The bounds are judged by eye, from the masks drawn over the slides."""
    with open_slide(shared_data / "slides" / name) as slide:
        assert low <= tissue_mask(slide).mask.mean() <= high
