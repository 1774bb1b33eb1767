"""Pictures and pyramids small enough to be made for each test, of odd sizes as scanners leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.uint8]


@pytest.fixture(scope="session")
def picture() -> Image:
    """Return uint8 (1181, 1103, 3): smooth blobs of many colours, as fine as cells."""
    noise = np.random.default_rng(7).random((1181, 1103, 3), dtype=np.float32) - np.float32(0.5)
    blobs = ndimage.gaussian_filter(noise, (3, 3, 0), mode="nearest", truncate=2.5)
    return np.clip(128 + blobs / blobs.std() * 45, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def edge_cropped() -> Callable[[Image, int, int], list[Image]]:
    """Return a function (picture, factor, levels): block means, the rest at the edge dropped."""

    def build(image: Image, factor: int, levels: int) -> list[Image]:
        pyramid = [image]
        for _ in range(levels - 1):
            height, width = (side // factor for side in pyramid[-1].shape[:2])
            blocks = pyramid[-1][: height * factor, : width * factor]
            blocks = blocks.reshape(height, factor, width, factor, 3)
            pyramid.append(np.rint(blocks.mean((1, 3))).astype(np.uint8))
        return pyramid

    return build


@pytest.fixture
def write_pyramid(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes levels as a chain of tiled pages, as scanners do."""

    def write(
        levels: list[Image], name: str = "slide.tif", mpp: float = 0.25, **options: Any
    ) -> Path:
        path = tmp_path / name
        layout: dict[str, Any] = {
            "tile": (256, 256),
            "photometric": "rgb",
            "compression": "jpeg",
            "compressionargs": {"level": 90},
            "subsampling": (1, 1),
            "resolutionunit": "CENTIMETER",
            "metadata": None,
        } | options
        with tifffile.TiffWriter(path, bigtiff=True) as writer:
            for number, level in enumerate(levels):
                scale = levels[0].shape[0] / level.shape[0]
                writer.write(
                    level,
                    subfiletype=1 if number else 0,
                    resolution=(1e4 / mpp / scale,) * 2,
                    **layout,
                )
        return path

    return write
