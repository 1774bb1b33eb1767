"""The wheel that users get: complete, with a valid manifest, and importable by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_xce


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed, without the network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=300)
    return next(out.glob("*.whl"))


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
