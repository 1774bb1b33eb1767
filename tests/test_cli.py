"""The command line: its help shows examples, it works on a small session, it fails in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

import napari_xce.widgets.launch
from napari_xce.cli import app
from napari_xce.demo import PreparedDemo, prepare_demo
from napari_xce.session import Session

COMMANDS = ["demo", "annotate", "train", "predict", "evaluate", "export", "measure", "report"]
RUNNER = CliRunner()


def run(*words: str | Path) -> Result:
    """Run a command as a user would type it."""
    return RUNNER.invoke(app, [str(word) for word in words])


def succeed(*words: str | Path) -> str:
    """Run a command that must work; return what it prints on standard output."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PreparedDemo:
    """Return a small slide and a session that has learnt, with one reviewed region."""
    prepared = prepare_demo(tmp_path_factory.mktemp("case"), side=700)
    with Session.open(prepared.session) as session:
        session.review(((10, 10), (300, 300)))
        session.fit(seconds=0)
    return prepared


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_shows_an_example(command: str) -> None:
    words = succeed(command, "--help")
    assert f"Example: napari-xce {command}" in words


def test_command_line_without_words_lists_the_commands() -> None:
    words = run().output
    assert all(command in words for command in COMMANDS)


def test_missing_session_is_told_in_a_sentence(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path / "none.xce")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no session at")
    assert "Traceback" not in result.output


def test_missing_slide_is_told_in_a_sentence(case: PreparedDemo, tmp_path: Path) -> None:
    result = run(
        "predict", tmp_path / "none.svs", "--session", case.session, "--out", tmp_path / "c.csv"
    )
    assert result.exit_code == 1
    assert "none.svs" in result.stderr


def test_unknown_format_is_refused_before_predicting(case: PreparedDemo, tmp_path: Path) -> None:
    result = run("predict", case.slide, "--session", case.session, "--out", tmp_path / "cells.xyz")
    assert result.exit_code == 1
    assert ".geojson" in result.stderr


def test_missing_folder_is_refused_before_predicting(case: PreparedDemo, tmp_path: Path) -> None:
    out = tmp_path / "none" / "cells.csv"
    result = run("predict", case.slide, "--session", case.session, "--out", out)
    assert result.exit_code == 1
    assert "does not exist" in result.stderr


def test_predict_wants_either_session_or_model(case: PreparedDemo, tmp_path: Path) -> None:
    result = run("predict", case.slide, "--out", tmp_path / "cells.csv")
    assert result.exit_code == 1
    assert "either --session or --model" in result.stderr


def test_train_reports_in_json(case: PreparedDemo) -> None:
    report = json.loads(succeed("train", case.session, "--seconds", "0", "--json"))
    assert report["revision"] >= 1
    assert report["loss"] is None  # no step was taken
    assert set(report["thresholds"]) == {"lymphocyte", "tumour", "stroma"}


def test_train_without_annotations_says_what_to_do(tmp_path: Path) -> None:
    Session.create(tmp_path / "empty.xce").close()
    result = run("train", tmp_path / "empty.xce", "--seconds", "0")
    assert result.exit_code == 1
    assert "annotate" in result.stderr


def test_predict_with_session_writes_the_cells(case: PreparedDemo, tmp_path: Path) -> None:
    out = tmp_path / "cells.csv"
    told = succeed("predict", case.slide, "--session", case.session, "--out", out, "--json")
    counts = json.loads(told)["cells"]
    rows = out.read_text().splitlines()
    assert sum(counts.values()) == len(rows) - 1 > 0


def test_exported_model_predicts_the_same_without_its_session(
    case: PreparedDemo, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    succeed("export", case.session, model)
    by = {"--session": case.session, "--model": model}
    counts = [
        json.loads(succeed("predict", case.slide, who, path, "--out", tmp_path / "c.csv", "--json"))
        for who, path in by.items()
    ]
    assert counts[0]["cells"] == counts[1]["cells"]


def test_predict_prints_a_table_for_people(case: PreparedDemo, tmp_path: Path) -> None:
    out = tmp_path / "cells.geojson"
    words = succeed("predict", case.slide, "--session", case.session, "--out", out)
    assert "lymphocyte" in words
    assert json.loads(out.read_text())["type"] == "FeatureCollection"


def test_measure_and_report_tell_what_was_predicted(case: PreparedDemo, tmp_path: Path) -> None:
    told = json.loads(
        succeed(
            "predict", case.slide, "--session", case.session, "--out", tmp_path / "a.csv", "--json"
        )
    )
    out = tmp_path / "numbers.csv"
    (found,) = json.loads(succeed("measure", case.session, "--out", out, "--json"))
    assert found["counts"] == told["cells"]
    assert found["per_mm2"]["tumour"] * found["tissue_mm2"] == pytest.approx(
        told["cells"]["tumour"]
    )
    assert "slide,cells,tumour" in out.read_text(encoding="utf-8")
    assert "per mm² of predicted tissue" in succeed("measure", case.session)
    assert str(tmp_path / "a.pdf") in succeed("report", case.session, tmp_path / "a.pdf").replace(
        "\n", ""
    )
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_evaluate_prints_scores_with_intervals(case: PreparedDemo) -> None:
    score = json.loads(succeed("evaluate", case.session, "--json"))["lymphocyte"]
    low, high = score["recall_interval"]
    assert 0 <= low <= score["recall"] <= high <= 1
    assert "95 % interval" in succeed("evaluate", case.session)


def test_export_writes_a_mask_as_large_as_the_slide(case: PreparedDemo, tmp_path: Path) -> None:
    succeed("export", case.session, tmp_path / "mask.ome.tif", "--slide", "slide.tif")
    assert tifffile.imread(tmp_path / "mask.ome.tif").shape == (700, 700)


def test_export_of_an_unknown_slide_names_those_there_are(
    case: PreparedDemo, tmp_path: Path
) -> None:
    result = run("export", case.session, tmp_path / "cells.csv", "--slide", "other.svs")
    assert result.exit_code == 1
    assert "slide.tif" in result.stderr


def test_unknown_pixel_size_is_noted_and_can_be_given(case: PreparedDemo, tmp_path: Path) -> None:
    pixels = np.asarray(tifffile.imread(case.slide))
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, pixels, photometric="rgb")
    model = tmp_path / "model.safetensors"
    succeed("export", case.session, model)
    told = run("predict", plain, "--model", model, "--out", tmp_path / "c.csv", "--mpp", "0.5")
    assert told.exit_code == 0
    assert "unknown" not in told.stderr


def test_annotate_without_a_window_says_what_can_be_done(
    monkeypatch: pytest.MonkeyPatch, case: PreparedDemo
) -> None:
    monkeypatch.setattr(napari_xce.widgets.launch, "why_no_window", lambda: "There is no display.")
    result = run("annotate", case.slide)
    assert result.exit_code == 1
    assert "There is no display." in result.stderr
    assert "napari-xce train" in result.stderr
