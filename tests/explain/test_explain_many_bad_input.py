"""What cannot be explained, or hardly: clear behaviour of every explainer, one at a time and many at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gnns import Embedded, explainer_for
from test_explain_many_graphs import Pooled, random_graphs
from torch import nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN, GraphSAGE, global_mean_pool
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import (
    EdgeGradientExplainer,
    GradientContextExplainer,
    GradientRecorder,
    OcclusionExplainer,
    explain_many,
)
from gragr_explain.errors import (
    GragrError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)

ALGORITHMS = {
    "context": GradientContextExplainer,
    "edge gradient": EdgeGradientExplainer,
    "edge gradient of each layer": lambda: EdgeGradientExplainer(level="layer"),
    "sign": lambda: EdgeGradientExplainer("sign"),
    "occlusion": lambda: OcclusionExplainer(progress=False),
    "occlusion of each layer": lambda: OcclusionExplainer("layer", progress=False),
}


@pytest.fixture(params=list(ALGORITHMS))
def algorithm(request) -> Any:
    return ALGORITHMS[request.param]()


def explainer_of_edges(model: nn.Module, algorithm: Any, **options: Any):
    return explainer_for(model, algorithm, nodes=None, **options)


# nodes: every explainer ----------------------------------------------------------------------------------------------


def test_a_node_without_edges(algorithm, gcn, graph):
    explanation = explainer_of_edges(gcn, algorithm)(graph.x, graph.edge_index, index=9)
    assert explanation.edge_mask.shape == (graph.num_edges,)
    assert not explanation.edge_mask.any()
    assert not explanation.edge_evidence.any()


def test_fewer_edges_than_asked_for(algorithm, gcn, graph):
    """Node 7 has a path of three nodes to be explained by, with two edges each way."""
    explainer = explainer_of_edges(gcn, algorithm, threshold_config=("topk", 10))
    mask = explainer(graph.x, graph.edge_index, index=7).edge_mask
    _, _, _, reachable = k_hop_subgraph(7, 2, graph.edge_index, num_nodes=10)
    assert int(reachable.sum()) == 4
    assert not mask[~reachable].any()
    more = explainer_of_edges(gcn, algorithm, threshold_config=("topk", 1000))
    torch.testing.assert_close(more(graph.x, graph.edge_index, index=7).edge_mask, mask)


class Ignores(nn.Module):
    """Passes messages, and returns something else."""

    def __init__(self, what: str):
        super().__init__()
        self.what, self.conv, self.lin = what, GCN(3, 4, num_layers=1), nn.Linear(3, 3)

    def forward(self, x, edge_index, batch=None):
        self.conv(x, edge_index)
        if self.what == "everything":
            out = torch.arange(3.0).expand(x.size(0), 3)
        elif self.what == "messages":
            out = self.lin(x)
        else:
            out = self.lin(x) + 0 * self.conv(x, edge_index)[:, :3]
        return out if batch is None else global_mean_pool(out, batch)


@pytest.mark.parametrize("what", ["everything", "messages", "what messages say"])
def test_a_model_whose_output_ignores_the_graph(what, algorithm, graph):
    torch.manual_seed(0)
    explanation = explainer_of_edges(Ignores(what), algorithm)(graph.x, graph.edge_index, index=1)
    assert explanation.edge_mask.shape == (graph.num_edges,)
    assert not explanation.edge_mask.any()


def test_integer_features(algorithm, graph):
    torch.manual_seed(0)
    x = torch.arange(10) % 7
    mask = explainer_of_edges(Embedded(), algorithm)(x, graph.edge_index, index=1).edge_mask
    assert mask.is_floating_point()
    assert mask.max() == 1
    if algorithm.__class__ is not OcclusionExplainer:  # which has no node masks at all
        with pytest.raises(InvalidTypeError, match=r"floating-point numbers, got torch\.int64"):
            explainer_for(Embedded(), algorithm)(x, graph.edge_index, index=1)


def test_nothing_to_explain(algorithm, gcn, graph):
    explanation = explainer_of_edges(gcn, algorithm)(
        graph.x, graph.edge_index, index=torch.tensor([], dtype=torch.long)
    )
    assert explanation.edge_mask.shape == (graph.num_edges,)
    assert not explanation.edge_mask.any()


@pytest.mark.parametrize("index", [10, -1, torch.tensor([3, 99])])
def test_indices_out_of_range(index, algorithm, gcn, graph):
    with pytest.raises(InvalidIndexError, match=r"\[0, 9\], got"):
        explainer_of_edges(gcn, algorithm)(graph.x, graph.edge_index, index=index)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite(value, algorithm, gcn, graph):
    graph.x[3, 1] = value
    with pytest.raises(InvalidGraphError, match="1 nodes, first in 3"):
        explainer_of_edges(gcn, algorithm)(graph.x, graph.edge_index, index=1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(value, gcn, graph):
    with torch.no_grad():
        gcn.convs[1].lin.weight.fill_(value)
    explainer = explainer_for(gcn)
    for explain in (
        lambda: explainer(graph.x, graph.edge_index, index=1),
        lambda: explain_many(explainer, graph, progress=False),
    ):
        with pytest.raises(UnsupportedModelError, match="NaN in 10 of 10; look for"):
            explain()


# many nodes ----------------------------------------------------------------------------------------------------------


def test_many_of_which_one_has_no_edges_and_one_has_few(gcn, graph):
    found = explain_many(explainer_for(gcn), graph, [9, 7], top_edges=1000, top_features=1000, progress=False)
    assert found.edges[0] == []
    assert 0 < len(found.edges[1]) <= 4
    assert all(len(features) <= 3 for features in found.features)
    assert "its neighbourhood, above all" not in found.rationales[0].text


@pytest.mark.parametrize("what", ["everything", "messages", "what messages say"])
def test_many_of_a_model_whose_output_ignores_the_graph(what, graph):
    torch.manual_seed(0)
    found = explain_many(explainer_for(Ignores(what)), graph, progress=False)
    assert found.edges == [[]] * 10
    assert all((features == []) == (what == "everything") for features in found.features)
    assert all("its neighbourhood, above all" not in rationale.text for rationale in found.rationales)
    assert found.context.psi.isfinite().all()


@pytest.mark.parametrize("model", [GCN(64, 16, num_layers=2, out_channels=3), GraphSAGE(64, 16, 2, out_channels=3)])
def test_a_memory_budget_below_one_computation_graph(model):
    """A node is the least that can be explained: where it takes more than is allowed, it takes that."""
    leaves = torch.arange(1, 4000)
    star = torch.stack([leaves, torch.zeros_like(leaves)])
    data = Data(x=torch.rand(4000, 64), edge_index=torch.cat([star, star.flip(0)], dim=1))
    explainer = explainer_for(model)
    expected = explain_many(explainer, data, [0, 1, 2], progress=False)
    found = explain_many(explainer, data, [0, 1, 2], memory_mb=1, progress=False)
    assert found.rationales == expected.rationales
    assert [len(edges) for edges in found.edges] == [len(edges) for edges in expected.edges]
    assert found.edges[0]


# many graphs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def job():
    torch.manual_seed(0)
    return explainer_for(Pooled().double(), level="graph"), random_graphs(6)


def test_no_graphs(job):
    with pytest.raises(InvalidGraphError, match="at least one graph, got none"):
        explain_many(job[0], [], progress=False)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (lambda graphs: graphs[0], "Data"),
        (iter, "list_iterator"),
        (lambda graphs: dict(enumerate(graphs)), "dict"),
        (lambda graphs: DataLoader(graphs), "DataLoader"),
        (lambda graphs: None, "NoneType"),
    ],
)
def test_what_is_no_sequence_of_graphs(form, name, job):
    with pytest.raises(InvalidTypeError, match=f"needs a sequence of graphs to explain, got {name}"):
        explain_many(job[0], form(job[1]), progress=False)


def test_a_list_of_graphs_for_a_model_of_nodes(gcn, graph):
    with pytest.raises(InvalidTypeError, match=r"expected a torch_geometric\.data\.Data, got list"):
        explain_many(explainer_for(gcn), [graph], progress=False)


def with_nan(graph: Data) -> Data:
    graph.x[0, 1] = torch.nan
    return graph


def weighted(graph: Data) -> Data:
    graph.edge_weight = torch.ones(graph.num_edges, dtype=torch.float64)
    return graph


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda graph: "graph", InvalidTypeError, r"graph 3: expected a torch_geometric.data.Data, got str"),
        (lambda graph: HeteroData(), InvalidTypeError, "graph 3: .* got HeteroData"),
        (lambda graph: Data(x=graph.x), InvalidGraphError, "graph 3: .* without edge_index"),
        (
            lambda graph: Data(x=graph.x[:0], edge_index=graph.edge_index[:, :0]),
            InvalidGraphError,
            "graph 3: .* one node",
        ),
        (
            lambda graph: Data(x=graph.x, edge_index=graph.edge_index + 99),
            InvalidGraphError,
            "graph 3: .* in edge_index",
        ),
        (lambda graph: with_nan(graph), InvalidGraphError, "graph 3: .* first in 0"),
        (
            lambda graph: Data(x=graph.x[:, :2], edge_index=graph.edge_index),
            InvalidGraphError,
            r"graph 0 .*\[\*, 3\].*\[\*, 2\]",
        ),
        (lambda graph: Data(x=graph.x.float(), edge_index=graph.edge_index), InvalidGraphError, "graph 3 .*float32"),
        (lambda graph: weighted(graph), InvalidGraphError, "of one kind, .*graph 3 with .*edge_weight"),
    ],
)
def test_one_bad_graph_among_good_ones(spoil, error, message, job):
    explainer, graphs = job
    graphs[3] = spoil(graphs[3])
    with pytest.raises(error, match=message) as caught:
        explain_many(explainer, graphs, progress=False)
    assert isinstance(caught.value, GragrError)
    assert len(explain_many(explainer, graphs, [0, 1, 5], progress=False)) == 3  # nobody asked for the bad one


@pytest.mark.parametrize(
    ("index", "error"),
    [(6, InvalidIndexError), ([0, -1], InvalidIndexError), ("all", InvalidTypeError), ([0.5], InvalidTypeError)],
)
def test_bad_indices_of_graphs(index, error, job):
    with pytest.raises(error, match="got"):
        explain_many(*job, index, progress=False)


@pytest.mark.parametrize("name", ["top_edges", "top_features", "memory_mb"])
def test_numbers_that_are_not_positive(name, job):
    with pytest.raises(InvalidArgumentError, match=f"{name} of at least 1, got 0"):
        explain_many(*job, progress=False, **{name: 0})


class Odd(nn.Module):
    """A model of graphs that returns what nobody can use."""

    def __init__(self, returns):
        super().__init__()
        self.pooled, self.returns = Pooled(), returns

    def forward(self, x, edge_index, batch=None):
        return self.returns(self.pooled(x, edge_index, batch=batch), x)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (lambda out, x: (out, x), "one row for a graph, got tuple"),
        (lambda out, x: x, r"one row for a graph, got \[\d+, 3\]"),
        (lambda out, x: out.sum(), r"one row for a graph, got \[\]"),
        (lambda out, x: out.view(1, 3, 1), r"\[num_outputs, num_classes\], got \[\d+, 3, 1\]"),
    ],
)
def test_models_that_return_something_else(returns, message, job):
    with pytest.raises(UnsupportedModelError, match=message):
        explain_many(explainer_for(Odd(returns).double(), level="graph"), job[1], progress=False)


def test_models_that_cannot_be_called_or_explained(job):
    class Needs(Pooled):
        def forward(self, x, edge_index, batch, extra):
            return super().forward(x, edge_index, batch=batch)

    with pytest.raises(UnsupportedModelError, match="missing 1 required positional argument: 'extra'"):
        explain_many(explainer_for(Needs().double(), level="graph"), job[1], progress=False)
    with pytest.raises(UnsupportedModelError, match="Linear has none"):
        explain_many(explainer_for(nn.Linear(3, 3), level="graph"), job[1], progress=False)


def test_features_that_the_model_cannot_take(job):
    graphs = [Data(x=torch.rand(4, 5).double(), edge_index=torch.tensor([[0], [1]])) for _ in range(3)]
    with pytest.raises(InvalidGraphError, match=r"graph 0: the model cannot take features of shape \[4, 5\]"):
        explain_many(job[0], graphs, progress=False)


def test_a_history_is_of_one_graph(job):
    explainer, graphs = job
    with GradientRecorder(explainer.model):
        explainer.model(graphs[0].x, graphs[0].edge_index).sum().backward()
    with pytest.raises(HistoryMismatchError, match="history=False"):
        explain_many(explainer, graphs, progress=False)
    without = explainer_for(explainer.model, GradientContextExplainer(history=False), level="graph")
    assert len(explain_many(without, graphs, progress=False)) == 6


def test_a_phenomenon_without_labels(job):
    explainer = explainer_for(job[0].model, level="graph", kind="phenomenon")
    for number, graph in enumerate(job[1]):
        graph.y = torch.tensor([number % 3])
    job[1][2].y = None
    with pytest.raises(InvalidGraphError, match="one label y of each graph, graph 2 has None"):
        explain_many(explainer, job[1], progress=False)
    job[1][2].y = torch.zeros(1, 5).long()
    with pytest.raises(InvalidGraphError, match=r"one label y of each graph, graph 2 has \[1, 5\]"):
        explain_many(explainer, job[1], progress=False)
    job[1][2].y = torch.tensor([3])
    with pytest.raises(InvalidGraphError, match=r"target classes in \[0, 2\], got \d to 3"):
        explain_many(explainer, job[1], progress=False)


def test_names_and_masks_of_features(job):
    algorithm = GradientContextExplainer(feature_names=["one"])
    with pytest.raises(InvalidArgumentError, match="3 feature_names, got 1"):
        explain_many(explainer_for(job[0].model, algorithm, level="graph"), job[1], progress=False)
    for graph in job[1]:
        graph.x = torch.arange(graph.num_nodes) % 7
    with pytest.raises(InvalidTypeError, match=r"floating-point numbers, got torch\.int64"):
        explain_many(job[0], job[1], progress=False)


@pytest.mark.parametrize("what", ["everything", "messages", "what messages say"])
def test_graphs_whose_model_ignores_them(what, job):
    torch.manual_seed(0)
    model = Ignores(what).double()
    found = explain_many(explainer_for(model, level="graph"), job[1], progress=False)
    assert found.edges == [[]] * 6
    assert all("the graph, above all" not in rationale.text for rationale in found.rationales)


@pytest.mark.parametrize("level", ["node", "graph"])
def test_too_few_class_names(level):
    model = GCN(3, 6, num_layers=2, out_channels=3).double() if level == "node" else Pooled().double()
    graphs = random_graphs(3)
    explainer = explainer_for(model, GradientContextExplainer(class_names=["a", "b"]), level=level)
    with pytest.raises(InvalidArgumentError, match=r"expected \d class_names, got 2"):
        explain_many(explainer, graphs if level == "graph" else graphs[2], progress=False)
