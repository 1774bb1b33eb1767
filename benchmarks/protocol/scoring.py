"""From a network's answer to cells and figures: the same reading for every loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from torch import nn

from napari_xce.evaluation.instances import instance_score
from napari_xce.evaluation.thresholds import F1Curve, best_threshold, f1_curve
from napari_xce.learning.devices import Device
from napari_xce.learning.peaks import suppress_neighbours
from napari_xce.predictions.predictor import SAME_CELL
from protocol.networks import STRIDE, Head, Seen
from protocol.tasks import Picture

Map = NDArray[np.float32]

RADII: Final = {"6um": 12.0, "3um": 6.0}  # working pixels: a cell this near to a true one is it
NATURAL: Final = 0.5
#: Peaks below are no cells at any threshold.
LEAST: Final = 1e-3
#: Width of the Gaussian that smooths a map before its peaks are looked for, as a share of the
#: diameter of what is drawn for a cell in training.
SMOOTHING: Final = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """How maps of one head are read.

    Attributes
    ----------
    head : {"yollo", "unet"}
    diameter : float
        Of a cell, working pixels.
    drawn : float
        Of what is drawn for a cell in training, working pixels.
    """

    head: Head
    diameter: float
    drawn: float

    @property
    def stride(self) -> int:
        """Working pixels of an element."""
        return STRIDE[self.head]

    def smoothed(self, p: Map) -> Map:
        """Return the map whose peaks are cells."""
        sigma = SMOOTHING * self.drawn / self.stride
        return ndimage.gaussian_filter(p, sigma, mode="nearest")

    def surest(self, p: Map) -> Map:
        """Return the score that a cell gets at each element: the best of the nine around it.

        On pixels (UNet) each of the nine is a mean of nine itself: one pixel makes no cell.
        """
        if self.head == "unet":
            p = ndimage.uniform_filter(p, 3, mode="nearest")
        return ndimage.maximum_filter(p, 3, mode="nearest")


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells found in one image: centres (N, 2) in working pixels, (y, x), and scores (N,)."""

    points: NDArray[np.float64]
    scores: NDArray[np.float64]


@torch.no_grad()
def probability(network: nn.Module, seen: Seen, head: Head, device: Device) -> Map:
    """Return the probability of the class on an image, its padding cut off, shape (h, w)."""
    with device.autocast():
        logits = network(*(part[None] for part in seen.inputs))
    return cut(logits.float().softmax(1)[0, 1].numpy(), seen.shape, STRIDE[head])


def cut(p: Map, shape: tuple[int, int], stride: int) -> Map:
    """Keep the elements that begin within an image of this shape, working pixels."""
    return p[: -(-shape[0] // stride), : -(-shape[1] // stride)]


def find_cells(p: Map, reading: Reading) -> Cells:
    """Read the cells out of a map: its smoothed peaks, one for each cell.

    Parameters
    ----------
    p : ndarray, float32, shape (h, w)
        Probability of the class.
    reading : Reading

    Returns
    -------
    Cells
        With scores of at least `LEAST`; where the map is flat every element is a peak, of which
        those remain that are far enough apart for two cells.
    """
    smooth, score = reading.smoothed(p), reading.surest(p)
    highest = ndimage.maximum_filter(smooth, 3, mode="nearest")
    peaks = np.argwhere((smooth >= highest) & (score >= LEAST))  # (N, 2)
    points = (peaks + 0.5 + _centroids(smooth, peaks)) * reading.stride - 0.5
    scores = score[tuple(peaks.T)]
    radii = np.full(len(peaks), SAME_CELL * reading.diameter, np.float32)
    kept = suppress_neighbours(points, smooth[tuple(peaks.T)], radii)
    return Cells(points[kept], scores[kept].astype(np.float64))


def _centroids(smooth: Map, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, in elements, how far the middle of the 3 x 3 around each peak is from the peak."""
    around = np.pad(smooth, 1, mode="edge").astype(np.float64)
    total, moment = np.zeros(len(peaks)), np.zeros((len(peaks), 2))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            weight = around[peaks[:, 0] + 1 + dy, peaks[:, 1] + 1 + dx]
            total += weight
            moment += weight[:, None] * (dy, dx)
    return moment / np.maximum(total, 1e-12)[:, None]


def calibrated_threshold(
    maps: list[Map], points: list[NDArray[np.float64]], reading: Reading
) -> float:
    """Return half the median score that a network gives to annotated cells it never saw.

    Parameters
    ----------
    maps : list of ndarray
        The network's answer on some training images.
    points : list of ndarray, float64, shape (N, 2)
        In each, the annotated cells that were left out, as if nobody had named them.
    reading : Reading

    Notes
    -----
    If annotated cells are a fair sample, what a network learns that takes the unannotated for
    background is c p, with c its mean answer at cells and p the probability asked for; p = 1/2 is
    at c / 2 (Elkan, Noto, KDD 2008, section 2). The median stands for the mean.
    """
    scores = []
    for p, left_out in zip(maps, points, strict=True):
        at = np.floor((left_out + 0.5) / reading.stride).astype(int)
        at = np.clip(at, 0, np.array(p.shape) - 1)
        scores.append(reading.surest(p)[tuple(at.T)])
    return float(np.median(np.concatenate(scores))) / 2


def score_points(
    pictures: list[Picture], found: list[Cells], calibrated: float | None
) -> dict[str, Any]:
    """Return F1 over all test cells at the natural, the best and the calibrated threshold.

    Parameters
    ----------
    pictures, found : list
        The test images and what was found in each.
    calibrated : float or None
        A threshold that was found without the truth.

    Returns
    -------
    dict
        By radius: F1, precision and recall by threshold. "best" is chosen on the test images.
    """
    sizes = [len(p.points) for p in pictures], [len(c.points) for c in found]
    indices = [np.repeat(np.arange(len(pictures)), n) for n in sizes]
    truth = np.concatenate([p.points for p in pictures])
    points = np.concatenate([c.points for c in found])
    scores = np.concatenate([c.scores for c in found])
    result: dict[str, Any] = {}
    for name, radius in RADII.items():
        curve = f1_curve(truth, points, scores, radius, truth_images=indices[0], images=indices[1])
        best = best_threshold(curve)[0]
        thresholds = {"natural": NATURAL, "best": best, "calibrated": calibrated}
        result[name] = {k: _at(curve, t) for k, t in thresholds.items() if t is not None}
    return result


def _at(curve: F1Curve, threshold: float) -> dict[str, float]:
    """Return the figures of a curve at a threshold: zeros where nothing reaches it."""
    called = int((curve.thresholds >= threshold).sum())
    if not called:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0, "threshold": threshold}
    k = called - 1
    figures = {"f1": curve.f1[k], "precision": curve.precision[k], "recall": curve.recall[k]}
    return {**{name: float(value) for name, value in figures.items()}, "threshold": threshold}


def instances(p: Map, cells: Cells, threshold: float, reading: Reading) -> NDArray[np.int32]:
    """Flood the map from the cells that reach a threshold; labels on elements."""
    seeds = np.zeros(p.shape, np.int32)
    kept = cells.points[cells.scores >= threshold]
    at = np.floor((kept + 0.5) / reading.stride).astype(int)
    at = np.clip(at, 0, np.array(p.shape) - 1)
    seeds[tuple(at.T)] = np.arange(1, len(at) + 1)
    return watershed(-reading.smoothed(p), seeds, mask=(p >= threshold) | (seeds > 0))


def score_masks(
    pictures: list[Picture],
    maps: list[Map],
    found: list[Cells],
    thresholds: dict[str, float],
    reading: Reading,
) -> dict[str, dict[str, float]]:
    """Return Dice of the foreground and F1 of instances (IoU above 1/2) over all test images.

    Parameters
    ----------
    pictures : list of Picture
        With masks.
    maps, found : list
        The network's answer, and the cells read out of it.
    thresholds : dict of str to float
        Of both: the pixels and the cells.
    reading : Reading

    Returns
    -------
    dict
        By threshold.
    """
    result = {}
    for name, threshold in thresholds.items():
        right = wrong = both = total = 0
        for picture, p, cells in zip(pictures, maps, found, strict=True):
            true = picture.mask
            assert true is not None
            labels = instances(p, cells, threshold, reading)
            mine = labels.repeat(reading.stride, 0).repeat(reading.stride, 1)
            mine = mine[: true.shape[0], : true.shape[1]]
            score = instance_score(true, mine)
            right += score.true_positives
            wrong += score.false_positives + score.false_negatives
            both += int(((true > 0) & (mine > 0)).sum())
            total += int((true > 0).sum()) + int((mine > 0).sum())
        f1 = 2 * right / max(2 * right + wrong, 1)
        result[name] = {"dice": 2 * both / max(total, 1), "instance_f1": f1}
    return result
