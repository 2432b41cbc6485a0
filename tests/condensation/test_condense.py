"""Condensing: what comes out, that it is the same every time, and that it teaches models the graph."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from condensed_graphs import CHANNELS, PARTS, QUICK, make_graph, quickly
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.transforms import NormalizeFeatures, ToUndirected

from gragr_explain.condensation import (
    CondensationSettings,
    _condensation,
    condense,
    modality_features,
    prototypes,
    save_condensed,
)
from gragr_explain.condensation import _condense as module
from gragr_explain.condensation._damping import damping_graph
from gragr_explain.datasets import load_dataset
from gragr_explain.errors import CheckpointError, InvalidGraphError, OutputError
from gragr_explain.pairs import write_pair
from gragr_explain.training import GraGR

SWITCHES = [
    {"decouple": False, "damp": False},
    {"decouple": True, "damp": False},
    {"decouple": False, "damp": True},
    {"decouple": True, "damp": True},
]


def assert_same(first: Data, second: Data) -> None:
    assert first.keys() == second.keys()
    for name in first.keys():  # noqa: SIM118
        one, other = first[name], second[name]
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, name


@pytest.mark.parametrize("structure", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_condensed_graph_is_small_whole_and_says_how_it_was_made(structure: bool, dtype: torch.dtype) -> None:
    data = make_graph(dtype=dtype)
    condensed = quickly(data, modalities=PARTS, structure=structure, seed=3)
    condensed.validate(raise_on_error=True)
    assert condensed.x.shape == (9, CHANNELS)
    assert condensed.x.dtype == dtype
    assert not condensed.x.requires_grad
    assert condensed.x.isfinite().all()
    assert condensed.y.bincount().tolist() == [3, 3, 3]
    assert condensed.train_mask.all()
    if structure:
        assert condensed.edge_weight.shape == (9 * 8,)
        assert not condensed.has_self_loops()
        assert condensed.is_undirected()
    else:
        assert condensed.edge_index.tolist() == [list(range(9))] * 2
    record = condensed.record
    assert record["modalities"] == {"first": [0, 1, 2, 3, 4], "second": [5, 6, 7]}
    assert (record["seed"], record["ratio"], record["epochs"], record["structure"]) == (3, 0.15, 2, structure)
    assert record["source"]["num_nodes"] == 60
    assert all(data.train_mask[node] for node in record["begun_as"])
    assert torch.equal(data.y[record["begun_as"]], condensed.y)
    assert {name: len(values) for name, values in record["curves"].items()} == dict.fromkeys(
        ("loss", "conflict", "conflict_energy", "energy", "damped_energy"), 2
    )
    assert all(math.isfinite(value) for values in record["curves"].values() for value in values)
    assert all(
        after <= before + 1e-6
        for before, after in zip(record["curves"]["energy"], record["curves"]["damped_energy"], strict=True)
    )


def test_nothing_given_is_changed() -> None:
    data = make_graph()
    before, state = data.clone(), torch.get_rng_state()
    quickly(data, modalities=PARTS, structure=True)
    assert_same(before, data)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("structure", [False, True])
def test_a_seed_is_a_graph(structure: bool) -> None:
    data = make_graph()
    first = quickly(data, modalities=PARTS, structure=structure, seed=1)
    torch.manual_seed(99)
    assert_same(first, quickly(data, modalities=PARTS, structure=structure, seed=1))
    assert not torch.equal(first.x, quickly(data, modalities=PARTS, structure=structure, seed=2).x)


def test_without_switches_modalities_change_nothing() -> None:
    """Plain matching, bit for bit; and damping alone where there is one modality."""
    data = make_graph()
    plain = quickly(data, decouple=False, damp=False)
    assert torch.equal(quickly(data, decouple=False, damp=False, modalities=PARTS).x, plain.x)
    assert torch.equal(quickly(data, decouple=True, damp=False).x, plain.x)
    damped = quickly(data, decouple=False, damp=True)
    assert torch.equal(quickly(data, decouple=True, damp=True).x, damped.x)
    assert torch.equal(quickly(data, decouple=True, damp=True, modalities={"all": slice(None)}).x, damped.x)


def test_every_switch_matters() -> None:
    data = make_graph()
    found = [quickly(data, modalities=PARTS, **switches).x for switches in SWITCHES]
    assert all(not torch.equal(found[i], found[j]) for i in range(4) for j in range(i))


def test_features_begin_as_those_of_training_nodes_damped_where_damping_is_on() -> None:
    data = make_graph(dtype=torch.float64)
    still = CondensationSettings(outer_steps=1, inner_steps=0, lr_feat=0.0, damping=3.0)
    plain, damped = (quickly(data, settings=still, damp=damp, epochs=1) for damp in (False, True))
    rows = plain.record["begun_as"]
    assert rows == damped.record["begun_as"]
    assert torch.equal(plain.x, data.x[rows])
    weights = damping_graph(data.edge_index, 60, dtype=torch.float64).matrix(torch.float64).to_dense()
    system = torch.eye(60, dtype=torch.float64) + 3.0 * (weights.sum(1).diag() - weights)
    torch.testing.assert_close(damped.x, torch.linalg.solve(system, data.x)[rows], rtol=1e-4, atol=1e-6)


def test_damping_of_strength_zero_is_none() -> None:
    settings = CondensationSettings(outer_steps=3, inner_steps=2, damping=0.0)
    data = make_graph()
    assert torch.allclose(quickly(data, settings=settings).x, quickly(data, settings=settings, damp=False).x, atol=1e-6)


def test_labels_of_other_nodes_are_not_used() -> None:
    data = make_graph()
    other = data.clone()
    other.y = torch.where(data.train_mask, data.y, -1)
    assert torch.equal(quickly(data).x, quickly(other).x)


def test_a_directed_graph_is_refused() -> None:
    data = make_graph()
    data.edge_index = data.edge_index[:, : data.num_edges // 2]  # every other half is the reverse
    with pytest.raises(InvalidGraphError, match=f"of {data.num_edges} edges without an edge back; apply"):
        quickly(data)
    assert quickly(ToUndirected()(data)).x.isfinite().all()


def test_encoders_are_modalities() -> None:
    data = make_graph()

    def degree(graph: Data) -> Tensor:
        return torch.bincount(graph.edge_index[1], minlength=graph.num_nodes).view(-1, 1).log1p()

    modalities = {"degree": degree, "words": slice(None)}
    x, columns = modality_features(data, modalities)
    assert torch.equal(x[:, :CHANNELS], data.x)
    assert torch.equal(x[:, CHANNELS:], degree(data))
    assert {name: part.tolist() for name, part in columns.items()} == {
        "degree": [CHANNELS],
        "words": list(range(CHANNELS)),
    }
    assert list(columns) == ["degree", "words"]
    assert quickly(data, modalities=modalities).x.shape == (9, CHANNELS + 1)
    encoder = nn.Linear(CHANNELS, 4)
    encoded = quickly(data, modalities={"text": lambda graph: encoder(graph.x), "place": degree})
    assert encoded.x.shape == (9, 5)
    assert encoded.record["modalities"] == {"text": [0, 1, 2, 3], "place": [4]}


def test_more_condensed_nodes_than_training_nodes_begin_as_repeated_ones() -> None:
    data = make_graph()
    begun_as = quickly(data, ratio=0.9).record["begun_as"]
    assert len(begun_as) == 54
    assert set(begun_as) == set(data.train_mask.nonzero().view(-1).tolist())


@pytest.mark.parametrize("structure", [False, True])
def test_an_interrupted_condensation_goes_on_bit_for_bit(
    structure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, arguments = make_graph(), {"modalities": PARTS, "structure": structure, "epochs": 14}
    whole = quickly(data, **arguments)
    run_epoch = module.Condensation.run_epoch

    def interrupted(self: Any) -> None:
        if self.epoch == 11:
            raise KeyboardInterrupt
        run_epoch(self)

    monkeypatch.setattr(module.Condensation, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quickly(data, **arguments, folder=tmp_path)
    monkeypatch.setattr(module.Condensation, "run_epoch", run_epoch)
    assert_same(quickly(data, **arguments, folder=tmp_path), whole)
    monkeypatch.setattr(module.Condensation, "run_epoch", None)  # what is done is not done again
    assert_same(quickly(data, **arguments, folder=tmp_path), whole)


class Killed(BaseException):
    """A process is killed."""


@pytest.mark.parametrize("earlier", ["nothing", "a file", "a pair of files, as before"])
@pytest.mark.parametrize("step", [0, 1])
def test_killed_around_any_replacement_a_condensation_goes_on(
    step: int, earlier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_graph()
    whole = quickly(data, epochs=4)
    with monkeypatch.context() as patched:
        if earlier.startswith("a pair"):
            patched.setattr(module, "write_single", write_pair)
        if earlier != "nothing":
            quickly(data, epochs=2, folder=tmp_path)
    replace = os.replace

    def killed(*paths: Path) -> None:
        if step:
            replace(*paths)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            quickly(data, epochs=4, folder=tmp_path)
    assert_same(quickly(data, epochs=4, folder=tmp_path), whole)
    assert [file.name for file in tmp_path.iterdir()] == ["condensation.safetensors"]


def test_a_pair_of_files_as_before_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, whole = make_graph(), quickly(make_graph(), epochs=3)
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_single", write_pair)
        quickly(data, epochs=3, folder=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["condensation.json", "condensation.safetensors"]
    monkeypatch.setattr(module.Condensation, "run_epoch", None)
    assert_same(quickly(data, epochs=3, folder=tmp_path), whole)


def test_other_devices_keep_their_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.manual_seed would seed: every GPU, though the graph is on none."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    state = torch.get_rng_state()
    quickly(make_graph(), structure=True)
    assert seeded == []
    assert torch.equal(torch.get_rng_state(), state)


def test_more_epochs_go_on_where_fewer_ended(tmp_path: Path) -> None:
    data = make_graph()
    quickly(data, epochs=2, folder=tmp_path)
    assert_same(quickly(data, epochs=5, folder=tmp_path), quickly(data, epochs=5))
    with pytest.raises(CheckpointError, match="at most 3 epochs"):
        quickly(data, epochs=3, folder=tmp_path)


def swapped(name: str) -> Data:
    """The graph in which two nodes have exchanged their labels, or which of them trains."""
    data = make_graph()
    first = int((data.train_mask & (data.y == 0)).nonzero()[0])
    second = int(((data.train_mask if name == "y" else ~data.train_mask) & (data.y == int(name == "y"))).nonzero()[0])
    data[name][[first, second]] = data[name][[second, first]]
    return data


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"damp": False}, "damp"),
        ({"ratio": 0.2}, "ratio"),
        ({"modalities": PARTS}, "modalities"),
        ({"settings": CondensationSettings()}, "settings"),
        ({"data": make_graph(seed=1)}, "source"),
        ({"data": swapped("y")}, "source"),
        ({"data": swapped("train_mask")}, "source"),
        ({"data": make_graph().update({"edge_weight": torch.full((make_graph().num_edges,), 0.5)})}, "source"),
    ],
)
def test_a_folder_of_another_condensation_is_refused(other: dict[str, Any], named: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"data": make_graph(), "folder": tmp_path}
    quickly(**arguments)
    with pytest.raises(CheckpointError, match=f"other {named};"):
        quickly(**{**arguments, **other})


def test_a_damaged_checkpoint_is_refused_and_a_folder_that_is_none(tmp_path: Path) -> None:
    data = make_graph()
    quickly(data, folder=tmp_path)
    tensors = tmp_path / "condensation.safetensors"
    content = tensors.read_bytes()
    number = content.index(b'\\"epoch\\": 2') + len(b'\\"epoch\\": ')
    for damaged in (
        content[:-4],
        content[:-1] + bytes([content[-1] ^ 1]),
        content[:number] + b"1" + content[number + 1 :],
    ):
        tensors.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            quickly(data, folder=tmp_path)
    with pytest.raises(OutputError):
        quickly(data, folder=tensors)
    assert [file.name for file in tmp_path.iterdir()] == ["condensation.safetensors"]


def train(model: nn.Module, data: Data, epochs: int = 60) -> nn.Module:
    return GraGR(model, conflict=False, alignment=False).fit(data, epochs, lr=0.01, weight_decay=5e-4, progress=False)


@pytest.mark.parametrize(
    ("kind", "structure"), [(GCN, False), (GCN, True), (GAT, False), (GIN, False), (GraphSAGE, False)]
)
def test_any_model_learns_from_a_condensed_graph(kind: Any, structure: bool) -> None:
    data = make_graph(num_nodes=200)
    condensed = quickly(data, modalities=PARTS, structure=structure)
    torch.manual_seed(0)
    model = train(kind(CHANNELS, 16, 2, 3), condensed).eval()
    hit = model(data.x, data.edge_index).argmax(-1) == data.y
    assert float(hit[~data.train_mask].float().mean()) > 0.6  # a guess is right in a third


@pytest.mark.skipif(not os.environ.get("GRAGR_DATA"), reason="GRAGR_DATA names no folder with real data")
def test_seventy_nodes_teach_a_gcn_more_of_cora_than_the_nodes_they_began_as() -> None:
    data = NormalizeFeatures()(load_dataset("Cora-public").data)
    condensed = condense(data, 0.026, epochs=3, progress=False)
    assert condensed.num_nodes == 70
    hits = []
    for graph in (condensed, Data(**{**condensed.to_dict(), "x": data.x[condensed.record["begun_as"]]})):
        torch.manual_seed(0)
        model = GCN(data.num_features, 32, 2, 7, dropout=0.5)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(graph.x, graph.edge_index), graph.y).backward()
            optimizer.step()
        model.eval()
        hits.append(float((model(data.x, data.edge_index).argmax(-1) == data.y)[data.test_mask].float().mean()))
    assert hits[0] > 0.76
    assert hits[0] > hits[1] + 0.03


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    quickly(make_graph(), progress=True)
    assert "condensing" in capsys.readouterr().err
    quickly(make_graph(), settings=QUICK)
    assert capsys.readouterr().err == ""


class Encoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(CHANNELS, 4), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(4))

    def forward(self, data: Data) -> torch.Tensor:
        return self.layers(data.x)


def test_an_encoder_is_used_as_it_is_and_left_as_it_was(tmp_path: Path) -> None:
    encoder, data = Encoder(), make_graph()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = quickly(data, modalities={"text": encoder}, folder=tmp_path)
    longer = quickly(data, modalities={"text": encoder}, folder=tmp_path, epochs=3)  # the source is the same
    assert torch.equal(longer.x, quickly(data, modalities={"text": encoder}, epochs=3).x)
    assert not torch.equal(first.x, longer.x)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    settings = replace(QUICK, damping=np.int64(5), lr_feat=np.float64(QUICK.lr_feat), outer_steps=np.int64(3))
    given = {"settings": settings, "seed": np.int64(1), "epochs": np.int64(2), "folder": tmp_path}
    found = quickly(make_graph(), **given)
    assert torch.equal(found.x, quickly(make_graph(), seed=1).x)
    save_condensed(found, tmp_path / "saved")
    again = quickly(make_graph(), seed=1, epochs=3, settings=replace(QUICK, damping=5), folder=tmp_path)
    assert torch.equal(again.x, quickly(make_graph(), seed=1, epochs=3).x)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_needs_no_gradients_from_outside(mode: Any) -> None:
    with mode():
        found = quickly(make_graph())
    assert torch.equal(found.x, quickly(make_graph()).x)


def test_weights_of_edges_may_be_of_another_type() -> None:
    data, double = make_graph(), make_graph()
    data.edge_weight = torch.ones(data.num_edges)
    double.edge_weight = data.edge_weight.double()
    condensed = quickly(data)
    torch.testing.assert_close(quickly(double).x, condensed.x)
    assert prototypes(condensed, double).equals(prototypes(condensed, data))


def test_features_that_nothing_is_left_of_are_told_of() -> None:
    data = make_graph()
    data.x = 1e-4 * data.x
    with pytest.warns(UserWarning, match=r"times as long as .* small beside settings\.lr_feat"):
        quickly(data)


def test_features_that_hardly_move_are_told_of() -> None:
    data = make_graph()
    data.x = 1e6 * data.x
    with pytest.warns(UserWarning, match=r"moved by .* large beside settings\.lr_feat") as caught:
        quickly(data)
    assert caught[0].filename.endswith("condensed_graphs.py")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quickly(make_graph())
        quickly(data, structure=True)  # in whose first epochs features are not moved


def test_the_structure_is_learned_at_the_beginning_of_every_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_condensation, "STRUCTURE_EPOCHS", 1)
    monkeypatch.setattr(_condensation, "CYCLE", 3)
    weights = [quickly(make_graph(), structure=True, epochs=epochs).edge_weight for epochs in (1, 3, 4)]
    features = [quickly(make_graph(), structure=True, epochs=epochs).x for epochs in (3, 4)]
    assert torch.equal(features[0], features[1])
    assert not torch.equal(weights[1], weights[2])
