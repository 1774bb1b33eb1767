"""Slides made of napari image layers, whichever reader made them. Imports no napari."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_xce.errors import SlideError
from napari_xce.slides.array import ArraySource
from napari_xce.slides.level import LevelArray
from napari_xce.slides.pixelsize import UNKNOWN, PixelSize, plausible, um_per_unit
from napari_xce.slides.slide import Slide


def slide_of_layer(layer: Any) -> Slide:
    """Return the slide that a layer shows; see :meth:`Slide.from_layer`."""
    levels = list(layer.data) if getattr(layer, "multiscale", False) else [layer.data]
    if isinstance(levels[0], LevelArray):
        return levels[0].slide
    levels = [_flat(level, layer) for level in levels]
    wide = np.dtype(levels[0].dtype) != np.uint8
    limits = tuple(map(float, layer.contrast_limits)) if wide and not layer.rgb else None
    source = ArraySource(levels, value_range=(limits[0], limits[1]) if limits else None)
    path = _path_of(layer)
    slide = Slide(source, str(layer.name), path)
    slide.mpp, slide.mpp_source = _pixel_size(layer, slide.shape, path)
    return slide


def _flat(level: Any, layer: Any) -> Any:
    """Return one level as (H, W) or (H, W, 3 or 4), axes of length 1 taken off."""
    spatial = len(level.shape) - (1 if layer.rgb else 0)
    extra = tuple(level.shape[: spatial - 2])
    if spatial < 2 or any(count != 1 for count in extra):
        words = " x ".join(map(str, level.shape))
        raise SlideError(
            f"The layer {layer.name!r} ({words}) is not one flat colour image. Choose one plane "
            "of it, or merge its channels to RGB (right click on the layer), and use that."
        )
    return level[(0,) * len(extra)] if extra else level


def _path_of(layer: Any) -> Path | None:
    """Return the file or folder the layer was read from, if it is there."""
    text = getattr(getattr(layer, "source", None), "path", None)
    path = Path(text) if text else None
    return path if path is not None and path.exists() else None


def _pixel_size(layer: Any, shape: tuple[int, int], path: Path | None) -> PixelSize:
    """Look in units and scale, in the metadata of napari-wsi, then in the file."""
    for size in (_of_scale(layer), _of_metadata(layer)):
        if size.mpp is not None:
            return size
    return _of_file(path, shape) if path is not None else UNKNOWN


def _of_scale(layer: Any) -> PixelSize:
    """Read the scale where units are lengths; exactly 1 micrometre is a reader's default."""
    units: Sequence[Any] = getattr(layer, "units", None) or ()
    if len(units) < 2:
        return UNKNOWN
    um = [um_per_unit(str(unit)) for unit in units[-2:]]
    if um[0] is None or um[1] is None:
        return UNKNOWN
    y, x = float(layer.scale[-2]) * um[0], float(layer.scale[-1]) * um[1]
    return UNKNOWN if (y, x) == (1.0, 1.0) else plausible(abs(y), abs(x), "layer (scale and units)")


def _of_metadata(layer: Any) -> PixelSize:
    """Read ``metadata["resolution"]``: (y, x) micrometres per pixel, as napari-wsi writes it."""
    stated: Any = (getattr(layer, "metadata", None) or {}).get("resolution")
    try:
        y, x = (float(value) for value in stated)
    except (TypeError, ValueError):
        return UNKNOWN
    return plausible(y, x, "layer (metadata resolution)")


def _of_file(path: Path, shape: tuple[int, int]) -> PixelSize:
    """Read the file itself, if it is the same picture."""
    from napari_xce.slides.opening import open_path

    try:
        with open_path(path) as slide:
            return PixelSize(slide.mpp, slide.mpp_source) if slide.shape == shape else UNKNOWN
    except (
        SlideError
    ):  # the layer is there although we cannot read its file: the size stays unknown
        return UNKNOWN
