"""Slides are remembered with what is known of them, outside undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_xce.annotations import Store
from napari_xce.errors import SessionError


def test_slide_comes_back_as_it_was_said(store: Store, path: Path) -> None:
    slide = store.add_slide(
        "b.svs", Path("/data/b.svs"), "f2", (70_000, 90_000), (0.25, 0.26), "file (aperio.MPP)", 30
    )
    store.close()
    with Store.open(path) as store:
        record = store.slides()[slide]
    assert (record.id, record.name, record.path) == (slide, "b.svs", Path("/data/b.svs"))
    assert (record.fingerprint, record.shape) == ("f2", (70_000, 90_000))
    assert (record.mpp, record.mpp_source) == ((0.25, 0.26), "file (aperio.MPP)")
    assert record.cell_diameter_px == 30


def test_unknown_pixel_size_stays_unknown(store: Store) -> None:
    slide = store.add_slide("b.png", None, "f2", (10, 10), None, "unknown")
    record = store.slides()[slide]
    assert record.mpp is None
    assert record.path is None
    assert record.cell_diameter_px is None


def test_slides_keep_the_order_in_which_they_were_added(store: Store) -> None:
    added = [store.add_slide(name, None, "", (1, 1), None, "unknown") for name in "zyx"]
    assert list(store.slides()) == ["slide-1", *added]


def test_fields_of_a_slide_can_be_changed(store: Store) -> None:
    revision = store.revision
    store.update_slide("slide-1", path="/new/a.svs", mpp=(1, 2), mpp_source="user", shape=(5, 6))
    store.update_slide("slide-1", cell_diameter_px=24.5)
    record = store.slides()["slide-1"]
    assert (record.path, record.mpp, record.shape) == (Path("/new/a.svs"), (1, 2), (5, 6))
    assert record.cell_diameter_px == 24.5
    assert record.name == "a.svs"
    assert store.revision == revision + 2


def test_slides_are_outside_undo_and_leave_redo_alone(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.undo()
    other = store.add_slide("b.svs", None, "f2", (10, 10), None, "unknown")
    assert store.redo() == "Add 1 lymphocyte point"
    while store.undo():
        pass
    assert list(store.slides()) == ["slide-1", other]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"mpp": (0, 1)}, "mpp must be above 0"),
        ({"mpp": (float("nan"), 1)}, "mpp must be above 0 and finite"),
        ({"mpp": 0.5}, r"mpp must be two numbers \(y, x\)"),
        ({"mpp": ("a", 1)}, "mpp must be a number"),
        ({"shape": (10, 0)}, "shape must be above 0"),
        ({"cell_diameter_px": -1}, "cell_diameter_px must be above 0"),
        ({"colour": "red"}, "has no 'colour'"),
    ],
)
def test_field_that_will_not_do_is_refused(store: Store, fields: Any, match: str) -> None:
    before, revision = store.slides(), store.revision
    with pytest.raises(SessionError, match=match):
        store.update_slide("slide-1", **{"name": "new", **fields})
    assert store.slides() == before
    assert store.revision == revision


@pytest.mark.parametrize("slide", ["slide-2", "slide-0", "slide-01", "1", "", "slide-1 OR 1=1"])
def test_unknown_slide_is_named_with_those_there_are(store: Store, slide: str) -> None:
    for refused in (
        lambda: store.update_slide(slide, name="new"),
        lambda: store.add_points(slide, "lymphocyte", [[1, 2]]),
        lambda: store.reject(slide, [[1, 2]]),
        lambda: store.add_mask(slide, "lymphocyte", [(0, 0), (0, 3), (3, 0)]),
        lambda: store.review(slide, [(0, 0), (3, 3)]),
        lambda: store.annotations(slide),
    ):
        with pytest.raises(SessionError, match=r"There is no slide .* \(slides: slide-1\)"):
            refused()
    assert len(store.annotations()) == 0
