"""OpenSlide's formats: the right pixel at the far edge, DICOM by any of its files, threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_xce.errors import SlideError
from napari_xce.slides import Slide, open_slide
from napari_xce.slides.openslide import OpenSlideSource, origin_of_bounds

Write = Callable[..., Path]
Crop = Callable[[np.ndarray, int, int], list[np.ndarray]]
LOSSLESS = {"compression": "deflate", "compressionargs": None, "subsampling": None}


@pytest.mark.parametrize("factor", [2, 4])
def test_level_reads_land_on_the_right_pixel_at_the_far_edge(
    factor: int, picture: np.ndarray, edge_cropped: Crop, write_pyramid: Write
) -> None:
    """Within a fraction of a pixel: OpenSlide itself takes whole level-0 pixels only."""
    levels = edge_cropped(picture, factor, 3)
    path = write_pyramid(levels, **LOSSLESS)
    with Slide(OpenSlideSource(path), path.name, path) as slide:
        assert slide.level_shapes == [level.shape[:2] for level in levels]
        assert slide.level_downsamples == [(factor**k, factor**k) for k in range(3)]
        for k in (1, 2):
            height, width = slide.level_shapes[k]
            read = slide.read_level(k, height - 24, width - 24, 24, 24).astype(int)
            stored = levels[k].astype(int)
            error = np.abs(read - stored[-24:, -24:]).mean()
            next_pixel = np.abs(stored[-25:-1, -25:-1] - stored[-24:, -24:]).mean()
            assert error < 0.25 * next_pixel
            scaled = slide.read_scaled(
                (height - 24) * factor**k, (width - 24) * factor**k, 24, 24, (factor**k,) * 2
            )
            assert np.array_equal(scaled, read)


def test_level_zero_is_exact(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture], **LOSSLESS)
    with Slide(OpenSlideSource(path), path.name, path) as slide:
        assert np.array_equal(slide.read_level(0, 0, 0, *slide.shape), picture)


def test_threads_read_the_same_pixels(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture], **LOSSLESS)
    wrong: list[int] = []
    with Slide(OpenSlideSource(path), path.name, path) as slide:

        def work(y: int) -> None:
            if not np.array_equal(slide.read_level(0, y, 0, 400, 1103), picture[y : y + 400]):
                wrong.append(y)

        threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see open files")
def test_close_releases_the_file(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture])
    slide = Slide(OpenSlideSource(path), path.name, path)
    slide.read_level(0, 0, 0, 100, 100)
    slide.close()
    slide.close()
    assert str(path) not in [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    with pytest.raises(SlideError):
        slide.read_level(0, 0, 0, 100, 100)


def test_dicom_opens_by_folder_and_by_any_file(shared_data: Path) -> None:
    folder = shared_data / "slides" / "CMU-1-Small-Region-dicom"
    slides = [open_slide(path) for path in (folder, *sorted(folder.glob("*.dcm")))]
    assert len(slides) == 5
    assert {slide.shape for slide in slides} == {(2967, 2220)}
    assert {slide.mpp for slide in slides} == {(0.499, 0.499)}
    assert len({slide.fingerprint for slide in slides}) == 1
    for slide in slides:
        slide.close()


def test_dicom_and_svs_show_the_same_cells(shared_data: Path) -> None:
    with (
        open_slide(shared_data / "slides" / "CMU-1-Small-Region-dicom") as dicom,
        open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as svs,
    ):
        place = (1200, 800, 200, 200)
        a, b = (slide.read(*place, mpp=0.5).astype(int) for slide in (dicom, svs))
    assert np.abs(a - b).mean() < 4


def test_fluorescence_rendered_as_rgb_opens_dark(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "test3-DAPI-2-(387).ndpi") as slide:
        assert slide.shape == (4864, 3968)
        assert slide.mpp == pytest.approx((0.228175, 0.228175), rel=1e-4)
        overview = slide.read_scaled(0, 0, 76, 62, (64, 64))
    assert np.median(overview) < 20
    assert overview[..., 2].mean() > overview[..., :2].mean()


def test_bounds_begin_where_all_four_say_so() -> None:
    bounds = {"x": "100", "y": "2000", "width": "5000", "height": "6000"}
    whole = {f"openslide.bounds-{side}": value for side, value in bounds.items()}
    assert origin_of_bounds(whole) == (2000.0, 100.0)


@pytest.mark.parametrize(
    "change", [{"openslide.bounds-width": "wide"}, {"openslide.bounds-x": "1.5"}, None]
)
def test_bounds_that_qupath_passes_over_are_none(change: dict[str, str] | None) -> None:
    whole = {f"openslide.bounds-{side}": "7" for side in ("x", "y", "width", "height")}
    properties = {**whole, **change} if change else {"openslide.bounds-x": "7"}
    assert origin_of_bounds(properties) == (0.0, 0.0)
