"""Synthetic slides: the same pixels however they are read, and the truth of every cell."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xce.errors import SlideError
from napari_xce.slides.synthetic import SyntheticSlide


@pytest.fixture(scope="module")
def slide() -> SyntheticSlide:
    return SyntheticSlide((1300, 1500), seed=1)


@pytest.fixture(scope="module")
def pixels(slide: SyntheticSlide) -> np.ndarray:
    return np.asarray(slide.levels[0])


def _mosaic(slide: SyntheticSlide, box: tuple[int, int, int, int], side: int) -> np.ndarray:
    """Read a box in pieces of a side, the last piece first."""
    y0, x0, height, width = box
    out = np.zeros((height, width, 3), np.uint8)
    for y in reversed(range(0, height, side)):
        for x in reversed(range(0, width, side)):
            h, w = min(side, height - y), min(side, width - x)
            out[y : y + h, x : x + w] = slide.read_level(0, y0 + y, x0 + x, h, w)
    return out


@pytest.mark.parametrize("side", [37, 200, 512, 700])
def test_any_tiling_gives_the_same_pixels(pixels: np.ndarray, side: int) -> None:
    fresh = SyntheticSlide((1300, 1500), seed=1)
    np.testing.assert_array_equal(
        _mosaic(fresh, (350, 410, 640, 590), side), pixels[350:990, 410:1000]
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1200), st.integers(0, 1400), st.integers(1, 100), st.integers(1, 100))
def test_one_part_read_alone_is_the_whole_there(
    slide: SyntheticSlide, pixels: np.ndarray, y: int, x: int, height: int, width: int
) -> None:
    part = slide.read_level(0, y, x, height, width)
    np.testing.assert_array_equal(part, pixels[y : y + height, x : x + width])


def test_tiles_meet_without_a_seam(pixels: np.ndarray) -> None:
    steps = np.abs(np.diff(pixels.astype(int), axis=1)).mean(axis=(0, 2))
    beside = np.concatenate([steps[480:511], steps[512:543]])
    assert steps[511] < beside.mean() + 4 * beside.std()


def test_threads_reading_at_once_get_the_same_pixels(pixels: np.ndarray) -> None:
    fresh = SyntheticSlide((1300, 1500), seed=1)
    boxes = [(y, x) for y in (0, 400, 800) for x in (0, 500, 1000)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda box: fresh.read_level(0, *box, 400, 500), boxes))
    for (y, x), part in zip(boxes, parts, strict=True):
        np.testing.assert_array_equal(part, pixels[y : y + 400, x : x + 500])


def test_seeds_and_shapes_make_different_slides() -> None:
    prints = {
        SyntheticSlide(shape, seed, mpp).fingerprint
        for shape, seed, mpp in [
            ((600, 600), 0, 0.5),
            ((600, 600), 1, 0.5),
            ((600, 601), 0, 0.5),
            ((600, 600), 0, 0.25),
        ]
    }
    assert len(prints) == 4
    again = SyntheticSlide((600, 600), 0, 0.5)
    assert again.fingerprint in prints


def test_regions_side_by_side_share_and_lose_no_cell(slide: SyntheticSlide) -> None:
    whole = slide.truth()
    cuts_y, cuts_x = (-0.5, 333.25, 512.0, 1299.5), (-0.5, 700.0, 1024.0, 1499.5)
    parts = [
        slide.truth(((y0, x0), (y1, x1)))
        for y0, y1 in pairwise(cuts_y)
        for x0, x1 in pairwise(cuts_x)
    ]
    points = np.concatenate([part.points for part in parts])
    assert len(points) == len(whole) > 500
    order = np.lexsort((points[:, 1], points[:, 0]))
    np.testing.assert_array_equal(points[order], whole.points)
    labels = np.concatenate([part.labels for part in parts])[order]
    np.testing.assert_array_equal(labels, whole.labels)


def test_truth_is_half_open_at_a_cell(slide: SyntheticSlide) -> None:
    y, x = slide.truth().points[100]
    assert len(slide.truth(((y, x), (y + 1e-6, x + 1e-6)))) == 1
    assert len(slide.truth(((y - 1e-6, x - 1e-6), (y, x)))) == 0


def test_truth_outside_the_slide_is_empty(slide: SyntheticSlide) -> None:
    empty = slide.truth(((5000.0, 0.0), (6000.0, 100.0)))
    assert empty.points.shape == (0, 2)
    assert len(empty.labels) == len(empty.diameters) == 0


def test_cells_are_dark_where_the_truth_says(slide: SyntheticSlide, pixels: np.ndarray) -> None:
    truth = slide.truth(((50.0, 50.0), (1250.0, 1450.0)))
    red = pixels[..., 0].astype(float)  # haematoxylin takes away red light, eosin does not
    y, x = np.rint(truth.points).astype(int).T
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    far = 1.6 * truth.diameters[:, None] / 2
    ring_y = np.clip(np.rint(truth.points[:, :1] + far * np.sin(angle)).astype(int), 0, 1299)
    ring_x = np.clip(np.rint(truth.points[:, 1:] + far * np.cos(angle)).astype(int), 0, 1499)
    darker = red[y, x] < np.quantile(red[ring_y, ring_x], 0.75, axis=1) - 15
    assert darker.mean() > 0.95


def test_glass_holds_no_cells_and_is_white(slide: SyntheticSlide, pixels: np.ndarray) -> None:
    corner = pixels[:40, :40]
    assert corner.min() > 225
    assert len(slide.truth(((-0.5, -0.5), (40.0, 40.0)))) == 0


def test_classes_differ_in_size_and_all_occur() -> None:
    truth = SyntheticSlide((2048, 2048), seed=0).truth()
    sizes = {
        name: np.median(truth.diameters[truth.labels == name])
        for name in SyntheticSlide.class_names
    }
    assert min((truth.labels == name).sum() for name in sizes) > 200
    assert sizes["tumour"] > 1.3 * sizes["lymphocyte"]
    assert truth.points.dtype == np.float64
    assert truth.diameters.dtype == np.float32


def test_density_is_that_of_tissue() -> None:
    slide = SyntheticSlide((2048, 2048), seed=3)
    overview = np.asarray(slide.levels[-1])
    tissue_mm2 = (overview[..., 1] < 215).mean() * (2048 * 0.5e-3) ** 2
    assert 2500 < len(slide.truth()) / tissue_mm2 < 8000


def test_cells_keep_their_micrometres_at_other_pixel_sizes() -> None:
    coarse, fine = SyntheticSlide((600, 600), 1, 0.5), SyntheticSlide((1200, 1200), 1, 0.25)
    assert fine.mpp == (0.25, 0.25)
    a, b = coarse.truth(), fine.truth()
    assert len(a) == len(b)
    np.testing.assert_allclose((b.points + 0.5) / 2, a.points + 0.5, atol=1e-9)
    np.testing.assert_allclose(b.diameters / 2, a.diameters, rtol=1e-6)


@pytest.mark.parametrize(("level", "least"), [(1, 0.99), (2, 0.97), (3, 0.9)])
def test_coarse_levels_show_the_same_tissue(level: int, least: float) -> None:
    slide = SyntheticSlide((5000, 5000), seed=0)  # 4 levels
    factor, side = 2**level, 1536
    full = slide.read_level(0, 1536, 1536, side, side).astype(float)
    coarse = slide.read_level(level, 1536 // factor, 1536 // factor, side // factor, side // factor)
    seen = coarse.astype(float).mean(axis=2)
    wanted = full.mean(axis=2).reshape(side // factor, factor, -1, factor).mean(axis=(1, 3))

    def blocks(image: np.ndarray) -> np.ndarray:
        size = 32 // factor
        return image.reshape(side // 32, size, side // 32, size).mean(axis=(1, 3))

    assert np.corrcoef(blocks(seen).ravel(), blocks(wanted).ravel())[0, 1] > least
    assert abs(seen.mean() - wanted.mean()) < 6
    shifted = np.corrcoef(blocks(seen)[:, 1:].ravel(), blocks(wanted)[:, :-1].ravel())[0, 1]
    assert shifted < np.corrcoef(blocks(seen).ravel(), blocks(wanted).ravel())[0, 1] - 0.05


def test_levels_halve_until_a_screen_holds_one() -> None:
    slide = SyntheticSlide((5001, 2999))
    assert slide.level_shapes == [(5001, 2999), (2501, 1500), (1251, 750), (626, 375)]
    assert slide.level_downsamples[-1] == (8.0, 8.0)


def test_largest_slide_opens_at_once_and_reads_its_far_corner() -> None:
    start = time.perf_counter()
    slide = SyntheticSlide((250_000, 250_000))
    assert time.perf_counter() - start < 1.0
    assert max(slide.level_shapes[-1]) <= 1024
    far = slide.read_level(0, 249_990, 249_990, 20, 20)
    assert far.shape == (20, 20, 3)
    assert (far[10:] == 255).all()
    middle = ((150_000.0, 60_000.0), (150_512.0, 60_512.0))
    points = slide.truth(middle).points
    assert np.all((points >= middle[0]) & (points < middle[1]))


@pytest.mark.parametrize(("shape", "mpp"), [((0, 100), 0.5), ((100, 100), 0.0), ((9, 9), 11.0)])
def test_impossible_slides_are_refused(shape: tuple[int, int], mpp: float) -> None:
    with pytest.raises(SlideError, match="ask for"):
        SyntheticSlide(shape, mpp=mpp)


def test_tiny_slides_work() -> None:
    slide = SyntheticSlide((1, 7))
    assert np.asarray(slide.levels[0]).shape == (1, 7, 3)
    assert len(slide.truth()) <= 1
