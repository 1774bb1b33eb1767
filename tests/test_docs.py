"""What the documents say is true: links lead somewhere, names exist, figures and code are real."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

from napari_xce import exchange
from napari_xce.cli import app
from napari_xce.learning import calibration, click_learner, heads, memory, model, trainer
from napari_xce.learning.shipped import WEIGHTS
from napari_xce.predictions import fine_tuning
from napari_xce.viewer import keys

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path for place in (".", "docs", "benchmarks") for path in (REPOSITORY / place).glob("*.md")
)
COMMANDS = sorted(get_command(app).commands)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for _, words, target in LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, heading = target.partition("#")
        place = path.parent / file if file else path
        assert place.exists(), f"[{words}]({target})"
        assert not heading or heading in _anchors(place), f"[{words}]({target})"


def _anchors(path: Path) -> set[str]:
    """Return what the headings of a document are called in links."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_pictures_say_in_words_what_they_show(path: Path) -> None:
    for is_picture, words, target in LINK.findall(path.read_text(encoding="utf-8")):
        assert not is_picture or len(words) > 30, target


def test_pictures_come_from_scripts_of_their_name() -> None:
    pictures = sorted((REPOSITORY / "docs" / "pictures").glob("*.png"))
    assert pictures
    for picture in pictures:  # tutorial-learnt.png comes from tutorial.py
        script = picture.with_name(picture.stem.split("-")[0] + ".py")
        assert script.exists(), picture.name
        assert picture.stat().st_size < 600_000, picture.name


def test_window_is_drawn_at_its_fixed_size() -> None:
    with Image.open(REPOSITORY / "docs" / "pictures" / "window.png") as picture:
        assert picture.size == (1280, 800)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`(napari-xce )?{command}`", _text("README.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_that_documents_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"`napari-xce ([a-z]+)", text)) <= set(COMMANDS)


@pytest.mark.parametrize("ending", [*exchange.FORMATS, ".safetensors"])
def test_every_format_is_in_the_readme(ending: str) -> None:
    assert ending.replace(".tiff", ".tif") in _text("README.md")


@pytest.mark.parametrize("key", [keys.SUGGEST, keys.REJECT, keys.UNDO, keys.REDO, "?"])
def test_every_key_is_in_the_readme(key: str) -> None:
    shown = key.replace("Control", "Ctrl").replace("-", "+")
    assert f"`{shown}`" in _text("README.md")


def test_scores_of_the_trunk_are_those_of_its_card() -> None:
    scores = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))["scores"]
    breast = scores["brca_m2c_val"]
    parts = [breast[radius]["at_threshold_of_training"] for radius in ("12 px", "6 px")]
    for score in [*parts, scores["dsb2018_pink_he"], scores["cbc_held_out_white_cells"]]:
        low, high = score["f1_interval"]
        assert f"{score['f1']:.2f} ({low:.2f} to {high:.2f})" in _text("README.md")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("\\sigma({}\\,o + {})", (model.OBJECTNESS_SLOPE, model.OBJECTNESS_SHIFT)),
        ("proposals, {} numbers", heads.KIND_SIZE),
        ("the {} features", heads.CELL_SIZE),
        ("\\rho = {}", inspect.signature(click_learner.fit_clicks).parameters["ridge"].default),
        ("\\tau = {}", click_learner.TAU),
        ("p_\\text{{nucleus}} \\ge {}", memory.LEAST_OBJECT),
        ("{} diameters from each click, unless within {}", (memory.RING_RADIUS, memory.NOT_NEAR)),
        ("or {} of the score of a single click", calibration.SHARE_OF_OWN),
        ("single click, within {} and {}", (calibration.LOWEST, calibration.HIGHEST)),
        ("{}-pixel crops", trainer.CROP_SIZE),
        ("after every {} steps", fine_tuning.STEPS_PER_TRIAL),
        ("least {} such clicks", trainer.LEAST_HELD_OUT),
    ],
)
def test_formulas_of_the_method_are_those_of_the_code(words: str, value: Any) -> None:
    values = value if isinstance(value, tuple) else (value,)
    assert words.format(*values) in _text("docs/method.md")


def test_session_of_the_readme_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = re.findall(r"```(?:python)?\n(.*?)```", _text("README.md"), re.DOTALL)[1:3]
    monkeypatch.chdir(tmp_path)
    quick = code.replace("seconds=10", "seconds=0")
    assert quick != code
    exec(compile(quick, "README.md", "exec"), {})
    assert _shape(capsys.readouterr().out) == _shape(shown)
    assert (tmp_path / "cells.geojson").stat().st_size > 100_000


def _shape(printed: str) -> list[str]:
    """Return the lines that hold figures, each figure as #: the figures depend on the machine."""
    lines = [line for line in printed.splitlines() if re.search(r"\d", line)]
    return [re.sub(r"[\d.]+", "#", line) for line in lines]
