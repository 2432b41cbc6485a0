"""Imports go one way: a package knows those below it, and none above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gragr_explain

ROOT = Path(gragr_explain.__file__).parent
LAYERS = [
    {"errors"},
    {"files", "formats", "arguments", "modes", "seeds"},
    {"field", "pairs"},
    {"inputs"},
    {"labels"},
    {"history"},
    {"messages"},
    {"context"},
    {"training"},
    {"rationale"},
    {"explain"},
    {"audit", "condensation", "editing", "models"},
    {"report"},
    {"datasets", "checkpoint"},
    {"streaming"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}


def imported(file: Path) -> set[str]:
    """Which of our packages a file imports, wherever in the file it does so."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relative to itself"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("gragr_explain.")}
    return found - {"__version__"}


def part_of(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").parts[0]


FILES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_go_one_way(file):
    part = part_of(file)
    assert part in HEIGHT, f"{part} has no place in the order of layers"
    for other in imported(file) - {part}:
        if other not in HEIGHT:  # a name that the package itself offers, such as gragr_explain.GraGR
            assert HEIGHT[part] >= HEIGHT["cli"], f"{part} imports {other} from the package above it"
            continue
        assert HEIGHT[other] < HEIGHT[part], f"{part} imports {other}, which is not below it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_packages_are_entered_by_their_door(file):
    """A private module is imported by its own package only."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            parts = module.split(".")
            if parts[0] == "gragr_explain" and any(part.startswith("_") for part in parts[2:]):
                assert parts[1] == part_of(file), f"{file} imports the private module {module}"


def test_every_layer_is_there():
    present = {part_of(file) for file in FILES}
    assert present <= set(HEIGHT)
    assert {"errors", "inputs", "field", "history", "context", "training", "rationale", "explain"} <= present
