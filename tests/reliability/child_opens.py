"""The child of test_hostile_slides: it opens a file as a slide and reads a little of each level."""

from __future__ import annotations

import resource
import signal

import imagecodecs  # noqa: F401 loaded once, for all children
import numpy as np  # noqa: F401
import openslide  # noqa: F401
import tifffile  # noqa: F401
from children import acknowledge, serve
from PIL import Image  # noqa: F401

from napari_xce.errors import XceError
from napari_xce.slides import open_slide

MOST_BYTES = 3 << 30  # of address space, libraries and their threads included
MOST_SECONDS = 120


def work(task: list[str]) -> None:
    """Open one file; tell whether it was read, or refused in a sentence."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.alarm(MOST_SECONDS)
    try:
        with open_slide(task[0]) as slide:
            for level, (height, width) in enumerate(slide.level_shapes):
                for y, x in ((0, 0), (height // 2, width // 2), (height - 64, width - 64)):
                    slide.read_level(level, y, x, 64, 64)
            _ = slide.fingerprint
    except XceError as error:
        acknowledge(f"refused {str(error)[:300]!r}")
    else:
        acknowledge("read")


if __name__ == "__main__":
    serve(work)
