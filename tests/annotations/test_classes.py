"""Classes: names, colours and keys are the user's, and stay apart."""

from __future__ import annotations

import pytest

from napari_xce.annotations import CellClass, Store
from napari_xce.annotations.classes import PALETTE
from napari_xce.errors import SessionError


def names(store: Store) -> list[str]:
    return [found.name for found in store.classes()]


def test_background_is_there_from_the_start(store: Store) -> None:
    assert store.classes()[0] == CellClass(0, "background", "#808080", None)


def test_keys_are_given_in_order_and_the_freed_one_first(store: Store) -> None:
    keys = [store.add_class(f"class {number}").key for number in range(2, 11)]
    assert keys == ["2", "3", "4", "5", "6", "7", "8", "9", None]
    store.delete_class("class 4")
    assert store.add_class("another").key == "4"


def test_first_colours_are_those_the_colour_blind_tell_apart(store: Store) -> None:
    for number in range(2, 8):
        store.add_class(f"class {number}")
    assert [found.color for found in store.classes()[1:]] == list(PALETTE)


def test_colours_never_repeat(store: Store) -> None:
    for number in range(40):
        store.add_class(f"class {number}")
    colors = [found.color for found in store.classes()]
    assert len(set(colors)) == len(colors)


def test_name_is_tidied(store: Store) -> None:
    assert store.add_class("  plasma \n cell ").name == "plasma cell"
    assert store.add_class("Zellku\u0308gelchen").name == "Zellkügelchen"
    assert store.add_points("slide-1", " plasma  cell", [[1, 2]])


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("", "is empty"),
        (" \t\n", "is empty"),
        ("lymphocyte", "'lymphocyte' already"),
        (" LYMPHOCYTE ", "'lymphocyte' already"),
        ("Background", "'background' already"),
        ("a\x00b", "cannot be shown"),
        ("\ud800", "cannot be shown"),
        (None, "must be a text"),
    ],
)
def test_name_that_will_not_do_is_refused(store: Store, name: str, match: str) -> None:
    store.add_class("stroma")
    before, revision = store.classes(), store.revision
    with pytest.raises(SessionError, match=match):
        store.add_class(name)
    with pytest.raises(SessionError, match=match):
        store.rename_class("stroma", name)
    assert store.classes() == before
    assert store.revision == revision


@pytest.mark.parametrize("color", ["red", "#12345", "#12345g", "123456", "", "#e69f00\n", 5])
def test_color_that_is_none_is_refused(store: Store, color: str) -> None:
    with pytest.raises(SessionError, match="no colour"):
        store.add_class("tumour", color=color)
    with pytest.raises(SessionError, match="no colour"):
        store.recolor_class("lymphocyte", color)
    assert [found.color for found in store.classes()[1:]] == ["#e69f00"]


@pytest.mark.parametrize("key", ["0", "a", "12", "", 1])
def test_key_that_is_no_digit_is_refused(store: Store, key: str) -> None:
    with pytest.raises(SessionError, match="a digit from '1' to '9'"):
        store.add_class("tumour", key=key)
    with pytest.raises(SessionError, match="a digit from '1' to '9'"):
        store.set_class_key("lymphocyte", key)


def test_key_of_another_class_is_refused(store: Store) -> None:
    store.add_class("tumour")
    with pytest.raises(SessionError, match="belongs to the class 'lymphocyte'"):
        store.set_class_key("tumour", "1")
    store.set_class_key("lymphocyte", None)
    store.set_class_key("tumour", "1")
    assert [found.key for found in store.classes()] == [None, None, "1"]


def test_annotations_follow_a_new_name(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.rename_class("lymphocyte", "T cell {CD3}")
    assert store.annotations().labels.tolist() == ["T cell {CD3}"]
    assert store.undo() == "Rename class lymphocyte to T cell {CD3}"
    assert store.annotations().labels.tolist() == ["lymphocyte"]


def test_case_of_a_name_can_be_put_right(store: Store) -> None:
    store.rename_class("lymphocyte", "Lymphocyte")
    assert names(store) == ["background", "Lymphocyte"]


def test_recolouring_is_undone(store: Store) -> None:
    store.recolor_class("lymphocyte", "#ABCDEF")
    assert store.classes()[1].color == "#abcdef"
    assert store.undo() == "Recolour class lymphocyte"
    assert store.classes()[1].color == "#e69f00"


def test_changing_nothing_is_no_action(store: Store) -> None:
    revision = store.revision
    store.rename_class("lymphocyte", "lymphocyte")
    store.recolor_class("lymphocyte", "#E69F00")
    store.set_class_key("lymphocyte", "1")
    assert store.revision == revision


def test_deleted_class_comes_back_with_its_annotations(store: Store) -> None:
    store.add_class("tumour")
    store.add_points("slide-1", "lymphocyte", [[1, 2], [3, 4]])
    store.add_points("slide-1", "tumour", [[5, 6]])
    store.add_mask("slide-1", "lymphocyte", [(0, 0), (0, 3), (3, 0)])
    classes, ids = store.classes(), store.annotations().ids.tolist()
    store.delete_class("lymphocyte")
    assert names(store) == ["background", "tumour"]
    assert store.annotations().labels.tolist() == ["tumour"]
    assert store.undo() == "Delete class lymphocyte and its 3 annotations"
    assert store.classes() == classes
    assert store.annotations().ids.tolist() == ids


def test_number_of_a_deleted_class_is_not_used_again(store: Store) -> None:
    store.add_class("tumour")
    store.delete_class("tumour")
    assert store.add_class("stroma").id == 3


def test_background_cannot_be_changed(store: Store) -> None:
    for refused in (
        lambda: store.rename_class("background", "glass"),
        lambda: store.delete_class("background"),
        lambda: store.set_class_key("background", "5"),
    ):
        with pytest.raises(SessionError, match="is built in and cannot be"):
            refused()
    assert names(store) == ["background", "lymphocyte"]


def test_unknown_class_is_named_with_those_there_are(store: Store) -> None:
    for refused in (
        lambda: store.rename_class("tumor", "tumour"),
        lambda: store.recolor_class("tumor", "#000000"),
        lambda: store.set_class_key("tumor", "3"),
        lambda: store.delete_class("tumor"),
    ):
        with pytest.raises(SessionError, match=r"no class 'tumor' \(classes: lymphocyte\)"):
            refused()


def test_merged_class_gives_its_annotations_and_undo_parts_them(store: Store) -> None:
    store.add_class("lymph")
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.add_points("slide-1", "lymph", [[3, 4], [5, 6]])
    store.add_mask("slide-1", "lymph", [(0, 0), (0, 9), (9, 0)])
    store.merge_class("lymph", "lymphocyte")
    assert names(store) == ["background", "lymphocyte"]
    assert store.annotations().labels.tolist() == ["lymphocyte"] * 4
    assert store.undo() == "Merge class lymph into lymphocyte, 3 annotations"
    assert names(store) == ["background", "lymphocyte", "lymph"]
    assert store.annotations().labels.tolist() == ["lymphocyte", "lymph", "lymph", "lymph"]
    store.redo()
    assert store.annotations().labels.tolist() == ["lymphocyte"] * 4


@pytest.mark.parametrize(
    ("name", "into", "match"),
    [
        ("lymphocyte", "lymphocyte", "with itself"),
        ("background", "lymphocyte", "built in"),
        ("lymphocyte", "background", "built in"),
        ("lymphocyte", "gone", "no class 'gone'"),
    ],
)
def test_merge_that_will_not_do_is_refused(store: Store, name: str, into: str, match: str) -> None:
    with pytest.raises(SessionError, match=match):
        store.merge_class(name, into)
    assert not [entry for entry in store.journal() if "Merge" in entry.words]
