"""The ranges that the package states begin with the versions that its tests are run with to prove them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pinned(file: str) -> dict[str, str]:
    """The version that a constraints file gives each package."""
    lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def required() -> list[Requirement]:
    """What the package requires, alone and with its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    return [each for each in map(Requirement, everything) if each.name != project["name"]]


def test_the_lowest_versions_are_the_ends_of_the_ranges():
    lowest = {canonicalize_name(each.name): str(each.specifier).removeprefix(">=") for each in required()}
    linters = {"mypy", "ruff"}  # with which no user runs the package
    assert pinned("constraints-lowest.txt") == {name: low for name, low in lowest.items() if name not in linters}


def test_what_the_checks_are_run_with_is_in_the_ranges():
    used = pinned("constraints.txt")
    for each in required():
        assert used[canonicalize_name(each.name)] in each.specifier, each
