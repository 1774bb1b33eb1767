"""What the learner has seen of the slides: proposals with their vectors, and the vectors of clicks.

Kept by tile, as plain arrays in level-0 pixels. From it and the annotations the training rows of
the click learner are put together. Owned by one thread at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_xce.annotations.records import MASK, POINT, REJECTION, Annotations
from napari_xce.budget import bytes_for
from napari_xce.learning.click_learner import OTHER, UNANNOTATED, Standard
from napari_xce.learning.heads import CELL_SIZE

Points = NDArray[np.float64]
TileKey = tuple[str, tuple[int, int]]  # slide id, (row, column)
#: A click names the proposal within this share of its diameter, or of a usual cell's if larger.
SNAP_SHARE = 0.5
#: What lies on a ring of this radius (share of a cell's diameter) around a click, and not near
#: another click, is not the middle of a cell (the ring of Qu et al., IEEE TMI 2020).
RING_RADIUS, NOT_NEAR = 0.65, 0.45
#: Proposals less likely than this to be nuclei teach nothing.
LEAST_OBJECT = 0.25
#: The unannotated count where the clicks are: so much of their weight is dealt out to the tiles by
#: their clicks, the rest evenly. Else clicks in one place would be learnt by the look of the place.
MATCHED = 0.8
#: Unannotated rows used in one fit; more change nothing but the time.
MOST_UNANNOTATED = 2000
#: Tiles whose proposals are remembered; those with annotations are never forgotten.
MOST_TILES = 400


@dataclass(frozen=True, slots=True)
class Observation:
    """What the network saw in one tile.

    Attributes
    ----------
    points : ndarray, float64, shape (N, 2)
        Centres of the proposals, level-0 pixels.
    objects : ndarray, float32, shape (N,)
        Probability that each is a nucleus.
    diameters : ndarray, float32, shape (N,)
        Level-0 pixels.
    vectors : ndarray, float32, shape (N, CELL_SIZE)
        One for each proposal.
    ground_points, ground_vectors : ndarray, shape (M, 2) and (M, CELL_SIZE)
        Grid cells drawn at random.
    cell_diameter : float
        Of a usual cell, level-0 pixels.
    """

    points: Points
    objects: NDArray[np.float32]
    diameters: NDArray[np.float32]
    vectors: NDArray[np.float32]
    ground_points: Points
    ground_vectors: NDArray[np.float32]
    cell_diameter: float

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = (self.points, self.objects, self.diameters, self.vectors)
        return sum(a.nbytes for a in (*arrays, self.ground_points, self.ground_vectors))


@dataclass(frozen=True, slots=True)
class Click:
    """A click or rejection as the network sees it: the vector at its place and those around it."""

    point: tuple[float, float]
    vector: NDArray[np.float32]
    ring_points: Points
    ring_vectors: NDArray[np.float32]
    tile: TileKey


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the click learner.

    Attributes
    ----------
    vectors : ndarray, float32, shape (N, CELL_SIZE)
    labels : ndarray, int64, shape (N,)
        1.. = class (its index + 1), ``OTHER``, ``UNANNOTATED``.
    objects : ndarray, float64, shape (N,)
        Probability that there is an object.
    weights : ndarray, float64, shape (N,)
        How much the row counts among those of its label: ``objects``, and for what is unannotated
        also how many clicks there are in its tile.
    standard : Standard or None
        What the vectors are measured against; None for themselves.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    objects: NDArray[np.float64]
    weights: NDArray[np.float64]
    standard: Standard | None = None

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.vectors[rows],
            self.labels[rows],
            self.objects[rows],
            self.weights[rows],
            self.standard,
        )


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows for both kinds of classes, and which class is of which kind (indices from 0).

    ``places`` is the number of tiles in which there are clicks; ``standard``, of KIND_SIZE numbers,
    is that of cells from everywhere, for ``objects``.
    """

    proposed: list[int]
    dense: list[int]
    objects: Rows
    ground: Rows
    places: int
    standard: Standard | None = None


class Memory:
    """Remember proposals by tile and vectors by annotation."""

    def __init__(self) -> None:
        self.tiles: dict[TileKey, Observation] = {}
        self._max_bytes = bytes_for("learner")
        self._clicks: dict[str, Click] = {}

    def forget(self) -> None:
        """Forget everything, because the features have changed."""
        self.tiles.clear()
        self._clicks.clear()

    def observe(self, key: TileKey, seen: Observation) -> None:
        """Remember a tile; the oldest tiles without annotations make room."""
        self.tiles.pop(key, None)
        self.tiles[key] = seen
        needed = {click.tile for click in self._clicks.values()} | {key}
        nbytes = self.nbytes
        for old in [old for old in self.tiles if old not in needed]:
            if len(self.tiles) <= MOST_TILES and nbytes <= self._max_bytes:
                break
            nbytes -= self.tiles.pop(old).nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles remembered; more than its share only where all have annotations."""
        return sum(seen.nbytes for seen in self.tiles.values())

    def keep_clicks(self, ids: Iterable[str]) -> None:
        """Forget the clicks that are not among these: they were taken back."""
        standing = set(ids)
        self._clicks = {id: click for id, click in self._clicks.items() if id in standing}

    def knows(self, id: str, point: NDArray[np.float64]) -> bool:
        """Tell whether the vector of an annotation at this place is remembered."""
        click = self._clicks.get(id)
        return click is not None and click.point == (point[0], point[1])

    def remember_click(self, id: str, click: Click) -> None:
        """Remember what the network sees at the place of an annotation."""
        self._clicks[id] = click

    def click_vectors(self) -> NDArray[np.float32]:
        """Return the vectors of all clicks remembered, shape (M, CELL_SIZE)."""
        vectors = [click.vector for click in self._clicks.values()]
        return np.array(vectors, np.float32) if vectors else np.empty((0, CELL_SIZE), np.float32)

    def training_rows(
        self, said: Annotations, classes: list[str], rng: np.random.Generator
    ) -> TrainingRows:
        """Put together what the click learner learns from.

        Parameters
        ----------
        said : Annotations
            All that stands (``Annotations.for_learning``); what has not been observed yet is passed
            over. Regions set aside give no rows, and nothing in them does.
        classes : list of str
            Names, without background.
        rng : Generator
            Draws among too many unannotated rows.

        Returns
        -------
        TrainingRows
            A class of which at least half the clicks meet a proposal is "proposed".
        """
        slides = sorted({slide for slide, _ in self.tiles})
        counts = Counter(click.tile for click in self._clicks.values())
        parts = [self._slide_rows(said.of_slide(slide), slide, classes, counts) for slide in slides]
        if not parts:
            none = Rows(np.empty((0, 1), np.float32), np.empty(0, int), np.empty(0), np.empty(0))
            return TrainingRows([], [], none, none, 0)
        labels = np.concatenate([p.labels for p in parts])
        snapped = np.concatenate([p.snapped for p in parts])
        proposed, dense = _split_classes(labels, snapped, len(classes))
        objects = np.concatenate([p.weights for p in parts])
        clicks = Rows(np.concatenate([p.clicks for p in parts]), labels, objects, objects)
        anywhere = np.ones(len(labels), bool)
        return TrainingRows(
            proposed,
            dense,
            _join(clicks, proposed, snapped, [p.objects for p in parts], rng),
            _join(_unweighted(clicks), dense, anywhere, [p.ground for p in parts], rng),
            len(counts),
        )

    def _slide_rows(
        self, said: Annotations, slide: str, classes: list[str], counts: Counter[TileKey]
    ) -> _SlideRows:
        """Sort out clicks, proposals and ground of one slide; ``counts`` are clicks by tile."""
        tiles = {key: o for key, o in self.tiles.items() if key[0] == slide}
        seen = _concatenate(list(tiles.values()))
        spots = np.array(
            [
                kind in (POINT, REJECTION, MASK) and self.knows(id, point)
                for id, kind, point in zip(said.ids, said.kinds, said.points, strict=True)
            ],
            bool,
        )
        spots[spots] = _newest(self._snap(said.points[spots], seen), said.points[spots])
        points = said.points[spots]
        names = said.labels[spots]
        labels = np.array([classes.index(n) + 1 if n in classes else OTHER for n in names], int)
        vectors = [self._clicks[i].vector for i in said.ids[spots]]
        snap = self._snap(points, seen)
        state = _state(said, seen.points)
        state = np.where(seen.objects >= LEAST_OBJECT, state, _UNUSED)
        state[snap[snap >= 0]] = _UNUSED  # what was clicked is in the clicks' own rows
        for row, proposal in enumerate(snap):
            if proposal >= 0:
                vectors[row] = seen.vectors[proposal]
        clicks = [self._clicks[i] for i in said.ids[spots]]
        even = (1 / MATCHED - 1) * max(counts.total(), 1) / len(self.tiles)
        share = np.array([counts[key] + even for key in tiles])  # of each tile
        objects = seen.objects.astype(np.float64)
        matched = objects * _dealt(share, [len(o.points) for o in tiles.values()])
        dealt = _dealt(share, [len(o.ground_points) for o in tiles.values()])
        ground = _ground_rows(said, seen, points, clicks, dealt)
        return _SlideRows(
            labels,
            snap >= 0,
            np.where(snap >= 0, seen.objects[snap], 1.0)
            if len(seen.objects)
            else np.ones(len(snap)),
            np.array(vectors).reshape(len(labels), -1) if len(labels) else seen.vectors[:0],
            Rows(seen.vectors, state, objects, matched),
            ground,
        )

    def _snap(self, points: Points, seen: Observation) -> NDArray[np.int64]:
        """Return for each point the proposal it names, -1 for none."""
        out = np.full(len(points), -1)
        if len(points) and len(seen.points):
            distance, nearest = cKDTree(seen.points).query(points)
            reach = SNAP_SHARE * np.maximum(seen.cell_diameter, seen.diameters[nearest])
            named = (distance <= reach) & (seen.objects[nearest] >= LEAST_OBJECT)
            out[named] = nearest[named]
        return out


_UNUSED = -2


@dataclass(frozen=True, slots=True)
class _SlideRows:
    """One slide's share of the rows: clicks (label, snapped or not, weight, vector), the rest."""

    labels: NDArray[np.int64]
    snapped: NDArray[np.bool_]
    weights: NDArray[np.float64]
    clicks: NDArray[np.float32]
    objects: Rows
    ground: Rows


def _concatenate(seen: list[Observation]) -> Observation:
    """Join the observations of a slide's tiles."""
    names = ("points", "objects", "diameters", "vectors", "ground_points", "ground_vectors")
    joined = {name: np.concatenate([getattr(s, name) for s in seen]) for name in names}
    return Observation(**joined, cell_diameter=seen[0].cell_diameter)


def _newest(snap: NDArray[np.int64], points: Points) -> NDArray[np.bool_]:
    """Tell which of the clicks, oldest first, is the last word on its proposal or place."""
    keys = [("at", *point) if k < 0 else k for k, point in zip(snap, points.tolist(), strict=True)]
    last = {key: i for i, key in enumerate(keys)}
    return np.array([last[key] == i for i, key in enumerate(keys)], bool)


def _dealt(shares: NDArray[np.float64], counts: list[int]) -> NDArray[np.float64]:
    """Deal the share of each tile out to its rows."""
    return np.repeat(shares / np.maximum(counts, 1), counts)


def _ground_rows(
    said: Annotations,
    seen: Observation,
    points: Points,
    clicks: list[Click],
    weights: NDArray[np.float64],
) -> Rows:
    """Return the ground, unannotated or reviewed, and the rings around the clicks."""
    near = NOT_NEAR * seen.cell_diameter
    state = _state(said, seen.ground_points)
    state[_near(seen.ground_points, points, near)] = _UNUSED
    ring_points = np.concatenate([np.empty((0, 2)), *(c.ring_points for c in clicks)])
    ring_state = np.full(len(ring_points), OTHER)
    ring_state[_near(ring_points, points, near) | _set_aside(said, ring_points)] = _UNUSED
    vectors = np.concatenate([seen.ground_vectors, *(c.ring_vectors for c in clicks)])
    weights = np.concatenate([weights, np.ones(len(ring_points))])
    return Rows(vectors, np.concatenate([state, ring_state]), np.ones(len(vectors)), weights)


def _split_classes(
    labels: NDArray[np.int64], snapped: NDArray[np.bool_], n_classes: int
) -> tuple[list[int], list[int]]:
    """Tell the classes the trunk proposes from those it does not; unclicked ones are neither."""
    proposed: list[int] = []
    dense: list[int] = []
    for k in range(n_classes):
        mine = labels == k + 1
        if mine.any():
            (proposed if snapped[mine].mean() >= 0.5 else dense).append(k)
    return proposed, dense


def _unweighted(rows: Rows) -> Rows:
    ones = np.ones(len(rows.labels))
    return Rows(rows.vectors, rows.labels, ones, ones)


def _join(
    clicks: Rows,
    members: list[int],
    usable: NDArray[np.bool_],
    rest: list[Rows],
    rng: np.random.Generator,
) -> Rows:
    """Put the clicks of some classes, renumbered, before what was not clicked.

    A click of a class that is not among the members is "other" to them.
    """
    number = {k + 1: i + 1 for i, k in enumerate(members)}
    own = np.array([number.get(int(k), OTHER) for k in clicks.labels], int)
    use = usable | (own != OTHER)
    other = _concatenate_rows(rest)
    other.weights[other.labels == OTHER] = other.objects[other.labels == OTHER]
    unknown = np.flatnonzero(other.labels == UNANNOTATED)
    if len(unknown) > MOST_UNANNOTATED:
        p = other.weights[unknown] / other.weights[unknown].sum()
        unknown = rng.choice(unknown, MOST_UNANNOTATED, replace=False, p=p)
        other.weights[unknown] = 1.0  # by being drawn they have counted
    picked = other.taken(np.concatenate([np.flatnonzero(other.labels == OTHER), unknown]))
    if not use.any():
        return picked
    mine = clicks.taken(use)
    return _concatenate_rows([Rows(mine.vectors, own[use], mine.objects, mine.weights), picked])


def _concatenate_rows(parts: list[Rows]) -> Rows:
    return Rows(
        np.concatenate([r.vectors for r in parts]),
        np.concatenate([r.labels for r in parts]),
        np.concatenate([r.objects for r in parts]),
        np.concatenate([r.weights for r in parts]),
    )


def _state(said: Annotations, points: Points) -> NDArray[np.int64]:
    """Return what places without a click are: reviewed, unannotated, or set aside and unused."""
    state = np.where(said.regions().cover(points), OTHER, UNANNOTATED)
    state[_set_aside(said, points)] = _UNUSED
    return state


def _set_aside(said: Annotations, points: Points) -> NDArray[np.bool_]:
    """Tell which points lie in a region kept for testing."""
    return said.regions(set_aside=True).cover(points)


def _near(points: Points, others: Points, radius: float) -> NDArray[np.bool_]:
    """Tell which points have one of the others within the radius."""
    if not len(points) or not len(others):
        return np.zeros(len(points), bool)
    return cKDTree(others).query(points, distance_upper_bound=radius)[0] <= radius
