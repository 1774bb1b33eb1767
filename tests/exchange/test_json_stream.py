from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_xce.exchange import json_stream
from napari_xce.exchange.json_stream import first_list, iter_items

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text() | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def items(text: str) -> list:
    return list(iter_items(io.StringIO(text).read, "features"))


@given(st.lists(values), st.sampled_from([None, 1]), st.integers(1, 7))
def test_items_are_those_of_the_whole_text(listed: list, indent: int | None, chunk: int) -> None:
    text = json.dumps({"type": "x", "features": listed, "more": [1, {"a": 2}]}, indent=indent)
    stream = io.StringIO(text)
    found = list(iter_items(lambda size: stream.read(min(size, chunk)), "features"))
    assert found == json.loads(json.dumps(listed), parse_int=float)


def test_number_cut_by_the_window_is_read_whole() -> None:
    pieces = iter(["[12", "34", "5.5, 1e", "3]"])
    assert list(iter_items(lambda size: next(pieces, ""), "features")) == [12345.5, 1000.0]


def test_list_on_its_own_and_single_objects_are_read() -> None:
    assert items('[{"a": 1}, 2]') == [{"a": 1.0}, 2.0]
    assert items(' {"type": "Point", "coordinates": [1, 2]} ') == [
        {"type": "Point", "coordinates": [1.0, 2.0]}
    ]
    assert items("{}") == [{}]
    assert items("[]") == []


def test_list_may_come_before_the_type() -> None:
    assert items('{"features": [1, 2], "type": "FeatureCollection"}') == [1.0, 2.0]


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2", "[1 2]", '{"features": [1], }', '{"a" 1}', "[1] 2", '{"features": [1}', "{1: 2}"],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        items(text)


def test_one_item_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 64)
    asked = 0

    def read(size: int) -> str:
        nonlocal asked
        asked += 1
        return '{"a": 1},' * 8 if asked > 1 else '{"features": ['

    endless = iter_items(read, "features")
    assert [next(endless) for _ in range(20)] == [{"a": 1.0}] * 20
    assert asked < 6  # and not all of an endless text


def test_first_list_is_found_without_reading_it() -> None:
    text = '{"info": {"features": []}, "images": [{"id": 1}], "annotations": [1, '
    assert first_list(io.StringIO(text).read, ("features", "annotations")) == "annotations"
    for other in ("[1]", '{"features": 1}', "{}", "7"):
        assert first_list(io.StringIO(other).read, ("features",)) is None


def test_what_stands_beside_the_list_is_kept() -> None:
    rest: dict = {}
    read = io.StringIO('{"a": 1, "features": [2, 3], "b": {"c": []}}').read
    assert list(iter_items(read, "features", rest)) == [2, 3]
    assert rest == {"a": 1, "b": {"c": []}}
