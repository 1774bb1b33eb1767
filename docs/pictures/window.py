"""Draw ``window.png``: the window of napari with a synthetic slide, clicks, and what was learnt.

Run from the repository (about a minute), without a display by way of Xvfb::

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python docs/pictures/window.py

Clicks come from the slide's known truth. Slide, clicks, size and theme are fixed; which revision of
the model is seen, and the speed in the dock, depend on the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HOME = tempfile.TemporaryDirectory(prefix="xce-picture-")
os.environ["NAPARI_CONFIG"] = str(Path(HOME.name) / "settings.yaml")  # before napari reads it

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402

from napari_xce.demo.person import in_region  # noqa: E402
from napari_xce.evaluation.matching import match_points  # noqa: E402
from napari_xce.session import MATCH_RADIUS, Session  # noqa: E402
from napari_xce.slides.samples import synthetic_he  # noqa: E402
from napari_xce.slides.synthetic import SyntheticSlide  # noqa: E402
from napari_xce.widgets.counting import freshness  # noqa: E402
from napari_xce.widgets.dock import AnnotatorDock, dock_of  # noqa: E402
from napari_xce.widgets.launch import open_viewer  # noqa: E402

PICTURE = Path(__file__).with_suffix(".png")
SIZE = (1280, 800)
SEED = 0
#: Middle of the picture, level-0 pixels (y, x), and screen pixels for each of them.
MIDDLE, ZOOM = (1636.0, 2458.0), 1.9
#: All clicks lie within so many pixels of the middle.
REACH = 140.0
CLICKS = {"lymphocyte": 8, "tumour": 8, "stroma": 4}
#: How often a few missed cells and a few of the wrong class are put right, and how many at most.
ROUNDS, MISSED, WRONG = 2, 4, 2
LEARN_SECONDS, PATIENCE_SECONDS = 40.0, 120.0


def click(session: Session, slide: SyntheticSlide) -> None:
    """Click some cells near the middle of the picture, look, and put some of it right."""
    view = tuple(m - REACH for m in MIDDLE), tuple(m + REACH for m in MIDDLE)
    truth = slide.truth()
    inside = in_region(truth.points, view)
    points, labels = truth.points[inside], truth.labels[inside]
    rng = np.random.default_rng(SEED)
    for name, count in CLICKS.items():
        session.annotate(name, rng.permutation(points[labels == name])[:count])
    for _ in range(ROUNDS):
        session.fit(seconds=0)
        cells = session.predict(region=view)
        true, found = match_points(points, cells.points, cells.scores, MATCH_RADIUS)
        missed = rng.permutation(np.setdiff1d(np.arange(len(points)), true))[:MISSED]
        wrong = rng.permutation(true[labels[true] != cells.labels[found]])[:WRONG]
        for cell in (*missed, *wrong):
            session.annotate(str(labels[cell]), points[[cell]])


def wait(seconds: float, until: Callable[[], bool]) -> None:
    """Let the window live until something holds."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise SystemExit("The window did not get there in time; no picture was made.")
        QTest.qWait(50)


def is_fresh(dock: AnnotatorDock) -> bool:
    """Tell whether all that is in view was predicted by the newest model."""
    binding = dock.annotator.binding
    if binding is None:
        return False
    return freshness(binding.session, binding.slide_id, binding.box) == "View: up to date"


def learn(dock: AnnotatorDock, session: Session) -> None:
    """Press Learn, let it fine-tune for a while, and wait until the view shows the newest model."""
    dock.learn.toggle.click()
    wait(PATIENCE_SECONDS, lambda: len(dock.status.plot) > 1)  # it has begun to fine-tune
    first, end = session.model_revision, time.monotonic() + LEARN_SECONDS
    wait(PATIENCE_SECONDS, lambda: session.model_revision > first or time.monotonic() > end)
    wait(PATIENCE_SECONDS, lambda: is_fresh(dock))
    QTest.qWait(1500)  # counts and layers follow within a second


def main() -> None:
    """Make the picture."""
    slide = synthetic_he((4096, 4096), SEED)
    session = Session.create(Path(HOME.name) / "synthetic.xce", classes=CLICKS)
    session.add_slide(slide)
    click(session, slide)
    viewer = open_viewer(session=session, look_at=(*MIDDLE, ZOOM))
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)
    dock = dock_of(viewer)
    assert dock is not None
    QTest.qWait(1000)
    learn(dock, session)
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(pixels[..., :3]).quantize(256, dither=Image.Dither.NONE).save(PICTURE)
    viewer.close()
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
    HOME.cleanup()
