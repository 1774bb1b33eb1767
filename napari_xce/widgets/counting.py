"""Counting for the dock: cells in view and on the slide, their density, and how fresh the
predictions are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_xce.measures import place_of_box
from napari_xce.measures.places import tissue_area_px
from napari_xce.session.predictions import as_box
from napari_xce.widgets.counts_box import Count

if TYPE_CHECKING:
    from napari_xce.predictions.detections import Box
    from napari_xce.viewer.binding import Binding

NOTHING_YET = "Nothing is predicted yet: click a few cells and press Learn."
MANY_TILES = 4000  # so many tiles in view are not gone through one by one


def count_cells(binding: Binding) -> tuple[list[Count], str]:
    """Return one row per class of the user's, and in words how much of the slide they stand for.

    Densities are over the tissue that was predicted, in the view and on the slide; they are unknown
    for the moment that it takes to find the tissue of a slide.
    """
    session = binding.session
    predictions = session.predictions.get(binding.slide_id)
    own = [found for found in session.classes if found.id != 0]
    if predictions is None:
        return [Count(found.name, found.color, 0, None, 0, None) for found in own], NOTHING_YET
    thresholds = dict(session.thresholds)
    store = predictions.detections
    in_view = store.counts(thresholds, binding.box) if binding.box is not None else {}
    on_slide = store.counts(thresholds)
    view_mm2, _ = _tissue_mm2(binding, binding.box)
    slide_mm2, share = _tissue_mm2(binding, as_box(None, session.slides[binding.slide_id].shape))
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


def freshness(binding: Binding) -> str:
    """Say how much of the view is predicted, and by how old a model."""
    predictions = binding.session.predictions.get(binding.slide_id)
    if predictions is None or binding.box is None:
        return ""
    done = predictions.revisions
    wanted = _tiles_in(binding, binding.box)
    if wanted is None:
        return "View: too wide to be predicted; zoom in"
    here = [done[tile] for tile in wanted if tile in done]
    if not here:
        return "View: not predicted yet"
    if len(here) < len(wanted):
        return f"View: {_percent(len(here) / len(wanted))} predicted"
    behind = max(binding.session.model_revision - min(here), 0)
    if behind == 0:
        return "View: up to date"
    return f"View: {behind} revision{'s' if behind > 1 else ''} behind"


def _tiles_in(binding: Binding, box: Box) -> list[tuple[int, int]] | None:
    """Return the tiles that meet a box; None when there are too many to go through."""
    grid = binding.session.predictions[binding.slide_id].grid
    top, left, bottom, right = grid.tile_range(box)
    if (bottom - top) * (right - left) > MANY_TILES:
        return None
    return list(grid.tiles_in(box))


def _tissue_mm2(binding: Binding, box: Box | None) -> tuple[float | None, float | None]:
    """Return the predicted tissue of a box, mm2, and which share of its tissue that is."""
    session, id = binding.session, binding.slide_id
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
