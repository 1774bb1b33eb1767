from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_xce.learning.datasets import (
    WHITE_CELL_DIAMETER,
    cbc_is_held_out,
    distance_to_points,
    patient_of,
    read_brca,
    read_cbc_boxes,
    read_cbc_white_cells,
    read_dsb,
)
from napari_xce.learning.heads import REFERENCE_DIAMETER


def test_patient_is_the_first_three_fields_of_a_name():
    assert patient_of("TCGA-A7-A13G-01Z-00-DX1_9501_8501_1000_1000_0.9824") == "TCGA-A7-A13G"


def test_no_patient_is_both_trained_on_and_validated_on(shared_data):
    train = {image.group for image in read_brca(shared_data, "train")}
    val = {image.group for image in read_brca(shared_data, "val")}
    assert train
    assert val
    assert not train & val


def test_brca_dots_lie_in_their_images(shared_data):
    images = read_brca(shared_data, "val")
    assert sum(len(image.points) for image in images) == 3133  # as the data's README counts
    counts = sum(np.bincount(image.labels, minlength=3) for image in images)
    assert counts.tolist() == [1358, 733, 1042]
    for image in images:
        assert image.pixels.ndim == 3
        assert image.pixels.dtype == np.uint8
        assert (image.points >= 0).all()
        assert (image.points < image.pixels.shape[:2]).all()


def write_look(folder, pixels, mask):
    folder.mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "a.png")
    tifffile.imwrite(folder / "a_labels.tif", mask)


def square_nuclei(value):
    """Return a 64 x 96 picture with two square nuclei of 8 pixels, and their labels."""
    mask = np.zeros((64, 96), np.uint16)
    mask[10:18, 20:28], mask[40:48, 70:78] = 1, 2
    pixels = np.where(mask[..., None] > 0, value, 255 - value).astype(np.uint8)
    return np.broadcast_to(pixels, (64, 96, 3)).copy(), mask


def test_nuclei_are_scaled_to_the_reference_diameter(tmp_path):
    write_look(tmp_path / "dsb2018" / "violet", *square_nuclei(60))
    (image,) = read_dsb(tmp_path, "violet")
    np.testing.assert_allclose(image.diameters, REFERENCE_DIAMETER)
    scale = REFERENCE_DIAMETER / np.sqrt(4 * 64 / np.pi)
    np.testing.assert_allclose(image.pixels.shape[:2], np.array([64, 96]) * scale, atol=1)
    assert image.mask.shape == image.pixels.shape[:2]
    for label, point in enumerate(image.points, 1):
        np.testing.assert_allclose(np.argwhere(image.mask == label).mean(0), point, atol=0.6)
        row, column = np.round(point).astype(int)
        assert image.pixels[row, column].mean() < 80


def test_fluorescence_is_turned_into_dark_nuclei_on_white(tmp_path):
    write_look(tmp_path / "dsb2018" / "fluorescence", *square_nuclei(230))
    (image,) = read_dsb(tmp_path, "fluorescence")
    row, column = np.round(image.points[0]).astype(int)
    assert image.pixels[row, column].max() < 200
    assert image.pixels[0, 0].min() > 200
    assert image.pixels[row, column, 2] > image.pixels[row, column, 0]  # bluish


def test_every_fifth_blood_image_is_held_out():
    assert cbc_is_held_out("BloodImage_00000")
    assert cbc_is_held_out("BloodImage_00335")
    assert not cbc_is_held_out("BloodImage_00001")


def test_box_without_a_size_is_left_out(tmp_path):
    box = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    objects = "".join(
        f"<object><name>{name}</name>{box.format(*sides)}</object>"
        for name, sides in [("RBC", (504, 337, 504, 337)), ("WBC", (10, 20, 30, 50))]
    )
    (tmp_path / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    ((name, found),) = read_cbc_boxes(tmp_path / "a.xml")
    assert name == "WBC"
    assert found.tolist() == [20, 10, 50, 30]  # y0, x0, y1, x1


def test_white_cells_come_in_mosaics_at_nucleus_size(shared_data, tmp_path):
    for kind, ending in (("images", "jpg"), ("boxes", "xml")):
        (tmp_path / "cbc" / kind).mkdir(parents=True)
        for path in sorted((shared_data / "cbc" / kind).glob(f"*.{ending}"))[:15]:
            shutil.copy(path, tmp_path / "cbc" / kind)
    (mosaic,) = read_cbc_white_cells(tmp_path)  # of nine images; three are held out
    assert np.median(mosaic.diameters) == pytest.approx(WHITE_CELL_DIAMETER, rel=0.1)
    assert (mosaic.points > -1).all()
    assert (mosaic.points < mosaic.pixels.shape[:2]).all()
    rows, columns = np.clip(np.round(mosaic.points).astype(int), 0, None).T
    at_cells = mosaic.pixels[rows, columns].astype(int)
    assert (at_cells[:, 2] > at_cells[:, 0]).mean() > 0.6  # white cells are stained blue


def test_distance_is_that_to_the_nearest_point():
    distance = distance_to_points((5, 6), np.array([[1.0, 1.0], [4.2, 5.4]]))
    assert distance[1, 1] == 0
    assert distance[4, 5] == 0
    assert distance[1, 4] == 3
    assert distance[4, 3] == 2


def test_distance_without_points_is_infinite():
    assert np.isinf(distance_to_points((3, 3), np.empty((0, 2)))).all()
    assert np.isinf(distance_to_points((3, 3), np.array([[9.0, 9.0]]))).all()
