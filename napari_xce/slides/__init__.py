"""Pyramids in, pixels out: files of all formats, arrays and napari layers as one kind of slide."""

from __future__ import annotations

from os import PathLike

from napari_xce.slides.slide import Slide

__all__ = ["Slide", "open_slide"]


def open_slide(path: str | PathLike[str]) -> Slide:
    """Open a slide from disk.

    Parameters
    ----------
    path
        A file (SVS, NDPI, MRXS, SCN, BIF, DICOM, TIFF, OME-TIFF, PNG, JPEG), an OME-Zarr folder, or
        a folder of DICOM files or any one of them.

    Returns
    -------
    The slide; close it, or use it as a context manager.

    Raises
    ------
    SlideError
        If it is missing, broken, or not one flat colour image: stacks of channels, planes or times
        are refused. A picture of fluorescence that is stored as RGB opens, dark as it is.
    """
    from napari_xce.slides.opening import open_path

    return open_path(path)
