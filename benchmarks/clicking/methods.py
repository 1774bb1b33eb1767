"""The rivals: what else can be learnt from the same clicks on the same trunk, or without it.

The first three work on the vectors of the same proposals as the tool itself; the forest is what
ilastik and Labkit do, a random forest on a filter bank, pixel by pixel.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.feature import multiscale_basic_features, peak_local_max
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import napari_xce as xce
from clicking.people import Said
from clicking.scenes import Found
from napari_xce.learning.datasets import BRCA_CLASSES, LabelledImage
from napari_xce.learning.heads import KIND_SIZE
from napari_xce.predictions.predictor import SlideAtWork

LEAST_OBJECT = 0.25
NEAR = 8.0  # px: a click this near to a proposal means it
DISC = 3.0  # px around a click that a forest learns from
STEP = 2  # px: the forest looks at every other pixel


class Proposals:
    """The proposals of all images of a session: places, vectors, probabilities."""

    def __init__(self, session: xce.Session) -> None:
        self.points, self.vectors, self.objects = [], [], []
        live = session.live
        for id, slide in session.slides.items():
            work = SlideAtWork(id, slide, session.predictions[id].grid)
            height, width = slide.shape
            seen = [
                live.predictor.observe(live.model, work, tile)
                for tile in work.grid.tiles_in((0, 0, height, width))
            ]
            kept = [o.objects >= LEAST_OBJECT for o in seen]
            pairs = list(zip(seen, kept, strict=True))
            self.points.append(np.concatenate([o.points[k] for o, k in pairs]))
            vectors = np.concatenate([o.vectors[k] for o, k in pairs])
            self.vectors.append(vectors[:, :KIND_SIZE].astype(np.float64))
            self.objects.append(np.concatenate([o.objects[k] for o, k in pairs]))

    def rows(self, images: Sequence[int]) -> NDArray[np.float64]:
        return np.concatenate([self.vectors[i] for i in images])

    def labels(
        self, images: Sequence[int], said: Sequence[Said], classes: Sequence[str]
    ) -> NDArray[np.int64]:
        """Return for each proposal of the images 1.. where it was clicked, 0 rejected, else -1."""
        parts = []
        for i in images:
            labels = np.full(len(self.points[i]), -1)
            tree = cKDTree(self.points[i])
            for one in said:
                if one.image == i:
                    distance, nearest = tree.query(one.point)
                    if distance <= NEAR:
                        labels[nearest] = 0 if one.label is None else 1 + classes.index(one.label)
            parts.append(labels)
        return np.concatenate(parts)

    def truth(
        self, images: Sequence[int], labelled: Sequence[LabelledImage], classes: Sequence[str]
    ) -> NDArray[np.int64]:
        """Return for each proposal of the images its true class, 1.., or 0."""
        said = [
            Said(i, (float(y), float(x)), BRCA_CLASSES[k])
            for i, image in zip(images, labelled, strict=True)
            for (y, x), k in zip(image.points, image.labels, strict=True)
            if BRCA_CLASSES[k] in classes
        ]
        return np.maximum(self.labels(images, said, classes), 0)

    def found(self, images: Sequence[int], p: NDArray[np.float64], classes: Sequence[str]) -> Found:
        """Name each proposal after its likeliest class; ``p`` has a column for each, 0 = other."""
        objects = np.concatenate([self.objects[i] for i in images])
        best = p[:, 1:].argmax(1)
        return Found(
            np.concatenate([self.points[i] for i in images]),
            np.array(classes)[best],
            p[:, 1:].max(1) * objects,
            np.repeat(np.arange(len(images)), [len(self.points[i]) for i in images]),
        )


def logistic(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    test: NDArray[np.float64],
    n_classes: int,
    balanced: bool,
    strength: float = 1.0,
) -> NDArray[np.float64]:
    """Fit multinomial logistic regression on standardised rows; return p by class, 0 = other."""
    mean, spread = x.mean(0), x.std(0) + 1e-6
    model = LogisticRegression(
        C=strength, max_iter=200, class_weight="balanced" if balanced else None
    )
    out = np.zeros((len(test), n_classes + 1))
    if len(np.unique(labels)) < 2:
        out[:, labels[0] if len(labels) else 0] = 1.0
        return out
    model.fit((x - mean) / spread, labels)
    out[:, model.classes_] = model.predict_proba((test - mean) / spread)
    return out


def plain_cross_entropy(
    x: NDArray[np.float64], labels: NDArray[np.int64], test: NDArray[np.float64], n_classes: int
) -> NDArray[np.float64]:
    """What was not clicked is background."""
    return logistic(x, np.maximum(labels, 0), test, n_classes, balanced=False)


def ignore_unlabelled(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    background: NDArray[np.bool_],
    test: NDArray[np.float64],
    n_classes: int,
) -> NDArray[np.float64]:
    """Learn from clicks and as many clicks on background; the rest is ignored."""
    labels = np.where(background & (labels < 0), 0, labels)
    known = labels >= 0
    return logistic(x[known], labels[known], test, n_classes, balanced=True)


class Forest:
    """A random forest on a filter bank, pixel by pixel, of images of one session."""

    def __init__(self, images: Sequence[LabelledImage]) -> None:
        self._banks = [
            multiscale_basic_features(image.pixels, channel_axis=-1, sigma_min=0.7, sigma_max=8.0)[
                ::STEP, ::STEP
            ].astype(np.float32)
            for image in images
        ]

    def found(
        self,
        said: Sequence[Said],
        classes: Sequence[str],
        images: Sequence[int],
        seed: int,
    ) -> tuple[Found, float]:
        """Learn from the clicks (None = background); find cells as peaks. Also the seconds."""
        started = time.process_time()
        rows, labels = self._rows(said, classes)
        forest = RandomForestClassifier(
            100, class_weight="balanced", random_state=seed, n_jobs=1, min_samples_leaf=2
        ).fit(rows, labels)
        parts = [self._peaks(forest, image, len(classes)) for image in images]
        seconds = time.process_time() - started
        points = np.concatenate([p for p, _, _ in parts])
        return Found(
            points,
            np.array(classes)[np.concatenate([k for _, k, _ in parts])],
            np.concatenate([s for _, _, s in parts]),
            np.repeat(np.arange(len(images)), [len(p) for p, _, _ in parts]),
        ), seconds

    def _rows(
        self, said: Sequence[Said], classes: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows, labels = [], []
        for one in said:
            bank = self._banks[one.image]
            y, x = np.round(np.array(one.point) / STEP).astype(int)
            r = int(np.ceil(DISC / STEP))
            disc = bank[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
            rows.append(disc.reshape(-1, bank.shape[2]))
            label = 0 if one.label is None else 1 + classes.index(one.label)
            labels.append(np.full(len(rows[-1]), label))
        return np.concatenate(rows), np.concatenate(labels)

    def _peaks(
        self, forest: RandomForestClassifier, image: int, n_classes: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        bank = self._banks[image]
        p = np.zeros((bank.shape[0] * bank.shape[1], n_classes + 1))
        p[:, forest.classes_] = forest.predict_proba(bank.reshape(-1, bank.shape[2]))
        p = p.reshape(*bank.shape[:2], -1)
        smooth = ndimage.gaussian_filter(p[..., 1:], (1.5, 1.5, 0))
        peaks = peak_local_max(smooth.sum(2), min_distance=3, threshold_abs=0.05)
        values = smooth[tuple(peaks.T)]
        return peaks * float(STEP), values.argmax(1), values.max(1)


def background_clicks(
    images: Sequence[LabelledImage], n: int, rng: np.random.Generator
) -> list[Said]:
    """Click ``n`` places that are no cell: at least 12 px from every centre."""
    clicks: list[Said] = []
    while len(clicks) < n:
        i = int(rng.integers(len(images)))
        y, x = rng.uniform(0, images[i].pixels.shape[:2])
        if cKDTree(images[i].points).query((y, x))[0] >= 12:
            clicks.append(Said(i, (float(y), float(x)), None))
    return clicks
