"""A small slide of three tiles in a row, a session with clicks on it, and an ear for messages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from napari_xce.engine import Engine, Message
from napari_xce.errors import SlideError
from napari_xce.session import Session
from napari_xce.slides import Slide
from napari_xce.slides.synthetic import SyntheticSlide

M = TypeVar("M")
SECONDS = 60.0

#: Level-0 boxes of the three tiles of `slide` (0.5 um/px, so that tiles are 448 pixels wide).
LEFT, MIDDLE, RIGHT = ((0.0, 448.0 * i + 10, 440.0, 448.0 * i + 440) for i in range(3))


class Ear:
    """Polls an engine and keeps what it said."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.heard: list[Message] = []
        self._fresh: deque[Message] = deque()  # polled and not heard yet

    def wait_for(self, kind: type[M], where: Callable[[M], bool] = lambda _: True) -> M:
        """Return the first message of a kind that is heard from now on."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self._fresh += self.engine.poll()
            while self._fresh:
                message = self._fresh.popleft()
                self.heard.append(message)
                if isinstance(message, kind) and where(message):
                    return message
            threading.Event().wait(0.005)
        raise AssertionError(f"no {kind.__name__} within {SECONDS:.0f} s; heard {self.heard[-5:]}")

    def of(self, kind: type[M]) -> list[M]:
        """Return all of a kind heard so far, without waiting."""
        self.heard += [*self._fresh, *self.engine.poll()]
        self._fresh.clear()
        return [message for message in self.heard if isinstance(message, kind)]


class BrokenSlide:
    """Wraps the pixels of a slide; reading a rectangle that touches a column fails."""

    def __init__(self, slide: Slide, column: int) -> None:
        self._source: Any = slide._source
        self.column = column
        self.error: Exception = SlideError("The slide cannot be read there. Copy it again.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, level: int, y: int, x: int, height: int, width: int) -> np.ndarray:
        if x <= self.column < x + width:
            raise self.error
        return self._source.read(level, y, x, height, width)


@pytest.fixture
def slide() -> SyntheticSlide:
    return SyntheticSlide((448, 1344), seed=3)


@pytest.fixture
def session(session_dir: Path, slide: SyntheticSlide) -> Iterator[Session]:
    """Return a session with four clicks on tumour cells in the slide's left tile."""
    with Session.create(session_dir, classes=["tumour"]) as session:
        session.add_slide(slide)
        session.annotate("tumour", tumour_cells(slide)[:4])
        yield session


@pytest.fixture
def slide_id(session: Session) -> str:
    return next(iter(session.slides))


@pytest.fixture
def engine(session: Session) -> Iterator[Engine]:
    """Return an engine that is not started yet."""
    engine = Engine(session)
    yield engine
    engine.shutdown(SECONDS)


@pytest.fixture
def ear(engine: Engine) -> Ear:
    return Ear(engine)


def tumour_cells(slide: SyntheticSlide) -> np.ndarray:
    """Return the tumour cells of the left tile."""
    truth = slide.truth(((32, 32), (416, 416)))
    return truth.points[truth.labels == "tumour"]


def broken(slide: Slide, column: int) -> BrokenSlide:
    """Let reads that touch a column of a slide fail; return what can be mended."""
    slide._source = BrokenSlide(slide, column)
    return slide._source
