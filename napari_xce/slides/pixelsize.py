"""What a file says about the size of its pixels, and where it says so. Unknown is None, never 1.0.

Programs write defaults (72 dpi, 1 pixel, 1 micrometre) where they know nothing; such values count
as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

import tifffile

PLAUSIBLE_UM = (0.02, 20.0)
"""Micrometres per pixel that microscopes and slide scanners make; 300 dpi is 85, 72 dpi is 353."""


class PixelSize(NamedTuple):
    """Micrometres per level-0 pixel, (y, x), or None, and where it comes from, in words."""

    mpp: tuple[float, float] | None
    source: str


UNKNOWN = PixelSize(None, "unknown")

_UM_PER_UNIT = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "å": 1e-4, "angstrom": 1e-4,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6, "in": 25400.0, "inch": 25400.0,
}  # fmt: skip


def um_per_unit(unit: str | None) -> float | None:
    """Return the micrometres in one unit of length, or None if it is no unit of length we know."""
    return _UM_PER_UNIT.get((unit or "").strip().lower())


def plausible(y: float, x: float, source: str) -> PixelSize:
    """Return a pixel size if a microscope could have made it, else UNKNOWN."""
    low, high = PLAUSIBLE_UM
    return PixelSize((y, x), source) if low <= y <= high and low <= x <= high else UNKNOWN


def of_objective(power: str | float | None, where: str) -> PixelSize:
    """Guess from the objective: 20x is about 0.5 um/px, 40x about 0.25."""
    try:
        magnification = float(power or 0)
    except ValueError:
        return UNKNOWN
    if not 1 <= magnification <= 150:
        return UNKNOWN
    guess = 10 / magnification
    return PixelSize((guess, guess), f"objective power (guess from {where} {magnification:g}x)")


def of_openslide(properties: Mapping[str, str]) -> PixelSize:
    """Read OpenSlide's properties: mpp, else objective power."""
    try:
        y, x = float(properties["openslide.mpp-y"]), float(properties["openslide.mpp-x"])
    except (KeyError, ValueError):
        y = x = 0.0
    stated = plausible(y, x, "file (openslide.mpp)")
    if stated.mpp is not None:
        return stated
    return of_objective(properties.get("openslide.objective-power"), "openslide.objective-power")


def of_tiff(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> PixelSize:
    """Read a TIFF: Aperio, OME, Philips, ImageJ, then resolution tags, then the objective.

    Parameters
    ----------
    tiff
        The open file.
    page
        Its full-resolution page.
    """
    aperio = _aperio(page.description) if tiff.is_svs else {}
    candidates = [
        _number_pair(aperio.get("MPP"), "file (aperio.MPP)"),
        of_ome(tiff.ome_metadata or "", page.imagelength, page.imagewidth),
        _philips(tiff.philips_metadata or "") if tiff.is_philips else UNKNOWN,
        _imagej(tiff, page),
        _resolution_tags(page),
        of_objective(aperio.get("AppMag"), "aperio.AppMag"),
    ]
    return next((size for size in candidates if size.mpp is not None), UNKNOWN)


def of_ome(xml: str, height: int, width: int) -> PixelSize:
    """Read PhysicalSizeX/Y of the image of that size; a size of 1 with no unit is a default."""
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return UNKNOWN
    for pixels in root.iter():
        sizes = (pixels.get("SizeY"), pixels.get("SizeX"))
        if pixels.tag.rpartition("}")[2] != "Pixels" or sizes != (str(height), str(width)):
            continue
        y = _ome_length(pixels, "PhysicalSizeY")
        x = _ome_length(pixels, "PhysicalSizeX")
        return plausible(y, x, "file (OME PhysicalSize)")
    return UNKNOWN


def of_dpi(dpi: tuple[float, float] | None) -> PixelSize:
    """Read (x, y) dots per inch of a plain image."""
    if not dpi or min(dpi) <= 0:
        return UNKNOWN
    return plausible(25400 / float(dpi[1]), 25400 / float(dpi[0]), "file (resolution)")


def _ome_length(pixels: ElementTree.Element, name: str) -> float:
    """Return a length in micrometres, 0 when it is missing or a default."""
    text, unit = pixels.get(name), pixels.get(f"{name}Unit")
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    if unit is None and value == 1.0:
        return 0.0
    return value * (um_per_unit(unit or "µm") or 0.0)


def _aperio(description: str) -> dict[str, str]:
    """Return the ``key = value`` pairs of an Aperio description."""
    parts = (part.split("=", 1) for part in description.split("|")[1:] if "=" in part)
    return {key.strip(): value.strip() for key, value in parts}


def _number_pair(text: str | None, source: str) -> PixelSize:
    """Read one number for both axes."""
    try:
        value = float((text or "0").replace(",", "."))
    except ValueError:
        return UNKNOWN
    return plausible(value, value, source)


def _philips(xml: str) -> PixelSize:
    """Read DICOM_PIXEL_SPACING (millimetres, row then column) of the first, largest level."""
    found = re.search(r'DICOM_PIXEL_SPACING"[^>]*>\D*([\d.eE+-]+)\D+([\d.eE+-]+)', xml)
    if found is None:
        return UNKNOWN
    y, x = (float(number) * 1000 for number in found.groups())
    return plausible(y, x, "file (Philips DICOM_PIXEL_SPACING)")


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> PixelSize:
    """Read pixels per unit, where ImageJ wrote a unit of length."""
    metadata: Mapping[str, Any] = tiff.imagej_metadata or {}
    unit = um_per_unit(str(metadata.get("unit", "")).encode().decode("unicode_escape"))
    per_unit = _per_unit(page)
    if unit is None or per_unit is None:
        return UNKNOWN
    return plausible(unit / per_unit[0], unit / per_unit[1], "file (ImageJ)")


def _resolution_tags(page: tifffile.TiffPage) -> PixelSize:
    """Read XResolution and YResolution, where their unit is inch or centimetre."""
    unit = {2: 25400.0, 3: 1e4}.get(int(page.tags.valueof("ResolutionUnit", 2)))
    per_unit = _per_unit(page)
    if unit is None or per_unit is None:
        return UNKNOWN
    return plausible(unit / per_unit[0], unit / per_unit[1], "file (TIFF resolution)")


def _per_unit(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Return pixels per resolution unit, (y, x), or None."""
    values = []
    for name in ("YResolution", "XResolution"):
        numerator, denominator = page.tags.valueof(name, (0, 0))
        if not numerator or not denominator:
            return None
        values.append(numerator / denominator)
    return values[0], values[1]
