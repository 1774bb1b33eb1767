"""Contract: cells drawn by a shader of discs alone look as vispy draws discs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_xce.slides.slide import Slide


@pytest.mark.usefixtures("fake_engine")
def test_cells_look_as_vispys_own_discs(window: Any, noise: Slide) -> None:
    def seen() -> np.ndarray:
        return window.viewer.screenshot(canvas_only=True, flash=False)

    window.show(noise)
    window.viewer.scene.camera.zoom = 4
    window.settle()
    window.engine.find(window.binding.slide_id, [(300, 400), (310, 420), (330, 390)])
    window.qtbot.waitUntil(lambda: len(window.layer("xce: cells").data) == 3)
    layer = window.layer("xce: cells")
    markers = window.viewer.window._qt_viewer.canvas.layer_to_visual[layer].node.points_markers
    ours = seen()
    assert "diamond" not in markers.shared_program.frag["marker"].compile()
    markers.shared_program.frag["marker"] = markers._symbol_func
    np.testing.assert_array_equal(ours, seen())
    layer.visible = False
    assert (ours != seen()).any()
