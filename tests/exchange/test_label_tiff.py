from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xce.errors import ExchangeError
from napari_xce.exchange import label_tiff
from napari_xce.exchange.label_tiff import write_label_tiff
from napari_xce.exchange.labels import LazyLabels


def ramp(height: int, width: int) -> np.ndarray:
    """A mask in which every pixel tells where it is."""
    return np.arange(height * width, dtype=np.int32).reshape(height, width)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([np.int32, np.uint32, np.uint8, np.int64, bool]),
)
def test_labels_come_back(tmp_path: Path, height: int, width: int, dtype: type) -> None:
    labels = (ramp(height, width) % 200).astype(dtype)
    write_label_tiff(tmp_path / "a.ome.tif", labels, None)
    found = tifffile.imread(tmp_path / "a.ome.tif")
    assert found.dtype == (np.uint32 if dtype == np.uint32 else np.int32)
    assert np.array_equal(found, labels)


def test_ome_metadata_tells_the_pixel_size(tmp_path: Path) -> None:
    write_label_tiff(tmp_path / "a.ome.tif", ramp(30, 40), (0.5, 0.25), name="slide & co")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
        (image,) = (tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"],)
        assert image["Name"] == "slide & co"
        pixels = image["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.25, 0.5)
        assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "µm"
        assert (pixels["SizeX"], pixels["SizeY"], pixels["Type"]) == (40, 30, "int32")
        page = tiff.pages[0]
        assert page.is_tiled
        numerator, denominator = page.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(40_000)  # pixels per centimetre


def test_unknown_pixel_size_is_left_out(tmp_path: Path) -> None:
    write_label_tiff(tmp_path / "a.ome.tif", ramp(3, 4), None)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert "PhysicalSize" not in tiff.ome_metadata


def test_large_mask_has_a_pyramid_of_every_fourth_pixel(tmp_path: Path) -> None:
    labels = ramp(2601, 1303)
    write_label_tiff(tmp_path / "a.ome.tif", labels, (0.5, 0.5))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        (series,) = tiff.series
        assert [level.shape for level in series.levels] == [(2601, 1303), (650, 325)]
        assert np.array_equal(series.levels[0].asarray(), labels)
        assert np.array_equal(series.levels[1].asarray(), labels[2::4, 2::4][:650, :325])


def test_each_level_is_made_of_the_one_before(tmp_path: Path) -> None:
    labels = ramp(9000, 40)
    write_label_tiff(tmp_path / "a.ome.tif", labels, None)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(9000, 40), (2250, 10), (562, 2)]
        assert np.array_equal(levels[2].asarray(), labels[2::4, 2::4][2::4, 2::4][:562, :2])


def test_lazy_tiles_are_each_asked_for_once(tmp_path: Path) -> None:
    labels, asked = ramp(2100, 600), []

    def read(y: int, x: int, height: int, width: int) -> np.ndarray:
        asked.append((y, x))
        return labels[y : y + height, x : x + width]

    write_label_tiff(tmp_path / "a.ome.tif", LazyLabels(labels.shape, read), None)
    assert asked == [(y, x) for y in range(0, 2100, 512) for x in range(0, 600, 512)]
    assert np.array_equal(tifffile.imread(tmp_path / "a.ome.tif"), labels)


def test_big_masks_are_bigtiff_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_label_tiff(tmp_path / "small.ome.tif", ramp(300, 300), None)
    monkeypatch.setattr(label_tiff, "_CLASSIC_TIFF", 300 * 300 * 4)
    write_label_tiff(tmp_path / "big.ome.tif", ramp(300, 300), None)
    for name, big in (("small", False), ("big", True)):
        with tifffile.TiffFile(tmp_path / f"{name}.ome.tif") as tiff:
            assert tiff.is_bigtiff is big
            assert tiff.is_ome


def test_failing_tile_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.ome.tif").write_text("old")

    def read(y: int, x: int, height: int, width: int) -> np.ndarray:
        if y:
            raise RuntimeError("stopped")
        return np.zeros((height, width), np.int32)

    with pytest.raises(RuntimeError, match="stopped"):
        write_label_tiff(tmp_path / "a.ome.tif", LazyLabels((3000, 3000), read), None)
    assert (tmp_path / "a.ome.tif").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]


def test_labels_too_large_for_32_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="Number the instances anew"):
        write_label_tiff(tmp_path / "a.ome.tif", np.array([[2**40]]), None)
    assert list(tmp_path.iterdir()) == []
