"""Label masks as OME-Zarr, version 0.4: the form that most programs read today.

The folder is one multiscale label image ("image-label", https://ngff.openmicroscopy.org/0.4). It
can stand alone, and can be moved as it is into the `labels` group of an OME-Zarr image.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import ArrayLike

from napari_xce.exchange.aside import folder_aside
from napari_xce.exchange.labels import STEP, TILE, LazyLabels, as_lazy, subsample


def write_label_zarr(
    path: Path | str,
    labels: ArrayLike | LazyLabels,
    mpp: tuple[float, float] | None,
    *,
    name: str = "labels",
) -> None:
    """Write a label mask as OME-Zarr 0.4.

    Parameters
    ----------
    path : path
        The `.zarr` folder. An existing one is replaced if it is a Zarr folder.
    labels : int, shape (H, W), or LazyLabels
        Label mask, 0 is background. Written as int32, or uint32 where it is that or needs it.
    mpp : (float, float) or None
        Micrometres per mask pixel, (y, x). If None the scale counts pixels and has no unit.
    name : str
        Name of the image.

    Raises
    ------
    ExchangeError
        If the mask is not one, something else is in the way, or the disk fails.
    """
    lazy = as_lazy(labels)
    shapes = lazy.level_shapes()
    with folder_aside(path) as aside:
        group = zarr.create_group(aside, zarr_format=2, attributes=_attributes(name, mpp, shapes))
        arrays = [
            group.create_array(
                str(level),
                shape=shape,
                chunks=(min(TILE, shape[0]), min(TILE, shape[1])),
                dtype=lazy.dtype,
                fill_value=0,
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
            for level, shape in enumerate(shapes)
        ]
        for (y, x, height, width), tile in lazy.tiles():
            arrays[0][y : y + height, x : x + width] = tile
        for finer, coarser in itertools.pairwise(arrays):
            _reduce(finer, coarser)


def _reduce(finer: Any, coarser: Any) -> None:
    """Fill a level from the one below it, so many tiles at a time that chunks are written once."""
    height, width = finer.shape
    step = TILE * STEP
    for y in range(0, height, step):
        for x in range(0, width, step):
            block = finer[y : y + step, x : x + step]
            rows, columns, small = subsample((y, x, *block.shape), block)
            if small.size:
                coarser[rows, columns] = small


def _attributes(
    name: str, mpp: tuple[float, float] | None, shapes: list[tuple[int, int]]
) -> dict[str, Any]:
    """Return the metadata of version 0.4."""
    axes: list[dict[str, str]] = [{"name": axis, "type": "space"} for axis in "yx"]
    if mpp is not None:
        axes = [{**axis, "unit": "micrometer"} for axis in axes]
    datasets = []
    for level in range(len(shapes)):
        factor = float(STEP**level)
        scale = [factor * size for size in (mpp or (1.0, 1.0))]
        # the centre of a reduced pixel lies (factor - 1) / 2 full pixels further in
        shift = [(factor - 1) / 2 * size for size in (mpp or (1.0, 1.0))]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level:
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    multiscale = {"version": "0.4", "name": name, "axes": axes, "datasets": datasets}
    return {"multiscales": [multiscale], "image-label": {"version": "0.4"}}
