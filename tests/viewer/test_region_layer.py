"""Drawn rectangles become reviewed regions of the store, and back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_xce.annotations import Store
from napari_xce.viewer.region_layer import RegionLayer

SQUARE = np.array([[10, 10], [10, 60], [60, 60], [60, 10]], dtype=float)


@pytest.fixture
def drawn() -> list[str]:
    return []


@pytest.fixture
def regions(slide_layer: Image, store: Store, slide_id: str, drawn: list[str]) -> RegionLayer:
    return RegionLayer(
        slide_layer,
        store,
        slide_id,
        lambda: drawn.append("drawn"),
        lambda: drawn.append("edited"),
        drawn.append,
    )


def test_drawn_rectangle_is_a_reviewed_region(
    regions: RegionLayer, store: Store, drawn: list[str]
) -> None:
    regions.layer.add([SQUARE], shape_type="rectangle")
    stands = store.annotations().of_kind("region")
    np.testing.assert_allclose(stands.polygons[0], SQUARE)
    assert drawn == ["drawn"]
    assert len(regions.layer.data) == 1


def test_deleted_shape_is_deleted_in_the_store(regions: RegionLayer, store: Store) -> None:
    regions.layer.add([SQUARE, SQUARE + 100], shape_type="rectangle")
    regions.layer.selected_data = {0}
    regions.layer.remove_selected()
    stands = store.annotations().of_kind("region")
    assert len(stands) == 1
    np.testing.assert_allclose(stands.polygons[0], SQUARE + 100)


def test_slip_of_the_mouse_is_no_region(regions: RegionLayer, store: Store) -> None:
    regions.layer.add([SQUARE / 100], shape_type="rectangle")
    assert len(store.annotations()) == 0
    assert len(regions.layer.data) == 0


def test_undo_takes_the_region_off_the_layer(regions: RegionLayer, store: Store) -> None:
    regions.layer.add([SQUARE], shape_type="rectangle")
    store.undo()
    regions.mirror()
    assert len(regions.layer.data) == 0
    store.redo()
    regions.mirror()
    np.testing.assert_allclose(regions.layer.data[0], SQUARE)


def _drag(regions: RegionLayer, *indices: int) -> None:
    """Do what napari does when these shapes were dragged 20 pixels to the right."""
    for index in indices:
        regions.layer._data_view.shift(index, np.array([0, 20]))
    regions.layer.events.data(
        value=regions.layer.data, action="changed", data_indices=indices, vertex_indices=((),)
    )


def test_dragged_regions_are_one_action_and_keep_their_ids(
    regions: RegionLayer, store: Store, drawn: list[str]
) -> None:
    regions.layer.add([SQUARE, SQUARE + 100], shape_type="rectangle")
    ids = store.annotations().ids.tolist()
    _drag(regions, 0, 1)
    stands = store.annotations()
    assert stands.ids.tolist() == ids
    np.testing.assert_allclose(stands.polygons[1], SQUARE + (100, 120))
    assert drawn == ["drawn", "edited"]
    assert store.undo() == "Change 2 reviewed regions"
    regions.mirror()
    np.testing.assert_allclose(regions.layer.data[0], SQUARE)
    store.redo()
    regions.mirror()
    np.testing.assert_allclose(regions.layer.data[1], SQUARE + (100, 120))


def test_region_squeezed_to_nothing_is_put_back(
    regions: RegionLayer, store: Store, drawn: list[str]
) -> None:
    regions.layer.add([SQUARE], shape_type="rectangle")
    regions.layer._data_view.scale(0, [0.0, 1.0], center=[10, 10])
    regions.layer.events.data(
        value=regions.layer.data, action="changed", data_indices=(0,), vertex_indices=((),)
    )
    np.testing.assert_allclose(store.annotations().polygons[0], SQUARE)
    np.testing.assert_allclose(regions.layer.data[0], SQUARE)
    assert len(drawn) == 3  # drawn, a sentence, edited
