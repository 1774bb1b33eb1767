"""Slides become true-sized multiscale layers; what is foreign is left to other readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_xce.errors import SlideError
from napari_xce.slides import Slide
from napari_xce.viewer.readers import get_reader


@pytest.mark.parametrize("name", ["a.png", "notes.txt", "cells.csv", "a.ome.xml", "folder"])
def test_foreign_paths_are_left_to_others(name: str, tmp_path: Path) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    assert get_reader(str(tmp_path / name)) is None


def test_several_paths_at_once_are_left_to_others(tmp_path: Path) -> None:
    assert get_reader([str(tmp_path / "a.svs"), str(tmp_path / "b.svs")]) is None


@pytest.mark.parametrize(
    "name", ["a.svs", "A.SVS", "b.ndpi", "c.mrxs", "d.ome.tif", "e.dcm", "f.zarr"]
)
def test_slides_are_taken_by_their_suffix(name: str) -> None:
    assert get_reader(name) is not None


def test_slide_becomes_a_layer_in_micrometres(shared_data: Path) -> None:
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    reader = get_reader(str(path))
    assert reader is not None
    [(levels, options, kind)] = reader(str(path))
    assert kind == "image"
    layer = Image(levels, **options)
    assert (layer.rgb, layer.multiscale, layer.name) == (True, True, path.name)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.scale.tolist() == [0.499, 0.499]
    assert layer.metadata["napari-xce"] == {
        "role": "slide",
        "path": str(path),
        "mpp": (0.499, 0.499),
        "mpp_source": "file (aperio.MPP)",
    }
    slide = Slide.from_layer(layer)
    assert slide is levels[0].slide
    slide.close()


def test_unknown_pixel_size_stays_in_pixels(shared_data: Path) -> None:
    path = shared_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    reader = get_reader(str(path))
    assert reader is not None
    [(levels, options, _)] = reader(str(path))
    layer = Image(levels, **options)
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel"]
    assert layer.scale.tolist() == [1.0, 1.0]
    assert layer.metadata["napari-xce"]["mpp"] is None
    levels[0].slide.close()


def test_dicom_folder_is_a_slide(shared_data: Path) -> None:
    folder = shared_data / "slides" / "CMU-1-Small-Region-dicom"
    reader = get_reader(str(folder))
    assert reader is not None
    [(levels, options, _)] = reader([str(folder)])  # napari hands over a list
    assert levels[0].shape == (2967, 2220, 3)
    assert options["name"] == folder.name
    levels[0].slide.close()


def test_broken_slide_is_a_sentence(shared_data: Path) -> None:
    path = str(shared_data / "slides" / "broken.svs")
    reader = get_reader(path)
    assert reader is not None
    with pytest.raises(SlideError, match=r"broken\.svs"):
        reader(path)


def test_small_slide_is_still_rgb_and_multiscale(tmp_path: Path) -> None:
    """napari takes 28 x 28 x 3 for a stack unless it is told."""
    path = str(tmp_path / "tiny.tif")
    tifffile.imwrite(path, np.zeros((28, 28, 3), np.uint8), photometric="rgb")
    reader = get_reader(path)
    assert reader is not None
    [(levels, options, _)] = reader(path)
    layer = Image(levels, **options)
    assert (layer.ndim, layer.rgb, layer.multiscale) == (2, True, True)
    levels[0].slide.close()
