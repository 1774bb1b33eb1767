"""What crosses between the GUI's thread and the engine's: commands in, messages out.

Frozen values; arrays are read-only. One class a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_xce.learning.model import Head
from napari_xce.predictions.detections import Box
from napari_xce.suggestions import Suggestion

# ---- out: what happened


@dataclass(frozen=True, slots=True)
class Painted:
    """A part of a slide (level-0 ``box``) has new predictions."""

    slide_id: str
    box: Box
    revision: int


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """Masks of the view are ready.

    ``labels`` is int32, shape (height, width), 0 where there is no cell; the class of cell i is
    ``names[i - 1]``. ``factor`` are level-0 pixels per label pixel, ``origin`` the level-0 place of
    the middle of its first pixel.
    """

    slide_id: str
    labels: NDArray[np.int32]
    names: tuple[str, ...]
    factor: tuple[float, float]
    origin: tuple[float, float]
    revision: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the engine is doing.

    ``state`` is "waiting for clicks", "learning", "learnt" (the view is painted, and training
    has nothing more to gain), "paused" and "predicting the slide". ``steps`` were taken in all,
    ``steps_per_second`` of late; ``loss`` is NaN before the first step. ``message`` is a remark.
    """

    state: str
    revision: int
    steps: int
    steps_per_second: float
    loss: float
    message: str


@dataclass(frozen=True, slots=True)
class ModelReady:
    """A new revision answers."""

    revision: int
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Promoted:
    """A fine-tuned copy was compared and has taken over."""

    revision: int
    message: str


@dataclass(frozen=True, slots=True)
class SuggestionsReady:
    """The one answer to ``suggest``; empty when there is nothing to suggest."""

    slide_id: str
    suggestions: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a whole-slide run is; ``done == total`` ends it.

    0 of 0: there was nothing to do, it was cancelled, or it could not begin. ``seconds_left`` is 0
    while the pace is not known.
    """

    slide_id: str
    done: int
    total: int
    seconds_left: float
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong; a sentence for the user."""

    message: str


Message = (
    Painted | Segmented | Status | ModelReady | Promoted | SuggestionsReady | Progress | Failed
)

# ---- in: what the GUI asks for; see the methods of ``Engine``


@dataclass(frozen=True, slots=True)
class SetViewport:
    """Paint this first: ``box`` in level-0 pixels."""

    slide_id: str
    box: Box


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Something was said."""


@dataclass(frozen=True, slots=True)
class SetPaused:
    """Learn, or do not."""

    paused: bool


@dataclass(frozen=True, slots=True)
class SetHead:
    """Answer with this head."""

    head: Head


@dataclass(frozen=True, slots=True)
class Suggest:
    """Say where to click next, the view (level-0 ``box``) first."""

    slide_id: str
    n: int
    box: Box | None


@dataclass(frozen=True, slots=True)
class PredictSlide:
    """Predict a whole slide."""

    slide_id: str


@dataclass(frozen=True, slots=True)
class CancelPredict:
    """End the whole-slide run."""


@dataclass(frozen=True, slots=True)
class PausePredict:
    """Let the whole-slide run wait, or go on."""

    paused: bool


@dataclass(frozen=True, slots=True)
class UndoPromotion:
    """Go on with the model before the last promotion."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Look whether to stop."""


Command = (
    SetViewport
    | TakeUp
    | SetPaused
    | SetHead
    | Suggest
    | PredictSlide
    | CancelPredict
    | PausePredict
    | UndoPromotion
    | WakeUp
)
