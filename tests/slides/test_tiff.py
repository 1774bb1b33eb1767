"""The TIFF family: the right pixel at the far edge, every usual encoding, and refusals in words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_xce.errors import SlideError
from napari_xce.slides import open_slide
from napari_xce.slides.tiff import TiffSource

Write = Callable[..., Path]
Crop = Callable[[np.ndarray, int, int], list[np.ndarray]]


LOSSLESS: dict[str, Any] = {"compression": "deflate", "compressionargs": None, "subsampling": None}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean absolute difference in grey levels."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize(("factor", "count"), [(2, 3), (4, 3)])
def test_level_reads_land_on_the_right_pixel_at_the_far_edge(
    factor: int, count: int, picture: np.ndarray, edge_cropped: Crop, write_pyramid: Write
) -> None:
    levels = edge_cropped(picture, factor, count)
    with open_slide(write_pyramid(levels, **LOSSLESS)) as slide:
        assert slide.level_shapes == [level.shape[:2] for level in levels]
        assert slide.level_downsamples == [(factor**k, factor**k) for k in range(count)]
        for k in range(1, count):
            height, width = slide.level_shapes[k]
            side, down = 24, factor**k
            read = slide.read_level(k, height - side, width - side, side, side)
            y, x = (height - side) * down, (width - side) * down
            fine = slide.read_level(0, y, x, side * down, side * down)
            means = fine.reshape(side, down, side, down, 3).mean((1, 3))
            assert difference(read, means) < 0.6  # rounded once per level
            scaled = slide.read_scaled(y, x, side, side, (down, down))
            assert difference(scaled, means) < 0.6


def test_scaled_reads_agree_between_levels_at_the_far_edge(
    picture: np.ndarray, edge_cropped: Crop, write_pyramid: Write
) -> None:
    """Read at a factor between the levels, once with and once without the coarser levels."""
    levels = edge_cropped(picture, 4, 2)
    with (
        open_slide(write_pyramid(levels, "two.tif", **LOSSLESS)) as two,
        open_slide(write_pyramid(levels[:1], "one.tif", **LOSSLESS)) as one,
    ):
        place = (1180 - 40 * 4.6, 1100 - 40 * 4.6, 39, 39, (4.6, 4.6))
        assert difference(two.read_scaled(*place), one.read_scaled(*place)) < 4.0
        shifted = (place[0] + 2.0, place[1] + 2.0, *place[2:])  # half a pixel of the level
        assert difference(two.read_scaled(*shifted), one.read_scaled(*place)) > 8.0


@pytest.mark.parametrize("factors", [(1, 2, 4.016, 8.086)])
def test_odd_factors_land_on_the_right_pixel(
    factors: tuple[float, ...], picture: np.ndarray, write_pyramid: Write
) -> None:
    from napari_xce.slides import Slide

    base = Slide.from_array(picture)
    shapes = [(round(1181 / f), round(1103 / f)) for f in factors]
    levels = [
        base.read_scaled(0, 0, *shape, (1181 / shape[0], 1103 / shape[1])) for shape in shapes
    ]
    with open_slide(write_pyramid(levels, **LOSSLESS)) as slide:
        assert slide.level_shapes == shapes
        assert slide.level_downsamples[3] == pytest.approx((8.086, 8.086), rel=4e-3)
        for k in (2, 3):
            f = slide.level_downsamples[k]
            y, x = (shapes[k][0] - 20) * f[0], (shapes[k][1] - 20) * f[1]
            read = slide.read_scaled(y, x, 20, 20, f)
            assert difference(read, base.read_scaled(y, x, 20, 20, f)) < 2.0


@pytest.mark.parametrize(
    "layout",
    [
        {"compression": None},
        {"compression": None, "tile": (128, 128)},
        {"compression": None, "rowsperstrip": 16},
        {"compression": None, "byteorder": ">"},
        {"compression": "lzw", "tile": (256, 256), "predictor": True},
        {"compression": "deflate", "rowsperstrip": 40},
        {"compression": "deflate", "planarconfig": "separate", "tile": (256, 256)},
        {"compression": None, "planarconfig": "separate"},
        {"compression": "zstd", "tile": (64, 256)},
        {"compression": "jpeg2000", "tile": (256, 256)},
    ],
    ids=str,
)
def test_lossless_encodings_give_back_the_picture(
    layout: dict[str, Any], picture: np.ndarray, tmp_path: Path
) -> None:
    options = dict(layout)
    order = options.pop("byteorder", "<")
    planar = options.get("planarconfig") == "separate"
    data = picture.transpose(2, 0, 1) if planar else picture
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, data, photometric="rgb", byteorder=order, **options)
    with open_slide(path) as slide:
        assert isinstance(slide._source, TiffSource)
        assert slide.shape == (1181, 1103)
        assert np.array_equal(slide.read_level(0, 0, 0, *slide.shape), picture)
        assert np.array_equal(
            slide.read_level(0, 1100, 1000, 90, 110)[:81, :103], picture[1100:, 1000:]
        )


def test_jpeg_tiles_equal_what_tifffile_decodes(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture], subsampling=(2, 2))
    with open_slide(path) as slide:
        assert isinstance(slide._source, TiffSource)
        read = slide.read_level(0, 0, 0, *slide.shape)
    assert np.array_equal(read, tifffile.imread(path))
    assert difference(read, picture) < 20  # colours in their right order


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_becomes_rgb(photometric: str, dtype: type, tmp_path: Path) -> None:
    grey = np.linspace(0, np.iinfo(dtype).max, 300 * 200).reshape(300, 200).astype(dtype)
    stored = grey if photometric == "minisblack" else np.iinfo(dtype).max - grey
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, stored, photometric=photometric, compression="deflate", tile=(64, 64))
    with open_slide(path) as slide:
        read = slide.read_level(0, 0, 0, 300, 200)
    scaled = grey / np.iinfo(dtype).max * 255
    assert np.abs(read - scaled[..., None]).max() <= 0.51


def test_palette_colours_are_looked_up(tmp_path: Path) -> None:
    index = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)
    table = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    path = tmp_path / "palette.tif"
    tifffile.imwrite(path, index, photometric="palette", colormap=table * 257)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, 0, 0, 64, 64), table.T[index])


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, :32, 3] = 255
    path = tmp_path / "rgba.tif"
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"], tile=(32, 32))
    with open_slide(path) as slide:
        read = slide.read_level(0, 0, 0, 64, 64)
    assert (read[:, :32] == 0).all()
    assert (read[:, 32:] == 255).all()


def test_pyramids_in_subifds_are_found(
    picture: np.ndarray, edge_cropped: Crop, tmp_path: Path
) -> None:
    levels = edge_cropped(picture, 2, 3)
    path = tmp_path / "slide.ome.tif"
    options: dict[str, Any] = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate"}
    metadata = {
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 260.0,
        "PhysicalSizeYUnit": "nm",
    }
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], subifds=2, metadata=metadata, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    with open_slide(path) as slide:
        assert slide.level_shapes == [level.shape[:2] for level in levels]
        assert slide.mpp == pytest.approx((0.26, 0.25))
        assert slide.mpp_source == "file (OME PhysicalSize)"
        for k, level in enumerate(levels):
            assert np.array_equal(slide.read_level(k, 0, 0, *level.shape[:2]), level)


def test_ome_planes_named_red_green_blue_are_rgb(picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "planes.ome.tif"
    planes = picture.transpose(2, 0, 1)[:, :200, :300]
    names = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"]}}
    tifffile.imwrite(path, planes, photometric="minisblack", metadata=names, tile=(64, 64))
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, 0, 0, 200, 300), picture[:200, :300])


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((3, 144, 192), {"photometric": "minisblack"}, "not one colour image"),
        ((4, 144, 192), {"metadata": {"axes": "CYX"}, "ome": True}, "channels"),
        ((5, 144, 192), {"metadata": {"axes": "ZYX"}, "ome": True}, "3-D stack"),
        ((6, 144, 192, 3), {"photometric": "rgb"}, "not one colour image"),
        ((2, 3, 64, 64), {"imagej": True, "metadata": {"axes": "ZCYX"}}, "3-D stack|channels"),
    ],
)
def test_stacks_are_refused_in_words(
    shape: tuple[int, ...], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "stack.tif"
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(path, np.zeros(shape, np.uint8), **options)
    with pytest.raises(SlideError, match=words):
        open_slide(path)


def test_multichannel_qptiff_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "cells.qptiff"
    kind = "PerkinElmer-QPI-ImageDescription"
    with tifffile.TiffWriter(path) as writer:
        for name in ("DAPI", "Opal 520", "Opal 690"):
            xml = f"<{kind}><Name>{name}</Name></{kind}>"
            writer.write(
                np.zeros((144, 192), np.uint8),
                description=xml,
                metadata=None,
                software="PerkinElmer-QPI",
                photometric="minisblack",
                contiguous=False,
            )
    with pytest.raises(SlideError, match=r"3 channels .*RGB"):
        open_slide(path)


def test_truncated_file_is_called_incomplete(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 5000])
    with pytest.raises(SlideError, match=r"incomplete.*Copy it again"):
        open_slide(path)


def test_damaged_tile_is_named_when_it_is_read(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture], **LOSSLESS)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read_level(0, 600, 600, 50, 50), picture[600:650, 600:650])
        with pytest.raises(SlideError, match=r"row 0, column 0.*copy it again"):
            slide.read_level(0, 0, 0, 50, 50)


def test_threads_read_the_same_pixels(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture], **LOSSLESS)
    wrong: list[tuple[int, int]] = []
    with open_slide(path) as slide:

        def work(seed: int) -> None:
            places = np.random.default_rng(seed).integers(0, 1000, (60, 2)).tolist()
            for y, x in places:
                if not np.array_equal(
                    slide.read_level(0, y, x, 90, 90), picture[y : y + 90, x : x + 90]
                ):
                    wrong.append((y, x))

        run_together(work)
    assert wrong == []


def test_threads_read_without_pread(
    picture: np.ndarray, write_pyramid: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has no os.pread; each thread then has a handle of its own."""
    monkeypatch.delattr(os, "pread", raising=False)
    path = write_pyramid([picture], **LOSSLESS)
    wrong: list[int] = []
    with open_slide(path) as slide:

        def work(seed: int) -> None:
            y = 100 * seed
            if not np.array_equal(slide.read_level(0, y, 0, 300, 1103), picture[y : y + 300]):
                wrong.append(y)

        run_together(work)
    assert wrong == []
    path.unlink()  # fails on Windows while a handle is open


def run_together(work: Callable[[int], None]) -> None:
    """Run four threads at once and wait for them."""
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see open files")
def test_close_releases_the_file(picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture])

    def handles() -> int:
        links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
        return links.count(str(path))

    slide = open_slide(path)
    slide.read_level(0, 0, 0, 300, 300)
    assert handles() == 1
    slide.close()
    slide.close()
    assert handles() == 0
    with pytest.raises(SlideError, match="closed"):
        slide.read_level(0, 0, 0, 10, 10)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see open files")
def test_refused_file_is_not_held_open(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, 64, 64), np.uint8), photometric="minisblack")
    with pytest.raises(SlideError):
        open_slide(path)
    assert str(path) not in [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
