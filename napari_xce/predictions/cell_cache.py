"""The cells of a slide, kept between sessions. A cache: it may be deleted, and damaged or outdated
files are passed over.

Beside the cells lies a card that says which grid and which classes, by number, they belong to. It
is written last, so that cells without a card, or with one of another grid, are never taken.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_xce.errors import SessionError
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.tiles import TileGrid

log = logging.getLogger(__name__)

ClassNames = Mapping[int, str]
"""Names of classes by their number in the session."""


def save_cells(path: Path, predictions: SlidePredictions, names: ClassNames) -> None:
    """Write the cells of a slide, whole or not at all.

    Parameters
    ----------
    path : Path
        The ``.npz`` file; the card lies beside it, ending in ``.json``.
    predictions : SlidePredictions
    names : mapping of int to str
        The classes that the cells are of.

    Raises
    ------
    SessionError
        The files cannot be written.
    """
    card = path.with_suffix(".json")
    try:
        path.parent.mkdir(exist_ok=True)
        card.unlink(missing_ok=True)
        predictions.detections.save(path)
        words = {"grid": _grid_card(predictions.grid), "classes": dict(names)}
        card.write_text(json.dumps(words), encoding="utf-8")
    except OSError as error:
        raise SessionError(
            f"The predictions could not be saved to {path} ({error.strerror or error}). Free some "
            "space; they can be computed again."
        ) from error


def load_cells(path: Path, predictions: SlidePredictions, names: ClassNames) -> bool:
    """Take over the cells of an earlier session, if they are of the same grid.

    Parameters
    ----------
    path : Path
        As for `save_cells`.
    predictions : SlidePredictions
        Still empty.
    names : mapping of int to str
        The classes that stand now; cells of renamed classes get the new name, cells of deleted
        ones are dropped.

    Returns
    -------
    bool
        Whether there were any that fit.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if card["grid"] != _grid_card(predictions.grid):
            return False
        before = {int(id): str(name) for id, name in card["classes"].items()}
        predictions.load_cells(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SessionError) as error:
        log.warning("the cells in %s are predicted anew: %s", path.name, error)
        return False
    follow_classes(predictions, before, names)
    return True


def follow_classes(predictions: SlidePredictions, before: ClassNames, now: ClassNames) -> None:
    """Rename and drop classes in what was predicted.

    Parameters
    ----------
    predictions : SlidePredictions
    before, now : mapping of int to str
        The classes that it is of, and those that stand.
    """
    for id, name in before.items():
        if id not in now:
            predictions.drop_class(name)
    renamed = {name: now[id] for id, name in before.items() if id in now and now[id] != name}
    if renamed.keys() & set(renamed.values()):  # two changed names: by way of names nobody has
        for name, new in renamed.items():
            predictions.rename_class(name, f"\n{new}")
        renamed = {f"\n{new}": new for new in renamed.values()}
    for name, new in renamed.items():
        predictions.rename_class(name, new)


def _grid_card(grid: TileGrid) -> dict[str, Any]:
    """Return what tells one grid from another, as JSON gives it back."""
    return {
        "shape": list(grid.shape),
        "factor": list(grid.factor),
        "core": grid.core_size,
        "halo": grid.halo,
        "context": grid.context,
    }
