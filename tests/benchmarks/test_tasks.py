from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image
from protocol.tasks import FRACTIONS, TASKS, annotated_cells, split_of

COUNTS = [13, 0, 40, 7]


def as_set(chosen):
    return {(i, int(k)) for i, cells in enumerate(chosen) for k in cells}


def test_same_seed_annotates_the_same_cells():
    first, second = (as_set(annotated_cells(COUNTS, 0.2, seed=3)) for _ in range(2))
    assert first == second
    assert first != as_set(annotated_cells(COUNTS, 0.2, seed=4))


def test_fewer_annotations_are_part_of_more():
    sets = [as_set(annotated_cells(COUNTS, fraction, seed=1)) for fraction in FRACTIONS]
    for fewer, more in itertools.pairwise(sets):
        assert fewer < more


def test_fraction_is_that_of_all_cells():
    sizes = [len(as_set(annotated_cells(COUNTS, fraction, seed=0))) for fraction in FRACTIONS]
    assert sizes == [3, 6, 12, 24, 60]
    assert as_set(annotated_cells(COUNTS, 1.0, 0)) == {
        (i, k) for i, n in enumerate(COUNTS) for k in range(n)
    }


def test_at_least_one_cell_is_annotated():
    assert len(as_set(annotated_cells([2], 0.05, seed=0))) == 1


def test_fraction_out_of_range_is_refused():
    with pytest.raises(ValueError, match="fraction"):
        annotated_cells(COUNTS, 0.0, seed=0)


def test_no_patient_of_brca_is_on_both_sides(shared_data):
    split = split_of(TASKS[0], shared_data)
    train, test = ({picture.group for picture in side} for side in (split.train, split.test))
    assert train
    assert test
    assert not train & test


def test_tasks_of_brca_share_pixels_and_no_cell(shared_data):
    sides = [split_of(task, shared_data).test for task in TASKS[:3]]
    assert all(a.pixels is b.pixels for a, b in zip(sides[0], sides[1], strict=True))
    assert [sum(len(p.points) for p in side) for side in sides] == [1358, 733, 1042]


def test_smears_are_scaled_to_the_diameter_and_split_by_number(tmp_path):
    (task,) = [task for task in TASKS if task.kind == "Platelets"]
    folder = tmp_path / "cbc"
    for kind in ("images", "boxes"):
        (folder / kind).mkdir(parents=True)
    for number in (1, 5):
        pixels = np.full((120, 160, 3), 230, np.uint8)
        pixels[40:72, 80:112] = 60  # a platelet of 32 pixels, centre (55.5, 95.5)
        Image.fromarray(pixels).save(folder / "images" / f"BloodImage_{number:05d}.jpg")
        box = "<xmin>80</xmin><ymin>40</ymin><xmax>112</xmax><ymax>72</ymax>"
        words = f"<a><object><name>Platelets</name><bndbox>{box}</bndbox></object></a>"
        (folder / "boxes" / f"BloodImage_{number:05d}.xml").write_text(words)
    split = split_of(task, tmp_path)
    (train,), (test,) = split.train, split.test
    assert (train.name, test.name) == ("BloodImage_00001", "BloodImage_00005")
    assert train.pixels.shape == (60, 80, 3)  # 32 pixels became 16
    dark = np.argwhere(train.pixels[..., 0] < 145)
    np.testing.assert_allclose(dark.mean(0), train.points[0], atol=0.5)
