"""A slide of 250,000 x 250,000 pixels with five million cells: opening, memory, queries, pace.

The cells are drawn at random where there is tissue and lie on the disk as an earlier session would
have left them. A real window opens that session and looks at it far out, in between and close;
memory is counted above that of the same window with nothing in it. What it takes to draw the
synthetic slide's overview, which a file has on its disk, is not counted.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_xce.bench.report import begin, percentiles
from napari_xce.predictions.cell_cache import save_cells
from napari_xce.predictions.detections import Detections
from napari_xce.predictions.flat_cells import FlatCells
from napari_xce.predictions.slide_predictions import SlidePredictions
from napari_xce.predictions.store_file import write_cells
from napari_xce.predictions.tile_cells import Columns
from napari_xce.predictions.tiles import TileGrid
from napari_xce.session import Session
from napari_xce.slides.samples import HUGE
from napari_xce.slides.synthetic import SyntheticSlide

CLASSES = ("lymphocyte", "tumour", "stroma")
#: Slide sides at which the cost of a tile is compared, level-0 pixels.
SIDES = (10_000, 50_000, 250_000)
#: What a look far out, in between and close shows: level-0 pixels for a canvas pixel.
ZOOMS = (160.0, 8.0, 1.0)
VIEW = (1000, 1600)
#: As the layer of cells asks.
MOST_POINTS = 50_000
QUERIES = 200


def measure_scale(
    detections: int = 5_000_000, side: int = HUGE[0], tiles: int = 12, seed: int = 0
) -> dict[str, Any]:
    """Measure; see the module.

    Parameters
    ----------
    detections : int
        Cells in the store.
    side : int
        Of the slide, level-0 pixels of 0.5 um.
    tiles : int
        Tiles predicted at each slide size.
    seed : int
        Of slide and cells.

    Returns
    -------
    dict
        Fit for JSON: the figures of the goals, percentiles, and the cost of a tile by slide size.
    """
    report = begin("scale")
    folder = Path(tempfile.mkdtemp(prefix="xce-scale-"))
    try:
        model = _write_model(folder)
        slide = SyntheticSlide((side, side), seed=seed)
        prepared = prepare_session(folder / "scale.xce", slide, model, detections, seed)
        figures = _look_at(folder / "scale.xce", SyntheticSlide((side, side), seed=seed))
        pace = {size: _pace(folder / f"{size}.xce", model, size, tiles) for size in _sizes(side)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {**report, **figures, **prepared, "by_side": pace}


def rows_of(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what people want to see of a report."""
    paces = report["by_side"].items()
    return [
        ("detections", report["detections"]),
        ("slide and session opened, window ready (s)", report["open_s"]),
        ("memory above an empty napari (GiB)", report["rss_gib_over_napari"]),
        ("query of a view, 95th percentile (ms)", report["query_ms_p95"]),
        ("density of the whole slide from the store (s)", report["density_s"]),
        *((f"a tile on {side:,} px (ms)", pace["tile_ms"]) for side, pace in paces),
    ]


def _sizes(side: int) -> list[int]:
    return sorted({min(size, side) for size in SIDES})


def _write_model(folder: Path) -> Path:
    """Teach a model on a small slide and write it."""
    with Session.create(folder / "teach.xce", classes=CLASSES) as session:
        slide = SyntheticSlide((1344, 1344), seed=1)
        id = session.add_slide(slide)
        truth = slide.truth()
        for name in CLASSES:
            session.annotate(name, truth.points[truth.labels == name][:6], id)
        session.fit(seconds=0)
        return session.export(folder / "model.safetensors")


def prepare_session(
    path: Path, slide: SyntheticSlide, model: Path, detections: int, seed: int = 0
) -> dict[str, Any]:
    """Make a session whose slide was predicted before; return how many tiles and cells it has."""
    with Session.create(path, classes=CLASSES) as session:
        session.load_model(model)
        id = session.add_slide(slide)
        grid, tissue = session.predictions[id].grid, session.tissue(id)
        whole = (-0.5, -0.5, slide.shape[0] - 0.5, slide.shape[1] - 0.5)
        tiles = [t for t in grid.tiles_in(whole) if tissue.fraction(*grid.core_box(t)) > 0]
        empty = SlidePredictions(grid)
        revision = session.live.revision
        empty.detections.replace((0, 0), Detections.empty(revision))
        names = {c.id: c.name for c in session.classes if c.id != 0}
        file = session._cache_path(id)
        save_cells(file, empty, names)  # the card; then cells of the same grid in place of none
        write_cells(file, _random_cells(grid, tiles, detections, revision, seed), CLASSES, None)
        empty.close()
    return {"tissue_tiles": len(tiles), "tiles": grid.rows * grid.cols}


def _random_cells(
    grid: TileGrid, tiles: list[tuple[int, int]], count: int, revision: int, seed: int
) -> FlatCells:
    """Draw cells evenly over tiles."""
    rng = np.random.default_rng(seed)
    owners = np.sort(rng.integers(0, len(tiles), count))
    side = np.array(grid.factor) * grid.core_size
    origins = np.array(tiles, np.int64)
    cells = Columns(
        rng.random((count, 2)) * (side - 1) + origins[owners] * side,
        rng.integers(0, len(CLASSES), count).astype(np.int16),
        rng.uniform(0.3, 1.0, count).astype(np.float32),
        rng.normal(14, 2, count).astype(np.float32),
        np.zeros(count, np.uint8),
    )
    sizes = np.bincount(owners, minlength=len(tiles))
    return FlatCells.of(origins, np.full(len(tiles), revision, np.int64), sizes, cells)


def _look_at(path: Path, slide: SyntheticSlide) -> dict[str, Any]:
    """Open the session in a window and look around."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_xce.widgets.launch import open_viewer

    process = psutil.Process()
    empty = napari.Viewer()
    _settle(QApplication, 2.0)
    before = process.memory_info().rss
    empty.close()
    overview = len(slide.level_shapes) - 1
    slide.read_level(overview, 0, 0, *slide.level_shapes[overview])  # files have it on the disk
    started = time.perf_counter()
    session = Session.open(path)
    id = session.add_slide(slide)
    viewer = open_viewer(session=session)
    QApplication.processEvents()
    opened = time.perf_counter() - started
    predictions = session.predictions[id]
    highest, middle = 0, np.array(slide.shape) / 2
    for zoom in ZOOMS:
        viewer.camera.center = tuple(middle)
        viewer.camera.zoom = 1 / zoom
        _settle(QApplication, 5.0)
        highest = max(highest, process.memory_info().rss)
    queries = _queries(session, id)
    found = len(predictions.detections)
    started = time.perf_counter()
    predictions.recall_heat()
    density = time.perf_counter() - started
    highest = max(highest, process.memory_info().rss)
    viewer.close()
    _settle(QApplication, 0.5)
    return {
        "open_s": round(opened, 2),
        "rss_gib_over_napari": round((highest - before) / 2**30, 3),
        "query_ms_p95": queries["p95"],
        "query_ms": queries,
        "density_s": round(density, 2),
        "detections": found,
        "slide": {"shape": list(slide.shape), "mpp": 0.5},
    }


def _settle(application: Any, seconds: float) -> None:
    """Let the window work for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        application.processEvents()
        time.sleep(0.005)


def _queries(session: Session, id: str) -> dict[str, float | None]:
    """Time what the layer of cells asks: views of 1600 x 1000 at 1 to 4 level-0 pixels a pixel."""
    store, shape = session.predictions[id].detections, session.slides[id].shape
    thresholds, rng = session.thresholds, np.random.default_rng(0)
    times = []
    for n in range(QUERIES):
        size = np.array(VIEW) * (1, 2, 4)[n % 3]
        y0, x0 = rng.random(2) * np.maximum(np.array(shape) - size, 1)
        box = (y0, x0, y0 + size[0], x0 + size[1])
        started = time.perf_counter()
        store.query(box, max_count=MOST_POINTS, thresholds=thresholds)
        times.append(1e3 * (time.perf_counter() - started))
    return percentiles(times)


def _pace(path: Path, model: Path, side: int, count: int) -> dict[str, Any]:
    """Time tiles in the middle of a slide of this size: planning, reading, all that follows."""
    with Session.create(path, classes=()) as session:
        session.load_model(model)
        slide = SyntheticSlide((side, side), seed=0)
        id = session.add_slide(slide)
        session.tissue(id)
        started = time.perf_counter()
        stale = session.stale_tiles(id, skip_glass=True)
        planned = time.perf_counter() - started
        chosen = stale[len(stale) // 2 :][:count]
        work = session.predictions[id].grid
        started = time.perf_counter()
        for tile in chosen:
            y, x, height, width = work.window(tile).read
            slide.read_scaled(y, x, height, width, (1.0, 1.0))  # drawn now, kept for below
        read = time.perf_counter() - started
        started = time.perf_counter()
        for tile in chosen:
            session.predict_tile(id, tile)
        took = time.perf_counter() - started
    return {
        "tile_ms": round(1e3 * took / len(chosen), 1),
        "draw_ms": round(1e3 * read / len(chosen), 1),
        "plan_us_per_tile": round(1e6 * planned / (work.rows * work.cols), 2),
        "tissue_tiles": len(stale),
    }
