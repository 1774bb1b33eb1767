"""Slides to try things on, without a network: real tissue, and synthetic slides of any size."""

from __future__ import annotations

from napari_xce.slides.slide import Slide
from napari_xce.slides.synthetic import SyntheticSlide

HUGE = (250_000, 250_000)
"""(height, width) of the largest slides that scanners make, level-0 pixels."""


def immunohistochemistry() -> Slide:
    """Return real tissue: colon, FHL2 in brown (DAB) on haematoxylin; pixel size unknown.

    512 x 512 px, part of scikit-image's wheel ("No known copyright restrictions").
    """
    from skimage import data

    return Slide.from_array(data.immunohistochemistry(), name="Immunohistochemistry (skimage)")


def synthetic_he(shape: tuple[int, int] = (4096, 4096), seed: int = 0) -> SyntheticSlide:
    """Return a synthetic H&E slide with known truth, 0.5 um/px; ``shape`` in level-0 px."""
    return SyntheticSlide(shape, seed)


def synthetic_he_huge(seed: int = 0) -> SyntheticSlide:
    """Return a synthetic H&E slide of 250,000 x 250,000 px, which opens at once."""
    slide = SyntheticSlide(HUGE, seed)
    slide.name = "Synthetic H&E, 250,000 px"
    return slide
