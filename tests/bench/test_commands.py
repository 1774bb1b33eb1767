"""The benchmark commands: each has help with an example, and says in words what it needs."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from napari_xce.bench import commands
from napari_xce.cli import app

COMMANDS = sorted(get_command(commands.bench).commands)
RUNNER = CliRunner()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_benchmark_shows_an_example(command: str) -> None:
    result = RUNNER.invoke(app, ["bench", command, "--help"])
    assert result.exit_code == 0
    assert f"Example: napari-xce bench {command}" in result.stdout


def test_bench_without_words_lists_the_benchmarks() -> None:
    words = RUNNER.invoke(app, ["bench"]).output
    assert all(command in words for command in COMMANDS)


def test_latency_without_a_display_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import napari_xce.widgets.launch

    monkeypatch.setattr(napari_xce.widgets.launch, "why_no_window", lambda: "There is no display.")
    result = RUNNER.invoke(app, ["bench", "latency"])
    assert result.exit_code == 1
    assert "xvfb-run" in result.stderr
    assert "Traceback" not in result.output
