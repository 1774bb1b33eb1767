"""Plain images (PNG, JPEG, BMP, WebP, JPEG 2000) as slides of one level, held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_xce.errors import SlideError
from napari_xce.slides import pixelsize
from napari_xce.slides.array import ArraySource
from napari_xce.slides.source import UnsupportedSlide

_MODES = {
    "P": "RGBA",
    "PA": "RGBA",
    "LA": "RGBA",
    "1": "L",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
}
"""Pillow modes that are converted; the others (L, RGB, RGBA, I;16 ...) are taken as they are."""


def open_plain(path: Path) -> ArraySource:
    """Read a plain image into memory.

    Raises
    ------
    UnsupportedSlide
        If it is no image that Pillow knows.
    SlideError
        If it is an animation, or too large to be held in memory at once.
    """
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise SlideError(
                    f"{path.name} is a series of images. Save one of them and open that."
                )
            size = pixelsize.of_dpi(image.info.get("dpi"))
            pixels = np.asarray(
                image.convert(_MODES[image.mode]) if image.mode in _MODES else image
            )
    except Image.DecompressionBombError as error:
        raise SlideError(
            f"{path.name} is too large for a plain image. Convert it to a tiled pyramid TIFF."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: Pillow on broken PNG
        raise UnsupportedSlide(
            f"It cannot be read as an image: {str(error).rstrip('.')}."
        ) from error
    source = ArraySource([pixels])
    source.mpp, source.mpp_source = size
    return source
