"""Every file at hand opens as what it is, and what cannot be opened is refused in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_xce.errors import SlideError
from napari_xce.slides import open_slide
from napari_xce.slides.openslide import OpenSlideSource
from napari_xce.slides.tiff import TiffSource

Write = Callable[..., Path]

SLIDES = [
    ("CMU-1-Small-Region.svs", TiffSource, [(2967, 2220)], (0.499, 0.499), "file (aperio.MPP)"),
    (
        "CMU-1-Small-Region-dicom",
        OpenSlideSource,
        [(2967, 2220)],
        (0.499, 0.499),
        "file (openslide.mpp)",
    ),
    ("tcga-cr-7395-01a-01-ts1.svs", TiffSource, [(3567, 4443), (1783, 2221)], None, "unknown"),
    (
        "test3-DAPI-2-(387).ndpi",
        OpenSlideSource,
        [(4864 >> k, 3968 >> k) for k in range(7)],
        (0.22818, 0.22818),
        "file (openslide.mpp)",
    ),
    (
        "openslide_crops/OS-1-detail.ome.tif",
        TiffSource,
        [(1101, 1101)],
        (0.2271, 0.2271),
        "file (OME PhysicalSize)",
    ),
    (
        "openslide_crops/OS-2-ndpi.ome.tif",
        TiffSource,
        [(2202, 2202)],
        (0.2271, 0.2271),
        "file (OME PhysicalSize)",
    ),
    (
        "openslide_crops/OS-2-vsi.ome.tif",
        TiffSource,
        [(1445, 1445)],
        (0.34606, 0.34606),
        "file (OME PhysicalSize)",
    ),
]


@pytest.mark.parametrize(
    ("name", "kind", "shapes", "mpp", "source"), SLIDES, ids=lambda v: str(v)[:24]
)
def test_slides_at_hand_open_as_what_they_are(
    name: str,
    kind: type,
    shapes: list[tuple[int, int]],
    mpp: tuple[float, float] | None,
    source: str,
    shared_data: Path,
) -> None:
    path = shared_data / "slides" / name
    with open_slide(path) as slide:
        assert isinstance(slide._source, kind)
        assert slide.level_shapes == shapes
        assert slide.mpp == (None if mpp is None else pytest.approx(mpp, abs=5e-5))
        assert slide.mpp_source == source
        assert slide.name == path.name
        height, width = slide.level_shapes[-1]
        overview = slide.read_level(len(shapes) - 1, 0, 0, height, width)
        assert overview.shape == (height, width, 3)
        assert overview.std() > 5


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_direct_decoding_has_the_colours_of_openslide(name: str, shared_data: Path) -> None:
    """JPEG and JPEG 2000 alike; two decoders may differ by a little in colour interpolation."""
    path = shared_data / "slides" / name
    source = OpenSlideSource(path)
    with open_slide(path) as slide:
        ours = slide.read_level(0, 1500, 1000, 400, 400).astype(int)
    theirs = source.read(0, 1500, 1000, 400, 400)
    source.close()
    assert np.abs(ours - theirs).mean() < 2
    assert np.abs((ours - theirs).mean((0, 1))).max() < 1


def test_broken_svs_is_refused_in_a_sentence(shared_data: Path) -> None:
    with pytest.raises(SlideError, match=r"broken\.svs .*damaged.*Copy it again"):
        open_slide(shared_data / "slides" / "broken.svs")


def test_missing_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="There is no file or folder"):
        open_slide(tmp_path / "gone.svs")


def test_empty_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()
    with pytest.raises(SlideError, match="empty"):
        open_slide(tmp_path / "empty.svs")


def test_text_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Befund: unauffällig\n")
    with pytest.raises(SlideError, match="text"):
        open_slide(tmp_path / "notes.txt")


def test_folder_without_slide_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="neither"):
        open_slide(tmp_path)


def test_dicom_that_is_no_slide_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ct.dcm").write_bytes(bytes(128) + b"DICM" + bytes(500))
    for path in (tmp_path, tmp_path / "ct.dcm"):
        with pytest.raises(SlideError, match="DICOM"):
            open_slide(path)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_headers_never_raise_anything_but_slide_errors(
    seed: int, picture: np.ndarray, write_pyramid: Write
) -> None:
    path = write_pyramid([picture[:300, :300]])
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in (
        rng.integers(4, 64, 6).tolist() + rng.integers(len(data) - 600, len(data), 30).tolist()
    ):
        data[place] = int(rng.integers(0, 256))
    path.write_bytes(data)
    with contextlib.suppress(SlideError), open_slide(path) as slide:
        slide.read_scaled(0, 0, 64, 64, (2.0, 2.0))


@pytest.mark.parametrize("name", ["Probe 7 😀 (Kopie).svs", "κύτταρα.tif", "a'b\"c.tif"])
def test_odd_names_open(name: str, picture: np.ndarray, write_pyramid: Write) -> None:
    path = write_pyramid([picture[:200, :300]], name=name)
    with open_slide(path) as slide:
        assert (slide.name, slide.path, slide.shape) == (name, path, (200, 300))
    source = OpenSlideSource(path)
    assert source.level_shapes == [(200, 300)]
    source.close()


def test_plain_uncompressed_tiff_without_pyramid_opens(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (901, 1493, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", rgb, photometric="rgb")
    with open_slide(str(tmp_path / "plain.tif")) as slide:
        assert np.array_equal(slide.read_level(0, 800, 1400, 101, 93), rgb[800:, 1400:])
        assert slide.mpp is None


def test_full_width_strips_open(picture: np.ndarray, tmp_path: Path) -> None:
    """Some scanners write strips as wide as the slide and 8 pixels high."""
    tifffile.imwrite(
        tmp_path / "strips.tif", picture, photometric="rgb", rowsperstrip=8, compression="jpeg"
    )
    with open_slide(tmp_path / "strips.tif") as slide:
        whole = tifffile.imread(tmp_path / "strips.tif")
        assert np.array_equal(slide.read_level(0, 601, 300, 333, 500), whole[601:934, 300:800])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_plain_images_open(mode: str, picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.fromarray(picture[:100, :120]).convert(mode).save(path)
    with open_slide(path) as slide, Image.open(path) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
        assert slide.shape == (100, 120)
        assert np.abs(slide.read_level(0, 0, 0, 100, 120) - expected).max() <= 1
        assert slide.mpp is None


def test_plain_jpeg_opens(picture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "image.jpeg", quality=95)
    with open_slide(tmp_path / "image.jpeg") as slide:
        assert slide.shape == (1181, 1103)
        assert np.abs(slide.read_level(0, 0, 0, 1181, 1103).astype(int) - picture).mean() < 20


def test_animation_is_refused_in_a_sentence(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(SlideError, match="series of images"):
        open_slide(tmp_path / "film.gif")


def test_fingerprint_does_not_depend_on_the_place(
    picture: np.ndarray, write_pyramid: Write
) -> None:
    path = write_pyramid([picture[:200, :300]])
    with open_slide(path) as slide:
        first = slide.fingerprint
    moved = path.rename(path.with_name("moved.tif"))
    with open_slide(moved) as slide:
        assert slide.fingerprint == first
    other = write_pyramid([picture[1:201, :300]])
    with open_slide(other) as slide:
        assert slide.fingerprint != first
