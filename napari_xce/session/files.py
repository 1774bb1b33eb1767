"""What goes out of a session and comes in: cells, masks and models; points of other programs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_xce import exchange
from napari_xce.annotations.journal import counted
from napari_xce.annotations.records import BACKGROUND, IMPORTED
from napari_xce.annotations.shapes import Points, centroid, on_slide
from napari_xce.errors import ExchangeError, XceWarning
from napari_xce.exchange.stopping import ask_stop, tell_share
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.tiles import Tile
from napari_xce.session.predictions import as_box
from napari_xce.session.reviewing import SessionReviewing

_DEFAULT_CLASS = "cell"
_MOST_NEW_CLASSES = 200


class SessionFiles(SessionReviewing):
    """The part of a session that exports and imports."""

    def export(self, path: str | Path, slide: str | None = None) -> Path:
        """Write the cells found so far and what was said, in the format of the file's suffix.

        Parameters
        ----------
        path : path
            ``.geojson`` or ``.geojson.gz``: cells and annotations. ``.csv`` or ``.json`` (COCO):
            cells. ``.ome.tif`` or ``.zarr``: a mask of the cells. ``.safetensors``: the model with
            its card.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ExchangeError
            The format is unknown, there is nothing to write, or the file cannot be written; one
            that was there is kept. A model and its card do not take the place of another file, nor
            COCO that of a card.
        SessionError
            A mask or model is wanted, but nothing has been learnt yet.

        Notes
        -----
        Nothing is predicted here, so that an export takes seconds and holds what was seen: call
        ``predict`` first for a whole slide. With nothing predicted, the annotations are written
        alone, with a warning. With the head "unet" GeoJSON and COCO hold the cells as polygons.
        """
        path = Path(path)
        _refuse_mixed(path)
        if path.suffix == ".safetensors":
            self._require_learnt()
            with self.lock:
                self.live.save(path, self._card())
            return path
        id = self._slide_id(slide)
        suffix = exchange.format_of(path)
        self.follow_classes()
        cells = self._cells_to_write(id, suffix)
        masks = suffix in exchange.MASK_FORMATS
        outlined = self.head == "unet" and suffix != ".csv" and cells is not None
        said = suffix.startswith(".geojson") or cells is None
        exchange.write(
            path,
            detections=None if outlined else cells,
            annotations=self.store.annotations(id) if said else None,
            polygons=self._outlines(id, cells) if outlined and cells is not None else None,
            labels=self._lazy_labels(id, cells) if masks and cells is not None else None,
            classes=self.classes,
            slide_name=self.slides[id].name,
            shape=self.slides[id].shape,
            mpp=self.slides[id].mpp,
            origin=self.slides[id].bounds_origin,
        )
        return path

    def _cells_to_write(self, id: str, suffix: str) -> Detections | None:
        """Return the cells found so far, None where nothing was predicted but something was said.

        Raises
        ------
        ExchangeError
            There is nothing that this format can hold.
        """
        name = self.slides[id].name
        if self.predictions[id].detections.tiles():
            return self._cells(id)
        if suffix in exchange.MASK_FORMATS or not len(self.store.annotations(id)):
            raise ExchangeError(
                f"Nothing has been predicted on {name} yet, so there are no cells to write. Call "
                'predict() first, or press "Predict the whole slide".'
            )
        warnings.warn(
            f"Nothing has been predicted on {name} yet: only what was annotated is written. Call "
            "predict() first if the predicted cells are wanted.",
            XceWarning,
            stacklevel=3,
        )
        return None

    def _lazy_labels(self, id: str, cells: Detections) -> exchange.LazyLabels:
        """Return the mask of a whole slide, made tile by tile when it is written."""
        self._require_learnt()
        foreground = self._kept_foreground(id)

        def read(y: int, x: int, height: int, width: int) -> NDArray[np.integer]:
            return self._labels(id, (y, x, height, width), cells, foreground)

        return exchange.LazyLabels(self.slides[id].shape, read)

    # ---- in

    def import_points(
        self, path: str | Path, slide: str | None = None, most: int | None = None
    ) -> int:
        """Read points, outlines and reviewed regions in as annotations (GeoJSON, COCO or CSV); one
        undo takes all of it back.

        Classes that are not known yet are added, with the file's colour; objects without a class
        become the first class. Objects of class background become rejections.

        Parameters
        ----------
        path : path
        slide : str, optional
            Not needed when there is one slide.
        most : int, optional
            Refuse a file of more points.

        Returns
        -------
        int
            How many annotations were read in; a warning says what was left out.

        Raises
        ------
        ExchangeError
            The file is not as it must be, or has too many points; nothing is read in.
        """
        id = self._slide_id(slide)
        slide_read = self.slides[id]
        found = exchange.read_points(
            path,
            mpp=slide_read.mpp,
            origin=slide_read.bounds_origin,
            slide_name=slide_read.name,
            most=most,
        )
        kept, beyond = _on_slide(found, slide_read.shape)
        notes = [*found.notes, *([_beyond(beyond)] if beyond else [])]
        count = len(kept) + len(kept.regions) + len(kept.set_aside)
        tell_share(None)
        with self.store.together(f"Import {counted(count, 'annotation')} from {Path(path).name}"):
            self._say(id, kept)
            ask_stop(f"{path} was not read in: it was stopped.")
        self.follow_classes()
        if notes:
            warnings.warn(" ".join(notes), XceWarning, stacklevel=2)
        return count

    def _say(self, id: str, found: exchange.ImportedPoints) -> None:
        """Annotate what was read."""
        names = self._known_names(found.labels, found.colors)
        outlined = np.array([polygon is not None for polygon in found.polygons], dtype=bool)
        for name in np.unique(names).tolist():
            mine = names == name
            dots = found.points[mine & ~outlined]
            if name == BACKGROUND:
                self.store.reject(id, dots)
            else:
                self.store.add_points(id, name, dots, provenance=IMPORTED)
            outlines = [
                p for i in np.flatnonzero(mine & outlined) if (p := found.polygons[i]) is not None
            ]
            self.store.add_masks(id, name, outlines, provenance=IMPORTED)
        for regions, set_aside in ((found.regions, False), (found.set_aside, True)):
            for region in regions:
                self.store.review(id, region, set_aside)

    def import_cells(self, path: str | Path, slide: str | None = None) -> int:
        """Read in cells that were found elsewhere (GeoJSON, COCO or CSV), in the place of those
        found here.

        They are shown, counted and exported like the model's own, until the model learns and
        predicts their places anew. Nothing is learnt from them: for that, see ``import_points``.

        Parameters
        ----------
        path : path
            Of GeoJSON the objects of type detection and cell, of our own tables the rows of kind
            "detection", of COCO and of other tables all; with class, colour, "score" and size.
        slide : str, optional
            Not needed when there is one slide.

        Returns
        -------
        int
            How many cells were read in; a warning says what was left out, and of thresholds that
            had to be lowered to show them all.

        Raises
        ------
        ExchangeError
            The file is not as it must be, or has no such cells; nothing is read in.
        """
        id = self._slide_id(slide)
        slide_read = self.slides[id]
        cells, colors, told = exchange.read_cells(
            path,
            mpp=slide_read.mpp,
            origin=slide_read.bounds_origin,
            slide_name=slide_read.name,
        )
        notes = list(told)
        inside = on_slide(cells.points, slide_read.shape)
        if not inside.all():
            notes.append(_beyond(int((~inside).sum())))
            cells = cells[inside]
        if not len(cells):
            raise ExchangeError(
                f"{path} has no detections or cells on this slide. Annotations are read by "
                "import_points."
            )
        ask_stop(f"{path} was not read in: it was stopped.")
        tell_share(None)
        self.follow_classes()
        labels = self._known_names(cells.labels, colors)
        self.follow_classes()
        cells = Detections(cells.points, labels, cells.scores, cells.diameters)
        if BACKGROUND in labels:
            cells = cells[labels != BACKGROUND]
        with self.lock:
            predictions = self.predictions[id]
            predictions.clear()  # the heat of what was found here, too
            predictions.detections.fill(self._by_tile(id, cells))
        predictions.recall_heat()
        notes += self._lower_thresholds(cells)
        if notes:
            warnings.warn(" ".join(notes), XceWarning, stacklevel=2)
        return len(cells)

    def _by_tile(self, id: str, cells: Detections) -> Iterator[tuple[Tile, Detections]]:
        """Yield cells by their tile; tiles with tissue and no cell are empty, not unknown."""
        grid, tissue = self.predictions[id].grid, self.tissue(id)
        for tile in grid.tiles_in(as_box(None, self.slides[id].shape)):
            if tissue.fraction(*grid.core_box(tile)) > 0:
                yield tile, Detections.empty()
        tiles = grid.tile_of(cells.points)
        order = np.lexsort(tiles.T)
        tiles = tiles[order]
        begins = np.flatnonzero(np.append(True, (tiles[1:] != tiles[:-1]).any(1)))
        for begin, end in zip(begins, np.append(begins[1:], len(order)), strict=True):
            row, column = tiles[begin].tolist()
            yield (row, column), cells[order[begin:end]]

    def _lower_thresholds(self, cells: Detections) -> list[str]:
        """Let all these cells count; return in words what had to be changed for it."""
        notes = []
        thresholds = self.thresholds
        for name in np.unique(cells.labels).tolist():
            lowest = float(cells.scores[cells.labels == name].min())
            if lowest < thresholds[name]:
                self.set_threshold(name, math.floor(lowest * 1000) / 1000)
                notes.append(f"The threshold of {name} was lowered to show all of them.")
        return notes

    def _known_names(self, labels: NDArray[np.str_], colors: dict[str, str]) -> NDArray[np.str_]:
        """Return the class of each object as the session calls it; new classes are added."""
        known = {c.name.casefold(): c.name for c in self.classes}
        first = next(iter(self.class_names), _DEFAULT_CLASS)
        labels, which = np.unique(labels, return_inverse=True)
        strange = sum(name.casefold() not in known for name in labels.tolist() if name)
        if strange > _MOST_NEW_CLASSES:
            raise ExchangeError(
                f"The file names {strange:,} classes that the session has not. At most "
                f"{_MOST_NEW_CLASSES} are added: is the column of classes another one?"
            )
        names = []
        for label in labels.tolist():
            wanted = label or first
            if wanted.casefold() not in known:
                known[wanted.casefold()] = self.store.add_class(wanted, colors.get(label)).name
            names.append(known[wanted.casefold()])
        return np.array([*names, ""], dtype=np.str_)[which]


def _refuse_mixed(path: Path) -> None:
    """Refuse a name by which a model's card, a ``.json`` beside it, and COCO would meet."""
    model, card = path.with_suffix(".safetensors"), path.with_suffix(".json")
    if path == model and card.exists() and not model.exists():
        raise ExchangeError(
            f"{card} is there already, and the model's card would take its place. Give the model "
            "another name."
        )
    if path == card and model.exists():
        raise ExchangeError(
            f"{card} is the card of the model beside it, which would be lost. Give the cells "
            "another name."
        )


def _on_slide(
    found: exchange.ImportedPoints, shape: tuple[int, int]
) -> tuple[exchange.ImportedPoints, int]:
    """Return what lies on a slide of (H, W) pixels, and how many objects do not."""

    def here(regions: Sequence[Points]) -> tuple[Points, ...]:
        return tuple(r for r in regions if on_slide(centroid(r)[np.newaxis], shape).all())

    inside = on_slide(found.points, shape)
    kept = replace(
        found,
        points=found.points[inside],
        labels=found.labels[inside],
        polygons=tuple(found.polygons[i] for i in np.flatnonzero(inside)),
        regions=here(found.regions),
        set_aside=here(found.set_aside),
    )
    beyond = int((~inside).sum()) + len(found.regions) + len(found.set_aside)
    return kept, beyond - len(kept.regions) - len(kept.set_aside)


def _beyond(count: int) -> str:
    """Say that so many objects lie beyond the slide."""
    return f"Left out: {count} beyond the slide. Were they made on another one?"
