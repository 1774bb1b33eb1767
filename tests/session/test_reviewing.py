"""Declaring places complete."""

from __future__ import annotations

import numpy as np

import napari_xce as xce
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session

from .conftest import make_slide


def _found(session: Session, points: list[list[float]], score: float = 0.99) -> str:
    """Let the session have found tumour cells at these places."""
    sid = session.add_slide(xce.Slide.from_array(make_slide().read(0, 0, 400, 400), mpp=0.5))
    n = len(points)
    cells = Detections(points, ["tumour"] * n, np.full(n, score), np.full(n, 12.0))
    session.predictions[sid].publish((0, 0), {}, cells)
    return sid


def test_complete_region_accepts_found_cells_of_which_nothing_was_said(session: Session) -> None:
    _found(session, [[50, 50], [50, 100], [50, 150], [300, 300]])
    session.annotate("lymphocyte", [[51, 101]])  # the user says otherwise
    session.reject([[52, 149]])
    region = session.complete(((0, 0), (200, 200)), set_aside=True)
    said = session.annotations()
    assert said.points[(said.kinds == "point") & (said.labels == "tumour")].tolist() == [[50, 50]]
    assert said.ids[said.set_aside].tolist() == [region]
    session.undo()
    assert len(session.annotations()) == 2  # one step


def test_complete_region_leaves_out_cells_below_the_threshold(session: Session) -> None:
    _found(session, [[50, 50]], score=0.05)
    session.complete(((0, 0), (200, 200)))
    assert session.annotations().kinds.tolist() == ["region"]


def test_nothing_here_is_three_cells_wide_at_any_scale(session: Session) -> None:
    sid = session.add_slide(xce.Slide.from_array(np.zeros((400, 400, 3), np.uint8), mpp=0.25))
    session.nothing_here((200.0, 210.0), sid)
    (polygon,) = session.annotations().polygons
    assert polygon is not None
    np.testing.assert_allclose(np.ptp(polygon, axis=0), (96, 96))  # 3 x 16 px of 0.5 um
    np.testing.assert_allclose(polygon.mean(axis=0), (200, 210))
