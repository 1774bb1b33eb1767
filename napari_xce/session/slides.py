"""The slides of a session: found again, known by their content, each with its scale, its tile grid
and what was predicted of it.

Any thread may call; what changes slides or grids holds the session's lock.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from napari_xce.annotations import CellClass, SlideRecord, Store
from napari_xce.errors import SessionError, SlideError, XceWarning
from napari_xce.predictions.cell_cache import load_cells, save_cells
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import Tile, TileGrid
from napari_xce.slides import Slide, open_slide
from napari_xce.slides.slide import hash_of_file
from napari_xce.slides.tissue import TissueMask, tissue_mask

#: Micrometres per working pixel.
WORKING_MPP = 0.5
#: Files of a folder that are looked at for a slide that was renamed.
_MOST_FILES = 100
#: Working pixels that the diameter of a cell takes when only that is known (8 um).
WORKING_DIAMETER = 16.0


class SessionSlides:
    """The part of a session that keeps slides.

    Attributes
    ----------
    path : Path
        The session's directory.
    store : Store
        What was said, in SQLite.
    slides : dict of str to Slide
        The slides that are open, by id.
    predictions : dict of str to SlidePredictions
        What was predicted, by slide.
    lock : RLock
        Held by whoever uses the model or changes slides.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self.store = store
        self.slides: dict[str, Slide] = {}
        self.predictions: dict[str, SlidePredictions] = {}
        self.lock = threading.RLock()
        self._tissue: dict[str, TissueMask] = {}
        self._saved: dict[str, tuple[dict[Tile, int], dict[int, str]]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the session was closed; nothing can be done with it then."""
        return self._closed

    def _refuse_closed(self) -> None:
        if self._closed:
            raise SessionError(f"The session {self.path} is closed; open it again.")

    @property
    def classes(self) -> list[CellClass]:
        """The classes, background first."""
        return self.store.classes()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, without background."""
        return list(self._names_by_id().values())

    def _names_by_id(self) -> dict[int, str]:
        """Return the names of the classes by number, without background."""
        return {c.id: c.name for c in self.store.classes() if c.id != 0}

    # ---- adding and finding

    def add_slide(self, slide: Slide, cell_diameter: float | None = None) -> str:
        """Add a slide, or bring back one that the session knows by its content.

        Parameters
        ----------
        slide : Slide
            The session closes it, unless it has the same one open already: then it keeps that.
        cell_diameter : float, optional
            Usual diameter of a cell in level-0 pixels; counts where the pixel size is unknown.

        Returns
        -------
        str
            Its id.
        """
        if cell_diameter is not None:
            _check_diameter(cell_diameter)
        with self.lock:
            self._refuse_closed()
            for record in self.store.slides().values():
                if record.fingerprint == slide.fingerprint:
                    self._bring_back(record, slide, cell_diameter)
                    return record.id
            id = self.store.add_slide(
                slide.name,
                _absolute(slide.path),
                slide.fingerprint,
                slide.shape,
                slide.mpp,
                slide.mpp_source,
                cell_diameter,
            )
            self._attach(self.store.slides()[id], slide)
            return id

    def _bring_back(self, record: SlideRecord, slide: Slide, cell_diameter: float | None) -> None:
        """Go on with a slide that the session knows."""
        if cell_diameter is not None:
            self.store.update_slide(record.id, cell_diameter_px=float(cell_diameter))
        if record.id in self.slides:
            self._lay_grid(record.id)
            return
        if _absolute(slide.path) != record.path:
            self.store.update_slide(record.id, path=_absolute(slide.path))
        self._attach(record, slide)

    def _reopen_slides(self) -> None:
        """Open the slides that the session remembers; warn of those that cannot be."""
        for record in self.store.slides().values():
            if record.path is None:
                continue  # an array: add_slide brings it back
            slide = self._find_file(record, record.path)
            if slide is not None:
                self._attach(record, slide)

    def _find_file(self, record: SlideRecord, path: Path) -> Slide | None:
        """Open the file of a slide: where it was, beside the session, or under another name."""
        refusals = []
        for place in self._places(record, path):
            try:
                slide = open_slide(place)
            except SlideError as error:
                refusals.append(str(error))
                continue
            if slide.fingerprint == record.fingerprint:
                if place != path:
                    self.store.update_slide(record.id, path=place)
                return slide
            slide.close()
            refusals.append(
                f"{place} is not the slide that was annotated: its content is another. Put the "
                "right file there, or add it with add_slide."
            )
        warnings.warn(f"{record.name} is left out. {refusals[0]}", XceWarning, stacklevel=4)
        return None

    def _places(self, record: SlideRecord, path: Path) -> Iterator[Path]:
        """Yield where a slide may be: last, files of another name with its content."""
        beside = self.path.absolute().parent
        yield from dict.fromkeys([path, beside / path.name])
        for folder in dict.fromkeys([path.parent, beside]):
            with suppress(OSError):
                files = sorted(f for f in folder.iterdir() if f.suffix == path.suffix)
                for file in files[:_MOST_FILES]:
                    if file.is_file() and record.fingerprint.endswith(hash_of_file(file)):
                        yield file

    def _attach(self, record: SlideRecord, slide: Slide) -> None:
        """Take up a slide, with the pixel size the session knows and its cached cells."""
        if record.mpp is not None and (slide.mpp is None or record.mpp_source == "user"):
            slide.set_mpp(record.mpp, record.mpp_source)
        self.slides[record.id] = slide
        self._lay_grid(record.id)
        load_cells(self._cache_path(record.id), self.predictions[record.id], self._names_by_id())

    def _cache_path(self, id: str) -> Path:
        return self.path / "predictions" / f"{id}.npz"

    def _save_cells(self) -> None:
        """Write the cells of each slide that has new ones."""
        names = self._names_by_id()
        for id, predictions in list(self.predictions.items()):
            state = (predictions.detections.tiles(), names)
            if state[0] and self._saved.get(id) != state:
                save_cells(self._cache_path(id), predictions, names)
                self._saved[id] = state

    def _slide_id(self, slide: str | None) -> str:
        """Return the id meant; without one, that of the only slide."""
        if slide is not None:
            if slide not in self.slides:
                known = ", ".join(self.slides) or "none"
                raise SessionError(f"There is no open slide {slide!r} here (open: {known}).")
            return slide
        if len(self.slides) != 1:
            raise SessionError(f"This session has {len(self.slides)} open slides: say which one.")
        return next(iter(self.slides))

    def tissue(self, slide: str) -> TissueMask:
        """Return where on a slide there is tissue; found once."""
        if slide not in self._tissue:
            self._tissue[slide] = tissue_mask(self.slides[slide])
        return self._tissue[slide]

    def known_tissue(self, slide: str) -> TissueMask | None:
        """Return where there is tissue if it was found already; reads nothing."""
        return self._tissue.get(slide)

    # ---- scale

    def factor(self, slide: str | None = None) -> tuple[float, float]:
        """Return level-0 pixels per working pixel, (y, x).

        From the pixel size, else from the cell diameter; with neither, 1 is assumed.
        """
        id = self._slide_id(slide)
        mpp = self.slides[id].mpp
        if mpp is not None:
            return WORKING_MPP / mpp[0], WORKING_MPP / mpp[1]
        diameter = self.store.slides()[id].cell_diameter_px
        factor = diameter / WORKING_DIAMETER if diameter is not None else 1.0
        return factor, factor

    def set_cell_diameter(self, slide: str, px: float) -> None:
        """Say how large cells are, level-0 pixels, on a slide whose pixel size is unknown.

        Raises
        ------
        SessionError
            The pixel size is known, and so the scale; or the diameter is not above 1 pixel.
        """
        _check_diameter(px)
        with self.lock:
            id = self._slide_id(slide)
            mpp = self.slides[id].mpp
            if mpp is not None:
                raise SessionError(
                    f"The pixel size of {self.slides[id].name} is known ({mpp[0]:.3g} um), so its "
                    "scale is, too. If it is wrong, call set_mpp."
                )
            self.store.update_slide(id, cell_diameter_px=float(px))
            self._lay_grid(id)

    def set_mpp(self, slide: str, mpp: float | tuple[float, float]) -> None:
        """Say how large a pixel is, micrometres, one number or (y, x); counts from now on.

        Raises
        ------
        SlideError
            It is not above 0.
        """
        with self.lock:
            id = self._slide_id(slide)
            self.slides[id].set_mpp(mpp, "user")
            self.store.update_slide(id, mpp=self.slides[id].mpp, mpp_source="user")
            self._lay_grid(id)

    def _lay_grid(self, id: str) -> None:
        """Cut a slide into tiles; what was predicted at another scale is forgotten."""
        grid = TileGrid(self.slides[id].shape, self.factor(id))
        old = self.predictions.get(id)
        if old is not None and old.grid == grid:
            return
        self.predictions[id] = SlidePredictions(grid, folder=self.path / "predictions")
        self._tissue.pop(id, None)
        if old is not None:
            old.close()

    def _warn_of_unknown_size(self, id: str, stacklevel: int) -> None:
        """Say once for a slide that cells of the usual number of pixels are assumed."""
        known = self.slides[id].mpp is not None or self.store.slides()[id].cell_diameter_px
        told = self.store.get_setting("told_of_unknown_size", [])
        if known or id in told:
            return
        self.store.set_setting("told_of_unknown_size", [*told, id])
        warnings.warn(
            f"The pixel size of {self.slides[id].name} is unknown; cells of about "
            f"{WORKING_DIAMETER:.0f} pixels are assumed. If theirs is another, call "
            "session.set_cell_diameter(slide, px) or session.set_mpp(slide, um).",
            XceWarning,
            stacklevel=stacklevel,
        )


def _check_diameter(px: float) -> None:
    if not (np.isfinite(px) and px > 1):
        raise SessionError(f"A cell diameter must be more than 1 pixel, not {px!r}.")


def _absolute(path: Path | None) -> Path | None:
    """Return a path that holds wherever the program is started from."""
    return None if path is None else Path(path).absolute()
