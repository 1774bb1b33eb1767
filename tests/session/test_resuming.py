"""A whole-slide run that is killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide

SHAPE = (448, 448 * 12)
SECONDS = 300.0

RUN = """
import sys
from napari_xce.session import Session
from napari_xce.slides.synthetic import SyntheticSlide
with Session.open(sys.argv[1]) as session:
    id = session.add_slide(SyntheticSlide((448, 448 * 12), seed=3))
    for done in session.predict_tiles(id, session.stale_tiles(id)):
        session.save()
        print(len(done), flush=True)
"""


def test_killed_run_goes_on_where_it_was(session_dir: Path) -> None:
    with Session.create(session_dir, classes=["tumour"]) as session:
        slide = SyntheticSlide(SHAPE, seed=3)
        id = session.add_slide(slide)
        truth = slide.truth(((32, 32), (416, 416)))
        session.annotate("tumour", truth.points[truth.labels == "tumour"][:4])
        session.fit(seconds=0)
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(session_dir)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    saved = int(child.stdout.readline())
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait(SECONDS)
    child.stdout.close()
    with Session.open(session_dir) as again:
        again.add_slide(SyntheticSlide(SHAPE, seed=3))
        left = again.stale_tiles(id)
        assert 0 < len(left) <= 12 - saved
        resumed = again.predict()
        again.predictions[id].clear()
        whole = again.predict()
    np.testing.assert_array_equal(resumed.points, whole.points)
    np.testing.assert_array_equal(resumed.labels, whole.labels)
