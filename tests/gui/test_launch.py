"""What the command line opens: a viewer with the dock, on a slide or a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import pytest
from typer.testing import CliRunner

from napari_xce.cli import app
from napari_xce.slides.synthetic import SyntheticSlide
from napari_xce.widgets import launch
from napari_xce.widgets.dock import AnnotatorDock, dock_of

Viewers = list[napari.Viewer]


@pytest.fixture
def viewers(
    make_napari_viewer: Callable[..., napari.Viewer], monkeypatch: pytest.MonkeyPatch
) -> Viewers:
    """Return the viewers opened from now on; the window system is not run."""
    opened: Viewers = []

    def open_one(**options: str) -> napari.Viewer:
        opened.append(make_napari_viewer(**options))
        return opened[-1]

    monkeypatch.setattr(napari, "Viewer", open_one)
    monkeypatch.setattr(launch, "run", lambda: None)
    return opened


def dock_in(viewers: Viewers) -> AnnotatorDock:
    """Return the dock of the only viewer."""
    (viewer,) = viewers
    dock = dock_of(viewer)
    assert dock is not None
    return dock


def command(*words: str | Path) -> str:
    """Run a command that must work; return what it prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_demo_opens_ready_to_press_learn(viewers: Viewers, tmp_path: Path) -> None:
    told = command("demo", "--out", tmp_path / "demo")
    dock = dock_in(viewers)
    session = dock.annotator.session
    assert session is not None
    assert session.path == tmp_path / "demo" / "slide.xce"
    assert str(session.path) in told
    assert len(session.annotations()) == 24
    assert dock.learn.toggle.isEnabled()
    assert dock.learn.toggle.text() == "Le&arn"


def test_annotate_opens_a_slide_with_a_session_beside_it(viewers: Viewers, svs: Path) -> None:
    command("annotate", svs)
    session = dock_in(viewers).annotator.session
    assert session is not None
    assert session.path.parent == svs.parent


def test_annotate_begins_the_session_that_is_named(
    viewers: Viewers, svs: Path, tmp_path: Path
) -> None:
    command("annotate", svs, "--session", tmp_path / "mine.xce")
    dock = dock_in(viewers)
    assert dock.annotator.session is not None
    assert dock.annotator.session.path == tmp_path / "mine.xce"
    assert dock.annotator.binding is not None
    assert viewers[0].layers[0].name == svs.name


def test_view_of_the_demo_is_where_the_clicks_are(viewers: Viewers, tmp_path: Path) -> None:
    command("demo", "--out", tmp_path)
    dock = dock_in(viewers)
    binding, session = dock.annotator.binding, dock.annotator.session
    assert binding is not None
    assert session is not None
    center = binding.slide_layer.world_to_data(viewers[0].scene.camera.center[-2:])
    middle = session.annotations().points.mean(axis=0)
    assert abs(center[-2:] - middle).max() < SyntheticSlide().shape[0] * 0.2
