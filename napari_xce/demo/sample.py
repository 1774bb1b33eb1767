"""The demo's slide: synthetic H&E, written as the kind of file that a scanner leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_xce.errors import SlideError
from napari_xce.slides.synthetic import SyntheticSlide

JPEG_QUALITY = 92  # what scanners use or better


def write_sample(path: Path, sample: SyntheticSlide) -> None:
    """Write a synthetic slide as a tiled pyramid (TIFF, JPEG), as big as the memory allows.

    Parameters
    ----------
    path : Path
        Ends in ``.tif``; a file that is there is replaced.
    sample : SyntheticSlide
        Any that fits into memory.

    Raises
    ------
    SlideError
        The file cannot be written.
    """
    assert sample.mpp is not None
    aside = path.with_name(path.name + ".part")
    try:
        with tifffile.TiffWriter(aside, bigtiff=True) as writer:
            for number, level in enumerate(sample.levels):
                factor = sample.level_downsamples[number]
                writer.write(
                    np.asarray(level),  # (h, w, 3)
                    tile=(256, 256),
                    photometric="rgb",
                    compression="jpeg",
                    compressionargs={"level": JPEG_QUALITY},
                    subfiletype=1 if number else 0,
                    resolutionunit="CENTIMETER",
                    resolution=(
                        1e4 / (sample.mpp[1] * factor[1]),
                        1e4 / (sample.mpp[0] * factor[0]),
                    ),
                    metadata=None,
                )
        aside.replace(path)
    except OSError as error:
        raise SlideError(
            f"{path} cannot be written ({error.strerror}). Choose another folder."
        ) from error
