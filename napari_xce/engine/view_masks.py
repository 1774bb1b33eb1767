"""The masks of what is in view. Runs on the engine's thread, which holds the session's lock."""

from __future__ import annotations

import math

from napari_xce.engine.messages import Segmented
from napari_xce.learning.trunk import MASK_STRIDE
from napari_xce.predictions.detections import Box
from napari_xce.predictions.instances import MARGIN, mask_box
from napari_xce.session import Session

#: Larger views get no masks: nobody could tell cells apart there.
MOST_PIXELS = 2_000_000


def segment_view(session: Session, slide_id: str, box: Box) -> Segmented | None:
    """Label the cells in view at 1 um a pixel.

    Parameters
    ----------
    session : Session
    slide_id : str
    box : (y0, x0, y1, x1)
        What is on screen, level-0 pixels; it may reach beyond the slide.

    Returns
    -------
    Segmented or None
        None where the view does not touch the slide, or shows too much of it.
    """
    predictions = session.predictions[slide_id]
    grid = predictions.grid
    y0, x0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    y1, x1 = min(grid.shape[0], math.ceil(box[2])), min(grid.shape[1], math.ceil(box[3]))
    fy, fx = (MASK_STRIDE * f for f in grid.factor)
    if y1 <= y0 or x1 <= x0 or (y1 - y0) * (x1 - x0) > MOST_PIXELS * fy * fx:
        return None
    mask = mask_box(grid, (y0, x0, y1 - y0, x1 - x0))
    my, mx = (MARGIN * f for f in grid.factor)  # cells beside the view may reach into it
    near = (y0 - my, x0 - mx, y1 + my, x1 + mx)
    cells = predictions.detections.query(near, thresholds=session.thresholds)
    labels = session.mask_labels(slide_id, mask, cells)
    labels.flags.writeable = False
    origin = ((mask[0] + 0.5) * fy - 0.5, (mask[1] + 0.5) * fx - 0.5)
    names = tuple(cells.labels.tolist())
    return Segmented(slide_id, labels, names, (fy, fx), origin, session.model_revision)
