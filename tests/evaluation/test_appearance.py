"""Tissue unlike what was learnt from is told; tissue of the kind that was is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_xce.evaluation.appearance import look_at, warnings_of
from napari_xce.slides import open_slide
from napari_xce.slides.synthetic import SyntheticSlide


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Return drawn H&E tissue at 0.5 um/px."""
    return SyntheticSlide((600, 600), seed=1).read(0, 0, 512, 512)


def warned(*pixels, clicked=(), mpp=None):
    seen = [look for p in pixels if (look := look_at(p)) is not None]
    return " ".join(warnings_of(seen, [look_at(p) for p in clicked], mpp))


def other_stain(pixels):
    """Exchange red and green: haematoxylin and eosin become a greenish brown."""
    return pixels[..., [1, 0, 2]]


def test_usual_tissue_brings_no_warning(tissue):
    assert warned(tissue) == ""


def test_other_stain_is_told_with_what_to_do(tissue):
    words = warned(other_stain(tissue))
    assert "colour" in words
    assert "Click a few cells" in words


def test_other_stain_is_known_once_it_was_clicked(tissue):
    assert warned(other_stain(tissue), clicked=[other_stain(tissue)]) == ""


def test_blur_is_told_and_is_no_matter_of_colour(tissue):
    words = warned(ndimage.gaussian_filter(tissue, (2.5, 2.5, 0)))
    assert "blurred" in words
    assert "colour" not in words


def test_coarse_pixels_are_told(tissue):
    assert "coarse" in warned(tissue, mpp=(1.0, 1.0))
    assert warned(tissue, mpp=(0.25, 0.25)) == ""


def test_glass_says_nothing():
    assert look_at(np.full((512, 512, 3), 245, np.uint8)) is None
    assert warnings_of([]) == []


def test_one_odd_place_of_several_is_no_matter(tissue):
    assert warned(tissue, tissue, other_stain(tissue)) == ""


def test_no_false_alarm_on_other_patients(shared_data: Path):
    from napari_xce.learning.datasets import read_brca

    images = read_brca(shared_data, "val")
    assert [warned(image.pixels) for image in images] == [""] * len(images)
    first = images[0].pixels
    assert [warned(image.pixels, clicked=[first]) for image in images] == [""] * len(images)


def test_no_false_alarm_on_a_slide_of_another_lab(shared_data: Path):
    slide = open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs")
    places = [(450, 450), (300, 1200), (1200, 1200), (2000, 1200)]
    assert warned(*(slide.read(y, x, 512, 512) for y, x in places), mpp=slide.mpp) == ""
    slide.close()


def test_brown_stain_is_told(shared_data: Path):
    slide = open_slide(shared_data / "slides" / "openslide_crops" / "OS-2-ndpi.ome.tif")
    assert "colour" in warned(slide.read(400, 400, 512, 512, mpp=0.5))
    slide.close()
