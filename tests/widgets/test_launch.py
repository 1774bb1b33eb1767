"""Why no window can be opened, in words that say what to do."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from napari_xce.widgets.launch import why_no_window


def child_says(monkeypatch: pytest.MonkeyPatch, stderr: str, code: int = 1) -> None:
    """Have the child that tries to open a window end like this."""
    done = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("qtpy.QtBindingsNotFoundError: No Qt bindings could be found", "napari-xce[all]"),
        ("ModuleNotFoundError: No module named 'PyQt6'", "napari-xce[all]"),
        ("qt.qpa.xcb: could not connect to display :0", "no display"),
        ("ImportError: libGL.so.1: cannot open shared object file", "libGL.so.1"),
        ("", "exit code 1"),
    ],
)
def test_each_obstacle_has_its_sentence(
    stderr: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_says(monkeypatch, stderr)
    assert words in str(why_no_window())


def test_nothing_stands_in_the_way_when_the_child_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child_says(monkeypatch, "some warning", code=0)
    assert why_no_window() is None


def test_window_system_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*args: Any, **kwargs: Any) -> None:
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    assert why_no_window() == "The window system does not answer."
