"""Where the time between a click and its answer goes, noted at the engine's door. GUI thread."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from napari_xce.engine import Message, ModelReady, Painted

if TYPE_CHECKING:
    from napari_xce.engine import Engine

#: Until the engine was told, until the window had the new model, and its first tile, until that was
#: on the screen.
STAGES = ("told", "learnt", "painted", "drawn")


class Stages:
    """Note when the engine is told of a click, and when the window has its answers.

    Parameters
    ----------
    engine : Engine
        Watched until `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tell, self._poll = engine.annotations_changed, engine.poll
        self._at: dict[str, float] = {}
        vars(engine).update(annotations_changed=self._told, poll=self._polled)

    def begin(self) -> None:
        """Wait for the next click."""
        self._at = {}

    def since(self, due: float, drawn: float) -> dict[str, float]:
        """Return the stages of the click, milliseconds.

        Parameters
        ----------
        due, drawn : float
            When it was due, and when the first frame with an answer was on the screen,
            `time.perf_counter`.

        Returns
        -------
        dict of str to float
            By name of `STAGES`, each from the end of the one before; empty where one of them was
            not seen, or something else was drawn before.
        """
        if "painted" not in self._at:
            return {}
        times = [due, *(self._at[name] for name in STAGES[:-1]), drawn]
        gaps = [1000 * (later - before) for before, later in pairwise(times)]
        return {} if min(gaps) < 0 else dict(zip(STAGES, gaps, strict=True))

    def close(self) -> None:
        """Watch no longer."""
        for name in ("annotations_changed", "poll"):
            vars(self._engine).pop(name, None)

    def _told(self) -> None:
        self._at.setdefault("told", time.perf_counter())
        self._tell()

    def _polled(self) -> list[Message]:
        messages = self._poll()
        now = time.perf_counter()
        for message in messages:
            if "told" in self._at and isinstance(message, ModelReady):
                self._at.setdefault("learnt", now)
            elif "learnt" in self._at and isinstance(message, Painted):
                self._at.setdefault("painted", now)
        return messages
