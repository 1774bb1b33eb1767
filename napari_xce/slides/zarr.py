"""OME-Zarr 0.4 and 0.5 (and plain zarr arrays) as slides, read by chunks through the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.slides import pixelsize
from napari_xce.slides.array import guess_value_range, to_rgb
from napari_xce.slides.source import Rgb, TiledSource, UnsupportedSlide, true_downsamples

_SMALLEST_TILE, _LARGEST_TILE = 256, 1024
_DEFAULT_AXES = {2: "yx", 3: "cyx", 4: "zcyx", 5: "tczyx"}

Multiscale = Mapping[str, Any]


class ZarrSource(TiledSource):
    """An OME-Zarr image: y and x in any place, colour in an axis of 3 or 4, others of length 1.

    Raises
    ------
    UnsupportedSlide
        If the folder is no zarr.
    SlideError
        If it holds several channels that are not red, green, blue, several planes or times, a
        plate, or is incomplete.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        arrays, multiscale = _open(path)
        self._axes = _axis_names(multiscale, arrays[0])
        self._arrays = arrays
        for array in arrays:
            _check_flat(array.shape, self._axes)
        y, x = self._axes.index("y"), self._axes.index("x")
        self.level_shapes = [(int(a.shape[y]), int(a.shape[x])) for a in arrays]
        self.level_downsamples = true_downsamples(self.level_shapes)
        self.tile_shapes = [(_tile_side(a.chunks[y]), _tile_side(a.chunks[x])) for a in arrays]
        self.mpp, self.mpp_source = _pixel_size(multiscale, y, x)
        coarsest = len(arrays) - 1
        height, width = self.level_shapes[coarsest]
        sample = self._stored(coarsest, 0, 0, min(height, 1024), min(width, 1024))
        self._range = guess_value_range(sample)
        self.identity = f"zarr {multiscale} {_digest(sample)}"

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Return uint8 (height, width, 3) of one tile, cut at the far edges."""
        height, width = self.tile_shapes[level]
        try:
            pixels = self._stored(level, row * height, column * width, height, width)
        except Exception as error:  # whatever zarr and its codecs raise on damaged chunks
            raise SlideError(
                f"Part of the zarr cannot be read: {error}. Copy the folder again."
            ) from error
        rgb = to_rgb(pixels, self._range)
        return rgb if rgb.base is None else rgb.copy()

    def _stored(self, level: int, y: int, x: int, height: int, width: int) -> NDArray[Any]:
        """Return (height, width[, channels]) of a rectangle as it is stored."""
        places: dict[str, Any] = {
            "y": slice(y, y + height),
            "x": slice(x, x + width),
            "c": slice(None),
        }
        key = tuple(places.get(axis, 0) for axis in self._axes)
        block = np.asarray(self._arrays[level][key])
        kept = [axis for axis in self._axes if axis in places]
        wanted = ["y", "x", "c"] if "c" in kept else ["y", "x"]
        return block.transpose([kept.index(axis) for axis in wanted])


def _open(path: Path) -> tuple[list[Any], Multiscale]:
    """Return the arrays of the levels and the multiscale metadata (empty for a plain array)."""
    try:
        node = zarr.open(str(path), mode="r")
    except Exception as error:  # zarr has no common base for "this is no zarr"
        raise UnsupportedSlide(f"zarr: {error}.") from error
    if isinstance(node, zarr.Array):
        return [node], {}
    attributes = dict(node.attrs)
    attributes = attributes.get("ome", attributes)
    if "plate" in attributes or "well" in attributes:
        raise SlideError(
            f"{path.name} is a plate of many wells, not a slide. Open one image folder inside it."
        )
    if "multiscales" not in attributes and "0" in node and isinstance(node["0"], zarr.Group):
        return _open(path / "0")  # the layout that bioformats2raw writes
    try:
        multiscale = attributes["multiscales"][0]
        arrays = [node[dataset["path"]] for dataset in multiscale["datasets"]]
    except (KeyError, IndexError, TypeError) as error:
        raise SlideError(
            f"{path.name} is a zarr, but no OME-Zarr image: its multiscales are missing."
        ) from error
    return arrays, multiscale


def _axis_names(multiscale: Multiscale, array: Any) -> str:
    """Return one letter per axis."""
    axes = multiscale.get("axes")
    if axes is None:
        colour_last = array.ndim == 3 and array.shape[2] in (3, 4)
        return "yxc" if colour_last else _DEFAULT_AXES.get(array.ndim, "?")
    names = [axis if isinstance(axis, str) else axis.get("name", "?") for axis in axes]
    kinds = ["" if isinstance(axis, str) else axis.get("type", "") for axis in axes]
    return "".join(
        "c" if k == "channel" else n[:1].lower() for n, k in zip(names, kinds, strict=True)
    )


def _check_flat(shape: Sequence[int], axes: str) -> None:
    """Refuse what is not one flat image of grey, RGB or RGBA."""
    if len(axes) != len(shape) or "y" not in axes or "x" not in axes:
        raise SlideError(
            f"This zarr of shape {tuple(shape)} has no axes called y and x, so it is no slide."
        )
    for axis, count in zip(axes, shape, strict=True):
        allowed = axis in "yx" or count == 1 or (axis == "c" and count in (3, 4))
        if not allowed:
            what = (
                "channels (a fluorescence or multichannel stack)"
                if axis == "c"
                else f"planes along {axis}"
            )
            raise SlideError(
                f"This zarr holds {count} {what}, not one colour image. napari-xce works on RGB "
                "slides: save one plane, or a colour rendering, as RGB and open that."
            )


def _pixel_size(multiscale: Multiscale, y: int, x: int) -> pixelsize.PixelSize:
    """Read scale and units; without a unit of length the scale says nothing."""
    axes = multiscale.get("axes") or []
    units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in axes]
    if not units:
        return pixelsize.UNKNOWN
    um = [pixelsize.um_per_unit(units[axis]) for axis in (y, x)]
    scales = [1.0, 1.0]
    transforms = [
        *(multiscale["datasets"][0].get("coordinateTransformations") or []),
        *(multiscale.get("coordinateTransformations") or []),
    ]
    for transform in transforms:
        if transform.get("type") == "scale":
            scales = [scales[i] * float(transform["scale"][axis]) for i, axis in enumerate((y, x))]
    if um[0] is None or um[1] is None:
        return pixelsize.UNKNOWN
    return pixelsize.plausible(scales[0] * um[0], scales[1] * um[1], "file (OME-Zarr scale)")


def _tile_side(chunk: int) -> int:
    """Return a tile side of whole chunks that is worth a call of zarr."""
    if chunk >= _LARGEST_TILE:
        return int(chunk)
    return int(chunk * max(1, -(-_SMALLEST_TILE // chunk)))


def _digest(sample: NDArray[Any]) -> str:
    """Return a hash of pixels."""
    return hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()
