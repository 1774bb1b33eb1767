from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_xce.errors import SlideError
from napari_xce.learning.heads import CELL_SIZE
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.predictor import Predictor, SlideAtWork
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import PINK, at_work, draw_nuclei

#: um from the centre of the first pixel; some lie on the borders of tiles of 64 um.
NUCLEI_UM = np.array(
    [
        (10.3, 12.1),
        (12.0, 40.6),
        (30.2, 25.0),
        (50.9, 8.4),
        (63.8, 63.7),
        (40.0, 64.2),
        (85.1, 30.7),
    ]
    + [(64.0, 95.3), (90.2, 90.4), (20.0, 88.8)]
)


def tiles(work):
    return [(row, column) for row in range(work.grid.rows) for column in range(work.grid.cols)]


@pytest.fixture
def calls(monkeypatch):
    """Return a list that grows whenever the network is called."""
    made: list[int] = []
    look = Predictor.look_at

    def counted(*arguments, **more):
        made.append(1)
        return look(*arguments, **more)

    monkeypatch.setattr(Predictor, "look_at", counted)
    return made


def predict_all(predictor, model, work):
    found = [predictor.predict(model, work, tile, 1) for tile in tiles(work)]
    return Detections.concatenate(f.detections for f in found)


@pytest.mark.parametrize("mpp", [(0.5, 0.5), (0.25, 0.25), (0.25, 0.3), (0.8, 0.8)])
def test_detections_land_on_the_nuclei(nuclei_model, cpu, mpp):
    shape = (int(105 / mpp[0]), int(105 / mpp[1]))
    work = at_work(draw_nuclei(shape, NUCLEI_UM, mpp), mpp)
    cells = predict_all(Predictor(cpu), nuclei_model, work).above(0.4)
    away, nearest = cKDTree(cells.points * mpp).query(NUCLEI_UM)
    assert away.max() < 1.5  # um
    assert len(np.unique(nearest)) == len(NUCLEI_UM)
    assert cKDTree(NUCLEI_UM).query(cells.points * mpp)[0].max() < 1.5  # and nowhere else


@pytest.mark.parametrize("mpp", [(0.5, 0.5), (0.25, 0.3)])
def test_diameters_are_those_of_the_nuclei(nuclei_model, cpu, mpp):
    shape = (int(105 / mpp[0]), int(105 / mpp[1]))
    work = at_work(draw_nuclei(shape, NUCLEI_UM, mpp), mpp)
    cells = predict_all(Predictor(cpu), nuclei_model, work).above(0.4)
    pixel = np.sqrt(mpp[0] * mpp[1])
    assert np.median(cells.diameters) * pixel == pytest.approx(8.0, rel=0.35)


def test_glass_holds_no_cells(nuclei_model, cpu):
    work = at_work(np.full((200, 200, 3), 255, np.uint8))
    assert len(predict_all(Predictor(cpu), nuclei_model, work).above(0.3)) == 0


def test_each_detection_lies_in_the_core_of_its_tile(nuclei_model, cpu):
    work = at_work(draw_nuclei((210, 210), NUCLEI_UM), core=64)
    predictor = Predictor(cpu)
    for tile in tiles(work):
        cells = predictor.predict(nuclei_model, work, tile, 1).detections
        assert (work.grid.tile_of(cells.points) == tile).all()


@pytest.fixture(scope="module")
def tissue():
    """Return synthetic tissue, 0.5 um/px, whose nuclei lie on every border of tiles."""
    return SyntheticSlide((1000, 1100), seed=2).read_level(0, 0, 0, 1000, 1100)


def assert_same_cells(one, other, score=0.4):
    """Hold that the same cells were found; only scores that differ by noise may cross the limit."""
    for a, b in ((one, other), (other, one)):
        sure = a.above(score)
        away, nearest = cKDTree(b.points).query(sure.points)
        assert away.max() < 0.5  # working pixels
        assert len(np.unique(nearest)) == len(sure)
        assert np.abs(b.scores[nearest] - sure.scores).max() < 0.005


@pytest.mark.parametrize("head", ["yollo", "unet"])
@pytest.mark.parametrize("core", [112, 448])
def test_cells_do_not_depend_on_how_the_slide_is_tiled(nuclei_model, cpu, tissue, core, head):
    nuclei_model.head = head
    whole = predict_all(Predictor(cpu), nuclei_model, at_work(tissue, core=1120))
    tiled = predict_all(Predictor(cpu), nuclei_model, at_work(tissue, core=core))
    assert len(whole.above(0.4)) > 200
    assert_same_cells(whole, tiled)


def test_block_of_tiles_says_what_its_tiles_say(nuclei_model, cpu, tissue):
    work = at_work(tissue, core=448)
    predictor = Predictor(cpu)
    block = [(0, 1), (0, 2), (1, 2)]  # the rectangle around them holds a tile that nobody wants
    pixels = work.read(*work.grid.window(*block).read)
    looked = predictor.look_at(nuclei_model, work, pixels[None], with_mask=False)[0]
    found = predictor.read_block(nuclei_model, work, block, looked, 7)
    assert list(found) == block
    for tile, prediction in found.items():
        alone = predictor.predict(nuclei_model, work, tile, 7)
        heat, expected = prediction.heat["nucleus"].astype(int), alone.heat["nucleus"].astype(int)
        assert np.abs(heat - expected).max() <= 1
        assert prediction.detections.revision == 7
        assert_same_cells(prediction.detections, alone.detections)


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_prediction_is_the_same_from_remembered_features(nuclei_model, cpu, calls, head):
    nuclei_model.head = head
    work = at_work(draw_nuclei((150, 150), NUCLEI_UM))
    predictor = Predictor(cpu)
    first = predictor.predict(nuclei_model, work, (0, 0), 1)
    again = predictor.predict(nuclei_model, work, (0, 0), 1)
    assert len(calls) == 1
    predictor.forget()
    fresh = predictor.predict(nuclei_model, work, (0, 0), 1)
    assert len(calls) == 2
    for other in (again, fresh):
        np.testing.assert_array_equal(other.heat["nucleus"], first.heat["nucleus"])
        np.testing.assert_array_equal(other.detections.points, first.detections.points)
        np.testing.assert_array_equal(other.detections.scores, first.detections.scores)


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_tiles_looked_at_ahead_are_predicted_as_alone(nuclei_model, cpu, calls, head):
    nuclei_model.head = head
    work = at_work(draw_nuclei((300, 150), NUCLEI_UM), core=64)
    predictor, alone = Predictor(cpu), Predictor(cpu)
    ahead = [(0, 0), (1, 0), (2, 1)]
    predictor.look_ahead(nuclei_model, work, ahead)
    predictor.look_ahead(nuclei_model, work, ahead)
    assert len(calls) == 3
    found = {tile: predictor.predict(nuclei_model, work, tile, 1) for tile in ahead}
    assert len(calls) == 3
    for tile, prediction in found.items():
        expected = alone.predict(nuclei_model, work, tile, 1)
        heat = prediction.heat["nucleus"].astype(int) - expected.heat["nucleus"]
        assert np.abs(heat).max() <= 1
        np.testing.assert_allclose(
            prediction.detections.points, expected.detections.points, atol=0.1
        )


def test_tile_that_cannot_be_read_is_left_to_whoever_asks_for_it(
    nuclei_model, cpu, calls, monkeypatch
):
    work = at_work(np.full((300, 64, 3), 255, np.uint8), core=64)
    read = SlideAtWork.read

    def read_or_fail(self, y, *place):
        if y > 0:  # of all but the first tile
            raise SlideError("The slide cannot be read there.")
        return read(self, y, *place)

    monkeypatch.setattr(SlideAtWork, "read", read_or_fail)
    predictor = Predictor(cpu)
    predictor.look_ahead(nuclei_model, work, [(0, 0), (4, 0)])
    predictor.look(nuclei_model, work, (0, 0))
    assert len(calls) == 1
    with pytest.raises(SlideError):
        predictor.look(nuclei_model, work, (4, 0))


def test_features_without_a_mask_do_not_spoil_the_other_head(nuclei_model, cpu):
    work = at_work(draw_nuclei((100, 100), NUCLEI_UM))
    predictor, fresh = Predictor(cpu), Predictor(cpu)
    predictor.predict(nuclei_model, work, (0, 0), 1)
    nuclei_model.head = "unet"
    after = predictor.predict(nuclei_model, work, (0, 0), 2)
    alone = fresh.predict(nuclei_model, work, (0, 0), 2)
    np.testing.assert_array_equal(after.heat["nucleus"], alone.heat["nucleus"])


def test_features_of_one_slide_can_be_forgotten_alone(nuclei_model, cpu, calls):
    work = at_work(draw_nuclei((100, 100), NUCLEI_UM))
    predictor = Predictor(cpu)
    predictor.look(nuclei_model, work, (0, 0))
    predictor.forget_slide("another")
    predictor.look(nuclei_model, work, (0, 0))
    assert len(calls) == 1
    predictor.forget_slide("drawn")
    predictor.look(nuclei_model, work, (0, 0))
    assert len(calls) == 2


def test_remembered_features_stay_within_their_bytes(nuclei_model, cpu, calls):
    work = at_work(np.full((500, 100, 3), 255, np.uint8), core=64)
    predictor = Predictor(cpu)
    size = 4 * (4 + CELL_SIZE) * 56 * 56  # float32 of the proposals and vectors of a tile
    predictor.seen.max_bytes = 3 * size
    for row in range(6):
        predictor.look(nuclei_model, work, (row, 0))
        assert predictor.seen.nbytes <= 3 * size
    for row in (5, 4, 3):  # the last three are still there ...
        predictor.look(nuclei_model, work, (row, 0))
    assert len(calls) == 6
    predictor.look(nuclei_model, work, (2, 0))  # ... and no more
    assert len(calls) == 7


@pytest.mark.parametrize("head", ["yollo", "unet"])
@pytest.mark.parametrize("shape", [(101, 77), (65, 130), (64, 64), (1, 1)])
def test_heat_covers_the_core_also_at_the_edge(nuclei_model, cpu, shape, head):
    nuclei_model.head = head
    work = at_work(np.tile(PINK.astype(np.uint8), (*shape, 1)), core=64)
    predictor = Predictor(cpu)
    for tile in tiles(work):
        top, left, bottom, right = work.grid.core(tile)
        heat = predictor.predict(nuclei_model, work, tile, 1).heat["nucleus"]
        assert heat.shape == (-(-(bottom - top) // 4), -(-(right - left) // 4))
        assert heat.dtype == np.uint8
        assert heat.min() >= 1  # everything here is predicted
        mask = predictor.foreground(nuclei_model, work, tile)
        assert mask.shape == (-(-(bottom - top) // 2), -(-(right - left) // 2))


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_heat_is_hot_on_nuclei_and_cold_between(nuclei_model, cpu, head):
    nuclei_model.head = head
    work = at_work(draw_nuclei((210, 210), NUCLEI_UM), core=256)
    heat = Predictor(cpu).predict(nuclei_model, work, (0, 0), 1).heat["nucleus"]
    rows, columns = ((2 * NUCLEI_UM + 0.5) // 4).astype(int).T
    assert heat[rows, columns].min() > 100
    assert np.median(heat) < 20


def test_foreground_covers_the_nuclei(nuclei_model, cpu):
    work = at_work(draw_nuclei((210, 210), NUCLEI_UM), core=256)
    mask = Predictor(cpu).foreground(nuclei_model, work, (0, 0))
    rows, columns = ((2 * NUCLEI_UM + 0.5) // 2).astype(int).T
    assert mask[rows, columns].min() > 0.5
    y, x = (np.arange(105) * 2 + 0.5) / 2, (np.arange(105) * 2 + 0.5) / 2  # um
    yy, xx = np.meshgrid(y, x, indexing="ij")
    away = cKDTree(NUCLEI_UM).query(np.stack([yy, xx], -1))[0]
    truth = away < 4
    overlap = (truth & (mask > 0.5)).sum() / (truth | (mask > 0.5)).sum()
    assert overlap > 0.6


def test_observation_names_nuclei_with_their_vectors(nuclei_model, cpu):
    work = at_work(draw_nuclei((210, 210), NUCLEI_UM), core=256)
    predictor = Predictor(cpu)
    seen = predictor.observe(nuclei_model, work, (0, 0))
    away, nearest = cKDTree(seen.points).query(2 * NUCLEI_UM)
    assert away.max() < 3
    assert seen.objects[nearest].min() > 0.4
    at_centres = predictor.vectors_at(nuclei_model, work, (0, 0), seen.points[nearest])
    alike = np.isclose(at_centres, seen.vectors[nearest]).all(1)
    assert alike.mean() >= 0.5  # the others' offset carries them into the next grid cell
    assert len(seen.ground_points) == len(seen.ground_vectors) > 0
    inside = (seen.ground_points >= 0) & (seen.ground_points < 210)
    assert inside.all()


def test_vector_is_that_of_the_grid_cell_under_the_point(nuclei_model, cpu):
    work = at_work(draw_nuclei((210, 210), NUCLEI_UM), core=64)
    predictor = Predictor(cpu)
    looked = predictor.look(nuclei_model, work, (1, 1))
    # the tile's grid begins 80 pixels before its core at 64: pixel 70 is its 86th, in cell 21
    vector = predictor.vectors_at(nuclei_model, work, (1, 1), np.array([[70.0, 67.4]]))[0]
    np.testing.assert_array_equal(vector, looked.cells[0, :, 21, 20].numpy())


def test_outside_the_slide_its_mirror_image_is_read(cpu):
    image = np.arange(40 * 30, dtype=np.uint8).reshape(40, 30)
    work = at_work(np.repeat(image[..., None], 3, 2))
    read = work.read(-2, 5, 4, 6)[..., 0]
    np.testing.assert_array_equal(read, image[[1, 0, 0, 1], 5:11])
    assert (work.read(500, 500, 8, 8) == 255).all()
