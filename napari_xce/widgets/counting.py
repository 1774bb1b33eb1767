"""Counting for the dock, beside the GUI: cells in view and on the slide, their density, and how
fresh the predictions are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_xce.measures import place_of_box
from napari_xce.measures.places import tissue_area_px
from napari_xce.session.predictions import as_box
from napari_xce.widgets.counts_box import Count
from napari_xce.widgets.jobs import Jobs

if TYPE_CHECKING:
    from napari_xce.predictions.detections import Box
    from napari_xce.session import Session

NOTHING_YET = "Nothing is predicted yet: click a few cells and press Learn."
COUNT_SECONDS = 1.0
MANY_TILES = 4000  # so many tiles in view are not gone through one by one


class Counted(NamedTuple):
    """What the dock shows: rows, how much of the slide they stand for, how fresh the view is."""

    rows: list[Count]
    covered: str
    fresh: str


class Counter:
    """Counts again and again, in a thread of its own, at most a twentieth of the time.

    Parameters
    ----------
    show : callable
        Gets what was counted last; called by `tick`.
    """

    def __init__(self, show: Callable[[Counted], None]) -> None:
        self._show = show
        self._jobs = Jobs()
        self._asked: tuple[Session, str, Box | None] | None = None
        self._running: tuple[Session, str, Box | None] | None = None
        self._next = self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether something asked for has not been shown yet."""
        return self._asked is not None or self._running is not None

    def ask(self, session: Session, id: str, box: Box | None) -> None:
        """Count what is on a slide, and what is in view of it, when it is time."""
        self._asked = (session, id, box)

    def forget(self) -> None:
        """Show nothing of what was asked for."""
        self._asked = self._running = None

    def tick(self) -> None:
        """Show what was counted, and count what was asked for since."""
        now = time.monotonic()
        for job in self._jobs.finished():
            self._next = now + max(COUNT_SECONDS, 20 * (now - self._began))
            running, self._running = self._running, None
            if running is not None and not running[0].closed:
                self._show(job.future.result())
        if self._asked is not None and self._running is None and now > self._next:
            self._began, self._running, self._asked = now, self._asked, None
            self._jobs.start("counting", partial(_count, *self._running), self._show)

    def close(self) -> None:
        """Wait for the count that is going on; called twice it does nothing."""
        self.forget()
        self._jobs.close()


def _count(session: Session, id: str, box: Box | None) -> Counted:
    """Count, on a thread of its own."""
    return Counted(*count_cells(session, id, box), freshness(session, id, box))


def count_cells(session: Session, id: str, box: Box | None) -> tuple[list[Count], str]:
    """Return one row per class of the user's, and in words how much of the slide they stand for.

    Any thread: of millions of cells it takes a while.

    Parameters
    ----------
    session : Session
    id : str
        Of the slide.
    box : (y0, x0, y1, x1) or None
        What is in view, level-0 pixels.

    Notes
    -----
    Densities are over the tissue that was predicted, in the view and on the slide; they are unknown
    for the moment that it takes to find the tissue of a slide.
    """
    predictions = session.predictions.get(id)
    own = [found for found in session.classes if found.id != 0]
    if predictions is None:
        return [Count(found.name, found.color, 0, None, 0, None) for found in own], NOTHING_YET
    thresholds = dict(session.thresholds)
    store = predictions.detections
    in_view = store.counts(thresholds, box) if box is not None else {}
    on_slide = store.counts(thresholds)
    view_mm2, _ = _tissue_mm2(session, id, box)
    slide_mm2, share = _tissue_mm2(session, id, as_box(None, session.slides[id].shape))
    rows = [
        Count(
            found.name,
            found.color,
            in_view.get(found.name, 0),
            _per(in_view.get(found.name, 0), view_mm2),
            on_slide.get(found.name, 0),
            _per(on_slide.get(found.name, 0), slide_mm2),
        )
        for found in own
    ]
    covered = NOTHING_YET if not store.tiles() else ""
    if share is not None and 0 < share < 0.995:
        covered = f"Slide: {_percent(share)} of the tissue predicted so far"
    return rows, covered


def freshness(session: Session, id: str, box: Box | None) -> str:
    """Say how much of the view is predicted, and by how old a model."""
    predictions = session.predictions.get(id)
    if predictions is None or box is None:
        return ""
    wanted = predictions.revisions_in(box, MANY_TILES)
    if wanted is None:
        return "View: too wide, zoom in"
    here = [revision for revision in wanted if revision is not None]
    if not here:
        return "View: not predicted yet"
    if len(here) < len(wanted):
        return f"View: {_percent(len(here) / len(wanted))} predicted"
    behind = max(session.model_revision - min(here), 0)
    if behind == 0:
        return "View: up to date"
    return f"View: {behind} revision{'s' if behind > 1 else ''} behind"


def _tissue_mm2(session: Session, id: str, box: Box | None) -> tuple[float | None, float | None]:
    """Return the predicted tissue of a box, mm2, and which share of its tissue that is."""
    tissue, mpp = session.known_tissue(id), session.slides[id].mpp
    if tissue is None or box is None:
        return None, None
    predictions = session.predictions[id]
    whole, predicted = tissue_area_px(
        place_of_box("", box), tissue, predictions.grid, predictions.detections.tiles()
    )
    area = None if mpp is None else predicted * mpp[0] * mpp[1] * 1e-6
    return area, predicted / whole if whole else None


def _per(count: int, area: float | None) -> float | None:
    return count / area if area else None


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 else "< 1 %"
