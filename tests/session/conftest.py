"""A small slide whose every cell is known, and sessions on it, empty and learnt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_xce.session import Session
from napari_xce.slides import Slide
from napari_xce.slides.synthetic import SyntheticSlide

SHAPE = (448, 896)  # two tiles at 0.5 um/px


def make_slide() -> SyntheticSlide:
    """Return the slide; opened twice it is the same."""
    return SyntheticSlide(SHAPE, seed=3)


def cells_of(slide: SyntheticSlide, name: str, count: int) -> np.ndarray:
    """Return the first cells of a class, away from the slide's border."""
    truth = slide.truth(((16, 16), (SHAPE[0] - 16, SHAPE[1] - 16)))
    return truth.points[truth.labels == name][:count]


def grey_slide(shape: tuple[int, int] = (300, 300), name: str = "grey", seed: int = 0) -> Slide:
    """Return a slide of noise in memory, its pixel size unknown."""
    pixels = np.random.default_rng(seed).integers(150, 250, (*shape, 3), dtype=np.uint8)
    return Slide.from_array(pixels, name=name)


@pytest.fixture
def slide() -> SyntheticSlide:
    return make_slide()


@pytest.fixture
def session(session_dir: Path) -> Iterator[Session]:
    """Return a session of two classes without slides."""
    with Session.create(session_dir, classes=["lymphocyte", "tumour"]) as session:
        yield session


@pytest.fixture
def clicked(session: Session, slide: SyntheticSlide) -> Session:
    """Return the session with the slide and four clicks of each class."""
    session.add_slide(slide)
    for name in session.class_names:
        session.annotate(name, cells_of(slide, name, 4))
    return session


@pytest.fixture
def learnt(clicked: Session) -> Session:
    """Return the session after it has learnt from the clicks."""
    clicked.fit(seconds=0)
    return clicked


@pytest.fixture
def predicted(learnt: Session) -> Session:
    """Return the session after the whole slide was predicted."""
    learnt.predict()
    return learnt
