"""Pixel sizes come with their provenance, and defaults that programs write count as unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_xce.slides import open_slide, pixelsize

PIXELS = np.zeros((64, 80, 3), np.uint8)
APERIO = "Aperio Image Library v11.2.1\r\n80x64 (64x64) JPEG/RGB Q=70"


def opened(path: Path) -> tuple[tuple[float, float] | None, str]:
    with open_slide(path) as slide:
        return slide.mpp, slide.mpp_source


@pytest.mark.parametrize(
    ("options", "mpp"),
    [
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, (0.5, 0.25)),
        ({"resolution": (101600, 101600), "resolutionunit": "INCH"}, (0.25, 0.25)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (96, 96), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (1, 1), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (40000, 40000), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_resolution_tags_count_where_plausible(
    options: dict[str, Any], mpp: tuple[float, float] | None, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", **options)
    found, source = opened(tmp_path / "a.tif")
    assert found == (None if mpp is None else pytest.approx(mpp))
    assert source == ("unknown" if mpp is None else "file (TIFF resolution)")


@pytest.mark.parametrize(
    ("description", "mpp", "source"),
    [
        (APERIO + "|AppMag = 20|MPP = 0.4990", 0.499, "file (aperio.MPP)"),
        (APERIO + "|AppMag = 40", 0.25, "objective power (guess from aperio.AppMag 40x)"),
        (APERIO + "|AppMag = 20", 0.5, "objective power (guess from aperio.AppMag 20x)"),
        (APERIO + "|MPP = 0", None, "unknown"),
        (APERIO, None, "unknown"),
    ],
)
def test_aperio_states_or_lets_guess(
    description: str, mpp: float | None, source: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.svs"
    tifffile.imwrite(
        path, PIXELS, photometric="rgb", tile=(64, 64), description=description, metadata=None
    )
    found, words = opened(path)
    assert words == source
    assert found == (None if mpp is None else (mpp, mpp))


@pytest.mark.parametrize(
    ("attributes", "mpp"),
    [
        ({"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.26}, (0.26, 0.25)),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "unit": "µm"}, (0.5, 0.5)),
        ({"PhysicalSizeX": 250, "PhysicalSizeY": 250, "unit": "nm"}, (0.25, 0.25)),
        ({"PhysicalSizeX": 0.00025, "PhysicalSizeY": 0.00025, "unit": "mm"}, (0.25, 0.25)),
        ({"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0, "unit": "µm"}, (1.0, 1.0)),
        ({"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}, None),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "unit": "pixel"}, None),
        ({"PhysicalSizeX": 0.5}, None),
        ({"PhysicalSizeX": 352.8, "PhysicalSizeY": 352.8}, None),
    ],
    ids=str,
)
def test_ome_units_are_converted_and_defaults_are_unknown(
    attributes: dict[str, Any], mpp: tuple[float, float] | None
) -> None:
    unit = attributes.pop("unit", None) if "unit" in attributes else None
    text = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    if unit:
        text += f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    xml = f'<OME xmlns="o"><Image><Pixels SizeX="80" SizeY="64" {text}/></Image></OME>'
    found = pixelsize.of_ome(xml, 64, 80)
    assert found.mpp == (None if mpp is None else pytest.approx(mpp))


def test_ome_size_of_another_image_is_not_taken() -> None:
    xml = (
        '<OME xmlns="o"><Pixels SizeX="9" SizeY="9" PhysicalSizeX="0.5" PhysicalSizeY="0.5"/></OME>'
    )
    assert pixelsize.of_ome(xml, 64, 80) == pixelsize.UNKNOWN
    assert pixelsize.of_ome("no xml", 64, 80) == pixelsize.UNKNOWN


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_imagej_counts_with_a_unit_of_length(unit: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"imagej": True, "resolution": (4, 2), "metadata": {"unit": unit}}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", **options)
    assert opened(tmp_path / "a.tif") == ((0.5, 0.25), "file (ImageJ)")


def test_imagej_without_unit_is_unknown(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", imagej=True, resolution=(1, 1))
    assert opened(tmp_path / "a.tif") == (None, "unknown")


@pytest.mark.parametrize(
    ("properties", "mpp", "source"),
    [
        (
            {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"},
            (0.26, 0.25),
            "file (openslide.mpp)",
        ),
        (
            {"openslide.objective-power": "40"},
            (0.25, 0.25),
            "objective power (guess from openslide.objective-power 40x)",
        ),
        ({"openslide.mpp-x": "0", "openslide.mpp-y": "0"}, None, "unknown"),
        ({"openslide.objective-power": "unknown"}, None, "unknown"),
        ({}, None, "unknown"),
    ],
)
def test_openslide_properties_are_read(
    properties: dict[str, str], mpp: tuple[float, float] | None, source: str
) -> None:
    assert pixelsize.of_openslide(properties) == (mpp, source)


def test_plain_images_state_dots_per_inch() -> None:
    assert pixelsize.of_dpi((50800, 50800)).mpp == (0.5, 0.5)
    assert pixelsize.of_dpi((72, 72)) == pixelsize.UNKNOWN
    assert pixelsize.of_dpi(None) == pixelsize.UNKNOWN


def test_pyramid_takes_the_size_of_its_finest_level(
    picture: np.ndarray,
    edge_cropped: Callable[..., list[np.ndarray]],
    write_pyramid: Callable[..., Path],
) -> None:
    found, _ = opened(write_pyramid(edge_cropped(picture, 2, 3), mpp=0.23))
    assert found == pytest.approx((0.23, 0.23))
