"""Tests that open a window: marked ``gui``, skipped where there is no display to open it on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _why_no_window() -> str | None:
    """Say why no window with OpenGL can be opened here, or None when one can."""
    if os.environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal")):
        return "QT_QPA_PLATFORM has no OpenGL; run scripts/test, or pytest under xvfb-run"
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        return "no display; run scripts/test, or pytest under xvfb-run"
    return None


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them without a display."""
    reason = _why_no_window()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gui)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
