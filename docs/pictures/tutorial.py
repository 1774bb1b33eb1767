"""Draw the pictures of ``docs/tutorial.md``: the steps of a first session in the real window.

Run from the repository (some minutes), without a display by way of Xvfb::

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python docs/pictures/tutorial.py

Clicks come from the slide's known truth. Slide, clicks, size and theme are fixed; counts, scores
and the places suggested depend on how far the model got on the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HOME = tempfile.TemporaryDirectory(prefix="xce-tutorial-")
os.environ["HOME"] = os.environ["USERPROFILE"] = HOME.name  # the session of a sample goes there
os.environ["NAPARI_CONFIG"] = str(Path(HOME.name) / "settings.yaml")  # before napari reads it

import numpy as np  # noqa: E402
from napari import Viewer  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402

from napari_xce.annotations.classes import PALETTE  # noqa: E402
from napari_xce.evaluation.matching import match_points  # noqa: E402
from napari_xce.session import MATCH_RADIUS  # noqa: E402
from napari_xce.slides.samples import synthetic_he  # noqa: E402
from napari_xce.widgets.counting import freshness  # noqa: E402
from napari_xce.widgets.dock import AnnotatorDock, dock_of  # noqa: E402
from napari_xce.widgets.launch import open_viewer  # noqa: E402

FOLDER = Path(__file__).parent
SIZE = (1280, 800)
SEED = 0
#: Middle of the view, level-0 pixels (y, x), and screen pixels for each of them.
MIDDLE, ZOOM = (1636.0, 2458.0), 1.9
#: All clicks lie within so many pixels of the middle.
REACH = 120.0
CLASSES = {"lymphocyte": 5, "tumour": 5}
PUT_RIGHT = 4
#: What is reviewed in the end: a square of this half side about the middle.
REVIEWED = 60.0
PATIENCE_SECONDS = 600.0


class Lesson:
    """One window, and what the reader of the tutorial does in it."""

    def __init__(self) -> None:
        self.slide = synthetic_he((4096, 4096), SEED)
        truth = self.slide.truth()
        near = (np.abs(truth.points - MIDDLE) < REACH).all(axis=1)
        near &= np.isin(truth.labels, list(CLASSES))
        self.points, self.labels = truth.points[near], truth.labels[near]
        self.viewer: Viewer = open_viewer()
        self.viewer.theme = "dark"
        self.viewer.window.resize(*SIZE)
        dock = dock_of(self.viewer)
        assert dock is not None
        self.dock: AnnotatorDock = dock
        QTest.qWait(1500)

    def open(self) -> None:
        """Open the sample; go to where two tissues meet."""
        self.viewer.open_sample("napari-xce", "synthetic_he")
        self.wait(lambda: self.dock.annotator.binding is not None)
        camera = self.viewer.scene.camera
        camera.center = (*camera.center[:-2], *self._world(MIDDLE))
        camera.zoom = ZOOM / 0.5  # the sample has 0.5 um/px
        QTest.qWait(1500)

    def name_and_click(self) -> None:
        """Name two classes and click some cells of each."""
        self.dock.classes.renamed.emit("cell", "lymphocyte")
        self.session.add_class("tumour")
        rng = np.random.default_rng(SEED)
        for name, count in CLASSES.items():
            self.say(name, rng.permutation(self.points[self.labels == name])[:count])
        QTest.qWait(1000)

    def learn(self) -> None:
        """Press Learn; wait until the view shows what was learnt."""
        self.dock.learn.toggle.click()
        self.wait(self.is_fresh)
        QTest.qWait(2500)

    def put_right(self) -> None:
        """Click some missed cells and some of the wrong class."""
        cells = self.session.predict(region=self._square(REACH))
        true, found = match_points(self.points, cells.points, cells.scores, MATCH_RADIUS)
        missed = np.setdiff1d(np.arange(len(self.points)), true)[:PUT_RIGHT]
        wrong = true[self.labels[true] != cells.labels[found]][:PUT_RIGHT]
        for cell in (*missed, *wrong):
            self.say(str(self.labels[cell]), self.points[[cell]])
        QTest.qWait(2000)
        self.wait(self.is_fresh)

    def suggest(self) -> None:
        """Ask where to look next."""
        self.dock.suggest_next()
        QTest.qWait(4000)

    def review(self) -> None:
        """Click every cell of a square, mark it reviewed, and measure."""
        camera = self.viewer.scene.camera
        camera.center = (*camera.center[:-2], *self._world(MIDDLE))
        camera.zoom = ZOOM / 0.5
        inside = (np.abs(self.points - MIDDLE) < REVIEWED).all(axis=1)
        stand = self.session.store.annotations().points
        for point, name in zip(self.points[inside], self.labels[inside], strict=True):
            if not (np.abs(stand - point) < MATCH_RADIUS).all(axis=1).any():
                self.say(str(name), point[None])
        self.session.review(self._square(REVIEWED))
        self.dock.quality.measure.emit()
        QTest.qWait(1000)
        self.wait(lambda: self.dock.quality.has_measured)
        self.wait(self.is_fresh)
        QTest.qWait(2500)

    def predict(self) -> None:
        """Predict the whole slide; look at it from afar."""
        self.dock.counts.whole.click()
        self.viewer.reset_view()
        self.wait(lambda: self.dock.counts.progress.isVisible())
        self.wait(lambda: not self.dock.counts.progress.isVisible())
        QTest.qWait(2500)

    def show_only(self, *titles: str) -> None:
        """Open these sections of the dock and fold the others away."""
        for fold in self.dock._folds():
            fold.show_open(fold.title in titles)
        QTest.qWait(300)

    def picture(self, name: str) -> None:
        """Save what the window shows."""
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        path = FOLDER / f"tutorial-{name}.png"
        small(Image.fromarray(pixels)).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")

    @property
    def session(self):
        """The session in use."""
        assert self.dock.annotator.session is not None
        return self.dock.annotator.session

    def say(self, name: str, points: NDArray[np.float64]) -> None:
        """Click these cells."""
        self.session.annotate(name, points)

    def is_fresh(self) -> bool:
        """Tell whether all that is in view was predicted by the newest model."""
        binding = self.dock.annotator.binding
        if binding is None:
            return False
        fresh = freshness(binding.session, binding.slide_id, binding.box)
        return fresh == "View: up to date"

    def wait(self, until: Callable[[], bool]) -> None:
        """Let the window live until something holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not until():
            if time.monotonic() > end:
                raise SystemExit("The window did not get there in time; no picture was made.")
            QTest.qWait(50)

    def _square(self, half: float) -> tuple[tuple[float, float], tuple[float, float]]:
        y, x = MIDDLE
        return (y - half, x - half), (y + half, x + half)

    def _world(self, yx: tuple[float, float]) -> tuple[float, float]:
        binding = self.dock.annotator.binding
        assert binding is not None
        y, x = binding.slide_layer.data_to_world(yx)[-2:]
        return float(y), float(x)


def small(image: Image.Image) -> Image.Image:
    """Return a picture of 256 colours, the small dots of the classes in theirs."""
    most = image.quantize(256 - len(PALETTE)).getpalette() or []
    own = [int(color[i : i + 2], 16) for color in PALETTE for i in (1, 3, 5)]
    colors = Image.new("P", (1, 1))
    colors.putpalette([*own, *most[: 3 * 256 - len(own)]])
    return image.quantize(palette=colors, dither=Image.Dither.NONE)


def main() -> None:
    """Go through the lesson, and take a picture after each step."""
    lesson = Lesson()
    lesson.picture("start")
    lesson.open()
    lesson.name_and_click()
    lesson.picture("clicked")
    lesson.learn()
    lesson.picture("learnt")
    lesson.put_right()
    lesson.suggest()
    lesson.show_only("Where next")
    lesson.picture("suggested")
    lesson.show_only("How good is it", "Where next")
    lesson.review()
    lesson.picture("reviewed")
    lesson.show_only("Counts", "Files")
    lesson.predict()
    lesson.picture("slide")
    lesson.viewer.close()


if __name__ == "__main__":
    main()
    HOME.cleanup()
