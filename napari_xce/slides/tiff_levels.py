"""Find the pyramid in a TIFF: which pages are its levels, and whether it is one flat image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_xce.errors import SlideError
from napari_xce.slides.source import UnsupportedSlide

Planes = Sequence[Any]
"""Pages of one level: one page of colour, or one page each for red, green and blue."""

_AXIS_WORDS = {
    "Z": "focal planes (a 3-D stack)",
    "T": "points in time",
    "C": "channels (a fluorescence or multichannel stack)",
    "S": "samples per pixel",
}
_ASSOCIATED = ("label", "macro", "thumbnail", "overview", "map")
_SMALLER = 1.2
"""A page is a coarser level only if it is at least this much smaller than the one before."""


def pyramid_of(tiff: tifffile.TiffFile) -> list[Planes]:
    """Return the pages of each level, finest first.

    Raises
    ------
    SlideError
        If the image is a stack of channels, planes or times.
    UnsupportedSlide
        If the file has a layout of its own that OpenSlide reads better, or is spread over several
        files.
    """
    series = [s for s in tiff.series if s.size and "Y" in s.axes and "X" in s.axes]
    if not series:
        raise UnsupportedSlide("It holds no image.")
    base = _largest(series)
    _check_flat(base, tiff)
    levels = list(base.levels)
    if not (tiff.is_svs or tiff.is_qpi):
        levels += _coarser_in_chain(levels, series)
    pyramid = [_planes(level) for level in levels]
    if any(page.parent is not tiff for planes in pyramid for page in planes):
        raise UnsupportedSlide(
            "Its pixels are spread over several files. Convert it to one pyramid TIFF."
        )
    return pyramid


def _largest(series: Sequence[tifffile.TiffPageSeries]) -> tifffile.TiffPageSeries:
    """Return the series of the slide itself: the largest that is not a label or overview."""
    own = [s for s in series if not any(word in (s.name or "").lower() for word in _ASSOCIATED)]
    return max(own or series, key=lambda s: s.keyframe.imagelength * s.keyframe.imagewidth)


def _check_flat(series: tifffile.TiffPageSeries, tiff: tifffile.TiffFile) -> None:
    """Refuse further axes of more than one, except planes named red, green, blue."""
    for axis, count in zip(series.axes, series.shape, strict=True):
        if axis in "YX" or count == 1 or (axis == "S" and count <= 4):
            continue
        if axis == "C" and count == 3 and _named_rgb(tiff.ome_metadata):
            continue
        words = _AXIS_WORDS.get(axis, "images")
        raise SlideError(
            f"This TIFF holds {count} {words}, not one colour image. napari-xce works on RGB "
            "slides: save one plane, or a colour rendering, as RGB and open that."
        )


def _named_rgb(ome_xml: str | None) -> bool:
    """Say whether the OME channels are called red, green and blue."""
    try:
        root = ElementTree.fromstring((ome_xml or "").encode())
    except ElementTree.ParseError:
        return False
    names = [e.get("Name", "").lower() for e in root.iter() if e.tag.endswith("}Channel")]
    return names[:3] in (["red", "green", "blue"], ["r", "g", "b"])


def _coarser_in_chain(
    found: Sequence[tifffile.TiffPageSeries], series: Sequence[tifffile.TiffPageSeries]
) -> list[tifffile.TiffPageSeries]:
    """Return other pages that are the same picture in smaller: pyramids without SubIFDs."""
    full, levels = found[0].keyframe, []
    last = found[-1].keyframe.imagelength
    for other in sorted(series, key=lambda s: -s.keyframe.imagelength):
        page = other.keyframe
        kin = page.is_reduced or page.is_tiled == full.is_tiled
        alike = (page.dtype, page.samplesperpixel) == (full.dtype, full.samplesperpixel)
        smaller = page.imagelength * _SMALLER <= last
        if kin and alike and smaller and other.ndim == found[0].ndim and _same_aspect(full, page):
            levels.append(other)
            last = page.imagelength
    return levels


def _same_aspect(full: tifffile.TiffPage, page: tifffile.TiffPage) -> bool:
    """Say whether a page has the sides of the full image, to within 2 % or two pixels."""
    expected = full.imagewidth * page.imagelength / full.imagelength
    return abs(page.imagewidth - expected) <= max(2.0, 0.02 * expected)


def _planes(level: tifffile.TiffPageSeries) -> Planes:
    """Return the pages of one level."""
    pages = list(level.pages)
    if any(page is None for page in pages):
        raise UnsupportedSlide("Some of its planes are missing.")
    return pages
