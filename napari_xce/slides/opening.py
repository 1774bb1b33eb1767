"""Open a path: look at what it is, try the backends for it, and say in words why none does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from napari_xce.errors import SlideError
from napari_xce.slides.slide import Slide
from napari_xce.slides.source import PixelSource, UnsupportedSlide

Backend = Callable[[Path], PixelSource]

logger = logging.getLogger(__name__)

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OPENSLIDE_FIRST = {".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".dcm"}
"""Formats that are no TIFF, or whose layout the bare TIFF pages do not tell."""


def open_path(path: str | PathLike[str]) -> Slide:
    """Open a slide from disk; see :func:`napari_xce.slides.open_slide`."""
    place = Path(path).expanduser()
    if not place.exists():
        raise SlideError(
            f"There is no file or folder {place}. Check the path; perhaps a drive is not connected."
        )
    if place.is_file() and place.stat().st_size == 0:
        raise SlideError(f"{place.name} is empty (0 bytes). Copy it again.")
    target = _dicom_file_in(place) if _is_dicom_folder(place) else _zarr_root(place)
    reasons = []
    for backend in _backends(target):
        try:
            source = backend(target)
        except UnsupportedSlide as error:
            reasons.append(str(error))
        except SlideError:
            raise
        except Exception as error:  # damaged files break third-party readers in any way
            logger.info("%s failed on %s", backend.__name__, target, exc_info=True)
            reasons.append(f"{type(error).__name__}: {error}.")
        else:
            return Slide(source, place.name, place)
    raise SlideError(_explain(target, reasons))


def _backends(path: Path) -> list[Backend]:
    """Return the readers to try, best first."""
    if path.is_dir():
        return [_zarr]
    head = _head(path)
    if path.suffix.lower() in _OPENSLIDE_FIRST:
        return [_openslide, _tiff] if head[:4] in _TIFF_MAGICS else [_openslide]
    if head[:4] in _TIFF_MAGICS:
        return [_openslide, _tiff] if _vendor_tiff(path) else [_tiff, _openslide]
    return [_openslide] if _is_dicom(head) else [_plain, _openslide]


def _tiff(path: Path) -> PixelSource:
    from napari_xce.slides.tiff import TiffSource

    return TiffSource(path)


def _openslide(path: Path) -> PixelSource:
    from napari_xce.slides.openslide import OpenSlideSource

    return OpenSlideSource(path)


def _zarr(path: Path) -> PixelSource:
    from napari_xce.slides.zarr import ZarrSource

    return ZarrSource(path)


def _plain(path: Path) -> PixelSource:
    from napari_xce.slides.plain import open_plain

    return open_plain(path)


def _vendor_tiff(path: Path) -> bool:
    """Say whether a TIFF by any name is an NDPI, SCN, BIF or Philips: OpenSlide knows these."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return bool(tiff.is_ndpi or tiff.is_scn or tiff.is_bif or tiff.is_philips)
    except Exception:  # damaged in any way: the backends, tried next, say how
        logger.info("tifffile failed on %s", path, exc_info=True)
        return False


def _head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise SlideError(
            f"{path.name} cannot be read: {error.strerror}. Check its permissions."
        ) from error


def _is_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM"


def _is_dicom_folder(path: Path) -> bool:
    return path.is_dir() and not _is_zarr(path) and any(True for _ in _dicom_files(path))


def _dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, sorted by name."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [file for file in files if _is_dicom(_head(file))]


def _dicom_file_in(folder: Path) -> Path:
    """Return one file of the slide in a folder; OpenSlide finds the others beside it."""
    return _dicom_files(folder)[0]


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))


def _zarr_root(path: Path) -> Path:
    """Return the zarr folder when one of its metadata files was given."""
    if path.is_dir() and not _is_zarr(path):
        raise SlideError(
            f"The folder {path.name} holds neither a DICOM slide nor an OME-Zarr. "
            "Open a slide file."
        )
    inside = path.name in ("zarr.json", ".zgroup", ".zattrs")
    return path.parent if inside and path.is_file() else path


def _explain(path: Path, reasons: list[str]) -> str:
    """Say what is wrong with a file that no backend reads, and what to do."""
    if path.is_file() and _is_text(_head(path)):
        return (
            f"{path.name} holds text, not a slide: it is damaged, or has a wrong name. "
            "Copy it again, or open the slide's image file."
        )
    if path.is_file() and _is_dicom(_head(path)):
        return (
            f"{path.name} is a DICOM file, but cannot be read as a slide: it is no whole-slide "
            "image, or of a kind OpenSlide does not read. Convert it to a TIFF. "
            f"({' '.join(reasons)})"
        )
    return (
        f"{path.name} cannot be opened: it is damaged, incomplete, or not a slide. Copy it again "
        f"from where it came, or convert it to a pyramid TIFF. ({' '.join(reasons)})"
    )


def _is_text(head: bytes) -> bool:
    """Say whether bytes read as text of letters, lines and signs."""
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < 4096 else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)
