"""What ``GraGR`` is handed by mistake: a typed error that says what was got, and a model left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphSAGE

from gragr_explain import GraGR
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)


def change(**values):
    def apply(data: Data) -> Data:
        for name, value in values.items():
            data[name] = value(data) if callable(value) else value
        return data

    return apply


def drop(name: str):
    def apply(data: Data) -> Data:
        del data[name]
        return data

    return apply


def put(name: str, where, value):
    def apply(data: Data) -> Data:
        data[name] = data[name].clone()
        data[name][where] = value
        return data

    return apply


TABLE = {
    "no Data": (lambda data: data.to_dict(), {}, InvalidTypeError, "got dict"),
    "no features": (drop("x"), {}, InvalidGraphError, "without x"),
    "no edge_index": (drop("edge_index"), {}, InvalidGraphError, "without edge_index"),
    "no nodes": (change(x=torch.zeros(0, 5)), {}, InvalidGraphError, r"at least one node, got .*\[0, 5\]"),
    "NaN features": (put("x", (7, 2), torch.nan), {}, InvalidGraphError, "got NaN or infinite values in 1 nodes.* 7"),
    "infinite features": (put("x", 3, torch.inf), {}, InvalidGraphError, "first in 3"),
    "wrong width": (change(x=torch.rand(30, 4)), {}, InvalidGraphError, r"\[30, 4\]"),
    "flat features": (change(x=torch.rand(30)), {}, InvalidGraphError, r"\[30\]"),
    "integer features": (change(x=torch.ones(30, 5).long()), {}, InvalidGraphError, "torch.int64"),
    "double features": (change(x=torch.rand(30, 5).double()), {}, InvalidGraphError, "torch.float64"),
    "edges as floats": (change(edge_index=lambda d: d.edge_index.float()), {}, InvalidTypeError, "got torch.float32"),
    "edges transposed": (change(edge_index=lambda d: d.edge_index.t()), {}, InvalidGraphError, r"got \[\d+, 2\]"),
    "edge to no node": (put("edge_index", (1, 0), 30), {}, InvalidGraphError, r"in \[0, 29\].*to 30"),
    "negative edge": (put("edge_index", (0, 0), -1), {}, InvalidGraphError, "got -1"),
    "too few edge weights": (change(edge_weight=torch.ones(3)), {}, InvalidGraphError, "edge_weight of 126 edges"),
    "no labels": (drop("y"), {}, InvalidGraphError, "got NoneType"),
    "label too large": (put("y", slice(None), 3), {}, InvalidGraphError, r"\[0, 2\], got 3 to 3"),
    "negative label": (put("y", slice(None), -1), {}, InvalidGraphError, "got -1"),
    "float labels": (change(y=lambda d: d.y.float()), {}, InvalidGraphError, "got torch.float32"),
    "one-hot labels": (change(y=torch.zeros(30, 3).long()), {}, InvalidGraphError, r"got torch.int64 \[30, 3\]"),
    "too few labels": (change(y=torch.zeros(29).long()), {}, InvalidGraphError, r"\[29\]"),
    "no train_mask": (drop("train_mask"), {}, InvalidGraphError, "at least one training node, got none"),
    "empty train_mask": (put("train_mask", slice(None), False), {}, InvalidGraphError, "got none"),
    "many splits": (
        change(train_mask=torch.ones(30, 10).bool()),
        {},
        InvalidGraphError,
        r"\[30, 10\], choose one of its splits",
    ),
    "short train_mask": (change(train_mask=torch.ones(29).bool()), {}, InvalidGraphError, r"got \[29\]"),
    "train_mask of indices": (change(train_mask=torch.arange(30)), {}, InvalidTypeError, "got torch.int64"),
    "train_mask as list": (change(train_mask=[True] * 30), {}, InvalidTypeError, "list"),
    "short val_mask": (change(val_mask=torch.ones(29).bool()), {}, InvalidGraphError, r"val_mask.*got \[29\]"),
    "no epochs": (change(), {"epochs": 0}, InvalidArgumentError, "epochs of at least 1, got 0"),
    "negative epochs": (change(), {"epochs": -3}, InvalidArgumentError, "got -3"),
    "epochs as text": (change(), {"epochs": "3"}, InvalidTypeError, "epochs as an integer, got '3'"),
    "half an epoch": (change(), {"epochs": 2.5}, InvalidTypeError, "got 2.5"),
    "patience for ever": (change(), {"patience": float("inf")}, InvalidTypeError, "patience as an integer, got inf"),
    "no patience": (change(), {"patience": 0}, InvalidArgumentError, "patience of at least 1, got 0"),
    "patience without val_mask": (drop("val_mask"), {"patience": 5}, InvalidArgumentError, "val_mask"),
    "patience with empty val_mask": (
        put("val_mask", slice(None), False),
        {"patience": 5},
        InvalidArgumentError,
        "val_mask",
    ),
    "negative lr": (change(), {"lr": -0.1}, InvalidArgumentError, "lr.*-0.1"),
    "NaN lr": (change(), {"lr": float("nan")}, InvalidArgumentError, "lr.*nan"),
    "negative weight decay": (change(), {"weight_decay": -1.0}, InvalidArgumentError, "weight_decay.*-1"),
}


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_refused_before_any_work(case, data):
    prepare, arguments, error, message = TABLE[case]
    torch.manual_seed(0)
    model = GCN(5, 8, num_layers=2, out_channels=3, norm="batch_norm").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()

    with pytest.raises(error, match=message) as caught:
        GraGR(model).fit(prepare(data), **{"epochs": 3, "progress": False, **arguments})

    assert isinstance(caught.value, GragrError)
    assert model.training
    assert not hasattr(model, "gradient_history")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau_mag": -0.1}, r"tau_mag in \[0, inf\], got -0.1"),
        ({"tau_cos": -1.5}, r"tau_cos in \[-1, 1\], got -1.5"),
        ({"tau_cos": 1.5}, "got 1.5"),
        ({"lambda_smooth": -1.0}, "lambda_smooth"),
        ({"smooth_iters": -1}, "smooth_iters"),
        ({"alpha_smooth": 1.1}, "alpha_smooth"),
        ({"alpha_smooth": float("nan")}, "got nan"),
    ],
)
def test_thresholds_out_of_range(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        GraGR(GCN(5, 8, num_layers=2, out_channels=3), **arguments)


@pytest.mark.parametrize("model", [nn.Linear(5, 3), nn.Sequential(nn.Linear(5, 8), nn.ReLU()), nn.Identity()])
def test_models_without_message_passing(model):
    with pytest.raises(UnsupportedModelError, match=f"{type(model).__name__} has none"):
        GraGR(model)


def test_what_is_no_module():
    with pytest.raises(UnsupportedModelError, match="got function"):
        GraGR(lambda x, edge_index: x)


class Returns(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.conv = GCNConv(5, 3)
        self.result = result

    def forward(self, x, edge_index):
        return self.result(self.conv(x, edge_index))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda h: h.mean(0), r"got \[3\]"),
        (lambda h: h[:, :1], r"got \[30, 1\]"),
        (lambda h: h[:, 0], r"got \[30\]"),
        (lambda h: h[:10], r"got \[10, 3\]"),
        (lambda h: h.unsqueeze(1), r"got \[30, 1, 3\]"),
        (lambda h: (h, h), "got tuple"),
        (lambda h: {"out": h}, "got dict"),
    ],
)
def test_models_that_return_something_else(result, message, data):
    with pytest.raises(UnsupportedModelError, match=message):
        GraGR(Returns(result)).fit(data, epochs=2, progress=False)


def test_a_model_that_needs_more_than_a_graph(data):
    class Needs(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 3)

        def forward(self, x, edge_index, batch):
            return self.conv(x, edge_index)

    with pytest.raises(UnsupportedModelError, match="batch"):
        GraGR(Needs()).fit(data, epochs=2, progress=False)


def test_a_model_that_takes_the_softmax_itself(data):
    model = Returns(lambda h: h.softmax(-1))
    before = model.conv.lin.weight.clone()
    with pytest.raises(UnsupportedModelError, match="got probabilities, of which the loss takes a softmax once more"):
        GraGR(model).fit(data, epochs=1, progress=False)
    assert torch.equal(model.conv.lin.weight, before)


def test_a_model_with_nothing_to_train(data):
    with pytest.raises(UnsupportedModelError, match="requires_grad"):
        GraGR(GCN(5, 8, num_layers=2, out_channels=3).requires_grad_(False)).fit(data, epochs=2, progress=False)


# unusual, and fine ---------------------------------------------------------------------------------------------------


def small(x, edges, **more) -> Data:
    num_nodes = len(x)
    y = torch.arange(num_nodes) % 2
    edge_index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    return Data(x=x, edge_index=edge_index, y=y, train_mask=torch.ones(num_nodes, dtype=torch.bool), **more)


UNUSUAL = {
    "no edges": small(torch.eye(4), []),
    "one node": small(torch.ones(1, 4), []),
    "one node with a self-loop": small(torch.ones(1, 4), [(0, 0)]),
    "isolated nodes": small(torch.eye(4), [(0, 1), (1, 0)]),
    "self-loops": small(torch.eye(4), [(v, v) for v in range(4)] + [(0, 1), (1, 0)]),
    "duplicate edges": small(torch.eye(4), [(0, 1), (0, 1), (1, 0), (1, 0), (2, 3), (2, 3)]),
    "directed edges": small(torch.eye(4), [(0, 1), (1, 2), (2, 3)]),
    "constant features": small(torch.ones(4, 4), [(0, 1), (1, 0), (2, 3), (3, 2)]),
    "zero features": small(torch.zeros(4, 4), [(0, 1), (1, 0), (2, 3), (3, 2)]),
    "huge features": small(1e18 * torch.eye(4), [(0, 1), (1, 0), (2, 3), (3, 2)]),
    "labels unknown outside training": small(torch.eye(4), [(0, 1), (1, 0)], val_mask=torch.zeros(4).bool()),
}
UNUSUAL["labels unknown outside training"].y = torch.tensor([0, 1, -1, -1])
UNUSUAL["labels unknown outside training"].train_mask = torch.tensor([True, True, False, False])


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_graphs_are_trained_on(case, kind):
    torch.manual_seed(0)
    data = UNUSUAL[case]
    trained = GraGR(kind(4, 8, num_layers=2, out_channels=2)).fit(data, epochs=5, lr=1e-3, progress=False)
    assert trained.history.num_steps == 5
    assert trained.history.num_nodes == data.num_nodes
    assert bool(trained(data.x, data.edge_index).isfinite().all())
    assert all(bool(parameter.isfinite().all()) for parameter in trained.model.parameters())
    assert bool(trained.class_signal.isfinite().all())
