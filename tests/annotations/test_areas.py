"""Areas are kept exactly, each by its name, and undone in one history with everything else."""

from __future__ import annotations

import json
import shutil
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pytest
import shapely

from napari_xce.annotations import Store
from napari_xce.errors import SessionError

SESSIONS = Path(__file__).parent / "sessions"
RING = shapely.box(100, 100, 300.25, 1e5 + 1 / 3).difference(shapely.box(150, 150, 250, 250))
PARTS = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 7, 7)])


def names(store: Store) -> list[str]:
    return [area.name for area in store.areas("slide-1")]


def test_areas_come_back_to_the_last_digit_with_holes_and_parts(store: Store, path: Path) -> None:
    store.add_areas("slide-1", ["ring", "parts"], [RING, PARTS])
    store.close()
    with Store.open(path) as store:
        assert [area.outline for area in store.areas("slide-1")] == [RING, PARTS]


def test_taken_names_get_a_number_and_other_places_keep_theirs(store: Store) -> None:
    store.add_areas("slide-1", [None, "hot", "hot", "  view ", "slide", ""], [RING] * 6)
    assert names(store) == ["area 1", "hot", "hot 2", "view 2", "slide 2", "area 2"]
    assert store.rename_area("slide-1", "area 2", "hot") == "hot 3"
    assert store.rename_area("slide-1", "hot", "hot") == "hot"


def test_each_slide_has_areas_of_its_own(store: Store) -> None:
    other = store.add_slide("b.svs", None, "f2", (1000, 1000), None, "")
    store.add_areas("slide-1", ["hot"], [RING])
    assert store.add_areas(other, ["hot"], [PARTS]) == ["hot"]
    store.delete_area(other, "hot")
    assert (names(store), store.areas(other)) == (["hot"], [])


def test_undo_takes_clicks_and_areas_back_in_their_order(store: Store) -> None:
    store.add_points("slide-1", "lymphocyte", [[1, 2]])
    store.add_areas("slide-1", [None], [RING])
    store.reject("slide-1", [[3, 4]])
    store.reshape_area("slide-1", "area 1", PARTS)
    store.rename_area("slide-1", "area 1", "hot")
    store.delete_area("slide-1", "hot")
    steps = ["Delete hot", "Rename area 1 to hot", "Change area 1", "Add 1 rejection", "Add area 1"]
    seen = []
    for words in steps:
        assert store.undo() == words
        found = store.areas("slide-1")
        seen.append((names(store), [area.outline for area in found], len(store.annotations())))
    assert seen == [
        (["hot"], [PARTS], 2),
        (["area 1"], [PARTS], 2),
        (["area 1"], [RING], 2),
        (["area 1"], [RING], 1),
        ([], [], 1),
    ]
    for words in reversed(steps):
        assert store.redo() == words
    assert (names(store), len(store.annotations())) == ([], 2)


def test_undo_of_an_area_goes_on_after_reopening(store: Store, path: Path) -> None:
    store.add_areas("slide-1", ["hot"], [RING])
    store.delete_area("slide-1", "hot")
    store.close()
    with Store.open(path) as store:
        assert store.undo() == "Delete hot"
        assert [area.outline for area in store.areas("slide-1")] == [RING]
        store.audit()


def test_undo_says_where_an_area_was(store: Store) -> None:
    store.add_areas("slide-1", ["parts"], [PARTS])
    store.undo()
    assert {slide: at.tolist() for slide, at in store.places_restored().items()} == {
        "slide-1": [[3.5, 3.5]]
    }


def test_what_changes_nothing_is_no_step(store: Store) -> None:
    store.add_areas("slide-1", ["hot"], [RING])
    before = store.revision
    store.reshape_area("slide-1", "hot", RING)
    store.rename_area("slide-1", "hot", "hot")
    store.add_areas("slide-1", [], [])
    assert store.revision == before


def test_area_that_is_not_there_is_refused_with_those_that_are(store: Store) -> None:
    store.add_areas("slide-1", ["hot"], [RING])
    with pytest.raises(SessionError, match=r"no area .cold. on this slide\. Its areas: hot"):
        store.delete_area("slide-1", "cold")
    with pytest.raises(SessionError, match="no slide"):
        store.add_areas("slide-9", ["hot"], [RING])
    assert names(store) == ["hot"]


def keep_among_settings(path: Path, text: str) -> None:
    """Write areas into a session of schema 3 as that version did."""
    shutil.copy(SESSIONS / "v3.sqlite", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO settings VALUES ('areas', ?)", (text,))
        connection.commit()


def test_areas_of_an_older_session_come_along_and_can_be_undone_from(path: Path) -> None:
    kept = [
        {"name": "ring", "wkt": shapely.to_wkt(RING, rounding_precision=-1)},
        {"name": "parts", "wkt": shapely.to_wkt(PARTS, rounding_precision=-1)},
    ]
    keep_among_settings(path, json.dumps({"slide-1": kept, "slide-7": kept}))
    with Store.open(path) as store:
        assert [area.outline for area in store.areas("slide-1")] == [RING, PARTS]
        assert names(store) == ["ring", "parts"]
        assert store.get_setting("areas") is None
        store.audit()
        store.delete_area("slide-1", "ring")
        store.undo()
        assert [area.outline for area in store.areas("slide-1")] == [RING, PARTS]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"slide-1": [3]}', '{"slide-1": [{"name": "a", "wkt": "POLYG"}]}']
)
def test_damaged_areas_of_an_older_session_do_not_keep_it_shut(path: Path, text: str) -> None:
    keep_among_settings(path, text)
    with Store.open(path) as store:
        assert store.areas("slide-1") == []
        assert len(store.annotations()) == 5


@pytest.mark.parametrize("page", [0, 1, 2, 8])
def test_damaged_older_session_is_repaired_with_its_areas(path: Path, page: int) -> None:
    kept = [{"name": "parts", "wkt": shapely.to_wkt(PARTS)}]
    keep_among_settings(path, json.dumps({"slide-1": kept}))
    with path.open("rb+") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = Store.open(path)
    with store:
        assert [(area.name, area.outline) for area in store.areas("slide-1")] == [("parts", PARTS)]
        store.audit()


def test_damaged_outline_is_told_in_words_and_can_be_deleted(store: Store) -> None:
    store.add_areas("slide-1", ["hot"], [RING])
    with store._database.transaction() as connection:
        connection.execute("UPDATE areas SET outline = substr(outline, 1, 40)")
    (area,) = store.areas("slide-1")
    with pytest.raises(SessionError, match="hot is damaged"):
        _ = area.outline
    store.delete_area("slide-1", "hot")
    assert names(store) == []
