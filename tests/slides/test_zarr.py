"""OME-Zarr of both versions and all usual axis orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_xce.errors import SlideError
from napari_xce.slides import open_slide

MICROMETRES = {"y": "micrometer", "x": "micrometer"}


def write_zarr(
    path: Path,
    levels: list[np.ndarray],
    axes: str,
    version: str = "0.5",
    units: dict[str, str] = MICROMETRES,
    mpp: float = 0.25,
    chunk: int = 100,
) -> Path:
    """Write levels whose axes are already in the order of ``axes``."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    types = {"c": "channel", "t": "time", "z": "space", "y": "space", "x": "space"}
    described = [
        {"name": a, "type": types[a]} | ({"unit": units[a]} if a in units else {}) for a in axes
    ]
    datasets = []
    for number, level in enumerate(levels):
        chunks = tuple(chunk if a in "yx" else n for a, n in zip(axes, level.shape, strict=True))
        array = group.create_array(str(number), shape=level.shape, chunks=chunks, dtype=level.dtype)
        array[...] = level
        scale = [mpp * 2**number if a in "yx" else 1.0 for a in axes]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    multiscales: Any = [{"axes": described, "datasets": datasets, "name": "slide"}]
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = [multiscales[0] | {"version": "0.4"}]
    return path


def arranged(rgb: np.ndarray, axes: str) -> np.ndarray:
    """Return (h, w, 3) with its axes in another order, others of length 1."""
    order = ["yxc".index(a) for a in axes if a in "yxc"]
    return rgb.transpose(order).reshape(
        [rgb.shape["yxc".index(a)] if a in "yxc" else 1 for a in axes]
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx", "zyxc", "tzyxc"])
def test_axes_in_any_order_give_back_the_picture(
    axes: str, version: str, picture: np.ndarray, tmp_path: Path
) -> None:
    fine = picture[:331, :271]
    coarse = fine[:330, :270].reshape(165, 2, 135, 2, 3).mean((1, 3)).astype(np.uint8)
    levels = [arranged(level, axes) for level in (fine, coarse)]
    with open_slide(write_zarr(tmp_path / "slide.zarr", levels, axes, version)) as slide:
        assert slide.level_shapes == [(331, 271), (165, 135)]
        assert slide.level_downsamples[1] == (2, 2)
        assert (slide.mpp, slide.mpp_source) == ((0.25, 0.25), "file (OME-Zarr scale)")
        assert np.array_equal(slide.read_level(0, 0, 0, 331, 271), fine)
        assert np.array_equal(slide.read_level(1, 100, 100, 65, 35), coarse[100:, 100:])


def test_units_are_converted(picture: np.ndarray, tmp_path: Path) -> None:
    path = write_zarr(
        tmp_path / "s.zarr",
        [picture[:64, :64]],
        "yxc",
        units={"y": "nanometer", "x": "nanometer"},
        mpp=227,
    )
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx((0.227, 0.227))


def test_scale_without_units_is_no_pixel_size(picture: np.ndarray, tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "s.zarr", [picture[:64, :64]], "yxc", units={}, mpp=1.0)
    with open_slide(path) as slide:
        assert (slide.mpp, slide.mpp_source) == (None, "unknown")


def test_grey_zarr_becomes_rgb(picture: np.ndarray, tmp_path: Path) -> None:
    grey = picture[:80, :90, 0]
    with open_slide(write_zarr(tmp_path / "s.zarr", [grey], "yx")) as slide:
        assert np.array_equal(slide.read_level(0, 0, 0, 80, 90), np.stack([grey] * 3, axis=2))


def test_plain_zarr_array_opens(picture: np.ndarray, tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(64, 64, 3), chunks=(32, 32, 3), dtype="u1"
    )
    array[...] = picture[:64, :64]
    with open_slide(tmp_path / "a.zarr") as slide:
        assert np.array_equal(slide.read_level(0, 0, 0, 64, 64), picture[:64, :64])


def test_metadata_file_inside_opens_the_folder(picture: np.ndarray, tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "s.zarr", [picture[:64, :64]], "yxc")
    with open_slide(path / "zarr.json") as slide:
        assert slide.shape == (64, 64)


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((2, 64, 64), "cyx", "2 channels .*fluorescence"),
        ((5, 3, 64, 64), "zcyx", "5 planes along z"),
        ((7, 1, 3, 64, 64), "tczyx", "planes along t"),
    ],
)
def test_stacks_are_refused_in_words(
    shape: tuple[int, ...], axes: str, words: str, tmp_path: Path
) -> None:
    path = write_zarr(tmp_path / "s.zarr", [np.zeros(shape, np.uint8)], axes)
    with pytest.raises(SlideError, match=words):
        open_slide(path)


def test_plate_is_refused_in_words(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "p.zarr"), mode="w").attrs["ome"] = {"plate": {}}
    with pytest.raises(SlideError, match="plate"):
        open_slide(tmp_path / "p.zarr")


def test_zarr_without_image_is_refused_in_words(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "p.zarr"), mode="w")
    with pytest.raises(SlideError, match="multiscales"):
        open_slide(tmp_path / "p.zarr")


def test_fingerprint_follows_the_pixels(picture: np.ndarray, tmp_path: Path) -> None:
    prints = set()
    for name, rgb in [("a", picture), ("b", picture), ("c", 255 - picture)]:
        with open_slide(write_zarr(tmp_path / f"{name}.zarr", [rgb[:64, :64]], "yxc")) as slide:
            prints.add(slide.fingerprint)
    assert len(prints) == 2
