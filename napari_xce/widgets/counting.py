"""Counting for the dock: cells in view and on the slide, their density, and how fresh the
predictions are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_xce.widgets.counts_box import Count

if TYPE_CHECKING:
    from napari_xce.evaluation.scores import Score
    from napari_xce.predictions.detections import Box
    from napari_xce.viewer.binding import Binding

NOTHING_YET = "Nothing is predicted yet: click a few cells and press Learn."
MANY_TILES = 4000  # so many tiles in view are not gone through one by one


def count_cells(binding: Binding) -> tuple[list[Count], str]:
    """Return one row per class of the user's, and in words how much of the slide they stand for.

    Densities are over the predicted part of the view and of the slide, not over what nobody looked
    at.
    """
    session = binding.session
    predictions = session.predictions.get(binding.slide_id)
    own = [found for found in session.classes if found.id != 0]
    if predictions is None:
        return [Count(found.name, found.color, 0, None, 0, None) for found in own], NOTHING_YET
    store, grid = predictions.detections, predictions.grid
    thresholds = dict(session.thresholds)
    in_view = store.counts(thresholds, binding.box) if binding.box is not None else {}
    on_slide = store.counts(thresholds)
    done = store.tiles()  # also those of an earlier session, whose heat is not painted yet
    view_mm2 = _area_mm2(binding, _view_tiles(binding), binding.box)
    slide_mm2 = _area_mm2(binding, list(done), None)
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
    total = grid.rows * grid.cols
    share = len(done) / total if total else 0.0
    covered = "" if share >= 1 else f"Slide: {_percent(share)} predicted so far"
    if not done:
        covered = NOTHING_YET
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


def _view_tiles(binding: Binding) -> list[tuple[int, int]]:
    """Return the predicted tiles in view."""
    done = binding.session.predictions[binding.slide_id].detections.tiles()
    if binding.box is None:
        return []
    tiles = _tiles_in(binding, binding.box)
    return list(done) if tiles is None else [tile for tile in tiles if tile in done]


def _area_mm2(binding: Binding, tiles: list[tuple[int, int]], box: Box | None) -> float | None:
    """Return the area of these tiles' cores, within a box if given; None where the pixel size is
    unknown.
    """
    mpp = binding.session.slides[binding.slide_id].mpp
    if mpp is None:
        return None
    grid = binding.session.predictions[binding.slide_id].grid
    rows, columns = grid.working_shape
    y0, x0, y1, x1 = (0.0, 0.0, rows, columns)  # working pixels from the slide's corner
    if box is not None:
        (top, left), (bottom, right) = grid.to_working([box[:2], box[2:]]) + 0.5
        y0, x0, y1, x1 = max(y0, top), max(x0, left), min(y1, bottom), min(x1, right)
    corners = np.array(tiles, float).reshape(-1, 2) * grid.core_size
    low = np.maximum(corners, (y0, x0))
    high = np.minimum(corners + grid.core_size, (y1, x1))
    working = float(np.prod(np.maximum(high - low, 0.0), axis=1).sum())
    return working * grid.factor[0] * grid.factor[1] * mpp[0] * mpp[1] * 1e-6


def _per(count: int, area: float | None) -> float | None:
    return count / area if area else None


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1 else "< 1 %"


def accuracy_in_words(scores: Mapping[str, Score]) -> str:
    """Return one line a class: F1 with its 95 % interval, precision and recall."""
    return "\n".join(
        f"{name}: F1 {score.f1:.2f} ({score.f1_interval[0]:.2f} to {score.f1_interval[1]:.2f}), "
        f"precision {score.precision:.2f}, recall {score.recall:.2f}"
        for name, score in scores.items()
    )
