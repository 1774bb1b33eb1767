"""SIGKILL while a child annotates, learns, promotes, saves and exports: see test_kills.

After each kill every acknowledged action is there, the model file loads, the session opens, and
what was exported is whole.
"""

from __future__ import annotations

import csv
import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_xce.learning.model import CellModel
from napari_xce.session import Session
from napari_xce.slides import open_slide
from napari_xce.slides.synthetic import SyntheticSlide

from .conftest import Nursery
from .test_kills import into_the_next

pytestmark = pytest.mark.skipif(os.name != "posix", reason="children are forked")

CHILD = "child_learns.py"
KILLS = 12
SIDE = 300
READERS: dict[str, Callable[[Path], object]] = {
    "cells.geojson": lambda path: json.loads(path.read_text())["features"][0],
    "cells.csv": lambda path: next(csv.DictReader(path.open()))["y_px"],
    "model.safetensors": CellModel.load,
    "mask.ome.tif": lambda path: tifffile.imread(path).max(),
}


def make_session(path: Path) -> None:
    """Create a session on a slide in a file, so that it comes back by itself."""
    pixels = SyntheticSlide((SIDE, SIDE), seed=3).read(0, 0, SIDE, SIDE)
    Image.fromarray(np.asarray(pixels)).save(path.parent / "slide.png")
    with Session.create(path, classes=["cell"]) as session:
        session.add_slide(open_slide(path.parent / "slide.png"), cell_diameter=16)
    (path.parent / "exports").mkdir()


def check(path: Path, said: set[str], saved: bool) -> None:
    """Open what the killed child left, with no warning, and look at all of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Session.open(path) as session:
            assert said <= set(session.annotations().ids)
            session.store.audit()
            assert list(session.slides) == ["slide-1"]
            model = path / "models" / "model.safetensors"
            if model.exists():
                CellModel.load(model)
            assert model.exists() or not saved
            assert session.live.has_learnt == model.exists()


def test_killed_while_learning_nothing_acknowledged_is_lost(
    nursery: Nursery, tmp_path: Path, count: Callable[..., None]
) -> None:
    path, chance = tmp_path / "case.xce", random.Random(5)
    make_session(path)
    said: set[str] = set()
    saved = False
    exported: set[str] = set()
    for number in range(KILLS):
        lines, killed = nursery.raise_and_kill(
            f"{path} {number}", chance.randrange(1, 8), into_the_next(chance, 0.25)
        )
        assert not [line for line in lines if line.startswith("failed")]
        said |= {line.split()[1] for line in lines if line.startswith("said ")}
        saved |= "saved" in lines
        exported |= {line.split()[1] for line in lines if line.startswith("exported ")}
        check(path, said, saved)
        there = {file.name for file in (tmp_path / "exports").iterdir() if file.name in READERS}
        assert exported <= there
        for name in there:
            READERS[name](tmp_path / "exports" / name)
        count("kills survived", int(killed))
        assert killed
    assert len(said) > KILLS // 2
    assert exported == set(READERS)
