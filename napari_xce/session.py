"""A session: one annotation project on disk, and all that can be done with it. No Qt.

A directory ``<name>.xce`` holds ``session.sqlite`` (what was said), ``models/`` (what was learnt)
and ``predictions/`` (a cache). Everything the GUI can do, a script can do with this class. What
touches the model takes ``lock``, so that a script, the GUI and the engine may share a session.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xce import exchange
from napari_xce.annotations import Annotations, CellClass, SlideRecord, Store
from napari_xce.errors import SessionError, SlideError, XceWarning
from napari_xce.evaluation.scores import Score, score_detections
from napari_xce.learning.calibration import DEFAULT
from napari_xce.learning.model import Head
from napari_xce.predictions.detections import Box, Detections
from napari_xce.predictions.instances import enlarge, label_instances, mask_box
from napari_xce.predictions.live import LiveModel
from napari_xce.predictions.predictor import SlideAtWork
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides import Slide, open_slide
from napari_xce.slides.tissue import tissue_mask
from napari_xce.suggestions import Candidates, Suggestion, suggest

#: Micrometres per working pixel.
WORKING_MPP = 0.5
#: Working pixels that the diameter of a cell takes when only that is known (8 um).
WORKING_DIAMETER = 16.0
#: Distance, working pixels, within which a detection and a true cell are the same (6 um).
MATCH_RADIUS = 12.0
Region = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class FitReport:
    """What ``Session.fit`` did.

    Attributes
    ----------
    seconds, seconds_to_first_answer : float
        In all, and until the first fit on the clicks.
    steps : int
        Fine-tuning steps.
    loss : float
        Mean of the last steps; NaN without any.
    revision : int
        Of the model that answers now.
    promoted : int
        How often a fine-tuned copy took over.
    words : str
        What came of the last comparison.
    """

    seconds: float
    seconds_to_first_answer: float
    steps: int
    loss: float
    revision: int
    promoted: int
    words: str


class Session:
    """An annotation project; see the module. Use ``Session.create`` or ``Session.open``.

    Attributes
    ----------
    path : Path
        The directory.
    store : Store
        What was said, in SQLite.
    slides : dict of str to Slide
        The slides that could be opened, by id.
    predictions : dict of str to SlidePredictions
        What was predicted, by slide.
    lock : RLock
        Held by whoever uses the model.
    """

    def __init__(self, path: Path, store: Store, head: Head) -> None:
        self.path = path
        self.store = store
        self.slides: dict[str, Slide] = {}
        self.predictions: dict[str, SlidePredictions] = {}
        self.lock = threading.RLock()
        self._head: Head = head
        self._live: LiveModel | None = None
        self._suggested: dict[str, list[tuple[float, float]]] = {}
        self._warned: set[str] = set()
        self._closed = False

    # ---- open, close

    @classmethod
    def create(
        cls, path: str | Path, classes: Iterable[str] = ("cell",), head: Head = "yollo"
    ) -> Session:
        """Create a session.

        Parameters
        ----------
        path : path
            A directory that does not exist yet; ``.xce`` is the usual ending.
        classes : iterable of str
            Names of the first classes.
        head : {"yollo", "unet"}
            Detection or segmentation.

        Raises
        ------
        SessionError
            There is something at the path, or it cannot be written to.
        """
        path = Path(path)
        if head not in ("yollo", "unet"):
            raise SessionError(f'The head must be "yollo" or "unet", not {head!r}.')
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise SessionError(f"There is already something at {path}. Open it, or choose a name.")
        try:
            (path / "models").mkdir(parents=True)
            (path / "predictions").mkdir()
        except OSError as error:
            raise SessionError(
                f"No session can be created at {path} ({error.strerror}). Choose another folder."
            ) from error
        store = Store.create(path / "session.sqlite")
        for name in classes:
            store.add_class(name)
        store.set_setting("head", head)
        return cls(path, store, head)

    @classmethod
    def open(cls, path: str | Path) -> Session:
        """Open a session with its slides, annotations, model and predictions.

        A slide whose file is gone is left out with a warning; ``add_slide`` brings it back.

        Raises
        ------
        SessionError
            There is no session, it is damaged, or another program has it.
        """
        path = Path(path)
        if not (path / "session.sqlite").is_file():
            raise SessionError(f"There is no session at {path}: it has no session.sqlite.")
        store = Store.open(path / "session.sqlite")
        session = cls(path, store, store.get_setting("head", "yollo"))
        for record in store.slides().values():
            session._reopen(record)
        return session

    def _reopen(self, record: SlideRecord) -> None:
        """Open a slide that the session remembers, if its file is still there."""
        if record.path is None:
            return  # an array: add_slide brings it back
        try:
            slide = open_slide(record.path)
        except SlideError as error:
            warnings.warn(f"{record.name} is left out: {error}", XceWarning, stacklevel=3)
            return
        if slide.fingerprint != record.fingerprint:
            slide.close()
            words = f"{record.path} is left out: it is not the slide that was annotated."
            warnings.warn(words, XceWarning, stacklevel=3)
            return
        self._attach(record, slide)

    def close(self) -> None:
        """Save model and predictions and let everything go. Closing twice does nothing."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            try:
                self.save()
            finally:
                for predictions in self.predictions.values():
                    predictions.close()
                for slide in self.slides.values():
                    slide.close()
                self.store.close()

    def save(self) -> None:
        """Write the model and the predictions; what was said is on disk already."""
        with self.lock:
            if self._live is not None and self._live.has_learnt:
                self._live.save(self._model_path, self._card())
            for id, predictions in self.predictions.items():
                predictions.detections.save(self.path / "predictions" / f"{id}.npz")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- slides

    def add_slide(self, slide: Slide, cell_diameter: float | None = None) -> str:
        """Add a slide, or bring back one that the session knows by its fingerprint.

        Parameters
        ----------
        slide : Slide
            The session closes it.
        cell_diameter : float, optional
            Usual diameter of a cell in level-0 pixels, when the pixel size is unknown.

        Returns
        -------
        str
            Its id.
        """
        for record in self.store.slides().values():
            if record.fingerprint == slide.fingerprint and record.id not in self.slides:
                self.store.update_slide(record.id, path=slide.path)
                self._attach(record, slide)
                return record.id
        id = self.store.add_slide(
            slide.name,
            slide.path,
            slide.fingerprint,
            slide.shape,
            slide.mpp,
            slide.mpp_source,
            cell_diameter,
        )
        self._attach(self.store.slides()[id], slide)
        return id

    def _attach(self, record: SlideRecord, slide: Slide) -> None:
        """Take up a slide, with the pixel size the session knows and its cached predictions."""
        if slide.mpp is None and record.mpp is not None:
            slide.set_mpp(record.mpp, record.mpp_source)
        self.slides[record.id] = slide
        self._rebuild(record.id)
        cached = self.path / "predictions" / f"{record.id}.npz"
        if cached.exists():
            try:
                self.predictions[record.id].detections.load(cached)
            except SessionError as error:  # a cache: it is made anew
                warnings.warn(str(error), XceWarning, stacklevel=2)

    def _rebuild(self, id: str) -> None:
        """Lay the tile grid anew, because the pixel size has become known or has changed."""
        with self.lock:
            old = self.predictions.pop(id, None)
            if old is not None:
                old.close()
            grid = TileGrid(self.slides[id].shape, self.factor(id))
            self.predictions[id] = SlidePredictions(grid)
            if self._live is not None:
                self._live.set_slide(SlideAtWork(id, self.slides[id], grid))

    def factor(self, slide: str | None = None) -> tuple[float, float]:
        """Return level-0 pixels per working pixel, (y, x).

        From the pixel size, else from the cell diameter; with neither, 1 is assumed when it comes
        to learning, with a warning.
        """
        id = self._slide_id(slide)
        mpp = self.slides[id].mpp
        if mpp is not None:
            return WORKING_MPP / mpp[0], WORKING_MPP / mpp[1]
        diameter = self.store.slides()[id].cell_diameter_px
        factor = diameter / WORKING_DIAMETER if diameter is not None else 1.0
        return factor, factor

    def set_cell_diameter(self, slide: str, px: float) -> None:
        """Say how large cells are, level-0 pixels, on a slide whose pixel size is unknown."""
        if not (np.isfinite(px) and px > 1):
            raise SessionError(f"A cell diameter must be more than 1 pixel, not {px!r}.")
        self.store.update_slide(slide, cell_diameter_px=float(px))
        self._rebuild(slide)

    def set_mpp(self, slide: str, mpp: float | tuple[float, float]) -> None:
        """Say how large a pixel is, micrometres, (y, x) or one number."""
        self.slides[slide].set_mpp(mpp, "user")
        self.store.update_slide(slide, mpp=self.slides[slide].mpp, mpp_source="user")
        self._rebuild(slide)

    def _slide_id(self, slide: str | None) -> str:
        """Return the id meant; without one, that of the only slide."""
        if slide is not None:
            if slide not in self.slides:
                raise SessionError(f"There is no open slide {slide!r} in this session.")
            return slide
        if len(self.slides) != 1:
            raise SessionError(f"This session has {len(self.slides)} slides: say which one.")
        return next(iter(self.slides))

    # ---- what the user says

    @property
    def classes(self) -> list[CellClass]:
        """The classes, background first."""
        return self.store.classes()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, without background."""
        return [c.name for c in self.store.classes()[1:]]

    def add_class(self, name: str, color: str | None = None, key: str | None = None) -> CellClass:
        """Add a class at any time; see ``Store.add_class``."""
        return self.store.add_class(name, color, key)

    def annotate(self, name: str, points: ArrayLike, slide: str | None = None) -> list[str]:
        """Say that there are cells of a class.

        Parameters
        ----------
        name : str
            The class.
        points : array_like, float, shape (N, 2)
            Centres (y, x), level-0 pixels.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        list of str
            Ids of the annotations.
        """
        return self.store.add_points(self._slide_id(slide), name, points)

    def reject(self, points: ArrayLike, slide: str | None = None) -> list[str]:
        """Say that there is no cell of any class at these points."""
        return self.store.reject(self._slide_id(slide), points)

    def add_mask(self, name: str, polygon: ArrayLike, slide: str | None = None) -> str:
        """Say that an area, polygon (M, 2) in level-0 pixels, is a cell of a class."""
        return self.store.add_mask(self._slide_id(slide), name, polygon)

    def review(self, rectangle: ArrayLike, slide: str | None = None) -> str:
        """Declare a rectangle ((y0, x0), (y1, x1)) or a polygon complete."""
        return self.store.review(self._slide_id(slide), rectangle)

    def annotations(self, slide: str | None = None) -> Annotations:
        """Return what stands now, on one slide or on all."""
        return self.store.annotations(slide)

    def undo(self) -> str | None:
        """Take back the last thing said; returns what it was, in words."""
        return self.store.undo()

    def redo(self) -> str | None:
        """Say again what was undone last; returns what it was, in words."""
        return self.store.redo()

    def import_points(self, path: str | Path, slide: str | None = None) -> int:
        """Read points (GeoJSON or CSV) in as annotations; classes not known yet are added.

        Returns
        -------
        int
            How many were read in.

        Raises
        ------
        ExchangeError
            The file is not as it must be; nothing is read in.
        """
        id = self._slide_id(slide)
        found = exchange.read_points(path, mpp=self.slides[id].mpp)
        known = [c.name for c in self.classes]
        names = np.where(found.labels == "", known[1] if len(known) > 1 else "cell", found.labels)
        for name in np.unique(names):
            if name not in known:
                self.store.add_class(str(name), found.colors.get(str(name)))
        for name in np.unique(names):
            points = found.points[names == name]
            if name == "background":
                self.store.reject(id, points)
            else:
                self.store.add_points(id, str(name), points, provenance="imported")
        for region in found.regions:
            self.store.review(id, region)
        return len(found) + len(found.regions)

    # ---- learning

    @property
    def live(self) -> LiveModel:
        """The model at work; made at first need. Hold ``lock`` while using it."""
        with self.lock:
            if self._live is None:
                live = LiveModel(self.class_names, self._head)
                if self._model_path.exists():
                    live.load(self._model_path)
                    live.set_head(self._head)
                for id, slide in self.slides.items():
                    live.set_slide(SlideAtWork(id, slide, self.predictions[id].grid))
                self._live = live
            return self._live

    @property
    def _model_path(self) -> Path:
        return self.path / "models" / "model.safetensors"

    def _card(self) -> dict[str, Any]:
        """Say of a model where it comes from."""
        said = self.store.annotations()
        names, counts = np.unique(said.labels, return_counts=True)
        return {
            "working_mpp": WORKING_MPP,
            "slides": [r.name for r in self.store.slides().values()],
            "annotations": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
            "thresholds": self.thresholds,
            "saved": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    @property
    def head(self) -> Head:
        """Which head answers: "yollo" (detection) or "unet" (segmentation)."""
        return self._head

    def set_head(self, head: Head) -> None:
        """Answer with the other head from now on."""
        if head not in ("yollo", "unet"):
            raise SessionError(f'The head must be "yollo" or "unet", not {head!r}.')
        with self.lock:
            self._head = head
            self.store.set_setting("head", head)
            if self._live is not None:
                self._live.set_head(head)

    @property
    def device(self) -> str:
        """Where the model computes: "cpu", "cuda" or "mps"."""
        return self.live.device.name

    @property
    def model_revision(self) -> int:
        """Revision of the model that answers now; 0 before anything was learnt."""
        return self._live.revision if self._live is not None else 0

    @property
    def own_thresholds(self) -> dict[str, float]:
        """Thresholds the user has set, by class."""
        return dict(self.store.get_setting("thresholds", {}))

    @property
    def thresholds(self) -> dict[str, float]:
        """Score from which a cell of each class counts: the user's, else the calibrated one."""
        calibrated = self._live.thresholds if self._live is not None else {}
        known = {**calibrated, **self.own_thresholds}
        return {name: known.get(name, DEFAULT) for name in self.class_names}

    def set_threshold(self, name: str, threshold: float | None) -> None:
        """Set the threshold of a class, [0, 1]; None goes back to the calibrated one."""
        own = self.own_thresholds
        own.pop(name, None)
        if threshold is not None:
            own[name] = float(threshold)
        self.store.set_setting("thresholds", own)

    def take_up_annotations(self) -> None:
        """Hand what stands to the model. The engine calls it when something was said."""
        with self.lock:
            self._warn_of_unknown_size()
            self.live.set_said(self.store.annotations(), self.class_names)

    def _warn_of_unknown_size(self) -> None:
        """Say once a slide that its cells are assumed to have the usual number of pixels."""
        for id, slide in self.slides.items():
            record = self.store.slides()[id]
            if slide.mpp is None and record.cell_diameter_px is None and id not in self._warned:
                self._warned.add(id)
                warnings.warn(
                    f"The pixel size of {slide.name} is unknown; cells of about "
                    f"{WORKING_DIAMETER:.0f} pixels are assumed. If theirs is another, call "
                    "session.set_cell_diameter(slide, px) or session.set_mpp(slide, um).",
                    XceWarning,
                    stacklevel=4,
                )

    def fit(self, seconds: float = 10.0) -> FitReport:
        """Learn from everything said so far, with the engine's own learner; blocks.

        Parameters
        ----------
        seconds : float
            How long at most (the piece of work at hand is finished). The first answer, from the
            clicks alone, is given in any case; the rest of the time goes to fine-tuning.

        Raises
        ------
        SessionError
            Nothing is annotated yet, or none of the slides annotated is open.
        """
        started = time.perf_counter()
        with self.lock:
            self.take_up_annotations()
            live = self.live
            for key in live.unseen_tiles():
                live.observe(key)
            if not live.learn():
                raise SessionError("There is nothing to learn from: annotate a cell or two first.")
            answered = time.perf_counter() - started
            losses, promoted, words = [], 0, "not compared yet"
            while time.perf_counter() - started < seconds:
                loss = live.train_step()
                if loss is None:
                    break
                losses.append(loss)
                if live.trial_is_due:
                    trial = live.try_promotion()
                    words = trial.words
                    if trial.promoted:
                        promoted += 1
                        self.relearn()
            recent = [x for x in losses[-20:] if np.isfinite(x)]
            return FitReport(
                seconds=time.perf_counter() - started,
                seconds_to_first_answer=answered,
                steps=len(losses),
                loss=float(np.mean(recent)) if recent else float("nan"),
                revision=live.revision,
                promoted=promoted,
                words=words,
            )

    def relearn(self) -> None:
        """Observe and fit again, because the features have changed."""
        with self.lock:
            for key in self.live.unseen_tiles():
                self.live.observe(key)
            self.live.learn()

    # ---- predictions

    def predict(self, slide: str | None = None, region: Region | None = None) -> Detections:
        """Predict the cells of a slide, or of a part of it; blocks.

        Parameters
        ----------
        slide : str, optional
            Not needed when there is one slide.
        region : ((y0, x0), (y1, x1)), optional
            Level-0 pixels; by default the whole slide, glass left out.

        Returns
        -------
        Detections
            Those that reach the threshold of their class.

        Raises
        ------
        SessionError
            Nothing has been learnt yet.
        """
        id = self._slide_id(slide)
        box = _as_box(region, self.slides[id].shape)
        self._require_learnt()
        for tile in self.stale_tiles(id, box, skip_glass=region is None):
            self.predict_tile(id, tile)
        return self.predictions[id].detections.query(box, thresholds=self.thresholds)

    def _require_learnt(self) -> None:
        with self.lock:
            if not self.live.has_learnt:
                raise SessionError("The model has learnt nothing yet: annotate, then call fit().")

    def stale_tiles(self, slide: str, box: Box, skip_glass: bool = False) -> list[Tile]:
        """Return the tiles of a box that the present model has not predicted."""
        predictions = self.predictions[slide]
        tiles = predictions.grid.tiles_in(box)
        revision = self.model_revision
        tiles = [t for t in tiles if predictions.revisions.get(t, -1) != revision]
        if skip_glass and len(tiles) > 1:
            tissue = tissue_mask(self.slides[slide])
            tiles = [t for t in tiles if tissue.fraction(*predictions.grid.core_box(t)) > 0]
        return tiles

    def predict_tile(self, slide: str, tile: Tile) -> None:
        """Predict one tile and publish it: heat first, then the cells."""
        with self.lock:
            found = self.live.predict_tile(slide, tile)
            predictions = self.predictions[slide]
            predictions.publish(tile, found.heat, found.detections)

    def segment(self, slide: str | None = None, region: Region | None = None) -> NDArray[np.int32]:
        """Label each cell of a region.

        Parameters
        ----------
        slide : str, optional
            Not needed when there is one slide.
        region : ((y0, x0), (y1, x1)), optional
            Level-0 pixels; by default the whole slide.

        Returns
        -------
        ndarray, int32, shape (height, width)
            At level 0; 0 = no cell, i + 1 = cell i of ``predict(slide)`` as it stands now.
        """
        id = self._slide_id(slide)
        y0, x0, y1, x1 = _as_pixels(_as_box(region, self.slides[id].shape), self.slides[id].shape)
        margin = 64 * max(self.factor(id))
        self.predict(id, ((y0 - margin, x0 - margin), (y1 + margin, x1 + margin)))
        return self._labels(id, (y0, x0, y1 - y0, x1 - x0), self._cells(id))

    def _cells(self, id: str) -> Detections:
        """Return the cells of a slide found so far."""
        return self.predictions[id].detections.query(None, thresholds=self.thresholds)

    def _labels(
        self, id: str, region: tuple[int, int, int, int], cells: Detections
    ) -> NDArray[np.int32]:
        """Label the given cells of a slide in a rectangle (y, x, height, width), level 0."""
        grid = self.predictions[id].grid
        box = mask_box(grid, region)
        return enlarge(self.mask_labels(id, box, cells), box[:2], grid, region)

    def mask_labels(
        self, id: str, box: tuple[int, int, int, int], cells: Detections
    ) -> NDArray[np.int32]:
        """Label cells in a rectangle (y, x, height, width) of mask pixels, 1 um each."""
        with self.lock:
            grid = self.predictions[id].grid
            return label_instances(grid, lambda tile: self.live.foreground(id, tile), cells, box)

    # ---- where next, how good

    def suggest(
        self, n: int = 1, slide: str | None = None, box: Box | None = None
    ) -> list[Suggestion]:
        """Return the next places that teach the model most, never the same twice.

        Parameters
        ----------
        n : int
            How many at most.
        slide : str, optional
            Not needed when there is one slide.
        box : (y0, x0, y1, x1), optional
            The present view, which goes first; level-0 pixels.
        """
        id = self._slide_id(slide)
        with self.lock:
            if self._live is None or not self._live.candidates(id)[0].size:
                self._look_around(id, box)
            said = self.store.annotations(id).points
            before = self._suggested.setdefault(id, [])
            found = suggest(
                Candidates(*self.live.candidates(id)),
                self.class_names,
                self.live.clicked_vectors(),
                n,
                avoid=np.concatenate([said, np.array(before).reshape(-1, 2)]),
                diameter=WORKING_DIAMETER * max(self.factor(id)),
                box=box,
            )
            before.extend(s.yx for s in found)
            return found

    def _look_around(self, id: str, box: Box | None) -> None:
        """Look at a few tiles with tissue, so that there is something to suggest."""
        height, width = self.slides[id].shape
        area = box or (0.0, 0.0, float(height), float(width))
        tiles = self.stale_tiles(id, area, skip_glass=True)
        middle = (len(tiles) - 4) // 2 if len(tiles) > 4 else 0
        for tile in tiles[middle : middle + 4]:
            self.live.observe((id, tile))

    def evaluate(self, slide: str | None = None) -> dict[str, Score]:
        """Measure precision, recall and F1 in the reviewed regions.

        Parameters
        ----------
        slide : str, optional
            By default all slides that have reviewed regions.

        Returns
        -------
        dict of str to Score
            By class, with 95 % intervals. Cells match within 6 um (12 working pixels).

        Raises
        ------
        SessionError
            No region has been reviewed.

        Notes
        -----
        The clicks inside a reviewed region also teach the model, so that these figures lean to
        the good side; an independent test needs a slide of its own.
        """
        ids = [self._slide_id(slide)] if slide is not None else list(self.slides)
        truth, found, radius = [], [], MATCH_RADIUS
        offset = 0.0
        for id in ids:
            said = self.store.annotations(id)
            for region in said.of_kind("region").polygons:
                assert region is not None
                points, cells = self._inside_region(id, said, region)
                shift = np.array([0.0, offset])  # regions side by side, too far apart to match
                scale = 1.0 / np.array(self.factor(id))
                truth.append((points[0] * scale + shift, points[1]))
                found.append((cells.points * scale + shift, cells.labels, cells.scores))
                offset += 1e6
        if not truth:
            raise SessionError("No region has been reviewed: review one, then evaluate.")
        return score_detections(
            np.concatenate([t[0] for t in truth]),
            np.concatenate([t[1] for t in truth]),
            np.concatenate([f[0] for f in found]),
            np.concatenate([f[1] for f in found]),
            np.concatenate([f[2] for f in found]),
            radius,
            self.class_names,
        )

    def _inside_region(
        self, id: str, said: Annotations, region: NDArray[np.float64]
    ) -> tuple[tuple[NDArray[np.float64], NDArray[np.str_]], Detections]:
        """Return points and labels said, and the cells found, inside a polygon."""
        from skimage.measure import points_in_poly

        (y0, x0), (y1, x1) = region.min(0), region.max(0)
        cells = self.predict(id, ((y0, x0), (y1, x1)))
        cells = cells[points_in_poly(cells.points, region)] if len(cells) else cells
        real = np.isin(said.kinds, ("point", "mask"))
        points, labels = said.points[real], said.labels[real]
        inside = points_in_poly(points, region) if len(points) else np.zeros(0, bool)
        return (points[inside], labels[inside]), cells

    # ---- out

    def export(self, path: str | Path, slide: str | None = None) -> Path:
        """Write the cells found so far and what was said, in the format of the file's suffix.

        Parameters
        ----------
        path : path
            ``.geojson``, ``.geojson.gz``, ``.csv``, ``.ome.tif``, ``.zarr`` or ``.json`` (COCO);
            ``.safetensors`` writes the model with its card.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ExchangeError
            The format is unknown or the file cannot be written; one that was there is kept.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            self._require_learnt()
            with self.lock:
                self.live.save(path, self._card())
            return path
        id = self._slide_id(slide)
        suffix = exchange.format_of(path)
        slide_, cells = self.slides[id], self._cells(id)
        masks = suffix in exchange.MASK_FORMATS
        exchange.write(
            path,
            detections=cells,
            annotations=self.store.annotations(id) if suffix.startswith(".geojson") else None,
            labels=self._lazy_labels(id, cells) if masks else None,
            classes=self.classes,
            slide_name=slide_.name,
            shape=slide_.shape,
            mpp=slide_.mpp,
        )
        return path

    def _lazy_labels(self, id: str, cells: Detections) -> exchange.LazyLabels:
        """Return the mask of a whole slide, made tile by tile when it is written."""
        self._require_learnt()
        return exchange.LazyLabels(
            self.slides[id].shape, lambda y, x, h, w: self._labels(id, (y, x, h, w), cells)
        )


def _as_box(region: Region | None, shape: tuple[int, int]) -> Box:
    """Return a region as (y0, x0, y1, x1), level-0 pixels; without one the whole slide."""
    if region is None:
        return -0.5, -0.5, shape[0] - 0.5, shape[1] - 0.5
    (y0, x0), (y1, x1) = region
    if not (np.isfinite([y0, x0, y1, x1]).all() and y1 > y0 and x1 > x0):
        raise SessionError(f"A region is ((y0, x0), (y1, x1)) with y1 > y0 and x1 > x0: {region}.")
    return float(y0), float(x0), float(y1), float(x1)


def _as_pixels(box: Box, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole pixels of a box, cut to the slide."""
    y0, x0 = (max(0, int(np.ceil(v))) for v in box[:2])
    y1, x1 = (min(n, int(np.ceil(v))) for n, v in zip(shape, box[2:], strict=True))
    if y1 <= y0 or x1 <= x0:
        raise SessionError("The region lies outside the slide.")
    return y0, x0, y1, x1
