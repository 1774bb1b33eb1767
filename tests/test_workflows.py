"""The workflows of GitHub, which cannot run here: that they are read as meant."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def _read(name: str) -> dict[str, Any]:
    path = REPOSITORY / ".github" / "workflows" / name
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _project() -> dict[str, Any]:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_does_one_thing_and_every_job_ends(path: Path) -> None:
    for job in _read(path.name)["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_unless_a_job_says_so(path: Path) -> None:
    assert _read(path.name)["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_matrix_is_every_system_binding_and_end_of_napari() -> None:
    matrix = _read("test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["qt"] == ["PyQt6", "PySide6"]
    oldest = next(need for need in _project()["dependencies"] if need.startswith("napari"))
    assert matrix["napari"] == ["napari", oldest.replace(">=", "==")]
    pythons = [entry for entry in matrix["include"] if "python" in entry]
    assert [entry["napari"] for entry in pythons] == matrix["napari"]
    bindings = {entry["qt"]: entry["binding"] for entry in matrix["include"] if "qt" in entry}
    assert {qt: binding.split("<")[0] for qt, binding in bindings.items()} == {
        qt: qt for qt in matrix["qt"]
    }


def test_oldest_and_newest_python_are_tried() -> None:
    include = _read("test.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    tried = sorted(entry["python"] for entry in include if "python" in entry)
    named = [re.fullmatch(r".*:: (3\.\d+)", line) for line in _project()["classifiers"]]
    versions = sorted((match[1] for match in named if match), key=lambda v: int(v[2:]))
    assert tried == [versions[0], versions[-1]]
    assert _project()["requires-python"] == f">={versions[0]}"


def test_publishing_needs_no_password() -> None:
    jobs = _read("publish.yml")["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "permissions" not in jobs["build"]
    assert not any("password" in step.get("with", {}) for step in jobs["publish"]["steps"])


def test_hooks_before_a_commit_are_those_of_the_checks() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    ids = {hook["id"] for repo in hooks["repos"] for hook in repo["hooks"]}
    assert {"ruff", "ruff-format", "trailing-whitespace", "check-yaml"} <= ids
