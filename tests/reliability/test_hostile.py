"""Files from outside are data, never code: hostile ones are refused in words or made harmless."""

from __future__ import annotations

import ast
import gzip
import json
import sqlite3
import tempfile
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_xce as xce
from napari_xce.annotations import Store
from napari_xce.exchange import read_areas, read_cells, read_points, write
from napari_xce.learning.model import CellModel
from napari_xce.predictions.cell_cache import load_cells, save_cells
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import TileGrid

from .conftest import answer_or_refusal

Count = Callable[..., None]
PACKAGE = Path(xce.__file__).parent
SESSIONS = Path(__file__).parent.parent / "annotations" / "sessions"
fuzz = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

# ---- nothing runs


def test_no_pickle_and_no_code_from_files_anywhere() -> None:
    """No module that unpickles, no torch.load, np.load only without pickle, no eval or exec."""
    unpickling = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            assert not names & unpickling, f"{path} imports {names & unpickling}"
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "torch.load", "yaml.load"), path
                if called in ("np.load", "numpy.load"):
                    allowed = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert allowed.get("allow_pickle") == "False", path


def test_pickled_cells_are_not_unpickled(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (ran,))

    path = tmp_path / "slide-1.npz"
    np.savez(path, points=np.array([Evil()], dtype=object), version=np.int64(1))
    predictions = SlidePredictions(TileGrid((100, 100), (1.0, 1.0)))
    path.with_suffix(".json").write_text(
        json.dumps({"grid": {"shape": [100, 100], "factor": [1.0, 1.0], "core": 448, "halo": 32},
                    "classes": {"1": "cell"}})
    )  # fmt: skip
    assert not load_cells(path, predictions, {1: "cell"})
    assert not ran.exists()
    predictions.close()


def test_pickled_model_is_refused(tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"format": "napari-xce model 1"}))
    with pytest.raises(xce.ModelError, match="cannot be read"):
        CellModel.load(path)


# ---- importers


def read(name: str, content: bytes) -> int | None:
    """Read a file of that content; None where it is refused in a sentence. Nothing else happens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        found, refused = answer_or_refusal(
            lambda: read_points(path, mpp=(0.5, 0.5)), xce.ExchangeError
        )
        others = [partial(read_cells, mpp=(0.5, 0.5))]
        others += [read_areas] if "geojson" in name else []
        for other in others:
            sentence = answer_or_refusal(lambda: other(path), xce.ExchangeError)[1]  # noqa: B023
            assert sentence is None or sentence.startswith(str(path))
        if refused is not None:
            assert refused.startswith(str(path))
            assert refused.endswith(".")
            assert len(refused) < 1000
            return None
        assert np.isfinite(found.points).all()
        assert len(found.labels) == len(found.polygons) == len(found.points)
        assert all(label.isprintable() for label in found.labels.tolist())
        return len(found)


WORDS = st.sampled_from(
    ["type", "Feature", "FeatureCollection", "features", "geometry", "coordinates", "properties",
     "Point", "Polygon", "MultiPolygon", "GeometryCollection", "geometries", "classification",
     "name", "names", "color", "colorRGB", "metadata", "kind", "region", "reviewed region", "id",
     "test region", "LineString", "__class__", "\u202e", "=1+1", "../../etc/passwd"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(10**25), 10**25),
    WORDS,
    st.text(max_size=9),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(WORDS, inner, max_size=5)),
    max_leaves=25,
)
POSITIONS = st.one_of(st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=3), TREES)
GEOMETRIES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Point", "MultiPoint", "Polygon", "MultiPolygon", "LineString"]),
        "coordinates": st.one_of(
            POSITIONS,
            st.lists(POSITIONS, max_size=5),
            st.lists(st.lists(POSITIONS, max_size=6), max_size=3),
            st.lists(st.lists(st.lists(POSITIONS, max_size=6), max_size=3), max_size=2),
        ),
    }
)
FEATURES = st.fixed_dictionaries(
    {
        "type": st.one_of(st.just("Feature"), WORDS),
        "geometry": st.one_of(GEOMETRIES, TREES),
        "properties": TREES,
    }
)


@settings(fuzz, max_examples=250)
@given(tree=st.one_of(TREES, FEATURES, st.lists(FEATURES, max_size=4)))
def test_any_json_is_read_or_refused_in_words(tree: object, count: Count) -> None:
    read("a.geojson", json.dumps(tree).encode())
    count("inputs fuzzed")


@settings(fuzz, max_examples=100)
@given(content=st.binary(max_size=400), name=st.sampled_from(["a.geojson", "a.csv", "a.tsv"]))
def test_any_bytes_are_read_or_refused_in_words(content: bytes, name: str, count: Count) -> None:
    read(name, content)
    read("a.geojson.gz", gzip.compress(content))
    count("inputs fuzzed", 2)


_CELLS = (
    *("y_px", "x_px", "y", "x", "class", "kind", "region", "axis-0", "axis-1", "1", "2.5", "µ", ""),
    *("1e999", "nan", "-inf", "0x10", '"', "'", "=cmd|' /C calc'!A0", "@SUM(A1)", "\0", "1,5"),
)
CELLS = st.one_of(st.sampled_from(_CELLS), st.text(max_size=6), st.floats().map(str))


@settings(fuzz, max_examples=250)
@given(
    header=st.lists(CELLS, max_size=4),
    rows=st.lists(st.lists(CELLS, max_size=5), max_size=6),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    known=st.booleans(),
)
def test_any_table_is_read_or_refused_in_words(
    header: list[str], rows: list[list[str]], separator: str, known: bool, count: Count
) -> None:
    lines = [["y_px", "x_px", "class", *header] if known else header, *rows]
    text = "\n".join(separator.join(line) for line in lines)
    read("a.csv", text.encode("utf-8", "surrogatepass"))
    count("inputs fuzzed")


@settings(fuzz, max_examples=250)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    name=st.sampled_from(["a.geojson", "a.geojson.gz", "a.csv"]),
)
def test_any_change_of_a_file_of_ours_is_read_or_refused_in_words(
    changes: list[tuple[int, int]], name: str, exported: dict[str, bytes], count: Count
) -> None:
    content = bytearray(exported[name])
    for place, value in changes:
        content[place % len(content)] = value
    read(name, bytes(content))
    count("inputs fuzzed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what we export, by name."""
    folder = tmp_path_factory.mktemp("exported")
    with Store.create(folder / "session.sqlite") as store:
        store.add_slide("a.svs", None, "f1", (1000, 1000), (0.5, 0.5), "user")
        store.add_class("cell")
        store.add_points("slide-1", "cell", [[1, 2], [3.5, 4]])
        store.add_mask("slide-1", "cell", [(0, 0), (0, 9), (9, 0)])
        store.review("slide-1", [(0, 0), (50, 50)], set_aside=True)
        for name in ("a.geojson", "a.geojson.gz", "a.csv"):
            write(folder / name, annotations=store.annotations(), classes=store.classes())
    return {path.name: path.read_bytes() for path in folder.glob("a.*")}


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"type":"Feature","geometry":' * 50_000,
        b'{"type":"Point","coordinates":[' + b"1" * 500_000 + b",2]}",
        b'{"type":"Point","coordinates":[1e400,2]}',
        b'{"type":"Point","coordinates":[NaN,2]}',
        b'{"type":"Point","coordinates":["1",{}]}',
        b'{"type":"Polygon","coordinates":[[[0,0],[1,0],[1e308,1e308]]]}',
        b'{"type":"GeometryCollection","geometries":[' * 5000 + b"]}" * 5000,
    ],
    ids=range(9),
)
def test_deep_and_huge_geojson_is_refused(content: bytes, count: Count) -> None:
    assert read("a.geojson", content) is None
    count("inputs fuzzed")


def test_thousands_of_classes_are_refused_and_none_is_added(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    rows = "".join(f"1,2,class {number}\n" for number in range(5000))
    table.write_text("y,x,class\n" + rows)
    with xce.Session.create(tmp_path / "case.xce") as session:
        session.add_slide(xce.Slide.from_array(np.zeros((50, 50, 3), np.uint8), mpp=0.5))
        with pytest.raises(xce.ExchangeError, match="5,000 classes"):
            session.import_points(table)
        assert session.class_names == ["cell"]
        assert not len(session.annotations())


@pytest.mark.parametrize(
    "name", ["../../up", "/etc/passwd", "..\\..\\up", "C:\\x", "=HYPERLINK(1)"]
)
def test_names_lead_out_of_no_folder_and_run_in_no_spreadsheet(tmp_path: Path, name: str) -> None:
    """Class and slide names are text: no file is named after them, no cell of a table begins so."""
    inside = tmp_path / "inside"
    inside.mkdir()
    with Store.create(inside / "session.sqlite") as store:
        store.add_slide(name, name, "f", (100, 100), None, "unknown")
        store.add_class(name)
        store.add_points("slide-1", name, [[1, 2]])
        for file in ("c.csv", "c.geojson", "c.json"):
            write(
                inside / file, annotations=store.annotations(), classes=store.classes(),
                slide_name=name, shape=(100, 100),
            )  # fmt: skip
        cells = (inside / "c.csv").read_text().splitlines()[1].split(",")
        assert not any(cell.strip('"').startswith(("=", "+", "@")) for cell in cells)
        assert read_points(inside / "c.csv").labels.tolist() == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


# ---- session, model and cache files


def look_at_all(path: Path) -> None:
    """Open a store, read all of it and undo all of it."""
    with Store.open(path) as store:
        store.annotations()
        store.classes()
        store.slides()
        while store.undo():
            pass


@settings(fuzz, max_examples=120)
@given(
    page=st.integers(0, 100),
    changes=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=9),
    cut=st.one_of(st.none(), st.integers(0, 60_000)),
)
def test_any_change_of_a_session_file_opens_or_is_refused_in_words(
    page: int, changes: list[tuple[int, int]], cut: int | None, count: Count
) -> None:
    content = bytearray((SESSIONS / "v3.sqlite").read_bytes())
    for place, value in changes:
        content[(page * 4096 + place) % len(content)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.sqlite"
        path.write_bytes(content[:cut])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xce.XceWarning)
            _, refused = answer_or_refusal(lambda: look_at_all(path), xce.SessionError)
    assert refused is None or refused.endswith((".", ")."))
    count("inputs fuzzed")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE annotations SET y = 'north'",
        "UPDATE annotations SET polygon = x'00' WHERE polygon IS NOT NULL",
        "UPDATE annotations SET class = 99 WHERE class = 1",
        "UPDATE slides SET height = 'tall'",
    ],
)
def test_rows_of_wrong_types_are_refused_in_words(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "session.sqlite"
    path.write_bytes((SESSIONS / "v3.sqlite").read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(xce.SessionError, match="Restore the session from a backup"):
        look_at_all(path)


def test_damaged_setting_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "session.sqlite"
    with Store.create(path) as store:
        store.set_setting("head", "unet")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE settings SET value = '{'")
        connection.commit()
    with Store.open(path) as store:
        assert store.get_setting("head", "yollo") == "yollo"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a model as it is saved."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    CellModel.from_shipped(["cell"], "yollo").save(path, {})
    return path.read_bytes()


@settings(fuzz, max_examples=60)
@given(
    changes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=9),
    cut=st.one_of(st.none(), st.integers(0, 10_000), st.integers(0, 4_000_000)),
)
def test_any_change_of_a_models_head_loads_or_is_refused_in_words(
    changes: list[tuple[int, int]], cut: int | None, model_file: bytes, count: Count
) -> None:
    content = bytearray(model_file)
    for place, value in changes:
        content[place] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content[:cut])
        _, refused = answer_or_refusal(lambda: CellModel.load(path), xce.ModelError)
    assert refused is None or "model.safetensors" in refused
    count("inputs fuzzed")


@pytest.mark.parametrize(
    "change",
    [
        {"classes": "cell"},
        {"classes": [1]},
        {"classes": ["cell", "Cell"]},
        {"classes": ["\u202ecell"]},
        {"classes": [["cell"]]},
        {"classes": ["cell"] * 100_000},
        {"classes": None},
        {"head": "rm -rf"},
        {"head": []},
        {"proposed": [7]},
        {"proposed": [-1]},
        {"proposed": ["0"]},
        {"proposed": [0], "dense": [0]},
        {"dense": {}},
        {"calibrated": [1]},
        {"calibrated": {"cell": "high"}},
        {"calibrated": {"cell": float("nan")}},
        {"revision": "newest"},
        {"revision": 10**400},
        {"class_numbers": 5},
        {"format": "another"},
    ],
    ids=str,
)
def test_model_whose_card_says_nonsense_is_refused(
    tmp_path: Path, model_file: bytes, change: dict[str, Any], count: Count
) -> None:
    from safetensors.torch import load, save

    path = tmp_path / "model.safetensors"
    length = int.from_bytes(model_file[:8], "little")
    card = json.loads(json.loads(model_file[8 : 8 + length])["__metadata__"]["card"])
    path.write_bytes(save(load(model_file), {"card": json.dumps({**card, **change})}))
    with pytest.raises(xce.ModelError, match=r"model\.safetensors"):
        CellModel.load(path)
    count("inputs fuzzed")


@pytest.fixture(scope="module")
def cells_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return the cells of a slide as they are kept, and their card."""
    path = tmp_path_factory.mktemp("cells") / "slide-1.npz"
    predictions = SlidePredictions(TileGrid((900, 900), (1.0, 1.0)))
    cells = Detections([[5.0, 5.0], [9.0, 9.0]], ["cell"] * 2, [0.5, 0.75], [9.0, 9.0], 1)
    predictions.publish((0, 0), {}, cells)
    save_cells(path, predictions, {1: "cell"})
    predictions.close()
    return path.read_bytes(), path.with_suffix(".json").read_bytes()


@settings(fuzz, max_examples=250)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=9),
    card_changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(32, 126)), max_size=3),
    cut=st.one_of(st.none(), st.integers(0, 4000)),
)
def test_any_change_of_kept_cells_is_passed_over_or_taken(
    changes: list[tuple[int, int]],
    card_changes: list[tuple[int, int]],
    cut: int | None,
    cells_file: tuple[bytes, bytes],
    count: Count,
) -> None:
    content, card = map(bytearray, cells_file)
    for place, value in changes:
        content[place % len(content)] = value
    for place, value in card_changes:
        card[place % len(card)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide-1.npz"
        path.write_bytes(content[:cut])
        path.with_suffix(".json").write_bytes(card)
        predictions = SlidePredictions(TileGrid((900, 900), (1.0, 1.0)))
        if load_cells(path, predictions, {1: "cell"}):
            found = predictions.detections.query()
            assert np.isfinite(found.points).all()
        predictions.close()
    count("inputs fuzzed")
