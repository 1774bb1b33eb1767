"""Cells and masks of a slide and of regions."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops

import napari_xce as xce
from napari_xce.predictions.block_reader import BlockReader
from napari_xce.predictions.live import LiveModel
from napari_xce.predictions.predictor import TilePrediction
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import SHAPE, cells_of

REGION = ((100.0, 120.0), (300.0, 360.0))


def _inside(points: np.ndarray, region: tuple[tuple[float, float], tuple[float, float]]) -> bool:
    return bool(((points >= region[0]) & (points < region[1])).all())


def test_region_gives_the_cells_of_the_slide_inside_it(learnt: Session) -> None:
    part = learnt.predict(region=REGION)
    whole = learnt.predict()
    assert _inside(part.points, REGION)
    chosen = whole.inside((100, 120, 300, 360))
    np.testing.assert_array_equal(part.points, chosen.points)
    assert 0 < len(part) < len(whole)


def test_only_the_tiles_of_the_region_are_predicted(learnt: Session) -> None:
    sid = next(iter(learnt.slides))
    learnt.predict(region=((10, 10), (50, 50)))
    assert set(learnt.predictions[sid].revisions) == {(0, 0)}
    learnt.predict(region=((10, 440), (50, 460)))
    assert set(learnt.predictions[sid].revisions) == {(0, 0), (0, 1)}


def test_predicted_tiles_are_predicted_once_a_revision(
    learnt: Session, slide: SyntheticSlide, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Tile] = []
    real = LiveModel.predict_next

    def count(self: LiveModel, reader: BlockReader) -> dict[Tile, TilePrediction]:
        found = real(self, reader)
        done.extend(found)
        return found

    monkeypatch.setattr(LiveModel, "predict_next", count)
    learnt.predict()
    learnt.predict()
    assert len(done) == 2
    learnt.annotate("tumour", cells_of(slide, "tumour", 6)[4:])
    learnt.fit(seconds=0)
    learnt.predict()
    assert len(done) == 4


@pytest.mark.parametrize(
    "region",
    [((0, 0), (0, 10)), ((10, 10), (5, 20)), ((0, 0), (np.nan, 5)), (0, 0, 10, 10), "all"],
)
def test_region_that_encloses_nothing_is_refused(learnt: Session, region: object) -> None:
    for use in (learnt.predict, learnt.segment):
        with pytest.raises(xce.SessionError, match="region"):
            use(region=region)


def test_region_beyond_the_slide_holds_no_cell(learnt: Session) -> None:
    beyond = ((5000, 5000), (5100, 5100))
    assert len(learnt.predict(region=beyond)) == 0
    with pytest.raises(xce.SessionError, match="outside the slide"):
        learnt.segment(region=beyond)


def test_glass_is_left_out_unless_something_was_said_there(session: Session) -> None:
    pixels = np.full((448, 448 * 4, 3), 245, np.uint8)
    pixels[:, :448] = SyntheticSlide((448, 448), seed=3).read(0, 0, 448, 448)
    sid = session.add_slide(xce.Slide.from_array(pixels, mpp=0.5))
    truth = SyntheticSlide((448, 448), seed=3).truth()
    session.annotate("tumour", truth.points[truth.labels == "tumour"][:4])
    session.fit(seconds=0)
    session.predict()
    done = session.predictions[sid].revisions
    assert (0, 0) in done
    assert not {(0, 2), (0, 3)} & set(done)
    session.reject([[200, 448 * 3 + 200]])
    session.fit(seconds=0)
    session.predict()
    assert (0, 3) in done
    assert (0, 2) not in done
    session.predict(region=((0, 448 * 2 + 10), (448, 448 * 2 + 40)))  # asked for by place
    assert (0, 2) in done


# ---- masks


def test_label_of_a_mask_is_the_number_of_its_cell(learnt: Session) -> None:
    masks = learnt.segment(region=REGION)
    cells = learnt.predict(region=REGION)
    assert masks.shape == (200, 240)
    for k, point in enumerate(cells.points - REGION[0]):
        mine = np.argwhere(masks == k + 1)
        assert len(mine), f"cell {k} has no mask"
        assert np.linalg.norm(mine - point, axis=1).min() < 2
    areas = {r.label: r.area for r in regionprops(masks)}
    assert 20 < np.median(list(areas.values())) < 800  # nuclei of 5 to 32 pixels


def test_cells_that_reach_in_have_higher_labels(learnt: Session) -> None:
    cut = learnt.predict().points[5]  # a region that begins at the middle of a cell
    region = ((cut[0] + 2, cut[1] - 30), (cut[0] + 60, cut[1] + 30))
    inside, masks = learnt.predict(region=region), learnt.segment(region=region)
    assert masks.max() > len(inside)
    assert masks[0, 30] > len(inside)


def test_region_and_slide_agree_on_masks(learnt: Session) -> None:
    whole = learnt.segment()
    assert whole.shape == SHAPE
    assert whole.max() == len(learnt.predict())
    part = learnt.segment(region=REGION)
    same = (whole[100:300, 120:360] > 0) == (part > 0)
    assert same.mean() > 0.99


def test_mask_of_a_region_over_the_edge_keeps_its_place(learnt: Session) -> None:
    masks = learnt.segment(region=((-20, -10), (180, 190)))
    assert masks.shape == (200, 200)
    assert not masks[:20].any()
    assert not masks[:, :10].any()
    assert masks.max() > 0


def test_masks_lie_on_finer_pixels(session: Session) -> None:
    """At 0.25 um/px a mask pixel of 1 um covers four by four level-0 pixels."""
    coarse = SyntheticSlide((448, 448), seed=3)
    fine = coarse.read(0, 0, 448, 448).repeat(2, axis=0).repeat(2, axis=1)
    session.add_slide(xce.Slide.from_array(fine, mpp=0.25))
    truth = coarse.truth()
    session.annotate("tumour", truth.points[truth.labels == "tumour"][:4] * 2 + 0.5)
    session.fit(seconds=0)
    cells, masks = session.predict(), session.segment()
    assert masks.shape == (896, 896)
    hits = [masks[round(y), round(x)] == k + 1 for k, (y, x) in enumerate(cells.points)]
    assert np.mean(hits) > 0.95
