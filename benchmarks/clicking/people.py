"""Three ways to click: anywhere, all in one place, and putting right what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.learning.datasets import BRCA_CLASSES, LabelledImage

CORRECTED = 2  # missed and false cells put right in each round
FIRST = 2  # clicks of each class before anything can be put right
SAME_CELL = 12.0  # px


@dataclass(frozen=True, slots=True)
class Said:
    """One click: index of the image, place (y, x) in px, class name or None for a rejection."""

    image: int
    point: tuple[float, float]
    label: str | None


#: What the tool shows on an image at the live threshold: points and names.
Shown = Callable[[int], tuple[NDArray[np.float64], NDArray[np.str_]]]


class Person:
    """Clicks cells of the given classes on the images; ``order`` says in which order.

    Parameters
    ----------
    images : sequence of LabelledImage
    classes : sequence of str
    how : {"random", "clustered", "corrections"}
    seed : int
    """

    def __init__(
        self, images: Sequence[LabelledImage], classes: Sequence[str], how: str, seed: int
    ) -> None:
        self._images, self._classes, self._how = images, classes, how
        self._rng = np.random.default_rng(seed)
        cells = [(i, k) for i, image in enumerate(images) for k in range(len(image.points))]
        self._of_class = {}
        for name in classes:
            label = BRCA_CLASSES.index(name)
            mine = [(i, k) for i, k in cells if images[i].labels[k] == label]
            self._of_class[name] = self._ordered(mine)
        self._done: set[tuple[int, int]] = set()
        self._fruitless = 0

    def _ordered(self, cells: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Shuffle the cells, or walk away from a first one: near ones first, then other images."""
        order = [cells[i] for i in self._rng.permutation(len(cells))]
        if self._how == "clustered":
            image, first = order[0]
            middle = self._images[image].points[first]

            def distance(cell: tuple[int, int]) -> float:
                i, k = cell
                return float(np.linalg.norm(self._images[i].points[k] - middle)) + 1e6 * (
                    (i - image) % len(self._images)
                )

            order.sort(key=distance)
        return order

    def clicks(self, n: int, shown: Shown | None = None) -> list[Said]:
        """Make clicks until there are ``n`` a class in all; return the new ones."""
        wanted = n * len(self._classes)
        new: list[Said] = []
        if self._how != "corrections" or len(self._done) < FIRST * len(self._classes):
            most = n if self._how != "corrections" else min(n, FIRST)
            for name in self._classes:
                for cell in self._of_class[name][:most]:
                    if cell not in self._done:
                        new.append(self._click(cell, name))
        if self._how == "corrections" and shown is not None and len(self._done) < wanted:
            new += self._corrections(shown, min(wanted - len(self._done), 4 * CORRECTED))
        return new

    def is_done(self, n: int) -> bool:
        """Tell whether there are ``n`` clicks a class, or nothing more to say."""
        enough = len(self._done) >= n * len(self._classes)
        return enough or self._how != "corrections" or self._fruitless > 3 * len(self._images)

    def _click(self, cell: tuple[int, int], name: str | None) -> Said:
        self._done.add(cell)
        image, k = cell
        y, x = self._images[image].points[k]
        return Said(image, (float(y), float(x)), name)

    def _corrections(self, shown: Shown, most: int) -> list[Said]:
        """Look at one image: click what was missed, put right or reject what is false."""
        image = int(self._rng.integers(len(self._images)))
        truth = self._images[image]
        points, labels = shown(image)
        names = np.array([BRCA_CLASSES[k] for k in truth.labels])
        tree = cKDTree(points) if len(points) else None
        missed = []
        for k in self._rng.permutation(len(truth.points)):
            if names[k] not in self._classes or (image, int(k)) in self._done:
                continue
            near = tree.query_ball_point(truth.points[k], SAME_CELL) if tree is not None else []
            if not any(labels[j] == names[k] for j in near):
                missed.append(self._click((image, int(k)), str(names[k])))
            if len(missed) == min(CORRECTED, most):
                break
        false: list[Said] = []
        distance, nearest = cKDTree(truth.points).query(points) if len(points) else ([], [])
        for j in self._rng.permutation(len(points)):
            if len(missed) + len(false) >= most or len(false) == CORRECTED:
                break
            key = (-1 - image, int(points[j][0]) * 10000 + int(points[j][1]))
            is_right = distance[j] <= SAME_CELL and names[nearest[j]] == labels[j]
            if is_right or key in self._done:
                continue
            right = names[nearest[j]] if distance[j] <= SAME_CELL else None
            if right in self._classes and (image, int(nearest[j])) not in self._done:
                false.append(self._click((image, int(nearest[j])), str(right)))
            elif right is None or right not in self._classes:
                self._done.add(key)
                y, x = points[j]
                false.append(Said(image, (float(y), float(x)), None))
        self._fruitless = 0 if missed or false else self._fruitless + 1
        return missed + false
