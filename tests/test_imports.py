"""The house rules: who may import whom, who may touch torch and Qt, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import napari_xce

PACKAGE = Path(napari_xce.__file__).parent

# From the bottom up; a room may import from the rows above its own, and not from its own row.
LAYERS = [
    ("errors", "budget"),
    ("slides", "annotations"),
    ("learning",),
    ("predictions",),
    ("suggestions", "evaluation", "measures", "exchange"),
    ("report",),
    ("session",),
    ("engine", "demo", "cohort"),
    ("viewer",),
    ("widgets",),
    ("bench",),
    ("cli",),
]
HEIGHT = {room: height for height, row in enumerate(LAYERS) for room in row}
BINDINGS = {"PyQt5", "PyQt6", "PySide2", "PySide6"}  # only by way of qtpy
RESTRICTED = {
    "torch": {"learning", "predictions", "bench"},
    "napari": {"viewer", "widgets", "bench"},
    "qtpy": {"viewer", "widgets", "bench"},
    "magicgui": {"viewer", "widgets"},
    "superqt": {"viewer", "widgets"},
}
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def _room(path: Path) -> str:
    """Return the room that a module of the package belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports anywhere in it, relative ones made absolute."""
    package = ["napari_xce", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            if module == "napari_xce":
                found.update(f"{module}.{alias.name}" for alias in node.names)
            else:
                found.add(module)
    return found


def _id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_imports_only_from_rooms_below(path: Path) -> None:
    room = _room(path)
    assert room in HEIGHT, f"say in LAYERS where the new room {room!r} stands"
    imported = {name.split(".")[1] for name in _imports(path) if name.startswith("napari_xce.")}
    upwards = {
        other
        for other in imported - {room, "__version__"}
        if HEIGHT.get(other, len(LAYERS)) >= HEIGHT[room]
    }
    assert not upwards, f"{_id(path)} may not import {sorted(upwards)}"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_keeps_torch_and_qt_in_their_rooms(path: Path) -> None:
    imported = {name.split(".")[0] for name in _imports(path)}
    forbidden = {
        name for name in imported & RESTRICTED.keys() if _room(path) not in RESTRICTED[name]
    }
    assert not forbidden, f"{_id(path)} may not import {sorted(forbidden)}"


def test_every_imported_library_is_a_declared_dependency(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["bench"], *extras["cohort"]]
    declared = {_distribution(requirement) for requirement in wanted}
    owners = packages_distributions()
    imported = {name.split(".")[0] for path in MODULES for name in _imports(path)}
    undeclared = {
        name
        for name in imported - sys.stdlib_module_names - {"napari_xce"}
        if not declared & {_distribution(owner) for owner in owners.get(name, [])}
    }
    assert not undeclared, f"not among the dependencies of pyproject.toml: {sorted(undeclared)}"


def _distribution(requirement: str) -> str:
    """Return the normalised name of a requirement such as ``Scikit_Image>=0.23``."""
    name = requirement.split(";")[0].split("[")[0]
    for separator in "<>=!~ ":
        name = name.split(separator)[0]
    return name.lower().replace("_", "-")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("napari_xce", {"torch", "napari", "qtpy", "numpy"}),
        ("napari_xce.slides", {"torch", "napari", "qtpy"}),
        ("napari_xce.session", {"napari", "qtpy", "magicgui", "superqt"}),
        ("napari_xce.engine", {"napari", "qtpy", "magicgui", "superqt"}),
        ("napari_xce.demo", {"napari", "qtpy", "magicgui", "superqt"}),
        ("napari_xce.bench", {"torch", "napari", "qtpy"}),
        ("napari_xce.cli", {"torch", "napari", "qtpy"}),
    ],
)
def test_import_in_fresh_interpreter_stays_light(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & (unwanted | BINDINGS)


@pytest.mark.parametrize("name", napari_xce.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(napari_xce, name) is not None
    assert name in dir(napari_xce)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sessoin'"):
        _ = napari_xce.Sessoin
