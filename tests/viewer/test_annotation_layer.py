"""Clicks become actions of the store, and the store's state becomes clicks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from napari.layers import Image

from napari_xce.annotations import BACKGROUND, Store
from napari_xce.viewer.annotation_layer import AnnotationLayer


@dataclass
class Heard:
    changes: int = 0
    errors: list[str] = field(default_factory=list)

    def change(self) -> None:
        self.changes += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def clicks(slide_layer: Image, store: Store, slide_id: str, heard: Heard) -> AnnotationLayer:
    made = AnnotationLayer(slide_layer, store, slide_id, 16.0, heard.change, heard.errors.append)
    made.set_class("lymphocyte")
    made.layer.mode = "add"
    return made


def test_added_point_is_in_the_store_in_level0_pixels(
    clicks: AnnotationLayer, store: Store, heard: Heard
) -> None:
    clicks.layer.add([10.25, 20.5])
    stands = store.annotations()
    assert stands.points.tolist() == [[10.25, 20.5]]
    assert stands.labels.tolist() == ["lymphocyte"]
    assert list(clicks.layer.features["uuid"]) == stands.ids.tolist()
    assert heard.changes == 1


def test_one_click_is_one_action_of_the_store(clicks: AnnotationLayer, store: Store) -> None:
    before = store.revision
    clicks.layer.add([10, 20])
    assert store.revision == before + 1
    assert store.undo() == "Add 1 lymphocyte point"


def test_next_click_takes_class_colour_and_symbol(clicks: AnnotationLayer, store: Store) -> None:
    clicks.layer.add([10, 20])
    clicks.set_class("tumour")
    clicks.layer.add([100, 100])
    clicks.set_class(BACKGROUND)
    clicks.layer.add([200, 200])
    stands = store.annotations()
    assert stands.labels.tolist() == ["lymphocyte", "tumour", BACKGROUND]
    assert stands.kinds.tolist() == ["point", "point", "rejection"]
    assert [str(s) for s in clicks.layer.symbol] == ["disc", "disc", "x"]
    np.testing.assert_allclose(clicks.layer.face_color[1, :3], (0x56 / 255, 0xB4 / 255, 0xE9 / 255))
    assert clicks.said().labels == ["lymphocyte", "tumour", BACKGROUND]


def test_moved_and_deleted_points_reach_the_store(clicks: AnnotationLayer, store: Store) -> None:
    clicks.layer.add([[10, 20], [50, 60], [90, 90]])
    moved = clicks.layer.data.copy()
    moved[1] = (55, 66)
    clicks.layer.data = moved
    clicks.layer.selected_data = {0}
    clicks.layer.remove_selected()
    assert store.annotations().points.tolist() == [[55, 66], [90, 90]]
    assert list(clicks.layer.features["uuid"]) == store.annotations().ids.tolist()


def test_clearing_the_layer_deletes_all_and_undo_brings_all_back(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([[10, 20], [50, 60]])
    clicks.layer.data = []
    assert len(store.annotations()) == 0
    store.undo()
    clicks.mirror()
    assert clicks.layer.data.tolist() == [[10, 20], [50, 60]]


def test_undo_redo_and_import_are_mirrored_without_echo(
    clicks: AnnotationLayer, store: Store, slide_id: str
) -> None:
    clicks.layer.add([10, 20])
    store.undo()
    clicks.mirror()
    assert len(clicks.layer.data) == 0
    store.redo()
    store.add_points(slide_id, "tumour", [[1, 2], [3, 4]], provenance="imported")
    before = store.revision
    clicks.mirror()
    assert clicks.layer.data.tolist() == [[10, 20], [1, 2], [3, 4]]
    assert list(clicks.layer.features["class"]) == ["lymphocyte", "tumour", "tumour"]
    assert store.revision == before


def test_click_on_a_click_of_another_class_corrects_it(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([10, 20])
    clicks.set_class("tumour")
    clicks.layer.add([12, 21])
    stands = store.annotations()
    assert stands.points.tolist() == [[10, 20]]
    assert stands.labels.tolist() == ["tumour"]
    assert len(clicks.layer.data) == 1


def test_class_of_selected_points_changes_in_select_mode(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([[10, 20], [90, 90]])
    clicks.layer.mode = "select"
    clicks.layer.selected_data = {1}
    clicks.set_class("tumour")
    assert store.annotations().labels.tolist() == ["lymphocyte", "tumour"]


def test_class_typed_into_the_features_table_is_taken_over(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([[10, 20], [90, 90]])
    features = clicks.layer.features.copy()
    features.loc[0, "class"] = "tumour"
    clicks.layer.features = features
    assert store.annotations().labels.tolist() == ["tumour", "lymphocyte"]


def test_classes_typed_for_several_points_are_one_action(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([[10, 20], [90, 90], [50, 50]])
    features = clicks.layer.features.copy()
    features["class"] = ["tumour", BACKGROUND, "lymphocyte"]
    clicks.layer.features = features
    assert store.annotations().labels.tolist() == ["tumour", BACKGROUND, "lymphocyte"]
    assert store.undo() == "Relabel 2 clicks"
    assert store.annotations().labels.tolist() == ["lymphocyte"] * 3


def test_layer_data_set_anew_is_one_action(clicks: AnnotationLayer, store: Store) -> None:
    clicks.layer.add([[10, 20], [90, 90]])
    clicks.layer.data = [[15, 25], [90, 90], [50, 60]]
    assert store.annotations().points.tolist() == [[15, 25], [90, 90], [50, 60]]
    assert store.undo() == "Edit clicks"
    clicks.mirror()
    assert clicks.layer.data.tolist() == [[10, 20], [90, 90]]


def test_several_selected_points_are_deleted_in_one_action(
    clicks: AnnotationLayer, store: Store
) -> None:
    clicks.layer.add([[10, 20], [90, 90], [50, 50]])
    clicks.layer.selected_data = {0, 2}
    clicks.layer.remove_selected()
    assert store.annotations().points.tolist() == [[90, 90]]
    assert store.undo() == "Delete 2 lymphocyte points"


def test_accepted_cell_looks_unlike_a_click(
    clicks: AnnotationLayer, store: Store, slide_id: str
) -> None:
    clicks.layer.add([10, 20])
    store.add_points(slide_id, "tumour", [[90, 90]], provenance="accepted")
    clicks.mirror()
    assert [str(s) for s in clicks.layer.symbol] == ["disc", "diamond"]
    assert list(clicks.layer.features["kind"]) == ["point", "accepted"]
    assert clicks.nearest((90, 91), 5, ["point", "rejection"]) is None
    assert clicks.nearest((90, 91), 5) == store.annotations().ids[1]


def test_pasted_points_are_found_at_the_next_tick(clicks: AnnotationLayer, store: Store) -> None:
    clicks.layer.add([10, 20])
    clicks.layer.selected_data = {0}
    clicks.layer._copy_data()
    clicks.layer._paste_data()
    clicks.reconcile()
    assert store.annotations().points.tolist() == [[10, 20], [10, 20]]


def test_refused_click_is_taken_off_and_said_in_words(
    clicks: AnnotationLayer, store: Store, heard: Heard
) -> None:
    clicks.layer.add([10, 20])
    clicks.current = "gone"
    clicks.layer.add([200, 200])
    assert clicks.layer.data.tolist() == [[10, 20]]
    assert len(heard.errors) == 1


def test_recoloured_and_renamed_class_shows(clicks: AnnotationLayer, store: Store) -> None:
    clicks.layer.add([10, 20])
    store.recolor_class("lymphocyte", "#112233")
    store.rename_class("lymphocyte", "lymph")
    clicks.mirror()
    np.testing.assert_allclose(clicks.layer.face_color[0, :3], np.array([0x11, 0x22, 0x33]) / 255)
    assert list(clicks.layer.features["class"]) == ["lymph"]


def test_clicks_stay_large_enough_to_see(clicks: AnnotationLayer) -> None:
    clicks.layer.add([10, 20])
    clicks.fit(screen_px=0.1)
    assert clicks.layer.size[0] * 0.1 == pytest.approx(12)
    clicks.fit(screen_px=10)
    assert clicks.layer.size[0] == pytest.approx(8)  # half a cell


def test_nothing_is_heard_after_close(clicks: AnnotationLayer, store: Store) -> None:
    clicks.close()
    clicks.close()
    clicks.layer.add([10, 20])
    assert len(store.annotations()) == 0


@pytest.fixture
def many(
    clicks: AnnotationLayer, store: Store, slide_id: str, monkeypatch: pytest.MonkeyPatch
) -> AnnotationLayer:
    """Return the layer with 40 imported points in a row and one by hand; ten may be drawn."""
    monkeypatch.setattr("napari_xce.viewer.standing_clicks.MOST_DRAWN", 10)
    row = np.column_stack([np.full(40, 20.0), 5.0 * np.arange(40)])
    store.add_points(slide_id, "tumour", row, provenance="imported")
    store.add_points(slide_id, "lymphocyte", [[20, 1]])
    clicks.follow((0, 0, 300, 300))
    clicks.mirror()
    return clicks


def test_of_too_many_clicks_those_by_hand_and_an_even_choice_are_drawn(
    many: AnnotationLayer, store: Store
) -> None:
    drawn = many.layer.data.tolist()
    assert [20, 1] in drawn
    assert 5 <= len(drawn) <= 10
    many.layer.add([200, 200])
    assert [200, 200] in many.layer.data.tolist()
    assert len(store.annotations()) == 42


def test_all_clicks_of_a_closer_view_are_drawn(many: AnnotationLayer, store: Store) -> None:
    many.follow((10, 100, 30, 120))
    seen = [x for y, x in many.layer.data.tolist() if 100 <= x <= 120]
    assert seen == [100, 105, 110, 115, 120]
    many.follow((10, 0, 30, 20))  # beside what is loaded
    assert [20, 1] in many.layer.data.tolist()
    many.layer.selected_data = {0}
    many.layer.remove_selected()
    assert len(store.annotations()) == 40


def test_click_that_is_not_drawn_is_known_all_the_same(many: AnnotationLayer, store: Store) -> None:
    many.follow((10, 0, 30, 20))
    assert many.nearest((20, 195), 1) == store.annotations().ids[39]
    assert len(many.said().labels) == 41
