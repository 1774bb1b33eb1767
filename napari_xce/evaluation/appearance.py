"""What tissue looks like in a few numbers, and whether it is like what a model has learnt from.

Stain (optical density and its colour, of pale, usual and dark tissue) and sharpness, at working
resolution. The shipped weights' own tissue is described in ``appearance.json``, which
``scripts/appearance.py`` writes. Pure numpy and scipy; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Optical density (log10, mean of the channels) from which a pixel is tissue.
TISSUE_DENSITY = 0.08
#: Fewer tissue pixels than this say nothing.
LEAST_PIXELS = 4000
#: Pixels whose density is among this share of the lowest are pale, of the highest dark.
EXTREME_SHARE = 0.2
#: Colours further apart than this (Mahalanobis distance) are unlike; sharpness, in spreads.
COLOUR_TOLERANCE, SHARPNESS_TOLERANCE = 6.0, 3.5
#: Pixels coarser than this, micrometres, do not show what the model looks for at 0.5.
COARSEST_MPP = 0.75

REFERENCE = Path(__file__).with_name("appearance.json")


@dataclass(frozen=True, slots=True)
class Appearance:
    """What the tissue of an image looks like.

    Attributes
    ----------
    colour : ndarray, float64, shape (7,)
        Natural logarithm of the mean optical density of the tissue; then the shares of the red and
        of the blue channel in the density of all tissue, of dark and of pale tissue.
    sharpness : float
        Natural logarithm of the variance of the Laplacian over the variance of the density.
    """

    colour: NDArray[np.float64]
    sharpness: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What the shipped weights have learnt from.

    Attributes
    ----------
    middle : Appearance
        Mean over the training images.
    precision : ndarray, float64, shape (7, 7)
        Inverse of the covariance of colour.
    sharpness_spread : float
        Standard deviation of the sharpness.
    """

    middle: Appearance
    precision: NDArray[np.float64]
    sharpness_spread: float

    def colour_distance(self, a: Appearance, b: Appearance) -> float:
        """Return how far apart two colours are, in spreads of the training images."""
        difference = a.colour - b.colour
        return float(np.sqrt(difference @ self.precision @ difference))


def look_at(pixels: NDArray[np.uint8]) -> Appearance | None:
    """Describe the tissue of an image.

    Parameters
    ----------
    pixels : ndarray, uint8, shape (H, W, 3)
        RGB at working resolution, 0.5 um/px.

    Returns
    -------
    Appearance or None
        None where there is hardly any tissue.
    """
    density = -np.log10((pixels.astype(np.float32) + 1.0) / 256.0)  # (H, W, 3)
    grey = density.mean(2)
    tissue = ndimage.uniform_filter(grey, 9) > TISSUE_DENSITY
    if tissue.sum() < LEAST_PIXELS:
        return None
    colours, levels = density[tissue], grey[tissue]
    low, high = np.quantile(levels, [EXTREME_SHARE, 1.0 - EXTREME_SHARE])
    groups = [colours.mean(0), colours[levels >= high].mean(0), colours[levels <= low].mean(0)]
    shares = [(group / max(group.sum(), 1e-9))[[0, 2]] for group in groups]
    edges = float(ndimage.laplace(grey)[tissue].var()) / max(float(levels.var()), 1e-9)
    return Appearance(
        np.array([np.log(max(float(levels.mean()), 1e-9)), *np.concatenate(shares)], np.float64),
        float(np.log(max(edges, 1e-9))),
    )


def describe_training(images: Sequence[Appearance]) -> dict[str, object]:
    """Return what ``appearance.json`` holds, from the training images."""
    colours = np.array([image.colour for image in images])
    sharpness = np.array([image.sharpness for image in images])
    # no spread so small that the reference's own chance would rule
    floor = np.diag([0.02**2] + [0.005**2] * (colours.shape[1] - 1))
    precision = np.linalg.inv(np.cov(colours.T) + floor)
    return {
        "images": len(images),
        "colour": colours.mean(0).round(5).tolist(),
        "precision": precision.round(2).tolist(),
        "sharpness": round(float(sharpness.mean()), 5),
        "sharpness_spread": round(float(sharpness.std(ddof=1)), 5),
    }


@cache
def shipped_reference() -> Reference:
    """Return what the shipped weights have learnt from."""
    kept = json.loads(REFERENCE.read_text(encoding="utf-8"))
    return Reference(
        Appearance(np.array(kept["colour"]), kept["sharpness"]),
        np.array(kept["precision"]),
        kept["sharpness_spread"],
    )


def warnings_of(
    seen: Sequence[Appearance],
    clicked: Sequence[Appearance] = (),
    mpp: tuple[float, float] | None = None,
) -> list[str]:
    """Say in words what is unlike what the model has learnt from, and what to do.

    Parameters
    ----------
    seen : sequence of Appearance
        Of parts of the slide or view; the middle of them counts.
    clicked : sequence of Appearance
        Of the places where the user clicked.
    mpp : (float, float), optional
        The slide's own pixel size, micrometres, where it is known.

    Returns
    -------
    list of str
        Empty where nothing is unusual.

    Notes
    -----
    Colour is unusual when it is far from every place clicked, and not both it and some click are
    like the tissue of the shipped weights. The model of a session stands on both.
    """
    words = []
    if mpp is not None and max(mpp) > COARSEST_MPP:
        words.append(
            f"The pixels are coarse ({max(mpp):.2g} µm; the model looks at 0.5 µm): small cells "
            "may be missed. Scan at 20× or more, or check the pixel size."
        )
    if not seen:
        return words
    middle = Appearance(
        np.median([a.colour for a in seen], axis=0), float(np.median([a.sharpness for a in seen]))
    )
    reference = shipped_reference()
    if not _colour_is_known(middle, clicked, reference):
        words.append(
            "The colour here is unlike what the model has learnt from (another stain or scanner?). "
            "Click a few cells of each class here, then check the result."
        )
    blurred = min([reference.middle.sharpness, *(a.sharpness for a in clicked)])
    if middle.sharpness < blurred - SHARPNESS_TOLERANCE * reference.sharpness_spread:
        words.append(
            "The picture here is blurred (out of focus?): do not trust counts here. Rescan, or "
            "leave this area out."
        )
    return words


def _colour_is_known(seen: Appearance, clicked: Sequence[Appearance], reference: Reference) -> bool:
    """Tell whether a colour is like a click, or like the shipped weights' where clicks are."""

    def is_usual(a: Appearance) -> bool:
        return reference.colour_distance(a, reference.middle) <= COLOUR_TOLERANCE

    if any(reference.colour_distance(seen, a) <= COLOUR_TOLERANCE for a in clicked):
        return True
    return is_usual(seen) and (not clicked or any(is_usual(a) for a in clicked))
