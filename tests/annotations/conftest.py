"""Stores on the disk, each closed at the end of its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_xce.annotations import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a session's database may be created."""
    return tmp_path / "session.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Return a new store with the slide "slide-1" and the class "lymphocyte"."""
    with Store.create(path) as opened:
        opened.add_slide("a.svs", None, "f1", (250_000, 200_000), (0.5, 0.5), "user")
        opened.add_class("lymphocyte")
        yield opened
