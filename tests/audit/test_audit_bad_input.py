"""What an audit is handed by mistake: a typed error that says what was got, before any training."""

from __future__ import annotations

import copy

import pytest
import torch
from audited_models import assert_same, state_of
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain import GradientRecorder, GraGR
from gragr_explain.audit import audit
from gragr_explain.errors import (
    GragrError,
    HistoryError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)


def put(name, value):
    def apply(data: Data) -> None:
        data[name] = value(data) if callable(value) else value

    return apply


def drop(name):
    def apply(data: Data) -> None:
        del data[name]

    return apply


def few(count):
    def mask(data: Data) -> torch.Tensor:
        chosen = torch.zeros_like(data.train_mask)
        chosen[data.train_mask.nonzero().view(-1)[:count]] = True
        return chosen

    return mask


GRAPHS = {
    "no labels": (drop("y"), InvalidGraphError, "labels y of torch.int64 .* got NoneType"),
    "labels as floats": (put("y", torch.zeros(150)), InvalidGraphError, "got torch.float32"),
    "labels in a column": (put("y", lambda data: data.y.view(-1, 1)), InvalidGraphError, r"\[150, 1\]"),
    "one class": (put("y", torch.ones(150, dtype=torch.long)), InvalidGraphError, "at least two classes, all are 1"),
    "a class that the model does not have": (put("y", lambda data: data.y + 1), InvalidGraphError, "got 1 to 3"),
    "unknown labels": (put("y", lambda data: data.y - 1), InvalidGraphError, "got -1 to 1"),
    "no train_mask": (drop("train_mask"), InvalidGraphError, "at least one training node, got none"),
    "no training node": (put("train_mask", few(0)), InvalidGraphError, "at least one training node, got none"),
    "too few training nodes": (put("train_mask", few(19)), InvalidGraphError, "at least 20 .* got 19"),
    "many splits": (put("train_mask", torch.ones(150, 2).bool()), InvalidGraphError, r"\[150, 2\]"),
    "a mask of numbers": (put("train_mask", torch.ones(150)), InvalidTypeError, "boolean tensor, got torch.float32"),
    "a short val_mask": (put("val_mask", torch.ones(9).bool()), InvalidGraphError, r"val_mask of shape \[150\]"),
    "a val_mask of indices": (put("val_mask", torch.arange(3)), InvalidTypeError, "val_mask as a boolean tensor"),
    "NaN features": (put("x", lambda data: data.x * torch.nan), InvalidGraphError, "NaN"),
    "other features": (put("x", torch.ones(150, 3)), HistoryMismatchError, "with other features or edges"),
    "an edge to nowhere": (put("edge_index", torch.tensor([[0], [150]])), InvalidGraphError, "150"),
    "edge weights of other edges": (put("edge_weight", torch.ones(3)), InvalidGraphError, "edge_weight"),
}


@pytest.mark.parametrize("name", list(GRAPHS))
def test_bad_graphs(name, gcn, data):
    change, error, message = GRAPHS[name]
    change(data)
    before = state_of(gcn)
    with pytest.raises(error, match=message) as caught:
        audit(gcn, data, progress=False)
    assert isinstance(caught.value, GragrError)
    assert_same(before, gcn)


ARGUMENTS = {
    "no epoch": ({"epochs": 0}, InvalidArgumentError, "epochs of at least 1, got 0"),
    "half an epoch": ({"epochs": 2.5}, InvalidTypeError, "epochs as an integer, got 2.5"),
    "epochs as a bool": ({"epochs": True}, InvalidTypeError, "epochs as an integer"),
    "a seed by name": ({"seed": "1"}, InvalidTypeError, "seed as an integer, got '1'"),
    "no seed": ({"seed": None}, InvalidTypeError, "seed as an integer, got None"),
    "a negative seed": ({"seed": -1}, InvalidArgumentError, "got -1"),
    "a negative lr": ({"lr": -1.0}, InvalidArgumentError, "lr of at least 0, got -1.0"),
    "lr as text": ({"lr": "fast"}, InvalidTypeError, "lr as a number"),
    "infinite decay": ({"weight_decay": float("inf")}, InvalidArgumentError, "weight_decay of at least 0, got inf"),
    "too few names": ({"class_names": ["a", "b"]}, InvalidArgumentError, "expected 3 class_names, got 2"),
    "one name": ({"class_names": "abc"}, InvalidTypeError, "sequence of names, got 'abc'"),
    "a number of names": ({"class_names": 3}, InvalidTypeError, "sequence of names, got 3"),
}


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_bad_arguments(name, gcn, graph):
    options, error, message = ARGUMENTS[name]
    before = state_of(gcn)
    with pytest.raises(error, match=message):
        audit(gcn, graph, progress=False, **options)
    assert_same(before, gcn)


def test_no_graph(gcn):
    with pytest.raises(InvalidTypeError, match="got dict"):
        audit(gcn, {}, progress=False)


def test_a_model_without_a_history(graph):
    with pytest.raises(HistoryError, match="expected a model whose training was recorded"):
        audit(GCN(8, 16, num_layers=2, out_channels=3), graph, progress=False)
    unrecorded = GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(graph, 2, record=False, progress=False)
    with pytest.raises(HistoryError, match="expected a model whose training was recorded"):
        audit(unrecorded, graph, progress=False)


def test_models_that_are_none(graph):
    for model in ("model", nn.Linear(8, 3)):
        with pytest.raises(UnsupportedModelError):
            audit(model, graph, progress=False)


def test_the_history_of_another_graph(gcn, graph):
    smaller = graph.subgraph(torch.arange(100))
    with pytest.raises(HistoryMismatchError, match="150 nodes that the history was recorded on, got one of 100"):
        audit(gcn, smaller, progress=False)


def test_the_history_of_another_model(gcn, graph):
    other = GCN(8, 24, num_layers=2, out_channels=3)
    gcn.history.attach(other)
    with pytest.raises(HistoryError, match="expected a history of this GCN, got weights of step 0 that do not fit it"):
        audit(other, graph, progress=False)


def test_a_history_of_something_else(graph):
    """Of a model with one score a node, trained on numbers."""
    model = GCN(8, 16, num_layers=2, out_channels=1)
    numbers = Data(x=graph.x, edge_index=graph.edge_index, y=torch.rand(150))
    with GradientRecorder(model, numbers):
        (model(graph.x, graph.edge_index).view(-1) - numbers.y).square().sum().backward()
    with pytest.raises(HistoryError, match=r"without \['margin'\]"):
        audit(model, graph, progress=False)


def test_a_model_of_nan(gcn, graph):
    broken = copy.deepcopy(gcn)
    with torch.no_grad():
        broken.model.convs[1].bias.fill_(torch.nan)
    with pytest.raises(UnsupportedModelError, match="finite scores"):
        audit(broken, graph, progress=False)


def test_a_graph_of_frozen_layers(graph):
    model = GCN(8, 16, num_layers=2, out_channels=3)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with GradientRecorder(model, graph):
        model(graph.x, graph.edge_index)
    with pytest.raises(HistoryError):
        audit(model, graph, progress=False)
