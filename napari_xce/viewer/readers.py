"""napari's way in for whole-slide images (npe2): one multiscale RGB layer of true size.

Works beside other readers: what is not a slide of ours gets ``None``. Needs no window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari_xce.slides import Slide, open_slide

LayerData = tuple[Any, dict[str, Any], str]
"""(levels, options of the layer, "image")."""

Paths = str | PathLike[str] | Sequence[str]

_SUFFIXES = {
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".dcm"),
    *(".tif", ".tiff", ".btf", ".zarr"),
}  # as in napari.yaml


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Return the function that reads a path, or None if it is no slide by its name.

    Parameters
    ----------
    path
        A file or folder; several at once (a stack) are no slide.
    """
    if not isinstance(path, str | PathLike):
        return None
    place = Path(path)
    if place.suffix.lower() in _SUFFIXES or _holds_dicom(place):
        return read_slide
    return None


def read_slide(path: Paths) -> list[LayerData]:
    """Open a slide as the data of one napari image layer.

    Returns
    -------
    One (levels, options, "image"): levels are arrays that read on demand and lead back to their
    slide.

    Raises
    ------
    SlideError
        If it cannot be opened; its sentence says why and what to do.
    """
    if not isinstance(path, str | PathLike):
        path = path[0]
    slide = open_slide(path)
    return [(slide.levels, layer_options(slide), "image")]


def layer_options(slide: Slide) -> dict[str, Any]:
    """Return the options of a slide's layer: in micrometres where the pixel size is known."""
    options: dict[str, Any] = {
        "name": slide.name,
        "rgb": True,
        "multiscale": True,  # a list of one level would be unwrapped
        "contrast_limits": (0, 255),
        "metadata": {
            "napari-xce": {
                "role": "slide",
                "path": str(slide.path) if slide.path is not None else None,
                "mpp": slide.mpp,
                "mpp_source": slide.mpp_source,
            }
        },
    }
    if slide.mpp is not None:
        options |= {"scale": slide.mpp, "units": ("um", "um")}
    return options


def _holds_dicom(folder: Path) -> bool:
    """Say whether a folder holds DICOM files, by their names."""
    return folder.is_dir() and any(folder.glob("*.dcm"))
