"""What cannot be condensed is refused before any work, with an error that says why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from condensed_graphs import CHANNELS, PARTS, make_graph, quickly
from torch_geometric.data import Data

from gragr_explain.condensation import CondensationSettings
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    TrainingError,
    UnsupportedModelError,
)


def changed(**parts: Any) -> Data:
    data = make_graph()
    for name, value in parts.items():
        data[name] = value
    return data


def with_value(value: float) -> Data:
    data = make_graph()
    data.x[7, 2] = value
    return data


def without_training_nodes_of(label: int) -> Data:
    data = make_graph()
    data.train_mask = data.train_mask & (data.y != label)
    return data


Y = make_graph().y


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("Cora", InvalidTypeError, "Data"),
        (Data(), InvalidGraphError, "without x"),
        (Data(x=torch.rand(3, 2)), InvalidGraphError, "without edge_index"),
        (changed(x=torch.rand(0, 4), edge_index=torch.zeros(2, 0).long()), InvalidGraphError, "at least one node"),
        (changed(x=torch.rand(60)), InvalidGraphError, "num_features"),
        (changed(x=torch.ones(60, 2).long()), InvalidGraphError, "float32"),
        (with_value(float("nan")), InvalidGraphError, "first in 7"),
        (with_value(float("inf")), InvalidGraphError, "first in 7"),
        (changed(edge_index=torch.zeros(2, 0).long()), InvalidGraphError, "edges"),
        (changed(edge_index=torch.tensor([[0], [60]])), InvalidGraphError, "node indices"),
        (changed(edge_weight=torch.ones(3)), InvalidGraphError, "edge_weight"),
        (changed(edge_weight=-torch.ones(make_graph().num_edges)), InvalidGraphError, "edge weights"),
        (changed(y=None), InvalidGraphError, "labels y"),
        (changed(y=Y.float()), InvalidGraphError, "labels y"),
        (changed(y=Y[:-1]), InvalidGraphError, r"shape \[60\]"),
        (changed(y=Y - 1), InvalidGraphError, "at least 0"),
        (changed(train_mask=None), InvalidGraphError, "train_mask"),
        (changed(train_mask=torch.arange(5)), InvalidTypeError, "boolean"),
        (changed(train_mask=torch.ones(60, 10).bool()), InvalidGraphError, "choose one of its splits"),
        (changed(train_mask=torch.zeros(60).bool()), InvalidGraphError, "at least one training node"),
        (without_training_nodes_of(1), InvalidGraphError, r"none of 1; put one of each into the train_mask, or"),
        (without_training_nodes_of(2), InvalidGraphError, "none of 2;"),
        (changed(y=torch.where(torch.arange(60) == 0, 2**40, Y)), InvalidGraphError, r"none of 3, .*12, \.\.\.;"),
        (changed(x=torch.zeros(60, 2)), InvalidGraphError, "none but zeros"),
        (changed(edge_weight=torch.rand(make_graph().num_edges)), InvalidGraphError, "weigh more one way"),
    ],
)
def test_graphs_that_cannot_be_condensed(data: Any, error: type[GragrError], message: str) -> None:
    with pytest.raises(error, match=message):
        quickly(data)


@pytest.mark.parametrize("ratio", [0, -0.1, 1, 1.5, float("nan"), float("inf")])
def test_ratios_out_of_range(ratio: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"ratio in \(0, 1\)"):
        quickly(make_graph(), ratio=ratio)


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.04])
def test_a_ratio_that_leaves_a_class_without_a_node(ratio: float) -> None:
    with pytest.raises(InvalidArgumentError, match="leaves each class a node"):
        quickly(make_graph(), ratio=ratio)


@pytest.mark.parametrize("ratio", ["0.1", None, True])
def test_ratios_that_are_no_numbers(ratio: Any) -> None:
    with pytest.raises(InvalidTypeError, match="ratio as a number"):
        quickly(make_graph(), ratio=ratio)


@pytest.mark.parametrize(
    ("modalities", "error", "message"),
    [
        ({"first": slice(0, 5), "second": slice(4, 8)}, InvalidArgumentError, "column 4 twice, in 'first', 'second'"),
        ({"first": [0, 0, 1, 2, 3, 4, 5, 6, 7]}, InvalidArgumentError, "column 0 twice, in 'first'"),
        ({"first": slice(0, 5)}, InvalidArgumentError, "cover all 8 columns, got none for 3 of them, first 5"),
        ({"first": slice(0, 8), "second": slice(8, 9)}, InvalidArgumentError, "'second' to have at least one column"),
        ({"first": [0, 8]}, InvalidArgumentError, r"columns in \[0, 7\] in modality 'first', got 0 to 8"),
        ({"first": [-1]}, InvalidArgumentError, "got -1 to -1"),
        ({"first": torch.tensor([], dtype=torch.long)}, InvalidArgumentError, "at least one column"),
        ({}, InvalidArgumentError, "at least one modality"),
        ([slice(0, 8)], InvalidTypeError, "mapping from names"),
        ({0: slice(0, 8)}, InvalidTypeError, "mapping from names"),
        ({"first": "words"}, InvalidTypeError, "column numbers or as an encoder"),
        ({"first": [0.5]}, InvalidTypeError, "column numbers"),
        ({"first": torch.ones(8).bool()}, InvalidTypeError, "column numbers"),
        ({"first": slice(None, None, -1)}, InvalidTypeError, "column numbers"),
        ({"first": lambda data: None}, InvalidTypeError, "encoder 'first' to return a tensor"),
        ({"first": lambda data: data.edge_index}, InvalidTypeError, "encoder 'first' to return a tensor"),
        ({"first": lambda data: data.x[:5]}, InvalidGraphError, r"shape \[60, channels\], got \[5, 8\]"),
        ({"first": lambda data: data.x / 0}, InvalidGraphError, "finite"),
    ],
)
def test_modalities_that_are_none(modalities: Any, error: type[GragrError], message: str) -> None:
    with pytest.raises(error, match=message):
        quickly(make_graph(), modalities=modalities)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"epochs": 0}, InvalidArgumentError),
        ({"epochs": 1.5}, InvalidTypeError),
        ({"epochs": True}, InvalidTypeError),
        ({"seed": -1}, InvalidArgumentError),
        ({"seed": "0"}, InvalidTypeError),
        ({"damp": 1}, InvalidTypeError),
        ({"decouple": None}, InvalidTypeError),
        ({"structure": "yes"}, InvalidTypeError),
        ({"settings": {"hops": 2}}, InvalidTypeError),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], error: type[GragrError]) -> None:
    with pytest.raises(error, match=f"expected {next(iter(arguments))}"):
        quickly(make_graph(), **arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("hops", -1, InvalidArgumentError),
        ("hops", 1.0, InvalidTypeError),
        ("outer_steps", 0, InvalidArgumentError),
        ("inner_steps", -1, InvalidArgumentError),
        ("batch_size", 0, InvalidArgumentError),
        ("lr_feat", -1e-3, InvalidArgumentError),
        ("lr_adj", float("nan"), InvalidArgumentError),
        ("lr_model", "fast", InvalidTypeError),
        ("damping", -1.0, InvalidArgumentError),
        ("damping", float("inf"), InvalidArgumentError),
        ("damping", True, InvalidTypeError),
    ],
)
def test_settings_out_of_range(name: str, value: Any, error: type[GragrError]) -> None:
    with pytest.raises(error, match=f"expected {name}"):
        CondensationSettings(**{name: value})


def test_a_condensation_that_diverges_stops() -> None:
    settings = CondensationSettings(outer_steps=2, inner_steps=1, lr_feat=3e37)
    with pytest.raises(TrainingError, match="learning rates"):
        quickly(make_graph(), epochs=30, settings=settings, modalities=PARTS)


def test_the_graph_of_these_tests_can_be_condensed() -> None:
    assert quickly(make_graph()).x.size(1) == CHANNELS


def test_one_node_has_no_structure() -> None:
    data = changed(y=torch.zeros_like(Y))
    assert quickly(data, ratio=0.02).num_nodes == 1
    with pytest.raises(InvalidArgumentError, match="two nodes"):
        quickly(data, ratio=0.02, structure=True)


@pytest.mark.parametrize(
    ("modality", "error", "message"),
    [
        (slice("a", "b"), InvalidTypeError, "'text' as a slice"),
        (slice(0.0, 3.0), InvalidTypeError, "'text' as a slice"),
        (lambda data: torch.nn.Linear(CHANNELS + 1, 2)(data.x), InvalidGraphError, "modality 'text': .* cannot"),
        (lambda: 1, UnsupportedModelError, r"encoder\(data\)"),
    ],
)
def test_modalities_that_fail(modality: Any, error: type[GragrError], message: str) -> None:
    with pytest.raises(error, match=message):
        quickly(make_graph(), modalities={"text": modality})
