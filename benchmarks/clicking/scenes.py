"""Images to click on and images to be judged by, with the truth and what a session says of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

import napari_xce as xce
from napari_xce.evaluation.thresholds import best_threshold, f1_curve
from napari_xce.learning.datasets import BRCA_CLASSES, LabelledImage
from napari_xce.learning.shipped import ShippedModel

RADII = {"6um": 12.0, "3um": 6.0}  # px at 0.5 um: a detection this near to a centre is that cell
EVERYTHING = ((-1.0, -1.0), (1e9, 1e9))


@dataclass(frozen=True, slots=True)
class Found:
    """Cells found in the images to be judged by: (N, 2) px, names, scores, index of the image."""

    points: NDArray[np.float64]
    labels: NDArray[np.str_]
    scores: NDArray[np.float64]
    images: NDArray[np.int64]


def halves(
    images: Sequence[LabelledImage], seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Deal images of different patients to clicking and judging, half each."""
    order = np.random.default_rng(seed).permutation(len(images))
    middle = len(images) // 2
    return [images[i] for i in order[:middle]], [images[i] for i in order[middle:]]


@contextmanager
def session_on(
    images: Sequence[LabelledImage], classes: Sequence[str], weights: Path
) -> Iterator[xce.Session]:
    """Open a session whose slides are the images, in their order, with a given trunk."""
    with (
        TemporaryDirectory() as folder,
        xce.Session.create(Path(folder) / "bench.xce", classes=list(classes)) as session,
    ):
        shipped, model = ShippedModel.load(weights), session.live.model
        model.trunk.load_state_dict(shipped.trunk.state_dict())
        model.proposer.load_state_dict(shipped.proposer.state_dict())
        model.mask.load_state_dict(shipped.mask.state_dict())
        for image in images:
            session.add_slide(xce.Slide.from_array(image.pixels, mpp=0.5))
        yield session


def found_by(session: xce.Session, slides: Sequence[str]) -> Found:
    """Predict whole slides; cells of every score are returned."""
    parts = []
    for slide in slides:
        session.predict(slide=slide)
        parts.append(session.predictions[slide].detections.query())
    return Found(
        np.concatenate([p.points for p in parts]),
        np.concatenate([np.asarray(p.labels, dtype=str) for p in parts]),
        np.concatenate([p.scores for p in parts]).astype(np.float64),
        np.repeat(np.arange(len(parts)), [len(p.points) for p in parts]),
    )


def score(
    found: Found,
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    thresholds: dict[str, float],
) -> dict[str, dict[str, dict[str, float]]]:
    """Return F1 by class and radius: at the live threshold and at the best there is."""
    truth = np.concatenate([image.points for image in images])
    kinds = np.concatenate([image.labels for image in images])
    truth_images = np.repeat(np.arange(len(images)), [len(i.points) for i in images])
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in classes:
        true, mine = kinds == BRCA_CLASSES.index(name), found.labels == name
        result[name] = {}
        for radius, pixels in RADII.items():
            curve = f1_curve(
                truth[true],
                found.points[mine],
                found.scores[mine],
                pixels,
                truth_images=truth_images[true],
                images=found.images[mine],
            )
            reached = np.flatnonzero(curve.thresholds >= thresholds[name])
            live = float(curve.f1[reached[-1]]) if len(reached) else 0.0
            best = best_threshold(curve)[1]
            result[name][radius] = {"live": live, "best": 0.0 if np.isnan(best) else best}
    return result
