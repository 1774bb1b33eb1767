from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_xce.learning.heads import CELL_SIZE
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.predictor import Predictor

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


def count_calls(model):
    """Return a list that grows whenever the network is called."""
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    return calls


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


def test_cells_do_not_depend_on_how_the_slide_is_tiled(nuclei_model, cpu):
    image = draw_nuclei((210, 210), NUCLEI_UM)
    small = predict_all(Predictor(cpu), nuclei_model, at_work(image, core=64)).above(0.4)
    large = predict_all(Predictor(cpu), nuclei_model, at_work(image, core=256)).above(0.4)
    away, _ = cKDTree(small.points).query(large.points)
    assert away.max() < 2.0  # working pixels


@pytest.mark.parametrize("head", ["yollo", "unet"])
def test_prediction_is_the_same_from_remembered_features(nuclei_model, cpu, head):
    nuclei_model.head = head
    work = at_work(draw_nuclei((150, 150), NUCLEI_UM))
    predictor, calls = Predictor(cpu), count_calls(nuclei_model)
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


def test_features_without_a_mask_do_not_spoil_the_other_head(nuclei_model, cpu):
    work = at_work(draw_nuclei((100, 100), NUCLEI_UM))
    predictor, fresh = Predictor(cpu), Predictor(cpu)
    predictor.predict(nuclei_model, work, (0, 0), 1)
    nuclei_model.head = "unet"
    after = predictor.predict(nuclei_model, work, (0, 0), 2)
    alone = fresh.predict(nuclei_model, work, (0, 0), 2)
    np.testing.assert_array_equal(after.heat["nucleus"], alone.heat["nucleus"])


def test_features_of_one_slide_can_be_forgotten_alone(nuclei_model, cpu):
    work = at_work(draw_nuclei((100, 100), NUCLEI_UM))
    predictor, calls = Predictor(cpu), count_calls(nuclei_model)
    predictor.look(nuclei_model, work, (0, 0))
    predictor.forget_slide("another")
    predictor.look(nuclei_model, work, (0, 0))
    assert len(calls) == 1
    predictor.forget_slide("drawn")
    predictor.look(nuclei_model, work, (0, 0))
    assert len(calls) == 2


def test_remembered_features_stay_within_their_bytes(nuclei_model, cpu, monkeypatch):
    work = at_work(np.full((500, 100, 3), 255, np.uint8), core=64)
    predictor, calls = Predictor(cpu), count_calls(nuclei_model)
    size = 4 * (36 + CELL_SIZE) * 32 * 32  # float32 of the proposals and vectors of a tile
    monkeypatch.setattr("napari_xce.predictions.predictor._CACHE_BYTES", 3 * size)
    for row in range(6):
        predictor.look(nuclei_model, work, (row, 0))
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
    # the tile's grid begins 32 pixels before its core at 64: pixel 70 is its 38th, in cell 9
    vector = predictor.vectors_at(nuclei_model, work, (1, 1), np.array([[70.0, 67.4]]))[0]
    np.testing.assert_array_equal(vector, looked.cells[0, :, 9, 8].numpy())


def test_outside_the_slide_its_mirror_image_is_read(cpu):
    image = np.arange(40 * 30, dtype=np.uint8).reshape(40, 30)
    work = at_work(np.repeat(image[..., None], 3, 2))
    read = work.read(-2, 5, 4, 6)[..., 0]
    np.testing.assert_array_equal(read, image[[1, 0, 0, 1], 5:11])
    assert (work.read(500, 500, 8, 8) == 255).all()
