"""What users get, wheel and sdist: complete, with a valid manifest, and installable by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_xce


def _build(source: Path, target: str, out: Path) -> Path:
    """Build a wheel or an sdist with what is installed, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return _build(repository, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and return the folder that it unpacks to."""
    sdist = _build(repository, "sdist", tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment, which finds all else where it is installed.

    Returns the folder of the environment's programs.
    """
    home = tmp_path_factory.mktemp("empty") / "environment"
    venv.create(home, with_pip=False)
    paths = sysconfig.get_paths("venv", {"base": str(home), "platbase": str(home)})
    python = Path(paths["scripts"]) / Path(sys.executable).name
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-index", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    others = Path(paths["purelib"]) / "others.pth"
    others.write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    return Path(paths["scripts"])


def _run(environment: Path, program: str, *arguments: str) -> str:
    """Run a program of the environment, away from the repository, and return what it prints."""
    done = subprocess.run(
        [environment / program, *arguments],
        cwd=environment,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what is in the wheel."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize(
    "pattern", ["napari.yaml", "py.typed", "learning/**/*.safetensors", "learning/**/*.json"]
)
def test_wheel_holds_package_data(unpacked: Path, pattern: str) -> None:
    assert list((unpacked / "napari_xce").glob(pattern))


def test_wheel_holds_licence_and_notice(unpacked: Path) -> None:
    names = {path.name for path in unpacked.glob("*.dist-info/licenses/*")}
    assert names == {"LICENSE", "NOTICE"}


def test_wheel_holds_nothing_but_the_package(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"napari_xce"}


def test_shipped_weights_stay_small(unpacked: Path) -> None:
    weights = (unpacked / "napari_xce").rglob("*.safetensors")
    assert sum(path.stat().st_size for path in weights) <= 5_000_000


def test_unpacked_wheel_imports_by_itself(unpacked: Path) -> None:
    script = "import napari_xce; print(napari_xce.__file__); napari_xce.ExclusiveCrossEntropy"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=unpacked,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert Path(done.stdout.strip()).is_relative_to(unpacked.resolve())


def test_installed_wheel_brings_its_own_files(environment: Path) -> None:
    script = "import napari_xce.learning.shipped as s; print(s.WEIGHTS, s.WEIGHTS.exists())"
    weights, exists = _run(environment, Path(sys.executable).name, "-c", script).split()
    assert exists == "True"
    assert Path(weights).is_relative_to(environment.parent.resolve())


def test_installed_command_says_what_it_can_do(environment: Path) -> None:
    assert "demo" in _run(environment, "napari-xce", "--help")


def test_installed_manifest_is_found_and_valid(environment: Path) -> None:
    script = "from npe2.cli import app; app(['validate', 'napari-xce'])"
    said = _run(environment, Path(sys.executable).name, "-c", script)
    assert "Manifest for 'XCE Annotator' valid!" in said.replace("\n", " ")


def test_wheel_built_from_the_sdist_is_the_same(source: Path, wheel: Path, tmp_path: Path) -> None:
    again = _build(source, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        sums = [{i.filename: i.CRC for i in archive.infolist()} for archive in (first, second)]
    assert sums[0] == sums[1]


def test_page_of_the_plugin_says_what_it_is(unpacked: Path) -> None:
    text = next(unpacked.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    page = Parser().parsestr(text)
    assert page["Name"] == "napari-xce"
    assert page["License-Expression"] == "Apache-2.0"
    assert page["Description-Content-Type"] == "text/markdown"
    assert "Framework :: napari" in page.get_all("Classifier")
    assert page.get_payload().startswith("# napari-xce")


def test_manifest_of_the_wheel_is_valid(unpacked: Path) -> None:
    manifest = PluginManifest.from_file(unpacked / "napari_xce" / "napari.yaml")
    assert manifest.name == "napari-xce"
    assert manifest.contributions.widgets


def test_every_command_of_the_manifest_can_be_imported() -> None:
    manifest = PluginManifest.from_distribution("napari-xce")
    manifest.validate_imports()


def test_manifest_at_the_root_is_the_package_manifest(repository: Path) -> None:
    root = repository / "napari.yaml"
    assert root.resolve() == repository / "napari_xce" / "napari.yaml"


def test_citation_and_changelog_name_the_version(repository: Path) -> None:
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {napari_xce.__version__}\n" in citation
    assert re.search(rf"^## {re.escape(napari_xce.__version__)}\b", changelog, re.MULTILINE)
