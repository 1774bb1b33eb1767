"""The session kept for a slide is found again, and no other is made in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_xce.errors import SessionError
from napari_xce.slides import Slide, open_slide
from napari_xce.widgets.sessions import session_for


def slide_at(path: Path, seed: int = 0) -> Slide:
    """Write a small picture and open it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return open_slide(path)


def test_session_of_a_slide_is_found_again(tmp_path: Path) -> None:
    with session_for(slide_at(tmp_path / "a.png")) as session:
        sid = session.add_slide(slide_at(tmp_path / "a.png"))
        session.annotate("cell", [[1, 2]])
    with session_for(slide_at(tmp_path / "a.png")) as again:
        assert again.annotations(sid).points.tolist() == [[1, 2]]


def test_session_open_elsewhere_is_told_and_not_replaced(tmp_path: Path) -> None:
    """A new one in its place would look as if all clicks were lost."""
    with session_for(slide_at(tmp_path / "a.png")) as session:
        session.add_slide(slide_at(tmp_path / "a.png"))
        with pytest.raises(SessionError, match="is open"):
            session_for(slide_at(tmp_path / "a.png"))
    assert [path.name for path in tmp_path.glob("*.xce")] == ["a.xce"]


def test_damaged_session_is_told_and_not_replaced(tmp_path: Path) -> None:
    with session_for(slide_at(tmp_path / "a.png")) as session:
        session.add_slide(slide_at(tmp_path / "a.png"))
    (tmp_path / "a.xce" / "session.sqlite").write_bytes(b"rubbish")
    with pytest.raises(SessionError, match="damaged"):
        session_for(slide_at(tmp_path / "a.png"))


def test_session_of_another_slide_of_that_name_is_no_hindrance(tmp_path: Path) -> None:
    with session_for(slide_at(tmp_path / "a.png")) as session:
        session.add_slide(slide_at(tmp_path / "a.png"))
        other = slide_at(tmp_path / "a.png", seed=1)
        with session_for(other) as second:
            assert second.path.name == "a-2.xce"
