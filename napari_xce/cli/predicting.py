"""``napari-xce predict``: one slide here, or many on the workers of dask."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from napari_xce.cli.printing import print_json, print_table
from napari_xce.errors import ExchangeError, SessionError

if TYPE_CHECKING:
    from napari_xce.session import Session

SAVE_SECONDS = 60.0


def predict_one(
    slide: Path, out: Path, session: Path | None, model: Path | None, mpp: float | None
) -> dict[str, int]:
    """Predict a slide here and write its cells; return how many there are of each class."""
    from napari_xce.slides import open_slide

    opened = open_slide(slide)
    with _learnt(session, model) as work:
        id = work.add_slide(opened)
        if mpp is not None:
            work.set_mpp(id, mpp)
        _predict_tiles(work, id)
        cells = work.predict(id)
        work.export(out, id)
        return {name: int((cells.labels == name).sum()) for name in work.class_names}


def predict_many(
    slides: list[Path],
    model: Path,
    out: Path,
    mpp: float | None,
    scheduler: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Predict slides on the workers of dask; a file each in a folder."""
    from rich.progress import track

    from napari_xce.cohort import connect, predict_cohort

    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise ExchangeError(
            f"{out} cannot be a folder ({error.strerror}). Choose another."
        ) from error
    done: list[dict[str, Any]] = []
    with connect(scheduler, workers) as client:
        runs = predict_cohort(slides, model, out, client, mpp=mpp)
        console = Console(stderr=True)
        for slide, file, counts in track(
            runs, "Predicting", len(slides), console=console, transient=True
        ):
            done.append({"slide": str(slide), "file": str(file), "cells": counts})
    if as_json:
        print_json(done)
    else:
        rows = [(Path(d["file"]).name, sum(d["cells"].values())) for d in done]
        print_table(f"Cells written to {out}", ("file", "cells"), rows)


@contextmanager
def _learnt(session: Path | None, model: Path | None) -> Iterator[Session]:
    """Open a session, or a passing one that answers with a model."""
    from napari_xce.cohort import session_with
    from napari_xce.session import Session

    if session is not None and model is None:
        with Session.open(session) as work:
            yield work
    elif model is not None and session is None:
        with (
            tempfile.TemporaryDirectory() as folder,
            session_with(model, Path(folder)) as work,
        ):
            yield work
    else:
        raise SessionError("Say what has learnt: either --session or --model, and only one.")


def check_target(out: Path) -> None:
    """Refuse a file that cannot be written now, not after an hour of predicting."""
    from napari_xce.exchange import format_of

    format_of(out)
    if not out.absolute().parent.is_dir():
        raise ExchangeError(f"The folder {out.parent} does not exist. Make it, or choose another.")


def _predict_tiles(work: Session, id: str) -> None:
    """Predict a slide tile by tile, with a bar that says how long it will take."""
    from rich.progress import Progress

    if not work.live.has_learnt:
        return  # Session.predict says it in words
    tiles = work.stale_tiles(id, skip_glass=True)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Predicting", total=len(tiles))
        saved = time.monotonic()
        for done in work.predict_tiles(id, tiles):
            bar.advance(task, len(done))
            if time.monotonic() - saved > SAVE_SECONDS:  # a run that is killed goes on from here
                work.save()
                saved = time.monotonic()
