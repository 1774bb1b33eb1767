"""Slides of a session: known by their content, found again, scaled."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import napari_xce as xce
from napari_xce.predictions.detections import Detections
from napari_xce.session import Session

from .conftest import SHAPE, grey_slide, make_slide


def _png(path: Path, seed: int = 0) -> Path:
    """Write a picture of 300 x 300 pixels; another seed makes another one."""
    from skimage.io import imsave

    pixels = np.random.default_rng(seed).integers(150, 250, (300, 300, 3), dtype=np.uint8)
    imsave(path, pixels, check_contrast=False)
    return path


# ---- found again


def test_file_comes_back_by_itself(session: Session, session_dir: Path, tmp_path: Path) -> None:
    sid = session.add_slide(xce.open_slide(_png(tmp_path / "a.png")))
    session.close()
    with Session.open(session_dir) as again:
        assert again.slides[sid].path == tmp_path / "a.png"


def test_relative_path_is_found_from_elsewhere(
    session: Session, session_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _png(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    sid = session.add_slide(xce.open_slide("a.png"))
    session.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Session.open(session_dir) as again:
        assert sid in again.slides


def test_slide_moved_along_with_its_session_is_found(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with Session.create(tmp_path / "old" / "case.xce") as session:
        sid = session.add_slide(xce.open_slide(_png(tmp_path / "old" / "a.png")))
    shutil.move(tmp_path / "old", tmp_path / "new")
    with Session.open(tmp_path / "new" / "case.xce") as again:
        assert again.slides[sid].path == tmp_path / "new" / "a.png"
        assert again.store.slides()[sid].path == tmp_path / "new" / "a.png"


def test_missing_file_is_left_out_with_a_warning(
    session: Session, session_dir: Path, tmp_path: Path
) -> None:
    sid = session.add_slide(xce.open_slide(_png(tmp_path / "a.png")))
    session.annotate("tumour", [[10, 10]])
    session.close()
    (tmp_path / "far").mkdir()
    away = (tmp_path / "a.png").rename(tmp_path / "far" / "b.png")
    with pytest.warns(xce.XceWarning, match=r"a.*left out"):
        again = Session.open(session_dir)
    with again:
        assert sid not in again.slides
        assert len(again.annotations()) == 1  # nothing said is lost
        assert again.add_slide(xce.open_slide(away)) == sid
        assert len(again.annotations(sid)) == 1


def test_other_file_under_the_same_name_is_refused(
    session: Session, session_dir: Path, tmp_path: Path
) -> None:
    session.add_slide(xce.open_slide(_png(tmp_path / "a.png")))
    session.close()
    _png(tmp_path / "a.png", seed=1)
    with pytest.warns(xce.XceWarning, match="not the slide that was annotated"):
        again = Session.open(session_dir)
    with again:
        assert again.slides == {}


def test_array_comes_back_by_its_content(session: Session, session_dir: Path) -> None:
    sid = session.add_slide(grey_slide(name="first"))
    other = session.add_slide(grey_slide(name="second", seed=1))
    session.close()
    with Session.open(session_dir) as again:
        assert again.add_slide(grey_slide(name="renamed", seed=1)) == other
        assert again.add_slide(grey_slide()) == sid
        assert len(again.store.slides()) == 2


def test_slide_added_twice_is_one_slide(session: Session) -> None:
    slide = grey_slide()
    sid = session.add_slide(slide)
    assert session.add_slide(slide) == sid
    assert session.add_slide(grey_slide()) == sid
    assert session.slides == {sid: slide}


def test_one_slide_needs_no_name_and_two_do(session: Session) -> None:
    with pytest.raises(xce.SessionError, match="0 open slides"):
        session.annotate("tumour", [[1, 1]])
    session.add_slide(grey_slide())
    session.annotate("tumour", [[1, 1]])
    session.add_slide(grey_slide(seed=1))
    with pytest.raises(xce.SessionError, match="2 open slides: say which"):
        session.annotate("tumour", [[1, 1]])
    with pytest.raises(xce.SessionError, match="no open slide 'slide-9'"):
        session.predict("slide-9")


# ---- scale


def test_factor_follows_pixel_size_then_cell_diameter(session: Session) -> None:
    sid = session.add_slide(grey_slide())
    assert session.factor(sid) == (1.0, 1.0)
    session.set_cell_diameter(sid, 32)  # 16 working pixels
    assert session.factor(sid) == (2.0, 2.0)
    session.set_mpp(sid, (0.25, 0.5))
    assert session.factor(sid) == (2.0, 1.0)
    assert session.predictions[sid].grid.factor == (2.0, 1.0)
    with pytest.raises(xce.SessionError, match="is known"):
        session.set_cell_diameter(sid, 20)


def test_diameter_may_come_with_the_slide(session: Session) -> None:
    sid = session.add_slide(grey_slide(), cell_diameter=8)
    assert session.factor(sid) == (0.5, 0.5)
    for px in (0, -3, float("nan")):
        with pytest.raises(xce.SessionError, match="more than 1 pixel"):
            session.set_cell_diameter(sid, px)
    with pytest.raises(xce.SlideError, match="above 0"):
        session.set_mpp(sid, 0)


def test_scale_given_by_the_user_is_remembered(session: Session, session_dir: Path) -> None:
    measured = session.add_slide(grey_slide())
    session.set_cell_diameter(measured, 40)
    corrected = session.add_slide(make_slide())
    session.set_mpp(corrected, 0.4)  # the file says 0.5
    session.close()
    with Session.open(session_dir) as again:
        again.add_slide(grey_slide())
        again.add_slide(make_slide())
        assert again.factor(measured) == (2.5, 2.5)
        assert again.slides[corrected].mpp == (0.4, 0.4)
        assert again.slides[corrected].mpp_source == "user"


def test_other_scale_forgets_what_was_predicted(predicted: Session, session_dir: Path) -> None:
    sid = next(iter(predicted.slides))
    predicted.save()
    predicted.set_mpp(sid, 0.25)
    assert not predicted.predictions[sid].detections.tiles()
    predicted.fit(seconds=0)
    assert predicted.predict().diameters.mean() > 16  # twice as many pixels as before
    predicted.close()
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert again.predictions[sid].grid.factor == (2.0, 2.0)
        assert (0, 1) not in again.predictions[sid].detections.tiles()


def test_cells_of_another_grid_are_never_taken(predicted: Session, session_dir: Path) -> None:
    sid = next(iter(predicted.slides))
    predicted.close()
    with Session.open(session_dir) as again:
        again.store.update_slide(sid, mpp=(0.25, 0.25), mpp_source="user")  # and killed at once
        again._closed = True
        again.store.close()
    with Session.open(session_dir) as again:
        again.add_slide(make_slide())
        assert not again.predictions[sid].detections.tiles()


def test_unknown_pixel_size_is_told_once(session: Session, session_dir: Path) -> None:
    session.add_slide(grey_slide())
    session.annotate("tumour", [[100, 100]])
    with pytest.warns(xce.XceWarning, match="pixel size of grey is unknown.*set_cell_diameter"):
        session.fit(seconds=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.fit(seconds=0)
        session.predict()
    session.close()
    with warnings.catch_warnings(), Session.open(session_dir) as again:
        warnings.simplefilter("error")
        again.add_slide(grey_slide())
        again.predict()


def test_tissue_is_found_once(session: Session) -> None:
    sid = session.add_slide(make_slide())
    tissue = session.tissue(sid)
    assert tissue is session.tissue(sid)
    assert tissue.shape == SHAPE


def test_renamed_slide_is_found_by_its_content(
    session: Session, session_dir: Path, tmp_path: Path
) -> None:
    """Also where another slide has taken its name."""
    folder = tmp_path / "slides"
    folder.mkdir()
    path = _png(folder / "a.png", seed=1)
    sid = session.add_slide(xce.open_slide(path))
    session.close()
    path.rename(folder / "patient 7.png")
    _png(path, seed=2)
    (folder / "z.png").write_bytes(b"no slide")
    with Session.open(session_dir) as again:
        assert again.slides[sid].path == folder / "patient 7.png"


def test_large_heat_is_kept_inside_the_session(
    session_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_xce.predictions.heat.LARGEST_IN_MEMORY", 0)
    with Session.create(session_dir) as session:
        id = session.add_slide(xce.Slide.from_array(np.zeros((500, 500, 3), np.uint8), mpp=0.5))
        predictions = session.predictions[id]
        predictions.publish((0, 0), {"cell": np.ones((9, 9), np.uint8)}, Detections.empty())
        assert isinstance(predictions.heat["cell"].levels[0], np.memmap)
        assert predictions.heat["cell"]._folder == session_dir / "predictions"
        assert not list((session_dir / "predictions").glob("heat-*"))  # it has no name
