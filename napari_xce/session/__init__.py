"""A session: one annotation project on disk, and all that can be done with it. No Qt.

A directory ``<name>.xce`` holds ``session.sqlite`` (what was said), ``models/`` (what was learnt)
and ``predictions/`` (a cache that may be deleted). Everything the GUI can do, a script can do with
a `Session`. It is told in parts, each standing on the one before: its slides, its model, its
predictions, its advice (where to click next, how good it is), corrections of what it predicts, its
files (in and out), its numbers (counts, densities, indices) and its report.
"""

from napari_xce.session.advice import MATCH_RADIUS
from napari_xce.session.learning import FitReport
from napari_xce.session.session import Session
from napari_xce.session.slides import WORKING_DIAMETER, WORKING_MPP

__all__ = ["MATCH_RADIUS", "WORKING_DIAMETER", "WORKING_MPP", "FitReport", "Session"]
