"""Score the shipped weights before any click: ``python benchmarks/trunk.py --data DIR``.

On brca_m2c's validation images (other patients than in training), on a look of dsb2018 that
training never saw, and on the look-alikes and blood smears held out from training; and how fast the
network is. ``--left-out brca FILE`` scores weights that were trained without a data set on it. All
at 0.5 um per pixel. Thresholds and the Platt scaling of objectness are found on the training
patients only. ``--json FILE`` writes the figures, ``--card`` puts them into the weights' card.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from skimage.transform import resize

from napari_xce.demo import describe_machine
from napari_xce.evaluation.matching import match_points
from napari_xce.evaluation.scores import bootstrap_score
from napari_xce.evaluation.thresholds import best_threshold, f1_curve
from napari_xce.learning.datasets import (
    BRCA_CLASSES,
    WHITE_CELL_DIAMETER,
    LabelledImage,
    cbc_is_held_out,
    read_brca,
    read_cbc_boxes,
    read_dsb,
)
from napari_xce.learning.heads import REFERENCE_DIAMETER
from napari_xce.learning.model import OBJECTNESS_SHIFT, OBJECTNESS_SLOPE
from napari_xce.learning.peaks import find_peaks, grid_to_working, suppress_neighbours
from napari_xce.learning.shipped import WEIGHTS, ShippedModel
from napari_xce.learning.trunk import INPUT_MULTIPLE, MASK_STRIDE
from napari_xce.predictions.predictor import SAME_CELL

RADII = (12.0, 6.0)  # px: a detection this near to a true centre is that cell (6 and 3 um)
LEAST = 0.05  # proposals below are no candidates at any threshold
TILE = 512  # px
SPEED_SECONDS = 5.0
LOOKS = ("violet_haematoxylin", "grey_cytology", "fluorescence")


@dataclass(frozen=True, slots=True)
class Found:
    """Proposals of many images, with what is true there.

    Attributes
    ----------
    points, logits, images : (N, 2) px, (N,) objectness logits, (N,) index of the image
    truth, labels, truth_images : (M, 2) px, (M,) class index or -1, (M,) index of the image
    """

    points: NDArray[np.float64]
    logits: NDArray[np.float64]
    images: NDArray[np.int64]
    truth: NDArray[np.float64]
    labels: NDArray[np.int64]
    truth_images: NDArray[np.int64]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Objectness as the network gives it, [0, 1]."""
        return 1 / (1 + np.exp(-self.logits))

    def match(self, radius: float, threshold: float = 0.0) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pair true cells with the proposals from a threshold on: indices into both."""
        kept = np.flatnonzero(self.scores >= threshold)
        true, found = match_points(
            self.truth,
            self.points[kept],
            self.scores[kept],
            radius,
            truth_images=self.truth_images,
            images=self.images[kept],
        )
        return true, kept[found]


# ---- looking


@torch.no_grad()
def look(model: ShippedModel, pixels: NDArray[np.uint8]) -> tuple[Any, NDArray[np.bool_]]:
    """Return points with logits of the proposals of an image, and the mask of its nuclei."""
    height, width = pixels.shape[:2]
    pad = [(0, -height % INPUT_MULTIPLE), (0, -width % INPUT_MULTIPLE), (0, 0)]
    x = torch.from_numpy(np.pad(pixels, pad, mode="reflect")).permute(2, 0, 1)[None] / 255.0
    features, proposals = model(x)
    logit = proposals.objectness[0, 0]
    rows, columns = find_peaks(torch.sigmoid(logit), LEAST)
    points = grid_to_working(rows, columns, proposals.offset[0])
    logits = logit[rows, columns].double().numpy()
    diameters = REFERENCE_DIAMETER * proposals.size[0, 0, rows, columns].exp().numpy()
    kept = suppress_neighbours(points, logits.astype(np.float32), SAME_CELL * diameters)
    kept = kept[((points[kept] > -0.5) & (points[kept] < (height - 0.5, width - 0.5))).all(1)]
    nucleus = model.mask(features)[1][0, 0].numpy() > 0
    mask = nucleus.repeat(MASK_STRIDE, 0).repeat(MASK_STRIDE, 1)[:height, :width]
    return (points[kept], logits[kept]), mask


def find(model: ShippedModel, images: Sequence[LabelledImage]) -> Found:
    """Look at all images."""
    seen = [look(model, image.pixels)[0] for image in images]
    return Found(
        points=np.concatenate([points for points, _ in seen]),
        logits=np.concatenate([logits for _, logits in seen]),
        images=np.repeat(np.arange(len(seen)), [len(logits) for _, logits in seen]),
        truth=np.concatenate([image.points for image in images]),
        labels=np.concatenate([image.labels for image in images]),
        truth_images=np.repeat(np.arange(len(images)), [len(image.points) for image in images]),
    )


# ---- scores


def choose_threshold(found: Found, radius: float) -> tuple[float, float]:
    """Return the threshold with the best F1, and that F1."""
    curve = f1_curve(
        found.truth,
        found.points,
        found.scores,
        radius,
        truth_images=found.truth_images,
        images=found.images,
    )
    return best_threshold(curve)


def score(found: Found, radius: float, threshold: float) -> dict[str, Any]:
    """Return precision, recall and F1 at a threshold, and the recall of each class."""
    true, _ = found.match(radius, threshold)
    called = found.scores >= threshold
    n_images = int(max(found.truth_images.max(), found.images.max())) + 1

    def per_image(images: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(images, minlength=n_images)

    right = per_image(found.truth_images[true])
    counts = [right, per_image(found.images[called]) - right]
    counts.append(per_image(found.truth_images) - right)
    plain = bootstrap_score(np.stack(counts, 1)).as_dict()
    result = {key: plain[key] for key in ("f1", "precision", "recall", "f1_interval")}
    hit = np.zeros(len(found.truth), bool)
    hit[true] = True
    of_class = {
        name: float(hit[found.labels == k].mean())
        for k, name in enumerate(BRCA_CLASSES)
        if (found.labels == k).any()
    }
    return {**result, "threshold": threshold, **({"recall_by_class": of_class} if of_class else {})}


def fit_platt(found: Found, radius: float = RADII[0]) -> tuple[float, float]:
    """Fit slope and shift that turn an objectness logit into log-odds of being a nucleus.

    Notes
    -----
    Logistic regression on one variable, with Platt's targets (N+ + 1)/(N+ + 2) and 1/(N- + 2)
    (Platt, Probabilistic outputs for support vector machines, 1999).
    """
    real = np.zeros(len(found.logits), bool)
    real[found.match(radius)[1]] = True
    target = np.where(real, (real.sum() + 1) / (real.sum() + 2), 1 / ((~real).sum() + 2))

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = theta[0] * found.logits + theta[1]
        wrong = 1 / (1 + np.exp(-z)) - target
        value = np.logaddexp(0, z) - target * z
        return float(value.mean()), np.array([(wrong * found.logits).mean(), wrong.mean()])

    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(shift)


def calibration_error(found: Found, slope: float, shift: float, bins: int = 10) -> float:
    """Return the expected calibration error of scaled objectness, in bins of equal size."""
    real = np.zeros(len(found.logits), bool)
    real[found.match(RADII[0])[1]] = True
    p = 1 / (1 + np.exp(-(slope * found.logits + shift)))
    parts = np.array_split(np.argsort(p), bins)
    return float(sum(len(i) * abs(p[i].mean() - real[i].mean()) for i in parts) / len(p))


def mask_dice(model: ShippedModel, images: Sequence[LabelledImage]) -> float:
    """Return the Dice coefficient of nucleus pixels, over all images together."""
    both = total = 0
    for image in images:
        assert image.mask is not None
        mine, true = look(model, image.pixels)[1], image.mask > 0
        both += int((mine & true).sum())
        total += int(mine.sum()) + int(true.sum())
    return 2 * both / total


def read_held_out_white_cells(data: Path) -> list[LabelledImage]:
    """Read every fifth cbc image, scaled so that its white cells have the size of training."""
    pictures = []
    for path in sorted((data / "cbc" / "images").glob("*.jpg")):
        if cbc_is_held_out(path.stem):
            boxes = read_cbc_boxes(data / "cbc" / "boxes" / f"{path.stem}.xml")
            white = np.array([box for name, box in boxes if name == "WBC"]).reshape(-1, 4)
            pictures.append((path.stem, imagecodecs.imread(path), white))
    sides = np.concatenate([(white[:, 2:] - white[:, :2]).mean(1) for _, _, white in pictures])
    scale = WHITE_CELL_DIAMETER / float(np.median(sides))
    return [_scaled(name, pixels, white, scale) for name, pixels, white in pictures]


def _scaled(
    name: str, pixels: NDArray[np.uint8], boxes: NDArray[np.float64], scale: float
) -> LabelledImage:
    """Scale an image; its boxes become points."""
    shape = [round(n * scale) for n in pixels.shape[:2]]
    small = resize(pixels, shape, anti_aliasing=True, preserve_range=True).astype(np.uint8)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 * scale
    unknown = np.full(len(boxes), -1)
    return LabelledImage(name, "cbc", small, centres, unknown, np.full(len(boxes), np.nan))


@torch.no_grad()
def megapixels_per_second(model: ShippedModel, dtype: torch.dtype) -> float:
    """Measure trunk and proposer on one tile after the other: the median of some seconds."""
    model = model.to(memory_format=torch.channels_last)
    tile = torch.rand(1, 3, TILE, TILE).contiguous(memory_format=torch.channels_last)
    times = []
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        model(tile)  # the first call is slower
        while time.perf_counter() - started < SPEED_SECONDS:
            before = time.perf_counter()
            model(tile)
            times.append(time.perf_counter() - before)
    return TILE**2 / 1e6 / float(np.median(times))


# ---- all together


def score_with_masks(
    model: ShippedModel, images: Sequence[LabelledImage], threshold: float
) -> dict[str, Any]:
    """Score centres within 12 px, and nucleus pixels."""
    found = score(find(model, images), RADII[0], threshold)
    return {**found, "images": len(images), "mask_dice": mask_dice(model, images)}


def measure_left_out(name: str, model: ShippedModel, data: Path) -> dict[str, Any]:
    """Score weights on the data set they were trained without.

    The threshold is the best one on other data: for "brca" the look-alikes of dsb2018 held out
    from training, for "dsb" the training patients of brca_m2c.
    """
    if name == "brca":
        known = [image for look in LOOKS for image in read_dsb(data, look, "held out")]
        new = {"brca_m2c_val": read_brca(data, "val"), "brca_m2c_train": read_brca(data, "train")}
    else:
        known = read_brca(data, "train")
        new = {f"dsb2018_{look}": read_dsb(data, look) for look in (*LOOKS, "pink_he")}
    threshold = choose_threshold(find(model, known), RADII[0])[0]
    result = {}
    for title, images in new.items():
        found = find(model, images)
        best = choose_threshold(found, RADII[0])[1]
        result[title] = {**score(found, RADII[0], threshold), "f1_at_best_threshold": best}
    return result


def measure(model: ShippedModel, data: Path) -> dict[str, Any]:
    """Measure everything."""
    train, val = find(model, read_brca(data, "train")), find(model, read_brca(data, "val"))
    chosen = {radius: choose_threshold(train, radius) for radius in RADII}
    slope, shift = fit_platt(train)
    threshold = chosen[RADII[0]][0]
    return {
        "brca_m2c_val": {
            f"{radius:.0f} px": {
                "at_threshold_of_training": score(val, radius, chosen[radius][0]),
                "at_best_threshold": score(val, radius, choose_threshold(val, radius)[0]),
                "f1_on_training_patients": chosen[radius][1],
            }
            for radius in RADII
        },
        "dsb2018_pink_he": score_with_masks(model, read_dsb(data, "pink_he"), threshold),
        **{
            f"dsb2018_{look}_held_out": score_with_masks(
                model, read_dsb(data, look, "held out"), threshold
            )
            for look in LOOKS
        },
        "cbc_held_out_white_cells": score(
            find(model, read_held_out_white_cells(data)), RADII[0], threshold
        ),
        "platt": {
            "slope": slope,
            "shift": shift,
            "error_on_val": calibration_error(val, slope, shift),
            "in_use": [OBJECTNESS_SLOPE, OBJECTNESS_SHIFT],
            "error_on_val_in_use": calibration_error(val, OBJECTNESS_SLOPE, OBJECTNESS_SHIFT),
        },
    }


def measure_speed(model: ShippedModel) -> dict[str, Any]:
    """Measure the speed of the network in both precisions on the CPU."""
    return {
        "megapixels_per_second": {
            "bfloat16": round(megapixels_per_second(model, torch.bfloat16), 2),
            "float32": round(megapixels_per_second(model, torch.float32), 2),
        },
        "tile": TILE,
        "torch_threads": torch.get_num_threads(),
        "machine": describe_machine(),
    }


def rounded(value: Any) -> Any:
    """Return a value with its numbers rounded to four places."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Score the shipped weights."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("XCE_DATA", "../shared/data"),
        help="folder with brca_m2c, dsb2018, cbc (default: XCE_DATA)",
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--left-out",
        nargs=2,
        action="append",
        default=[],
        metavar=("brca|dsb", "FILE"),
        help="weights trained without a data set (repeatable)",
    )
    parser.add_argument("--card", action="store_true", help="write them into the weights' card")
    options = parser.parse_args()
    model = ShippedModel.load(options.weights)
    scores = measure(model, options.data)
    for name, file in options.left_out:
        weights = ShippedModel.load(Path(file))
        scores[f"trained_without_{name}"] = measure_left_out(name, weights, options.data)
    scores, speed = rounded(scores), measure_speed(model)
    words = json.dumps({"scores": scores, "speed": speed}, indent=2)
    print(words)
    if options.json is not None:
        options.json.write_text(words + "\n", encoding="utf-8")
    if options.card:
        path = options.weights.with_suffix(".json")
        card = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**card, "scores": scores}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
