from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_xce.errors import SessionError
from napari_xce.predictions import store_file
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.store import DetectionStore

CORE = 100.0  # level-0 pixels that a tile of these tests owns
CLASSES = np.array(["lymphocyte", "tumour"])


def cells(points, labels="tumour", scores=0.5, diameters=10.0, revision=0):
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    n = len(points)
    return Detections(
        points,
        np.broadcast_to(np.asarray(labels, dtype=np.str_), n),
        np.broadcast_to(np.float32(scores), n),
        np.broadcast_to(np.float32(diameters), n),
        revision,
    )


def random_tiles(rows=4, cols=5, per_tile=60, seed=0):
    """Tiles whose cells spill over their borders, so that many are found twice."""
    rng = np.random.default_rng(seed)
    tiles = {}
    for row in range(rows):
        for col in range(cols):
            points = rng.uniform(-5, CORE + 5, (per_tile, 2)) + (row * CORE, col * CORE)
            labels = CLASSES[rng.integers(0, 2, per_tile)]
            scores = rng.integers(1, 9, per_tile) / 8  # with many ties
            tiles[row, col] = cells(points, labels, scores, rng.uniform(8, 20, per_tile), row + col)
    return tiles


def filled(tiles, order=None):
    store = DetectionStore()
    for tile in order or list(tiles):
        store.replace(tile, tiles[tile])
    return store


def rows_of(found):
    return list(
        zip(found.points[:, 0], found.points[:, 1], found.labels, found.scores, strict=True)
    )


def test_query_returns_what_was_stored_in_the_box():
    store = DetectionStore()
    store.replace((0, 0), cells([[10, 10], [20, 90]], ["tumour", "lymphocyte"], [0.5, 0.75]))
    store.replace((0, 1), cells([[50, 150]], "tumour", 0.25, 12.0))
    found = store.query((0, 50, 60, 200))
    assert rows_of(found) == [(20, 90, "lymphocyte", 0.75), (50, 150, "tumour", 0.25)]
    assert found.diameters.tolist() == [10, 12]


def test_box_is_half_open():
    store = DetectionStore()
    store.replace((0, 0), cells([[0, 0], [5, 5], [10, 10]]))
    assert store.query((0, 0, 10, 10)).points.tolist() == [[0, 0], [5, 5]]
    assert store.counts(box=(0, 0, 10, 10)) == {"tumour": 2}


def test_query_of_nothing_is_empty():
    store = DetectionStore()
    assert len(store.query()) == 0
    store.replace((0, 0), Detections.empty(3))
    store.replace((0, 1), cells([[50, 150]]))
    assert len(store.query((0, 0, 10, 10))) == 0
    assert len(store.query((np.nan,) * 4)) == 0
    assert store.tiles() == {(0, 0): 3, (0, 1): 0}


def test_replaced_tile_forgets_its_old_cells():
    store = filled(random_tiles())
    store.replace((1, 1), cells([[150, 150]], revision=9))
    for tile in random_tiles():
        store.replace(tile, cells([[tile[0] * CORE + 50, tile[1] * CORE + 50]]))
    assert len(store) == len(store.query()) == 20


@pytest.mark.parametrize("box", [(0, 0, 400, 500), (37, 112, 251, 333), (-50, 90, 120, 110)])
@pytest.mark.parametrize("thresholds", [None, 0.5, {"tumour": 0.75}, {"tumour": 1, "other": 0}])
def test_query_equals_filtering_the_whole(box, thresholds):
    store = filled(random_tiles())
    expected = store.query().inside(box)
    if thresholds is not None:
        expected = expected.above(thresholds)
    found = store.query(box, thresholds=thresholds)
    assert rows_of(found) == rows_of(expected)
    counts = store.counts(thresholds, box)
    assert counts == {name: int((expected.labels == name).sum()) for name in CLASSES}


def test_score_equal_to_its_threshold_is_in():
    store = DetectionStore()
    store.replace((0, 0), cells([[1, 1]], scores=0.3))
    assert len(store.query(thresholds=0.3)) == len(store.query(thresholds={"tumour": 0.3})) == 1


def test_counts_follow_replaced_tiles_and_new_thresholds():
    store = filled(random_tiles())
    before = store.counts(0.5)
    assert store.counts(0.5) == before
    assert sum(store.counts(0.9).values()) < sum(before.values())
    store.replace((0, 0), Detections.empty())
    store.replace((0, 0), cells([[50, 50]], "stroma", 0.6))
    assert store.counts(0.5)["stroma"] == 1
    kept = store.query(thresholds=0.5)
    assert sum(store.counts(0.5).values()) == len(kept)


def test_cap_keeps_the_highest_scores_best_first():
    store = filled(random_tiles())
    everything = store.query()
    found = store.query(max_count=100)
    assert len(found) == 100
    assert found.scores.tolist() == sorted(everything.scores.tolist(), reverse=True)[:100]
    assert len(store.query(max_count=0)) == 0
    assert rows_of(store.query(max_count=len(everything))) == rows_of(everything)


def test_capped_equal_scores_are_spread_over_the_view():
    store = DetectionStore()
    points = np.random.default_rng(0).uniform(0, CORE, (2000, 2))
    store.replace((0, 0), cells(points[np.argsort(points[:, 0])]))
    chosen = store.query(max_count=400).points[:, 0]
    assert 40 < chosen.mean() < 60
    assert chosen.min() < 5
    assert chosen.max() > 95


def test_order_of_arrival_does_not_matter():
    tiles = random_tiles()
    rng = np.random.default_rng(1)
    expected = filled(tiles)
    for _ in range(5):
        order = [list(tiles)[i] for i in rng.permutation(len(tiles))]
        store = filled(tiles, order + order[:7])
        assert rows_of(store.query()) == rows_of(expected.query())
        assert rows_of(store.query(max_count=77)) == rows_of(expected.query(max_count=77))
        assert store.counts(0.3) == expected.counts(0.3)


def test_cell_on_a_border_is_returned_once_with_the_higher_score():
    store = DetectionStore()
    store.replace((0, 0), cells([[50, 99]], "tumour", 0.6))
    store.replace((0, 1), cells([[51, 101]], "lymphocyte", 0.8))
    assert rows_of(store.query()) == [(51, 101, "lymphocyte", np.float32(0.8))]
    assert store.counts() == {"tumour": 0, "lymphocyte": 1}
    assert len(store) == 1


def test_cell_on_a_corner_is_returned_once():
    store = DetectionStore()
    for tile, point, score in [
        ((0, 0), (99, 99), 0.5),
        ((0, 1), (99, 101), 0.9),
        ((1, 0), (101, 99), 0.7),
        ((1, 1), (101, 101), 0.9),
    ]:
        store.replace(tile, cells([point], scores=score))
    assert store.query().points.tolist() == [[99, 101]]


def test_near_cells_of_one_tile_are_both_kept():
    store = DetectionStore()
    store.replace((0, 0), cells([[50, 50], [50, 51]]))
    assert len(store.query()) == 2


def test_hidden_double_returns_when_the_better_one_goes():
    store = DetectionStore()
    store.replace((0, 0), cells([[50, 99]], scores=0.6))
    store.replace((0, 1), cells([[51, 101]], scores=0.8))
    store.replace((0, 1), Detections.empty(1))
    assert store.query().points.tolist() == [[50, 99]]


def test_exactly_the_doubles_of_neighbouring_tiles_are_hidden():
    tiles = random_tiles()
    doubles = set()
    for (row, col), one in tiles.items():
        for beside in [(row, col + 1), (row + 1, col - 1), (row + 1, col), (row + 1, col + 1)]:
            if beside not in tiles:
                continue
            two = tiles[beside]
            distance = np.linalg.norm(one.points[:, None] - two.points, axis=2)
            for i, j in enumerate(distance.argmin(axis=1)):
                limit = 0.35 * (one.diameters[i] + two.diameters[j]) / 2
                if distance[:, j].argmin() == i and distance[i, j] <= limit:
                    worse = (two, j) if one.scores[i] >= two.scores[j] else (one, i)
                    doubles.add(tuple(worse[0].points[worse[1]]))
    everything = {tuple(point) for tile in tiles.values() for point in tile.points}
    assert len(doubles) > 20
    assert {tuple(p) for p in filled(tiles).query().points} == everything - doubles


def test_merge_radius_is_in_level0_pixels():
    store = DetectionStore(merge_radius=20)
    store.replace((0, 0), cells([[50, 91]], scores=0.6))
    store.replace((0, 1), cells([[50, 109]], scores=0.5))
    assert store.query().points.tolist() == [[50, 91]]


def test_revision_is_the_oldest_in_the_box():
    store = DetectionStore()
    store.replace((0, 0), cells([[50, 50]], revision=7))
    store.replace((0, 1), cells([[50, 150]], revision=4))
    assert store.query().revision == 4
    assert store.query((0, 0, 100, 100)).revision == 7


def test_renamed_class_keeps_its_cells():
    store = filled(random_tiles())
    before = store.counts()
    store.rename_class("tumour", "carcinoma")
    store.rename_class("never found", "something")
    assert store.counts() == {
        "carcinoma": before["tumour"],
        "lymphocyte": before["lymphocyte"],
    }
    assert set(store.query().labels) == {"carcinoma", "lymphocyte"}
    with pytest.raises(ValueError, match="already cells"):
        store.rename_class("carcinoma", "lymphocyte")


def test_dropped_class_is_gone_until_found_again():
    store = filled(random_tiles())
    store.counts(0.5)
    store.drop_class("tumour")
    assert set(store.query().labels) == {"lymphocyte"}
    assert list(store.counts(0.5)) == ["lymphocyte"]
    store.replace((0, 0), cells([[50, 50]], "tumour"))
    assert store.counts()["tumour"] == 1


def test_clear_forgets_everything():
    store = filled(random_tiles())
    store.clear()
    assert store.tiles() == {}
    assert store.counts() == {}
    assert len(store) == len(store.query()) == 0


def test_callers_array_may_change_afterwards():
    points = np.array([[1.0, 2.0]])
    store = DetectionStore()
    store.replace((0, 0), cells(points))
    points[:] = 99
    assert store.query().points.tolist() == [[1, 2]]


def test_saved_store_loads_the_same_and_goes_on(tmp_path):
    store = filled(random_tiles())
    store.drop_class("lymphocyte")
    store.save(tmp_path / "cells.npz")
    loaded = DetectionStore()
    loaded.replace((7, 7), cells([[750, 750]]))
    loaded.load(tmp_path / "cells.npz")
    assert rows_of(loaded.query()) == rows_of(store.query())
    assert loaded.tiles() == store.tiles()
    for each in (store, loaded):
        each.replace((2, 2), cells([[250, 250]], "stroma", revision=50))
    assert rows_of(loaded.query()) == rows_of(store.query())
    assert [p.name for p in tmp_path.iterdir()] == ["cells.npz"]


def test_store_with_other_merge_radius_finds_its_own_doubles(tmp_path):
    filled(random_tiles()).save(tmp_path / "cells.npz")
    wide = DetectionStore(merge_radius=12)
    wide.load(tmp_path / "cells.npz")
    expected = DetectionStore(merge_radius=12)
    for tile, found in random_tiles().items():
        expected.replace(tile, found)
    assert rows_of(wide.query()) == rows_of(expected.query())


def test_empty_store_round_trips(tmp_path):
    DetectionStore().save(tmp_path / "cells.npz")
    store = filled(random_tiles())
    store.load(tmp_path / "cells.npz")
    assert len(store.query()) == 0


def test_file_holds_no_pickle(tmp_path):
    filled(random_tiles()).save(tmp_path / "cells.npz")
    with np.load(tmp_path / "cells.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def damaged(path, tmp_path):
    filled(random_tiles()).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def foreign(path, tmp_path):
    np.savez(path, points=np.zeros((3, 2)))


def mismatched(path, tmp_path):
    filled(random_tiles()).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "scores": arrays["scores"][:-1]})


def newer(path, tmp_path):
    filled(random_tiles()).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "version": np.int64(99)})


def pickled(path, tmp_path):
    np.save(path.with_suffix(".npy"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path.with_suffix(".npy").rename(path)


def missing(path, tmp_path):
    pass


@pytest.mark.parametrize("spoil", [damaged, foreign, mismatched, newer, pickled, missing])
def test_unreadable_file_is_refused_and_the_store_kept(tmp_path, spoil):
    path = tmp_path / "cells.npz"
    spoil(path, tmp_path)
    store = DetectionStore()
    store.replace((0, 0), cells([[1, 1]]))
    with pytest.raises(SessionError, match="computed again"):
        store.load(path)
    assert len(store.query()) == 1


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cells.npz"
    filled(random_tiles()).save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_file.np, "savez", full)
    with pytest.raises(SessionError, match="No space left"):
        DetectionStore().save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["cells.npz"]


def test_reader_sees_whole_tiles_while_another_thread_writes():
    store, faults = DetectionStore(), []
    done = threading.Event()

    def read():
        while not done.is_set():
            found = store.query((0, 0, 400, 400), max_count=500)
            for row, col in [(0, 0), (1, 2)]:
                box = (row * CORE, col * CORE, (row + 1) * CORE, (col + 1) * CORE)
                if len(set(found.inside(box).scores.tolist())) > 1:
                    faults.append("a mixed tile")
            sum(store.counts(0.5).values())

    reader = threading.Thread(target=read)
    reader.start()
    rng = np.random.default_rng(0)
    for revision in range(40):
        for tile in [(0, 0), (1, 2), (3, 3)]:
            points = rng.uniform(0, CORE - 1, (50, 2)) + np.array(tile) * CORE
            store.replace(tile, cells(points, scores=(revision + 1) / 50))
    done.set()
    reader.join(10)
    assert not reader.is_alive()
    assert faults == []


def test_filled_store_holds_just_what_it_was_given():
    store = DetectionStore()
    store.replace((5, 5), cells([[550, 550]], "lymphocyte"))
    empty, two, one = cells([]), cells([[10, 99], [20, 20]]), cells([[10, 101]])
    store.fill([((0, 0), empty), ((1, 0), empty), ((0, 0), two), ((0, 1), one)])
    assert store.counts() == {"tumour": 3}  # nothing counts as a double, and nothing is left
    assert store.tiles() == {(0, 0): 0, (0, 1): 0, (1, 0): 0}
    assert store.query((0, 0, 50, 50)).points.tolist() == [[20, 20]]
