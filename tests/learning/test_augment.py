from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_xce.learning.augment import Crop, augment, degrade, random_crop, relight, restain
from napari_xce.learning.datasets import LabelledImage


def dotted(shape=(300, 340), seed=0):
    """Return a black image with a bright disc at each of its points, and their mask."""
    grid = np.stack(np.meshgrid(np.arange(8, shape[0], 30), np.arange(8, shape[1], 30)), -1)
    points = grid.reshape(-1, 2) + np.random.default_rng(seed).uniform(-3, 3, (grid.size // 2, 2))
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, np.uint16)
    for i, (y, x) in enumerate(points, 1):
        mask[np.hypot(yy - y, xx - x) < 5] = i
    pixels = np.repeat((mask[..., None] > 0) * np.uint8(250), 3, 2)
    n = len(points)
    return LabelledImage("a", "a", pixels, points, np.arange(n), np.full(n, 10.0), mask)


@pytest.mark.parametrize("seed", range(8))
def test_points_stay_on_their_nuclei(seed):
    image = dotted()
    crop = random_crop(image, 128, np.random.default_rng(seed))
    assert crop.pixels.shape == (128, 128, 3)
    assert len(crop.points) > 5
    rows, columns = np.round(crop.points).astype(int).T
    assert (crop.pixels[rows, columns] > 200).all()
    assert (crop.mask[rows, columns] == crop.labels + 1).all()


@pytest.mark.parametrize("seed", range(8))
def test_every_nucleus_in_a_crop_has_its_point(seed):
    crop = random_crop(dotted(), 128, np.random.default_rng(seed))
    pieces, n = ndimage.label(crop.pixels[..., 0] > 120)
    centres = np.array(ndimage.center_of_mass(pieces > 0, pieces, range(1, n + 1)))
    inside = ((centres > 8) & (centres < 119)).all(1)  # whole ones
    assert cKDTree(crop.points).query(centres[inside])[0].max() < 1.5


def test_mirrored_corners_bring_their_nuclei():
    crops = [random_crop(dotted((130, 130)), 128, np.random.default_rng(s)) for s in range(10)]
    assert max(len(c.labels) - len(np.unique(c.labels)) for c in crops) > 0
    for crop in crops:
        rows, columns = np.round(crop.points).astype(int).T
        assert (crop.pixels[rows, columns] > 200).all()


def test_diameters_scale_with_the_crop():
    for seed in range(5):
        crop = random_crop(dotted(), 128, np.random.default_rng(seed))
        assert len(np.unique(crop.diameters)) == 1
        areas = np.bincount(crop.mask.ravel())[1:]
        whole = ((crop.points > 10) & (crop.points < 117)).all(1)
        area = np.median(areas[crop.labels[whole]])
        assert np.sqrt(4 * area / np.pi) == pytest.approx(crop.diameters[0], rel=0.1)


def test_image_without_a_mask_gives_a_crop_without_one():
    image = dotted()
    bare = LabelledImage("a", "a", image.pixels, image.points, image.labels, image.diameters, None)
    assert random_crop(bare, 64, np.random.default_rng(0)).mask is None


def test_same_chance_gives_the_same_crop():
    one, other = (
        augment(random_crop(dotted(), 96, rng), rng)
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.points, other.points)


@pytest.mark.parametrize("change", [restain, relight, degrade])
def test_changed_colours_keep_shape_and_type(change):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    before = pixels.copy()
    results = [change(pixels, np.random.default_rng(s)) for s in range(12)]
    assert all(r.shape == (40, 30, 3) and r.dtype == np.uint8 for r in results)
    assert any((r != pixels).any() for r in results)
    np.testing.assert_array_equal(pixels, before)


def test_restained_nuclei_stay_darker_than_their_surroundings():
    pixels = np.full((40, 40, 3), (235, 205, 225), np.uint8)
    pixels[10:20, 10:20] = (90, 60, 140)
    for seed in range(20):
        changed = restain(pixels, np.random.default_rng(seed)).astype(int)
        assert changed[15, 15].sum() < changed[30, 30].sum()


def test_glass_stays_light_when_restained():
    white = np.full((8, 8, 3), 255, np.uint8)
    for seed in range(20):
        assert restain(white, np.random.default_rng(seed)).min() > 200


def test_augmenting_keeps_what_is_known_of_the_nuclei():
    crop = random_crop(dotted(), 64, np.random.default_rng(0))
    for seed in range(5):
        changed = augment(crop, np.random.default_rng(seed))
        assert isinstance(changed, Crop)
        for name in ("points", "labels", "diameters", "mask"):
            np.testing.assert_array_equal(getattr(changed, name), getattr(crop, name))
        assert changed.pixels.shape == crop.pixels.shape
