"""How our layers lie on the slide's layer, and how they are told from other people's. GUI thread
only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

KEY = "napari-xce"  # our entry in ``layer.metadata``
SCHEMA = 1


def placement(
    slide_layer: Layer,
    scale: tuple[float, float] = (1.0, 1.0),
    translate: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """Return the keyword arguments that lay a new 2-D layer exactly on the slide's layer.

    Parameters
    ----------
    slide_layer : napari.layers.Layer
        The slide's layer, two-dimensional.
    scale, translate : tuple of float, (y, x)
        Pixel ``p`` of the new layer is centred at level-0 pixel ``scale * p + translate`` of the
        slide.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and ``axis_labels``.
    """
    linear = Affine(
        scale=slide_layer.scale, rotate=slide_layer.rotate, shear=slide_layer.shear
    ).linear_matrix  # (2, 2)
    return {
        "scale": np.asarray(slide_layer.scale) * scale,
        "translate": np.asarray(slide_layer.translate) + linear @ np.asarray(translate),
        "rotate": slide_layer.rotate,
        "shear": slide_layer.shear,
        "affine": slide_layer.affine,
        "units": slide_layer.units,
        "axis_labels": slide_layer.axis_labels,
    }


def place(
    layer: Layer,
    slide_layer: Layer,
    scale: tuple[float, float] = (1.0, 1.0),
    translate: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Move an existing layer to where :func:`placement` would put a new one."""
    for name, value in placement(slide_layer, scale, translate).items():
        setattr(layer, name, value)


@contextmanager
def keep_selection(viewer: ViewerModel) -> Iterator[None]:
    """Leave the selected layer selected: napari selects every layer that is added."""
    active = viewer.layers.selection.active
    yield
    viewer.layers.selection.active = active


def mark(layer: Layer, role: str, **more: Any) -> None:
    """Note in the layer's metadata that it is ours, and what it is for."""
    layer.metadata[KEY] = {**layer.metadata.get(KEY, {}), "role": role, "schema": SCHEMA, **more}


def role_of(layer: Layer) -> str | None:
    """Return the role of one of our layers ("slide", "clicks", "heat", ...), or None for any other
    layer.
    """
    role = layer.metadata.get(KEY, {}).get("role")
    return str(role) if role is not None else None


def rgba(color: str, alpha: float = 1.0) -> tuple[float, float, float, float]:
    """Return "#rrggbb" as four floats in [0, 1]."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, alpha
