"""Condensed nodes as prototypes, against brute force."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from condensed_graphs import CHANNELS, QUICK, make_graph, quickly
from matplotlib.figure import Figure
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, SGConv

from gragr_explain.condensation import draw_prototypes, prototypes
from gragr_explain.condensation._matching import propagate
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)

NAMES = {"feature_names": [f"word {i}" for i in range(CHANNELS)], "class_names": ["red", "green", "blue"]}


@pytest.fixture(scope="module")
def pair() -> tuple[Data, Data]:
    data = make_graph()
    return quickly(data), data


def test_a_table_says_what_brute_force_says(pair: tuple[Data, Data]) -> None:
    condensed, data = pair
    table = prototypes(condensed, data, nearest=3, strongest=2, **NAMES)
    layer = SGConv(CHANNELS, CHANNELS, K=2, bias=False)
    layer.lin.weight.data = torch.eye(CHANNELS)
    with torch.no_grad():
        seen = layer(data.x, data.edge_index)
    cosine = F.cosine_similarity(condensed.x[:, None], seen[None], dim=-1)
    owner = [max(range(9), key=lambda node: float(cosine[node, real])) for real in range(60)]
    for row in table.itertuples():
        stands_for = [real for real in range(60) if owner[real] == row.node]
        own = sum(int(data.y[real]) == row.label for real in stands_for)
        assert row.stands_for == len(stands_for)
        assert math.isnan(row.purity) if not stands_for else row.purity == pytest.approx(own / len(stands_for))
        order = sorted(range(60), key=lambda real: -float(cosine[row.node, real]))
        assert row.nearest == order[:3]
        assert row.similarity == pytest.approx([float(cosine[row.node, real]) for real in order[:3]], abs=1e-5)
        excess = condensed.x[row.node] - condensed.x.mean(0)
        top = sorted(range(CHANNELS), key=lambda column: -float(excess[column]))[:2]
        assert row.features == [f"word {column}" for column in top]
        assert table["class"][row.node] == NAMES["class_names"][row.label]
    assert table.stands_for.sum() == 60
    assert table.label.tolist() == condensed.y.tolist()


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_a_model_compares_by_what_it_hides(kind: Any, pair: tuple[Data, Data]) -> None:
    condensed, data = pair
    model = kind(CHANNELS, 16, 2, 3, dropout=0.5)
    table = prototypes(condensed, data, model=model)
    assert model.training
    assert table.equals(prototypes(condensed, data, model=model))
    assert table.nearest.tolist() != prototypes(condensed, data).nearest.tolist()
    assert all(-1.001 <= value <= 1.001 for row in table.similarity for value in row)


def test_a_model_sees_the_learned_weights_of_edges(pair: tuple[Data, Data]) -> None:
    """A structure of learned weights is compared as one whose edges of no weight are gone."""
    condensed, data = pair
    condensed = condensed.clone()
    condensed.edge_index = torch.cartesian_prod(torch.arange(9), torch.arange(9)).t()
    loops = condensed.edge_index[0] == condensed.edge_index[1]
    condensed.edge_weight = loops.float()
    model = GCN(CHANNELS, 16, 2, 3)
    assert prototypes(condensed, data, model=model).equals(prototypes(pair[0], data, model=model))


def test_a_model_that_cannot_take_the_graphs_is_refused(pair: tuple[Data, Data]) -> None:
    with pytest.raises(InvalidGraphError, match=r"cannot take features of shape \[9, 8\]"):
        prototypes(*pair, model=GCN(CHANNELS - 1, 16, 2, 3))


def test_a_condensed_node_of_a_real_one_finds_it(pair: tuple[Data, Data]) -> None:
    _, data = pair
    loops = torch.arange(data.num_nodes).repeat(2, 1)
    alone = Data(x=data.x, edge_index=loops, y=data.y)
    table = prototypes(alone, alone)
    assert [row[0] for row in table.nearest] == list(range(data.num_nodes))
    assert table.purity.tolist() == [1.0] * data.num_nodes


def test_more_is_asked_for_than_there_is(pair: tuple[Data, Data]) -> None:
    table = prototypes(*pair, nearest=1000, strongest=1000)
    assert {len(row) for row in table.nearest} == {60}
    condensed = pair[0]
    above = (condensed.x > condensed.x.mean(0)).sum(1)
    assert [len(row) for row in table.features] == above.tolist()  # no feature that a node does not stand out by


def test_a_drawing_shows_the_prototypes(pair: tuple[Data, Data]) -> None:
    table = prototypes(*pair, **NAMES)
    ax = Figure().add_subplot()
    assert draw_prototypes(table, ax, most=4) is ax
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == 4
    most = table.sort_values("stands_for", ascending=False, kind="stable").head(4)
    assert sorted(labels) == sorted(f"{row.node}: {NAMES['class_names'][row.label]}" for row in most.itertuples())
    assert len(ax.texts) == 4
    assert any("word" in text.get_text() for text in ax.texts)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"nearest": 0}, InvalidArgumentError, "nearest"),
        ({"nearest": 1.5}, InvalidTypeError, "nearest"),
        ({"strongest": -1}, InvalidArgumentError, "strongest"),
        ({"feature_names": ["one"]}, InvalidArgumentError, "8 feature names, got 1"),
        ({"class_names": ["one"]}, InvalidArgumentError, "3 class names, got 1"),
        ({"condensed": "graph"}, InvalidTypeError, "Data"),
        ({"condensed": make_graph().subgraph(torch.arange(0))}, InvalidGraphError, "at least one node"),
        ({"data": Data(x=torch.rand(4, CHANNELS), edge_index=torch.tensor([[0], [1]]))}, InvalidGraphError, "labels"),
        (
            {"data": Data(x=torch.rand(3, 5), edge_index=torch.tensor([[0], [1]]), y=torch.arange(3))},
            InvalidGraphError,
            "8 of the condensed and 5 of the real",
        ),
    ],
)
def test_bad_input(arguments: dict[str, Any], error: type[GragrError], message: str, pair: tuple[Data, Data]) -> None:
    given: dict[str, Any] = {"condensed": pair[0], "data": pair[1], **arguments}
    with pytest.raises(error, match=message):
        prototypes(**given)


def test_a_drawing_of_nothing_is_refused(pair: tuple[Data, Data]) -> None:
    with pytest.raises(InvalidArgumentError):
        draw_prototypes(prototypes(*pair), Figure().add_subplot(), most=0)
    with pytest.raises(InvalidTypeError, match="expected table as a DataFrame, got Data"):
        draw_prototypes(*pair)
    with pytest.raises(InvalidTypeError, match="ax as a"):
        draw_prototypes(prototypes(*pair), None)
    with pytest.raises(InvalidArgumentError, match="at least one prototype"):
        draw_prototypes(prototypes(*pair).head(0), Figure().add_subplot())
    with pytest.raises(InvalidArgumentError, match="without purity"):
        draw_prototypes(prototypes(*pair).drop(columns="purity"), Figure().add_subplot())


@pytest.mark.parametrize("hops", [0, 1, 5])
def test_features_are_propagated_as_often_as_they_were_matched(hops: int) -> None:
    data = make_graph()
    condensed = quickly(data, settings=replace(QUICK, hops=hops))
    seen = propagate(data.x, data.edge_index, hops=hops)
    cosine = F.cosine_similarity(condensed.x[:, None], seen[None], dim=-1)
    table = prototypes(condensed, data)
    assert table.stands_for.tolist() == cosine.argmax(0).bincount(minlength=9).tolist()


def test_nodes_without_features_are_like_none() -> None:
    data = make_graph()
    alone = torch.tensor([3, 4, 5])
    data.edge_index = data.edge_index[:, ~torch.isin(data.edge_index, alone).any(0)]
    data.x[alone] = 0
    table = prototypes(quickly(data), data)
    assert table.stands_for.sum() == 57
    assert table.purity.dropna().between(0, 1).all()


def test_precisions_may_differ_and_what_is_not_finite_is_refused(pair: tuple[Data, Data]) -> None:
    condensed, data = pair
    assert prototypes(condensed, make_graph(dtype=torch.float64)).shape == (9, 8)
    model = GCN(CHANNELS, 16, 2, 3)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    with pytest.raises(UnsupportedModelError, match="finite"):
        prototypes(condensed, data, model=model)
