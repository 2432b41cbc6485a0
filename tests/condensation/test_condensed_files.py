"""Condensed graphs as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from condensed_graphs import PARTS, make_graph, quickly
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.condensation import load_condensed, save_condensed
from gragr_explain.errors import CheckpointError, InvalidGraphError, InvalidTypeError, OutputError

FILES = ["condensed.json", "condensed.safetensors"]


@pytest.fixture(scope="module")
def condensed() -> Data:
    return quickly(make_graph(), modalities=PARTS, structure=True)


@pytest.fixture
def folder(condensed: Data, tmp_path: Path) -> Path:
    save_condensed(condensed, tmp_path / "graph")
    return tmp_path / "graph"


@pytest.mark.parametrize("structure", [False, True])
def test_a_round_trip_is_exact(structure: bool, tmp_path: Path) -> None:
    condensed = quickly(make_graph(), structure=structure)
    save_condensed(condensed, tmp_path)
    save_condensed(condensed, str(tmp_path))
    loaded = load_condensed(str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES
    assert set(loaded.keys()) == set(condensed.keys())
    for name in condensed.keys():  # noqa: SIM118
        one, other = condensed[name], loaded[name]
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, name


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_cut_file_is_an_error(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_condensed(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match="cannot read"):
        load_condensed(folder)


def rewrite(folder: Path, **parts: object) -> None:
    meta = json.loads((folder / FILES[0]).read_text())
    (folder / FILES[0]).write_text(json.dumps({**meta, **parts}))


def test_foreign_newer_and_changed_files_are_errors(folder: Path) -> None:
    rewrite(folder, content={"ratio": 0.5})
    with pytest.raises(CheckpointError, match="does not match"):
        load_condensed(folder)
    rewrite(folder, version=99)
    with pytest.raises(CheckpointError, match="please upgrade"):
        load_condensed(folder)
    rewrite(folder, format="a recipe")
    with pytest.raises(CheckpointError, match="expected a gragr-explain condensed graph"):
        load_condensed(folder)


def test_only_condensed_graphs_are_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidGraphError, match="without"):
        save_condensed(make_graph(), tmp_path)
    with pytest.raises(InvalidTypeError):
        save_condensed("graph", tmp_path)  # type: ignore[arg-type]


def test_a_folder_that_is_a_file_is_an_error(condensed: Data, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_condensed(condensed, tmp_path / "file")
