"""Many slides with one model on the workers of dask.distributed: here, or on a cluster.

A task is a few blocks of tiles of one slide, so that one large slide keeps all workers busy, too.
A worker opens slide and model itself (both must lie where it sees them under the same path), keeps
them for the next task, and sends the cells back; whoever asked joins them at the borders of tiles
and writes the files. dask gives the tasks of a worker that died to others. A slide whose file is
there is not predicted again.
"""

from __future__ import annotations

import atexit
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_xce.errors import ExchangeError, SessionError, SlideError, XceError, XceWarning
from napari_xce.predictions.block_reader import blocks_of
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.tiles import Tile
from napari_xce.session import Session
from napari_xce.slides import open_slide

#: Blocks of tiles in a task: some seconds of work, so that handing it out costs nothing.
BLOCKS_PER_TASK = 8
#: Slides whose tasks are handed out at once: the workers never wait for the next one.
SLIDES_AT_ONCE = 2
#: A task is given up after so many workers died at it.
RETRIES = 3


@dataclass(slots=True)
class _Run:
    """One slide under way."""

    slide: Path
    file: Path
    session: Session
    id: str
    folder: tempfile.TemporaryDirectory[str]
    futures: list[Any] = field(default_factory=list)

    def close(self) -> None:
        self.session.close()
        self.folder.cleanup()


def connect(scheduler: str | None, workers: int | None) -> Any:
    """Return a client of a running scheduler, or of a cluster of processes on this machine.

    Parameters
    ----------
    scheduler : str or None
        Its address, such as ``tcp://host:8786``.
    workers : int or None
        Where there is no scheduler: processes to start, a thread each.

    Raises
    ------
    XceError
        dask.distributed is not installed, or the scheduler does not answer.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise XceError(
            'Cohorts need dask.distributed: install it with pip install "napari-xce[cohort]".'
        ) from error
    try:
        if scheduler is not None:
            return Client(scheduler)
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        return Client(cluster)
    except (OSError, ValueError) as error:
        raise XceError(
            f"The scheduler {scheduler or 'of this machine'} cannot be reached ({error}). Start "
            "one with dask scheduler, or check its address."
        ) from error


def predict_cohort(
    slides: Sequence[Path],
    model: Path,
    out: Path,
    client: Any,
    suffix: str = ".csv",
    mpp: float | None = None,
) -> Iterator[tuple[Path, Path, dict[str, int]]]:
    """Predict slides and write a file for each; yield slide, file and cells by class when done.

    Parameters
    ----------
    slides : sequence of Path
        Workers must see them under these paths.
    model : Path
        ``.safetensors``, the same.
    out : Path
        Folder for the files, named after the slides.
    client : distributed.Client
    suffix : str
        Format of the files, as for ``Session.export``; one that holds cells.
    mpp : float, optional
        Micrometres per pixel, where files do not say.

    Notes
    -----
    The same cells as ``Session.predict`` finds on one machine: blocks are cut alike. A slide that
    cannot be read or written is left out with a warning; the others go on.
    """
    check_names(slides)
    slides = [slide.absolute() for slide in slides]
    waiting = deque(slide for slide in slides if not _file(out, slide, suffix).exists())
    running: deque[_Run] = deque()
    try:
        while waiting or running:
            while waiting and len(running) < SLIDES_AT_ONCE:
                slide = waiting.popleft()
                try:
                    running.append(_begin(slide, model.absolute(), out, client, suffix, mpp))
                except SlideError as error:
                    _leave_out(slide, error)
            if not running:
                break
            run = running[0]
            try:
                counts = _finish(run)
            except (SlideError, ExchangeError) as error:
                client.cancel(run.futures)
                _leave_out(run.slide, error)
            else:
                yield run.slide, run.file, counts
            running.popleft().close()
    finally:
        for run in running:
            client.cancel(run.futures)
            run.close()


def _leave_out(slide: Path, error: XceError) -> None:
    warnings.warn(f"{slide.name} is left out: {error}", XceWarning, stacklevel=3)


def _file(out: Path, slide: Path, suffix: str) -> Path:
    """Return where the cells of a slide are written."""
    return out / f"{slide.stem}{suffix}"


def _begin(
    slide: Path, model: Path, out: Path, client: Any, suffix: str, mpp: float | None
) -> _Run:
    """Hand out the tasks of a slide."""
    folder = tempfile.TemporaryDirectory(prefix="xce-cohort-")
    try:
        session, id = _open(slide, model, mpp, Path(folder.name))
    except BaseException:
        folder.cleanup()
        raise
    run = _Run(slide, _file(out, slide, suffix), session, id, folder)
    blocks = blocks_of(session.stale_tiles(id, skip_glass=True))
    for start in range(0, len(blocks), BLOCKS_PER_TASK):
        tiles = [tile for block in blocks[start : start + BLOCKS_PER_TASK] for tile in block]
        run.futures.append(
            client.submit(predict_chunk, slide, model, mpp, tiles, pure=False, retries=RETRIES)
        )
    return run


def _finish(run: _Run) -> dict[str, int]:
    """Take in the cells of a slide as they come, and write them."""
    from distributed import as_completed

    store = run.session.predictions[run.id].detections
    for future in as_completed(run.futures):
        for tile, cells in future.result():
            store.replace(tile, cells)
        future.release()
    run.session.export(run.file, run.id)
    counts = store.counts(run.session.thresholds)
    return {name: counts.get(name, 0) for name in run.session.class_names}


def predict_chunk(
    slide: Path, model: Path, mpp: float | None, tiles: list[Tile]
) -> list[tuple[Tile, Detections]]:
    """Predict tiles of a slide; runs on a worker, with one thread at a time."""
    session, id = _kept(slide, model, model.stat().st_mtime_ns, mpp)
    found: list[tuple[Tile, Detections]] = []
    with session.lock, session.read_ahead(id, tiles) as reader:
        while reader.tiles_left:
            predicted = session.live.predict_next(reader)
            found += [(tile, p.detections) for tile, p in predicted.items()]
    return found


@lru_cache(2)
def _kept(slide: Path, model: Path, saved: int, mpp: float | None) -> tuple[Session, str]:
    """Return a worker's session for a slide and a model, kept for its next tasks."""
    folder = tempfile.TemporaryDirectory(prefix="xce-worker-")
    atexit.register(folder.cleanup)
    return _open(slide, model, mpp, Path(folder.name))


def _open(slide: Path, model: Path, mpp: float | None, folder: Path) -> tuple[Session, str]:
    """Open a passing session that answers with a model, and a slide in it."""
    session = session_with(model, folder)
    try:
        id = session.add_slide(open_slide(slide))
        if mpp is not None:
            session.set_mpp(id, mpp)
    except BaseException:
        session.close()
        raise
    return session, id


def session_with(model: Path, folder: Path) -> Session:
    """Return a passing session that answers with a model; its classes and thresholds, too."""
    session = Session.create(folder / "predict.xce", classes=())
    try:
        card = session.load_model(model)
        session.set_head(card["head"])
        for name, threshold in card.get("thresholds", {}).items():
            session.set_threshold(name, threshold)
    except BaseException:
        session.close()
        raise
    return session


def check_names(slides: Sequence[Path]) -> None:
    """Refuse slides whose files would overwrite each other.

    Raises
    ------
    SessionError
        Two have the same name.
    """
    names = [slide.stem for slide in slides]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SessionError(
            f"Several slides are named {twice[0]}, so their files would be one. Predict them in "
            "separate calls, each with a folder of its own."
        )
