"""The demo: the main job on a sample slide whose every cell is known. No Qt.

``run_demo`` clicks a few cells as a person would, learns, predicts, exports and measures;
``prepare_demo`` lays the same slide and clicks out for the viewer.
"""

from __future__ import annotations

from napari_xce.demo.job import PreparedDemo, prepare_demo, run_demo
from napari_xce.demo.machine import describe_machine

__all__ = ["PreparedDemo", "describe_machine", "prepare_demo", "run_demo"]
