"""Reading is stopped between pieces, says how far it is, and refuses more than is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_xce import exchange
from napari_xce.annotations import CellClass
from napari_xce.errors import ExchangeError
from napari_xce.exchange.stopping import Stopped, ask_stop, stoppable, tell_share
from napari_xce.predictions.detections import Detections

COUNT = 20_000
KINDS = pytest.mark.parametrize("kind", [".geojson", ".geojson.gz", ".json", ".csv"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a file of 20,000 cells of a kind, more than a megabyte of text."""
    folder, cells = tmp_path_factory.mktemp("many"), np.arange(2.0 * COUNT).reshape(-1, 2)
    ones = np.ones(COUNT)
    found = Detections(cells, ["cell"] * COUNT, ones, ones)

    def make(kind: str) -> Path:
        path = folder / f"cells{kind}"
        if not path.exists():
            classes: Any = [CellClass(1, "cell", "#ff0000", "1")]
            exchange.write(path, detections=found, classes=classes, shape=(10**5, 10**5))
        return path

    return make


@KINDS
def test_reading_is_stopped_on_the_way(file: Callable[[str], Path], kind: str) -> None:
    told: list[float | None] = []
    with stoppable(lambda: bool(told) and told[-1] != 0, told.append), pytest.raises(Stopped):
        exchange.read_points(file(kind))
    assert told[-1] is not None
    assert told[-1] < 1


@KINDS
def test_share_read_grows_to_the_whole(file: Callable[[str], Path], kind: str) -> None:
    told: list[float] = []
    with stoppable(lambda: False, told.append):  # type: ignore[arg-type]
        assert len(exchange.read_points(file(kind))) == COUNT
    assert 0 <= min(told) <= max(told) <= 1
    assert max(told) > 0.5
    assert told.count(0) < len(told)


@KINDS
def test_more_points_than_wanted_are_refused(file: Callable[[str], Path], kind: str) -> None:
    with pytest.raises(ExchangeError, match="was not read: it has more than 19,999"):
        exchange.read_points(file(kind), most=COUNT - 1)
    assert len(exchange.read_points(file(kind), most=COUNT)) == COUNT


def test_nothing_is_stopped_or_told_outside_of_such_work() -> None:
    with stoppable(lambda: True):
        pass
    ask_stop("It was stopped.")
    tell_share(0.5)
