"""What multi-task training is handed by mistake, and what goes wrong on the way."""

from __future__ import annotations

import math

import pytest
import torch
from test_multitask import equal, make_graphs, make_model
from torch import nn
from torch_geometric.nn import GCN, GIN

from gragr_explain.errors import (
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    TrainingError,
    UnsupportedModelError,
)
from gragr_explain.training import MultiTaskModel, train_multitask
from gragr_explain.training.multitask import _jacobian, _train
from gragr_explain.training.multitask._loop import TaskLoop

ARGUMENTS = {
    "unknown method": ({"method": "adam"}, InvalidArgumentError, "expected method as one of gragr, .* got 'adam'"),
    "unknown meta": ({"meta": "test"}, InvalidArgumentError, "'validation', 'conflict' or None, got 'test'"),
    "no epochs": ({"epochs": 0}, InvalidArgumentError, "epochs of at least 1, got 0"),
    "half an epoch": ({"epochs": 1.5}, InvalidTypeError, "epochs as an integer, got 1.5"),
    "no learning rate": ({"lr": 0.0}, InvalidArgumentError, r"lr in \(0, inf\), got 0.0"),
    "NaN learning rate": ({"lr": float("nan")}, InvalidArgumentError, r"lr in \(0, inf\), got nan"),
    "negative weight decay": ({"weight_decay": -1.0}, InvalidArgumentError, "at least 0, got -1.0"),
    "empty batches": ({"batch_size": 0}, InvalidArgumentError, "batch_size of at least 1, got 0"),
    "negative seed": ({"seed": -1}, InvalidArgumentError, "seed of at least 0, got -1"),
    "no seeds": ({"num_seeds": 0}, InvalidArgumentError, "num_seeds of at least 1, got 0"),
    "negative meta rate": ({"meta_lr": -0.1}, InvalidArgumentError, "meta_lr of at least 0, got -0.1"),
    "cosine of two": ({"tau_cos": 2.0}, InvalidArgumentError, r"tau_cos in \[-1, 1\], got 2.0"),
    "NaN cosine": ({"tau_cos": float("nan")}, InvalidArgumentError, r"tau_cos in \[-1, 1\], got nan"),
    "no validation graphs": ({"val": None}, InvalidArgumentError, "validation graphs for meta='validation', got none"),
    "empty validation": ({"val": []}, InvalidArgumentError, "validation graphs for meta='validation', got none"),
    "seeds without validation": (
        {"val": None, "meta": None, "num_seeds": 2},
        InvalidArgumentError,
        "validation graphs to select a seed by",
    ),
    "no training graphs": ({"train": []}, InvalidGraphError, "one graph for training, got none"),
}


@pytest.mark.parametrize(("change", "error", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_are_checked_before_training(change, error, message):
    model = make_model()
    with pytest.raises(error, match=message):
        train_multitask(model, **({"train": make_graphs(4), "val": make_graphs(4), "progress": False} | change))
    assert equal(model, make_model())


def broken(**values):
    def apply(graph):
        for name, value in values.items():
            graph[name] = value
        return graph

    return apply


GRAPHS = {
    "no graph": (lambda graph: graph.to_dict(), InvalidTypeError, "got dict"),
    "too few labels": (broken(y=torch.zeros(1, 2).long()), InvalidGraphError, r"\[1, 3\] in graph 2.*got \[1, 2\]"),
    "no labels": (broken(y=None), InvalidGraphError, "got NoneType"),
    "label too large": (broken(y=torch.tensor([[0, 2, 0]])), InvalidGraphError, "got 2 in task 1 of graph 2"),
    "label of minus two": (broken(y=torch.tensor([[-2, 0, 0]])), InvalidGraphError, "got -2 in task 0"),
    "half a class": (broken(y=torch.tensor([[0.5, 0, 0]])), InvalidGraphError, "got 0.5 in task 0"),
    "infinite label": (broken(y=torch.tensor([[torch.inf, 0, 0]])), InvalidGraphError, "in task 0 of graph 2"),
    "NaN features": (
        broken(x=torch.full((3, 3), torch.nan), edge_index=torch.zeros(2, 0).long()),
        InvalidGraphError,
        "NaN or infinite values in 3 nodes",
    ),
    "other width": (
        broken(x=torch.rand(9, 4)),
        InvalidGraphError,
        r"of one kind, .*x \[\*, 3\].*graph 2 with x \[\*, 4\]",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("part", ["train", "val"])
def test_graphs_are_checked_before_training(part, change, error, message):
    parts = {"train": make_graphs(4), "val": make_graphs(4)}
    parts[part][2] = change(parts[part][2])
    with pytest.raises(error, match=message):
        train_multitask(make_model(), **parts, progress=False)


def test_all_graphs_need_weights_or_none():
    graphs = make_graphs(4)
    graphs[3].edge_weight = torch.ones(graphs[3].num_edges)
    model = MultiTaskModel(GCN(3, 8, 2, 8), 8, [2, 2, 3])
    with pytest.raises(InvalidGraphError, match=r"of one kind, .*validation graph 3 with .*edge_weight"):
        train_multitask(model, make_graphs(4), graphs, progress=False)
    train_multitask(make_model(), make_graphs(4), graphs, epochs=1, progress=False)  # GIN takes none


@pytest.mark.parametrize("settings", [{}, {"meta": "conflict"}, {"method": "gradnorm"}, {"method": "gragr++"}])
def test_one_task_cannot_be_weighed(settings):
    graphs = make_graphs(6)
    for graph in graphs:
        graph.y = graph.y[:, :1]
    model = MultiTaskModel(GIN(3, 8, 2, 8), 8, [2])
    with pytest.raises(InvalidArgumentError, match="two tasks or more to weigh, got 1"):
        train_multitask(model, graphs, graphs, progress=False, **settings)
    result = train_multitask(model, graphs, graphs, meta=None, epochs=2, progress=False)
    assert result.task_weights.tolist() == [1.0]


def test_models_are_checked():
    with pytest.raises(InvalidTypeError, match="expected a MultiTaskModel, got GIN"):
        train_multitask(GIN(3, 8, 2, 8), make_graphs(4), make_graphs(4))
    with pytest.raises(UnsupportedModelError, match="Linear has none"):
        MultiTaskModel(nn.Linear(3, 3), 3, [2, 2])
    for classes in ([], [2, 1]):
        with pytest.raises(InvalidArgumentError, match="each of 2 classes or more"):
            MultiTaskModel(GIN(3, 8, 2, 8), 8, classes)
    with pytest.raises(InvalidArgumentError, match="mean, sum, max, got 'median'"):
        MultiTaskModel(GIN(3, 8, 2, 8), 8, [2], pool="median")
    model = make_model()
    model.encoder.requires_grad_(False)
    with pytest.raises(UnsupportedModelError, match="none of its parameters requires_grad"):
        train_multitask(model, make_graphs(4), make_graphs(4))


@pytest.mark.parametrize("method", ["average", "gragr", "gradnorm"])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_weights(method, monkeypatch):
    """The third step's loss is NaN: what the model has are the weights of the second."""
    model, states = make_model(), []
    balancers = {"average": "Average", "gragr": "GraGRTasks", "gradnorm": "GradNorm"}
    original = getattr(_train, balancers[method]).backward

    def backward(self, batch):
        states.append([parameter.detach().clone() for parameter in self.model.parameters()])
        losses, energy = original(self, batch)
        return (losses * torch.nan if len(states) == 3 else losses), energy

    monkeypatch.setattr(getattr(_train, balancers[method]), "backward", backward)
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1; training stopped"):
        train_multitask(model, make_graphs(8), make_graphs(8), method=method, batch_size=4, epochs=5, progress=False)
    assert len(states) == 3
    assert all(torch.equal(a, b) for a, b in zip(states[1], model.parameters(), strict=True))
    assert not model.training


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("lr", [1e30, 1e37])
def test_a_last_step_that_breaks_the_weights_is_taken_back(lr, validated):
    model, graphs = make_model(), make_graphs(8)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(TrainingError, match="last step made weights whose loss is not finite; training stopped"):
        train_multitask(model, graphs, graphs if validated else None, method="average", epochs=1, lr=lr, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_epoch_without_a_finite_validation_loss_is_never_the_best(monkeypatch):
    model, graphs, losses = make_model(), make_graphs(8), iter([0.5, math.nan, math.inf])
    monkeypatch.setattr(TaskLoop, "judge", lambda self, batches: (next(losses), 0.1 + len(self.curves["loss"])))
    result = train_multitask(model, graphs, graphs, method="average", epochs=3, progress=False)
    assert result.best_epoch == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(_jacobian, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgumentError, match=r"'cagrad' needs torchjd, cvxpy, clarabel.*\[multitask\]"):
        train_multitask(make_model(), make_graphs(4), make_graphs(4), method="cagrad", progress=False)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: (graph for graph in make_graphs(4)), InvalidTypeError, "a list .*, got generator"),
        (lambda: widened(torch.rand(9, 5)), InvalidGraphError, r"features of shape \[9, 5\]"),
        (lambda: widened(torch.rand(9, 3).double()), InvalidGraphError, r"\(torch\.float64\)"),
    ],
    ids=["a generator", "another width", "double precision"],
)
def test_graphs_that_the_encoder_cannot_take(make, error, message):
    model = make_model()
    with pytest.raises(error, match=message):
        train_multitask(model, make(), method="average", progress=False)
    assert equal(model, make_model())


def widened(x):
    """Graphs of other features."""
    graph = make_graphs(1)[0]
    graph.x, graph.edge_index = x, torch.tensor([[0], [1]])
    return [graph]


def test_an_encoder_of_another_width():
    model = MultiTaskModel(GCN(3, 8, 2), 16, [2, 2, 3])
    with pytest.raises(UnsupportedModelError, match=r"representations of shape \[\d+, 16\], got \[\d+, 8\]"):
        train_multitask(model, make_graphs(4), make_graphs(4), progress=False)


@pytest.mark.parametrize("classes", [2, "22", [2, 2.5], [2, "3"], None])
def test_numbers_of_classes_that_are_none(classes):
    with pytest.raises(InvalidTypeError, match="num_classes"):
        MultiTaskModel(GCN(3, 8, 2), 8, classes)
