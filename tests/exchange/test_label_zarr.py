from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Node, Reader

from napari_xce.errors import ExchangeError
from napari_xce.exchange.label_zarr import write_label_zarr
from napari_xce.exchange.labels import LazyLabels


def ramp(height: int, width: int) -> np.ndarray:
    return np.arange(height * width, dtype=np.int32).reshape(height, width)


def node(path: Path) -> Node:
    """Read the label image as ome-zarr-py does."""
    (first, *_) = Reader(parse_url(path))()
    return first


def test_ome_zarr_reads_a_label_image(tmp_path: Path) -> None:
    labels = ramp(70, 90)
    write_label_zarr(tmp_path / "a.zarr", labels, (0.5, 0.25), name="cells")
    found = node(tmp_path / "a.zarr")
    assert found.load(Label) is not None
    assert found.metadata["axes"] == [
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert found.metadata["coordinateTransformations"] == [
        [{"type": "scale", "scale": [0.5, 0.25]}]
    ]
    assert np.array_equal(found.data[0].compute(scheduler="synchronous"), labels)


def test_unknown_pixel_size_has_no_unit(tmp_path: Path) -> None:
    write_label_zarr(tmp_path / "a.zarr", ramp(7, 9), None)
    found = node(tmp_path / "a.zarr")
    assert found.metadata["axes"] == [
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space"},
    ]
    assert found.metadata["coordinateTransformations"] == [[{"type": "scale", "scale": [1, 1]}]]


def test_reduced_levels_lie_on_the_full_one(tmp_path: Path) -> None:
    labels = ramp(2601, 1303)
    write_label_zarr(tmp_path / "a.zarr", labels, (0.5, 0.5))
    found = node(tmp_path / "a.zarr")
    assert [level.shape for level in found.data] == [(2601, 1303), (650, 325)]
    assert np.array_equal(
        found.data[1].compute(scheduler="synchronous"), labels[2::4, 2::4][:650, :325]
    )
    # the first reduced pixel stands for pixels 0 to 3, whose centre is at 1.5 pixels of 0.5 um
    assert found.metadata["coordinateTransformations"][1] == [
        {"type": "scale", "scale": [2.0, 2.0]},
        {"type": "translation", "translation": [0.75, 0.75]},
    ]


def test_lazy_tiles_are_each_asked_for_once(tmp_path: Path) -> None:
    labels, asked = ramp(2100, 600).astype(np.uint32), []

    def read(y: int, x: int, height: int, width: int) -> np.ndarray:
        asked.append((y, x))
        return labels[y : y + height, x : x + width]

    write_label_zarr(tmp_path / "a.zarr", LazyLabels(labels.shape, read, np.uint32), None)
    assert len(asked) == len(set(asked)) == 10
    found = zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")
    assert found.dtype == np.uint32
    assert np.array_equal(found[:], labels)


def test_writing_again_replaces_the_old_labels(tmp_path: Path) -> None:
    write_label_zarr(tmp_path / "a.zarr", ramp(3000, 9), None)
    write_label_zarr(tmp_path / "a.zarr", ramp(7, 9), None)
    assert [level.shape for level in node(tmp_path / "a.zarr").data] == [(7, 9)]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_failing_tile_leaves_the_old_labels(tmp_path: Path) -> None:
    write_label_zarr(tmp_path / "a.zarr", ramp(7, 9), None)
    with pytest.raises(ZeroDivisionError):
        write_label_zarr(tmp_path / "a.zarr", LazyLabels((9, 9), lambda *box: 1 // 0), None)
    assert [level.shape for level in node(tmp_path / "a.zarr").data] == [(7, 9)]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_missing_folder_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="folder does not exist"):
        write_label_zarr(tmp_path / "none" / "a.zarr", ramp(7, 9), None)
