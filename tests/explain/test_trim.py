"""Layers that run on what later layers hear of give what layers that run on everything give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from gnns import BACKBONES, Embedded, explainer_for
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain.config import ExplanationType, ModelConfig
from torch_geometric.nn import GAT, GCN, GCN2Conv, GCNConv, GINEConv, GraphSAGE, MessagePassing, SAGEConv, SGConv

from gragr_explain import explain_many
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.explain._gradients import gradients_at_ones
from gragr_explain.explain._node_parts import Inputs, NodeParts, Part
from gragr_explain.explain._trials import UnionTrials
from gragr_explain.explain._trim import Trimmed, trimmed_output
from gragr_explain.messages import masked_output
from gragr_explain.models import GRAFF

CONFIG = ModelConfig("multiclass_classification", "node", "raw")
MEMORY = 2**30


class Layers(nn.Module):
    """Layers one after another, each called as it has to be."""

    def __init__(self, *layers: MessagePassing, first: bool = False, attributes: bool = False) -> None:
        super().__init__()
        self.layers, self.first, self.attributes = nn.ModuleList(layers), first, attributes

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        h = x
        for layer in self.layers:
            more = [x] if self.first else []
            h = layer(h, *more, edge_index, **({"edge_attr": edge_attr} if self.attributes else {})).tanh()
        return h


class Pairs(SAGEConv):
    """A layer that returns more than its output."""

    def forward(self, x, edge_index):
        return super().forward(x, edge_index), edge_index


class Unpacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Pairs(3, 6), Pairs(6, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.two(self.one(x, edge_index)[0].relu(), edge_index)[0]


class Counting(SAGEConv):
    """A layer whose output depends on how many nodes and edges it is given."""

    def forward(self, x, edge_index):
        return super().forward(x, edge_index) + x.size(0) + edge_index.size(1)


class Absolute(nn.Module):
    """A model that uses other edge weights than it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = GCNConv(3, 6), GCNConv(6, 3)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        weight = None if edge_weight is None else edge_weight.abs()
        return self.two(self.one(x, edge_index, weight).relu(), edge_index, weight)


def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 3), nn.ReLU(), nn.Linear(3, 3))


MODELS = {
    **{name: lambda build=build: build(3, 6, num_layers=2, out_channels=3) for name, build in BACKBONES.items()},
    "GCN of three layers": lambda: GCN(3, 6, num_layers=3, out_channels=3),
    "GAT of three layers": lambda: GAT(3, 6, num_layers=3, out_channels=3, heads=2),
    "GATv2": lambda: GAT(3, 6, num_layers=2, out_channels=3, v2=True),
    "jumping knowledge": lambda: GraphSAGE(3, 6, num_layers=2, out_channels=3, jk="cat", aggr="max"),
    "edge attributes": lambda: Layers(GINEConv(mlp(3), edge_dim=2), GINEConv(mlp(3), edge_dim=2), attributes=True),
    "first features": lambda: Layers(*(GCN2Conv(3, alpha=0.5, add_self_loops=False) for _ in range(2)), first=True),
    "two hops a layer": lambda: Layers(SGConv(3, 3, K=2), SGConv(3, 3, K=2)),
    "messages back": lambda: Layers(SAGEConv(3, 6, flow="target_to_source"), SAGEConv(6, 3, flow="target_to_source")),
    "one layer three times": lambda: GRAFF(3, 6, 3, out_channels=3),
}
"""From a name to a model of three features and three classes."""

TRIMMED = {
    **{name: {1: "targets", 0: "targets"} for name in MODELS},
    **{name: {1: "parts"} for name in ("GCN", "messages back", "first features")},
    "GCN of three layers": {2: "parts", 1: "parts"},
    "GAT of three layers": {2: "targets", 1: "targets", 0: "targets"},
    "two hops a layer": {2: "parts"},
    "one layer three times": {2: "parts", 1: "parts"},
}


def graph_of(seed: int, num_nodes: int, num_edges: int) -> Data:
    """A directed graph with self-loops, duplicate edges and isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    edge_index = torch.cat([edge_index, edge_index[:, :2]], dim=1)
    x = torch.randn(num_nodes, 3, generator=generator, dtype=torch.double)
    edge_attr = torch.randn(edge_index.size(1), 2, generator=generator, dtype=torch.double)
    return Data(x=x, edge_index=edge_index, edge_attr=edge_attr)


def parts_of(model: nn.Module, data: Data, nodes: Tensor, **arguments: Tensor) -> tuple[Part, Tensor, Tensor]:
    """The computation graphs of nodes, and the gradients of the sum of what is said of them."""
    parts = NodeParts(model, data.x, data.edge_index, arguments)
    inputs = Inputs(data.x, data.edge_index, arguments)
    part, edges, features = parts.gradients(model, inputs, nodes, MEMORY, lambda output: output.tanh().sum())
    return part, edges, features.made()


def arguments_of(name: str, data: Data) -> dict[str, Tensor]:
    return {"edge_attr": data.edge_attr} if name == "edge attributes" else {}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), num_nodes=st.integers(1, 14), num_edges=st.integers(0, 40))
@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_under_masks(name, seed, num_nodes, num_edges):
    torch.manual_seed(seed)
    model, data = MODELS[name]().double().eval(), graph_of(seed, num_nodes, num_edges)
    nodes = torch.randperm(num_nodes)[:5]
    part, edges, _ = parts_of(model, data, nodes, **arguments_of(name, data))
    arguments = arguments_of(name, data)
    whole = sum(
        gradients_at_ones(model, lambda out, at=node: out[at].tanh().sum(), data.x, data.edge_index, arguments)[0]
        for node in nodes.tolist()
    )
    heard = part.ego.heard
    found = torch.zeros_like(whole).index_add_(0, part.ego.edge[heard], edges[heard])
    torch.testing.assert_close(found, whole)

    union = part.union.only(torch.arange(part.union.num_parts)[seed % 2 :: 2])
    for each in (part.union, union):
        if not each.num_parts:
            continue
        masks = torch.rand(3, each.num_edges, dtype=torch.double, requires_grad=True)
        results = []
        for some in (each, replace(each, trimmed={})):
            target = torch.zeros(each.num_parts, dtype=torch.long)
            trials = UnionTrials(model, some, target, CONFIG, ExplanationType.model, at_once=2)
            scores = trials.scores(masks)
            gradient = torch.autograd.grad(scores.sum() + 0 * masks.sum(), masks)[0]
            results.append((trials.outputs(masks).detach(), gradient))
        for trimmed, expected in zip(*results, strict=True):
            torch.testing.assert_close(trimmed, expected)


@pytest.mark.parametrize("name", MODELS)
def test_what_layers_run_on(name):
    """A part for each layer that needs clearly less than all, whose output has its targets alone if it can."""
    torch.manual_seed(0)
    child = torch.arange(1, 364)  # of a tree, each node of which has three children
    tree = torch.stack([child, (child - 1).div(3, rounding_mode="floor")])
    data = Data(x=torch.randn(364, 3).double(), edge_index=torch.cat([tree, tree.flip(0)], dim=1))
    data.edge_attr = torch.randn(data.num_edges, 2).double()
    model = MODELS[name]().double().eval()
    part = parts_of(model, data, torch.tensor([0]), **arguments_of(name, data))[0]
    trimmed = part.union.trimmed
    kinds = {
        passed: "parts" if graph.num_targets == graph.nodes.numel() else "targets" for passed, graph in trimmed.items()
    }
    assert kinds == TRIMMED[name]
    last = trimmed[max(trimmed)]
    receiver = part.union.edge_index[0 if name == "messages back" else 1, last.edges]
    assert int((receiver == part.union.wanted).sum()) == 3
    assert last.edges.numel() < part.ego.edge.numel()


def test_features_that_are_not_shared_are_not_copied():
    """Those of whole numbers, here, which are looked up, and not multiplied with a weight."""
    torch.manual_seed(0)
    data = graph_of(3, 60, 80)
    data.x = torch.arange(60) % 7
    model = Embedded().eval()
    trimmed = parts_of(model, data, torch.arange(60))[0].union.trimmed
    assert trimmed
    assert 0 not in trimmed


@pytest.mark.parametrize("build", [Unpacked, lambda: Layers(Counting(3, 6), Counting(6, 3)), Absolute])
@pytest.mark.parametrize("weighted", [False, True])
def test_models_whose_layers_cannot_be_trimmed(build, weighted):
    """They are noticed, and run on everything; a weight that is its own absolute value is the one that is given."""
    torch.manual_seed(0)
    model, data = build().double().eval(), graph_of(3, 12, 30)
    arguments = {}
    if weighted and build is Absolute:
        arguments["edge_weight"] = torch.rand(data.num_edges, dtype=torch.double) + 0.1
    nodes = torch.arange(12)
    part, _, features = parts_of(model, data, nodes, **arguments)
    assert not part.union.trimmed
    whole = gradients_at_ones(model, lambda out: out.tanh().sum(), data.x, data.edge_index, arguments)[1].made()
    found = torch.zeros_like(whole).index_add_(0, part.ego.node, features)
    torch.testing.assert_close(found, whole)


def test_as_many_nodes_as_edges():
    """What belongs to nodes and what to edges is told apart by its name, not by its size."""
    torch.manual_seed(0)
    model, data = MODELS["edge attributes"]().double().eval(), graph_of(1, 30, 28)
    assert data.num_nodes == data.num_edges
    part, edges, _ = parts_of(model, data, torch.tensor([4]), edge_attr=data.edge_attr)
    objective = lambda out: out[4].tanh().sum()  # noqa: E731
    whole, _ = gradients_at_ones(model, objective, data.x, data.edge_index, {"edge_attr": data.edge_attr})
    torch.testing.assert_close(torch.zeros_like(whole).index_copy_(0, part.ego.edge, edges), whole)


def test_a_mask_for_each_layer():
    torch.manual_seed(0)
    model, data = MODELS["GAT"]().double().eval(), graph_of(2, 10, 30)
    part = parts_of(model, data, torch.arange(10))[0]
    union, masks = part.union, torch.rand(2, part.union.num_edges, dtype=torch.double)
    found = trimmed_output(model, masks, union.trimmed, union.x, union.edge_index, {})[union.wanted]
    expected = masked_output(model, masks, union.x, union.edge_index)[union.wanted]
    torch.testing.assert_close(found, expected)


def test_a_model_that_fails_is_left_as_it_was():
    def hooks() -> list[int]:
        return [len(value) for module in model.modules() for name, value in vars(module).items() if "hooks" in name]

    model, data = Unpacked().double().eval(), graph_of(2, 10, 30)
    edge, before = torch.tensor([4]), hooks()
    one = Trimmed(data.edge_index[:, 4], num_targets=2, edges=edge, edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(UnsupportedModelError, match="row for each node"):
        trimmed_output(model, torch.ones(data.num_edges).double(), {1: one}, data.x, data.edge_index, {})
    assert hooks() == before


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN", "GraphSAGE"])
def test_explanations_are_those_on_everything(name, monkeypatch):
    """The same edges in the same order, and the same texts, of explanations at which no layer is trimmed."""
    torch.manual_seed(0)
    data = graph_of(5, 80, 240)
    explainer = explainer_for(MODELS[name]().double())
    trimmed = explain_many(explainer, data, progress=False)
    monkeypatch.setattr(NodeParts, "_trimmed", lambda *_args: {})
    explainer = explainer_for(explainer.model)
    whole = explain_many(explainer, data, progress=False)
    assert [[edge[:2] for edge in row] for row in trimmed.edges] == [[edge[:2] for edge in row] for row in whole.edges]
    assert trimmed.rationales == whole.rationales


@pytest.mark.parametrize("name", MODELS)
def test_of_fewer_graphs_a_pass_takes_more_copies(name):
    torch.manual_seed(0)
    model, data = MODELS[name]().double().eval(), graph_of(1, 14, 40)
    part = parts_of(model, data, torch.arange(14), **arguments_of(name, data))[0]
    target = torch.zeros(14, dtype=torch.long)
    trials = UnionTrials(model, part.union, target, CONFIG, ExplanationType.model, at_once=5)
    some = trials.only(torch.tensor([2, 7]))
    assert some.at_once >= 5
    before, now = ((union.x.size(0), union.num_edges) for union in (part.union, some.union))
    assert some.at_once * now[0] <= 5 * before[0]
    assert some.at_once * sum(now) <= 5 * sum(before)
    assert replace(trials, copies=False, at_once=1).only(torch.tensor([2])).at_once == 1

    masks = torch.rand(23, some.union.num_edges, dtype=torch.double)
    found = [replace(some, at_once=size).scores(masks) for size in (1, 5, some.at_once)]
    for each in found:
        torch.testing.assert_close(each, found[0])
    for count in (23, 4, 9, 5, 2):
        trials.scores(masks.new_ones(count, part.union.num_edges))
        assert len(trials._copies) <= 2
