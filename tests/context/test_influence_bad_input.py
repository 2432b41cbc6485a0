from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from influence_cases import graph, recorded
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain.context import influences
from gragr_explain.errors import (
    HistoryError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.history import GradientRecorder, find_history


@pytest.fixture
def data() -> Data:
    return graph()


@pytest.fixture
def model(data: Data) -> nn.Module:
    torch.manual_seed(0)
    return recorded(GCN(5, 6, num_layers=2, out_channels=3), data)


@pytest.mark.parametrize(
    ("index", "target", "error", "message"),
    [
        (30, None, InvalidIndexError, r"\[0, 29\], got 30"),
        (-1, None, InvalidIndexError, "got -1"),
        (0.5, None, InvalidTypeError, "got 0.5"),
        ("a", None, InvalidTypeError, "index"),
        (0, 3, InvalidIndexError, r"\[0, 2\], got 3"),
        (0, -1, InvalidIndexError, "got -1"),
        (0, True, InvalidTypeError, "got True"),
        (0, torch.tensor([True, False, False]), InvalidTypeError, "got a mask"),
        ([1, 3, 5], [False, True, False], InvalidTypeError, "got a mask"),
        (0, 1.0, InvalidTypeError, r"got 1.0"),
        ([0, 1, 2], [0, 1], InvalidArgumentError, "each of 3, got 2"),
    ],
)
def test_questions(model, data, index, target, error, message) -> None:
    with pytest.raises(error, match=message):
        influences(model, data, index, target=target)


def without_mask(data: Data) -> Data:
    del data.train_mask
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_mask, "train_mask with at least one training node, got none"),
        (lambda data: data.update({"train_mask": data.train_mask.long()}), "got torch.int64"),
        (lambda data: data.update({"train_mask": data.train_mask & False}), "at least one training node, got none"),
        (lambda data: data.update({"y": None}), "labels y .* got NoneType"),
        (lambda data: data.update({"y": data.y.float()}), "got torch.float32"),
        (lambda data: data.update({"y": data.y[:-1]}), r"shape \[30\], got torch.int64 \[29\]"),
        (lambda data: data.update({"y": data.y + 1}), r"\[0, 2\], got 1 to 3"),
        (lambda data: data.update({"y": data.y - 1}), "got -1 to"),
        (lambda data: data.update({"x": data.x * torch.nan}), "finite node features"),
    ],
)
def test_graphs(model, data, change: Callable[[Data], Data], message: str) -> None:
    with pytest.raises((InvalidGraphError, InvalidTypeError), match=message):
        influences(model, change(data), 0)


def test_no_graph(model) -> None:
    with pytest.raises(InvalidTypeError, match="got dict"):
        influences(model, {}, 0)


def test_another_graph(model) -> None:
    with pytest.raises(HistoryMismatchError, match=r"30 nodes .* got one of 31"):
        influences(model, graph(num_nodes=31), 0)


@pytest.mark.parametrize("curvature", [True, False])
def test_another_graph_of_as_many_nodes(model, data, curvature) -> None:
    for other in (
        Data(x=data.x.roll(1, 0), edge_index=data.edge_index),
        Data(x=data.x, edge_index=data.edge_index[:, 1:]),
    ):
        other.y, other.train_mask = data.y, data.train_mask
        with pytest.raises(HistoryMismatchError, match="got another one of 30 nodes"):
            influences(model, other, 0, curvature=curvature)


def test_a_model_without_a_history(data) -> None:
    with pytest.raises(HistoryError, match="without a gradient history"):
        influences(GCN(5, 6, num_layers=2, out_channels=3), data, 0, curvature=False)


def test_a_model_without_messages(data) -> None:
    class Rows(nn.Linear):
        def forward(self, x, edge_index):
            return super().forward(x)

    with pytest.raises(UnsupportedModelError, match="MessagePassing layers"):
        influences(Rows(5, 3), data, 0)


def test_a_training_that_goes_on(data) -> None:
    model = GCN(5, 6, num_layers=2, out_channels=3)
    with GradientRecorder(model, data):
        model(data.x, data.edge_index).sum().backward()
        with pytest.raises(HistoryError, match="without a gradient history"):  # a step is not over before the next
            influences(model, data, 0, curvature=False)
        model(data.x, data.edge_index)
        find_history(model).weights.popitem()
        with pytest.raises(HistoryError, match="weights of 1 steps"):
            influences(model, data, 0, curvature=False)


@pytest.mark.parametrize("curvature", [True, False])
def test_recorded_weights_that_are_not_finite(model, data, curvature) -> None:
    find_history(model).weights[20]["convs.0.bias"].fill_(torch.inf)
    with pytest.raises(HistoryError, match="infinite ones in step 20"):
        influences(model, data, 0, curvature=curvature)


def test_scores_that_are_not_finite(model, data) -> None:
    with torch.no_grad():
        model.convs[1].bias.fill_(torch.nan)
    with pytest.raises(UnsupportedModelError, match="NaN"):
        influences(model, data, 0)


def test_a_frozen_model(model, data) -> None:
    model.requires_grad_(False)
    with pytest.raises(UnsupportedModelError, match="depends on a parameter that requires_grad"):
        influences(model, data, 0)
