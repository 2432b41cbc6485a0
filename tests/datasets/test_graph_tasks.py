"""Graph data sets with five tasks each."""

from __future__ import annotations

import os
from itertools import combinations

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.utils import erdos_renyi_graph, to_networkx

from gragr_explain.datasets import _molecules, load_graph_tasks
from gragr_explain.datasets._graph_properties import graph_properties
from gragr_explain.datasets._molecules import atom_features, read_molecules, scaffold_split
from gragr_explain.errors import DatasetError, InvalidArgumentError, InvalidTypeError

real_data = pytest.mark.skipif(
    not os.environ.get("GRAGR_DATA"), reason="the environment variable GRAGR_DATA names no folder with real data"
)
CSV = "smiles,activity,HIV_active\nCCO,CI,0\nc1ccccc1,CA,1\nc1ccccc1C,CI,0\nC1CCNC1,CI,0\n"


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=4), st.integers(0, 99))
def test_properties_are_what_networkx_counts(sizes, seed):
    torch.manual_seed(seed)
    graphs = [
        Data(
            edge_index=erdos_renyi_graph(nodes, share) if nodes > 1 else torch.zeros(2, 0).long(),
            kind=torch.randint(0, 3, (nodes,)),
            num_nodes=nodes,
        )
        for nodes, share in sizes
    ]
    together = Batch.from_data_list(graphs)
    found = graph_properties(together.kind, together.edge_index, together.batch)
    for row, graph in zip(found, graphs, strict=True):
        network = to_networkx(graph, to_undirected=True)
        degree = torch.tensor([count for _, count in network.degree()], dtype=torch.double)
        expected = [
            graph.num_nodes,
            len(nx.cycle_basis(network)),
            float(degree.std(correction=0)),
            float(torch.bincount(graph.kind).max()) / graph.num_nodes,
        ]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_scaffold_split_keeps_scaffolds_together(scaffolds):
    scaffold = torch.tensor(scaffolds)
    parts = scaffold_split(scaffold)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(scaffold)))
    for first, second in combinations(parts, 2):
        assert not set(scaffold[first].tolist()) & set(scaffold[second].tolist())
    assert len(parts[0]) <= round(0.8 * len(scaffold))


@real_data
@pytest.mark.parametrize(
    ("name", "sizes", "positive"), [("MUTAG", [150, 19, 19], 125 / 188), ("proteins", [890, 112, 111], 450 / 1113)]
)
def test_tu_data_sets_have_five_tasks_of_two_classes(name, sizes, positive):
    tasks = load_graph_tasks(name, split=3)
    parts = (tasks.train, tasks.val, tasks.test)
    assert [len(part) for part in parts] == sizes
    assert tasks.name == name.upper()
    assert len(tasks.task_names) == len(tasks.num_classes) == len(tasks.thresholds) + 1 == 5
    for part in ("train", "val", "test"):
        assert float(tasks.balance(part)[0]) == pytest.approx(positive, abs=0.04)  # stratified
    assert bool(((tasks.balance() > 0.3) & (tasks.balance() < 0.7)).all())  # and no task is degenerate
    sizes_of_train = torch.tensor([graph.num_nodes for graph in tasks.train])
    for graph in tasks.test:
        assert int(graph.y[0, 1]) == int(graph.num_nodes > int(sizes_of_train.median()))


@real_data
def test_splits_are_drawn_by_their_seed():
    def first(split):
        return [graph.x.sum(0).tolist() for graph in load_graph_tasks("MUTAG", split=split).test]

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.fixture
def molecules(tmp_path):
    raw = tmp_path / "MoleculeNet" / "hiv" / "raw"
    raw.mkdir(parents=True)
    (raw / "HIV.csv").write_text(CSV)
    return tmp_path


def test_molecules_are_read_once_and_kept_as_tensors(molecules, monkeypatch):
    pytest.importorskip("rdkit")
    read = read_molecules(molecules)
    assert read["num_nodes"].tolist() == [3, 6, 7, 5]
    assert read["num_edges"].tolist() == [4, 12, 14, 10]
    assert read["y"].tolist() == [0, 1, 0, 0]
    assert read["scaffold"].tolist() == [0, 1, 1, 2]
    features = atom_features(read["x"][:3])
    assert features.tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0],
        [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    ]
    monkeypatch.setattr(_molecules, "_parse", lambda root: pytest.fail("the molecules were read again"))
    monkeypatch.setattr(_molecules, "find_spec", lambda name: None)  # and RDKit is needed no more
    again = read_molecules(molecules)
    assert all(torch.equal(read[name], again[name]) for name in read)
    assert sorted(path.name for path in (molecules / "MoleculeNet" / "hiv").iterdir()) == [
        "molecules.safetensors",
        "raw",
    ]


def test_hiv_is_split_by_scaffold(molecules):
    pytest.importorskip("rdkit")
    tasks = load_graph_tasks("hiv", molecules)
    assert tasks.name == "HIV"
    assert [len(part) for part in (tasks.train, tasks.val, tasks.test)] == [3, 1, 0]
    assert [int(graph.y[0, 0]) for graph in tasks.train] == [0, 1, 0]
    assert [int(graph.y[0, 2]) for graph in tasks.train] == [0, 0, 0]  # rings, above the median of 0, 1, 1
    with pytest.raises(InvalidArgumentError, match="expected only split 0 of this data set, got 1"):
        load_graph_tasks("HIV", molecules, split=1)


def test_without_rdkit_the_error_says_what_to_install(molecules, monkeypatch):
    monkeypatch.setattr(_molecules, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"RDKit, which is not installed.*gragr-explain\[molecules\]"):
        read_molecules(molecules)


@pytest.mark.parametrize("damage", [b"", b"not tensors", None])
def test_a_damaged_file_is_named(molecules, damage):
    from safetensors.torch import save_file

    kept = molecules / "MoleculeNet" / "hiv" / "molecules.safetensors"
    if damage is None:
        save_file({"x": torch.zeros(1)}, kept)
    else:
        kept.write_bytes(damage)
    with pytest.raises(DatasetError, match=r"molecules\.safetensors'.*remove it"):
        read_molecules(molecules)


def test_bad_names_and_splits():
    with pytest.raises(DatasetError, match="unknown data set 'ENZYMES': expected one of MUTAG, PROTEINS, HIV"):
        load_graph_tasks("ENZYMES")
    with pytest.raises(InvalidTypeError, match="expected the name of a data set, got int"):
        load_graph_tasks(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="split as an integer, got '1'"):
        load_graph_tasks("MUTAG", split="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="split of at least 0, got -1"):
        load_graph_tasks("MUTAG", split=-1)
