"""Removing edges from many copies at once: the same as one at a time, and on linear models the same as gradients."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from gnns import BACKBONES, Embedded, Net, OwnLoops, assert_same_state, explainer_for, state_of
from graph_cases import Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from test_explain_evidence import Wrapped
from test_explain_settings import MODES, arguments_of
from torch import nn
from torch_geometric.explain import GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.explain.config import ModelTaskLevel
from torch_geometric.nn import (
    APPNP,
    GCN,
    GCNConv,
    GINConv,
    GraphConv,
    MessagePassing,
    PairNorm,
    RGCNConv,
    SAGEConv,
    SGConv,
    global_mean_pool,
)
from torch_geometric.utils import coalesce, erdos_renyi_graph

from gragr_explain import EdgeGradientExplainer, OcclusionExplainer
from gragr_explain.errors import (
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.explain._copies import Computation, cut, distances

BOTH = ["input", "layer"]


def explain(model, x, edge_index, *, occlusion=None, index=None, target=None, arguments=None, **options):
    algorithm = OcclusionExplainer(progress=False) if occlusion is None else occlusion
    explainer = explainer_for(model, algorithm, nodes=None, **options)
    return explainer(x, edge_index, index=index, target=target, **(arguments or {}))


def one_at_a_time(model, x, edge_index, value, arguments=None):
    """What ``value`` of the output loses without each edge, in all layers and in each, by PyG's own masks."""
    model = copy.deepcopy(model).eval()
    layers = [module for module in model.modules() if isinstance(module, MessagePassing)]
    found = torch.zeros(1 + len(layers), edge_index.size(1), dtype=x.dtype if x.is_floating_point() else None)
    with torch.no_grad():
        before = value(model(x, edge_index, **(arguments or {})))
        for row, masked in enumerate([model, *layers]):
            for edge in range(edge_index.size(1)):
                mask = torch.ones(edge_index.size(1), dtype=found.dtype)
                mask[edge] = 0
                set_masks(masked, mask, edge_index, apply_sigmoid=False)
                found[row, edge] = before - value(model(x, edge_index, **(arguments or {})))
                clear_masks(model)
    return found[0], found[1:].t()


def log_likelihood(target, index=None):
    def value(output):
        each = output.log_softmax(-1).gather(1, target.view(-1, 1))
        return (each if index is None else each[index]).sum()

    return value


class Reader(nn.Module):
    """A backbone whose outputs are read from nodes, from pairs of them, or from graphs."""

    def __init__(self, backbone: str, level: str) -> None:
        super().__init__()
        self.level = level
        self.gnn = BACKBONES[backbone](3, 6, num_layers=2, out_channels=3)
        self.sizes: list[int] = []

    def forward(self, x, edge_index, batch=None, edge_label_index=None):
        self.sizes.append(x.size(0))
        h = self.gnn(x, edge_index)
        if self.level == "graph":
            return global_mean_pool(h, batch)
        return h if self.level == "node" else h[edge_label_index[0]] * h[edge_label_index[1]]


@pytest.mark.parametrize("level", ["node", "edge", "graph"])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_many_at_once_is_one_at_a_time(backbone, level, graph):
    torch.manual_seed(3)
    model, x = Reader(backbone, level).double(), graph.x.double()
    arguments, _ = arguments_of(level)
    for index in (1, torch.tensor([2, 0]), None):
        target = model.eval()(x, graph.edge_index, **arguments).argmax(-1)
        chosen = slice(None) if index is None else torch.as_tensor(index).view(-1)
        whole, layers = one_at_a_time(
            model, x, graph.edge_index, log_likelihood(target, chosen), arguments if level != "node" else None
        )
        options = {"index": index, "level": level, "arguments": arguments}
        model.sizes.clear()
        got = explain(model, x, graph.edge_index, **options)
        assert len(model.sizes) <= 6
        torch.testing.assert_close(got.edge_evidence, whole, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(got.edge_mask, whole.clamp(min=0) / whole.max(), rtol=1e-9, atol=1e-9)
        got = explain(model, x, graph.edge_index, occlusion=OcclusionExplainer("layer", progress=False), **options)
        torch.testing.assert_close(got.layer_edge_evidence, layers, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(got.edge_evidence, layers.sum(1), rtol=1e-9, atol=1e-12)
        assert got.layer_edge_masks.max() == 1
        assert "layer_edge_evidence" in got


@pytest.mark.parametrize("level", BOTH)
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("backbone", ["GCN", "GIN"])
def test_directed_graphs_with_weights_in_single_precision(backbone, flow, level):
    torch.manual_seed(5)
    edge_index = coalesce(erdos_renyi_graph(30, 0.06, directed=True))
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    x = torch.randn(30, 3)
    arguments = {"edge_weight": torch.rand(edge_index.size(1)) + 0.1} if backbone == "GCN" else {}
    model = BACKBONES[backbone](3, 8, num_layers=3, out_channels=4, flow=flow).eval()
    target = model(x, edge_index, **arguments).argmax(-1)
    for index in (0, 7, 20):
        whole, layers = one_at_a_time(model, x, edge_index, log_likelihood(target, [index]), arguments)
        got = explain(
            model, x, edge_index, occlusion=OcclusionExplainer(level, progress=False), index=index, arguments=arguments
        )
        torch.testing.assert_close(
            got.edge_evidence if level == "input" else got.layer_edge_evidence,
            whole if level == "input" else layers,
            rtol=1e-4,
            atol=1e-5,
        )


# Linear models ------------------------------------------------------------------------------------------------------

CONVS = {
    "GCN": GCNConv,
    "GraphConv": GraphConv,
    "GraphSAGE": SAGEConv,
    "GIN": lambda inner, outer: GINConv(nn.Linear(inner, outer), train_eps=True),
    "SGConv": SGConv,
}


class Stack(nn.Module):
    """Layers without a nonlinearity, whose output is so far from zero that its magnitude is linear, too."""

    def __init__(self, conv: str, in_channels: int, num_layers: int) -> None:
        super().__init__()
        sizes = [in_channels] + [2] * (num_layers - 1) + [1]
        self.convs = nn.ModuleList(CONVS[conv](*pair) for pair in pairwise(sizes))

    def forward(self, x, edge_index, edge_weight=None):
        for conv in self.convs:
            x = conv(x, edge_index) if edge_weight is None else conv(x, edge_index, edge_weight)
        return x + 1e5


@pytest.mark.parametrize("conv", list(CONVS))
@settings(max_examples=12)
@given(
    case=cases(max_nodes=5, max_edges=10, dtypes=(torch.float64,)), num_layers=st.integers(1, 3), seed=st.integers(0, 9)
)
def test_on_linear_models_layerwise_gradients_are_layerwise_occlusion(conv, case: Case, num_layers, seed):
    torch.manual_seed(seed)
    model = Stack(conv, case.field.size(1), num_layers).double()
    arguments = {"edge_weight": case.weight} if case.weight is not None and conv not in ("GraphSAGE", "GIN") else {}
    for index in (0, None):
        options = {"index": index, "mode": "regression", "arguments": arguments}
        gradient, occlusion = (
            explain(model, case.field, case.edge_index, occlusion=algorithm, **options)
            for algorithm in (EdgeGradientExplainer(level="layer"), OcclusionExplainer("layer", progress=False))
        )
        assert (gradient.prediction > 0).all()
        torch.testing.assert_close(occlusion.layer_edge_evidence, gradient.layer_edge_evidence, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(occlusion.edge_evidence, gradient.edge_evidence, rtol=1e-6, atol=1e-8)


def test_what_is_equal_on_linear_models_is_not_zero(graph):
    torch.manual_seed(0)
    model = Stack("GCN", 3, 2).double()
    found = explain(
        model, graph.x.double(), graph.edge_index, occlusion=EdgeGradientExplainer(level="layer"), mode="regression"
    ).layer_edge_evidence
    assert (found.abs().amax(0) > 0.01).all()
    assert (found < 0).any()
    assert (found > 0).any()


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["node", "edge", "graph"])
@pytest.mark.parametrize(("mode", "returns"), MODES)
def test_every_setting(mode, returns, level, graph):
    torch.manual_seed(2)
    model = Net(mode, level, returns).double().train()
    x = graph.x.double()
    arguments, num_outputs = arguments_of(level)
    arguments["edge_weight"] = torch.rand(graph.num_edges).double()
    for kind, own_level, index in [("model", "layer", None), ("phenomenon", "input", torch.tensor([0, 2]))]:
        target = None
        if kind == "phenomenon":
            target = torch.arange(num_outputs) % (4 if mode.startswith("multi") else 2)
            target = target.double().view(-1, 1) if mode == "regression" else target
        options = {"index": index, "target": target, "arguments": arguments}
        options |= {"kind": kind, "mode": mode, "level": level, "returns": returns}
        got = explain(model, x, graph.edge_index, occlusion=OcclusionExplainer(own_level, progress=False), **options)
        assert got.validate()
        assert model.training
        assert got.edge_mask.max() == 1
        assert got.edge_mask.min() == 0
        expected = by_dropping_messages(model, x, graph.edge_index, got, own_level, index, mode, returns, kind)
        found = got.layer_edge_evidence[3, 0] if own_level == "layer" else got.edge_evidence[3]
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def by_dropping_messages(model, x, edge_index, explanation, own_level, index, mode, returns, kind):
    """The change without edge 3, with the likelihood written out."""
    target = explanation.target

    def value(output):
        if mode == "regression":
            each = output.abs() if kind == "model" else -((output - target) ** 2) / 2
        elif mode == "binary_classification":
            score = output.sigmoid() if returns == "raw" else output
            each = torch.where(target.view(-1, 1) == 1, score, 1 - score).log()
        else:
            output = output.log_softmax(-1) if returns == "raw" else output.log() if returns == "probs" else output
            each = output.gather(1, target.view(-1, 1))
        return (each if index is None else each[index]).sum()

    arguments = {name: explanation[name] for name in explanation._model_args}
    model = copy.deepcopy(model).eval()
    mask = torch.ones(edge_index.size(1), dtype=x.dtype)
    mask[3] = 0
    with torch.no_grad():
        before = value(model(x, edge_index, **arguments))
        set_masks(model if own_level == "input" else model.first, mask, edge_index, apply_sigmoid=False)
        return before - value(model(x, edge_index, **arguments))


@pytest.mark.parametrize("index", [4, torch.tensor(4), torch.arange(10) == 4, torch.tensor([4])])
def test_forms_of_the_same_index(index, gcn, graph):
    expected = explain(gcn, graph.x, graph.edge_index, index=4).edge_evidence
    assert torch.equal(explain(gcn, graph.x, graph.edge_index, index=index).edge_evidence, expected)


# How it is computed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", BOTH)
def test_memory_bounds_the_copies_and_changes_nothing(level, graph):
    torch.manual_seed(0)
    model = Reader("GCN", "node")
    model.gnn = GCN(6000, 4, num_layers=2, out_channels=3)
    x = torch.randn(10, 6000)
    sizes, found = {}, {}
    for memory_mb in (1, 2, 512):
        model.sizes.clear()
        algorithm = OcclusionExplainer(level, memory_mb=memory_mb, progress=False)
        found[memory_mb] = explain(model, x, graph.edge_index, occlusion=algorithm, index=1).edge_evidence
        sizes[memory_mb] = max(model.sizes[4:])
    assert sizes[1] < sizes[2] < sizes[512]
    assert all(nodes * 6000 * 4 <= memory_mb * 2**20 for memory_mb, nodes in sizes.items())
    torch.testing.assert_close(found[1], found[512], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[2], found[512], rtol=1e-4, atol=1e-6)


def test_a_budget_below_one_copy_takes_one_at_a_time(graph):
    torch.manual_seed(0)
    model = Reader("GCN", "node")
    model.gnn = GCN(50_000, 2, num_layers=2, out_channels=3)
    algorithm = OcclusionExplainer(memory_mb=1, progress=False)
    explanation = explain(model, torch.randn(10, 50_000), graph.edge_index, occlusion=algorithm, index=1)
    assert set(model.sizes[4:]) == {6}
    assert explanation.edge_mask.max() == 1


class Mixing(nn.Module):
    """Models of which an output depends on more than its computation graph, or that cannot be copied."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = GCNConv(3, 8, cached=kind == "cached"), GCNConv(8, 3, cached=kind == "cached")
        self.norm = PairNorm()
        self.bias = nn.Parameter(torch.randn(10, 8))

    def forward(self, x, edge_index, shift=None):
        h = self.first(x, edge_index)
        if self.kind == "norm":
            h = self.norm(h)
        if self.kind == "per node":
            h = h + self.bias
        if self.kind == "argument":
            h = h + shift.view(10, 8)
        return self.second(h.relu(), edge_index)


@pytest.mark.parametrize("kind", ["norm", "per node", "argument", "cached"])
def test_where_copies_are_not_independent(kind, graph):
    torch.manual_seed(1)
    model, x = Mixing(kind).double().eval(), graph.x.double()
    arguments = {"shift": torch.randn(80).double()} if kind == "argument" else {}
    target = model(x, graph.edge_index, **arguments).argmax(-1)
    whole, layers = one_at_a_time(model, x, graph.edge_index, log_likelihood(target, [1]), arguments)
    got = explain(model, x, graph.edge_index, index=1, arguments=arguments)
    torch.testing.assert_close(got.edge_evidence, whole, rtol=1e-9, atol=1e-12)
    got = explain(
        model, x, graph.edge_index, occlusion=OcclusionExplainer("layer", progress=False), index=1, arguments=arguments
    )
    torch.testing.assert_close(got.layer_edge_evidence, layers, rtol=1e-9, atol=1e-12)


class Typed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = RGCNConv(3, 3, 2)

    def forward(self, x, edge_index, edge_type):
        return self.conv(x, edge_index, edge_type)


def test_layers_that_pass_relation_after_relation_are_refused(graph):
    edge_type = torch.arange(graph.num_edges) % 2
    with pytest.raises(UnsupportedModelError, match="other edges"):
        explain(Typed(), graph.x, graph.edge_index, index=1, arguments={"edge_type": edge_type})


class Attributed(nn.Module):
    """Takes something for each node, for each edge, for the graph, and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GraphConv(3, 3)
        self.sizes: list[int] = []

    def forward(self, x, edge_index, weight, strength, scale, switch):
        self.sizes.append(x.size(0))
        h = self.conv(x * weight.view(-1, 1), edge_index, strength).tanh() * scale
        return self.conv(h, edge_index) if switch else h


def test_arguments_of_nodes_edges_and_all(graph):
    torch.manual_seed(0)
    model, x = Attributed().double(), graph.x.double()
    arguments = {
        "weight": torch.rand(10).double(),
        "strength": torch.rand(graph.num_edges).double(),
        "scale": torch.tensor(2.0).double(),
        "switch": True,
    }
    target = model(x, graph.edge_index, **arguments).argmax(-1)
    whole, layers = one_at_a_time(model, x, graph.edge_index, log_likelihood(target, [1]), arguments)
    model.sizes.clear()
    got = explain(model, x, graph.edge_index, index=1, arguments=arguments)
    assert len(model.sizes) <= 6
    torch.testing.assert_close(got.edge_evidence, whole)
    assert layers.shape[1] == 1  # the layer is called twice


def test_a_single_graph_needs_no_batch(graph):
    torch.manual_seed(0)
    model = Reader("GIN", "graph")
    alone = explain(model, graph.x, graph.edge_index, level="graph")
    assert len(model.sizes) <= 6
    batch = torch.zeros(10, dtype=torch.long)
    given = explain(model, graph.x, graph.edge_index, level="graph", arguments={"batch": batch}, index=0)
    torch.testing.assert_close(alone.edge_evidence, given.edge_evidence)
    assert alone.edge_mask.max() == 1
    assert "batch" not in alone


def test_a_chosen_graph_without_nodes(graph):
    batch = torch.tensor([0] * 6 + [2] * 4)
    torch.manual_seed(0)
    explanation = explain(
        Reader("GCN", "graph"), graph.x, graph.edge_index, level="graph", arguments={"batch": batch}, index=1
    )
    assert not explanation.edge_mask.any()


def test_only_edges_that_can_matter_are_removed(graph):
    model = Reader("GCN", "node").eval()
    with torch.no_grad():
        explain(model, graph.x, graph.edge_index, index=7)  # of nodes 6, 7 and 8
    assert max(model.sizes[3:]) == 4 * 3


def test_one_layer_called_many_times(graph):
    torch.manual_seed(0)
    model = Wrapped(APPNP(K=4, alpha=0.1))
    x = graph.x.double()
    target = model(x, graph.edge_index).argmax(-1)
    whole, layers = one_at_a_time(model, x, graph.edge_index, log_likelihood(target, [0]))
    assert (whole != 0).sum() == 15  # of the component, which it takes three calls to reach all of
    got = explain(model, x, graph.edge_index, occlusion=OcclusionExplainer("layer", progress=False), index=0)
    torch.testing.assert_close(got.edge_evidence, whole)
    torch.testing.assert_close(got.layer_edge_evidence, layers)


def test_copies_and_cut_by_hand():
    edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    whole = Computation(torch.arange(5.0).view(5, 1), edge_index, {"edge_attr": torch.arange(5)}, torch.tensor([3]), 5)
    distance = distances(whole, ModelTaskLevel.node, *edge_index, num_hops=2)
    assert distance.tolist() == [3, 2, 1, 0, 3]
    part = cut(whole, ModelTaskLevel.node, distance, torch.tensor([1, 2]))
    assert part.x.view(-1).tolist() == [1, 2, 3]
    assert part.edge_index.tolist() == [[0, 1], [1, 2]]
    assert part.arguments["edge_attr"].tolist() == [1, 2]
    assert (part.wanted.tolist(), part.num_outputs) == ([2], 3)
    two = part.copies(2)
    assert two.edge_index.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert two.arguments["edge_attr"].tolist() == [1, 2, 1, 2]
    assert (two.wanted.tolist(), two.num_outputs) == ([2, 5], 6)


# Traces, and bad input ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("level", BOTH)
def test_nothing_is_left_behind(level, training, gcn, graph):
    gcn.train(training)
    algorithm = OcclusionExplainer(level, progress=False)
    before, state = state_of(gcn), torch.random.get_rng_state()
    first = explain(gcn, graph.x, graph.edge_index, occlusion=algorithm, index=1)
    assert_same_state(before, state_of(gcn))
    assert torch.equal(torch.random.get_rng_state(), state)
    explainer_for(gcn, GNNExplainer(epochs=2))(graph.x, graph.edge_index, index=1)
    again = explain(gcn, graph.x, graph.edge_index, occlusion=algorithm, index=1)
    assert torch.equal(first.edge_evidence, again.edge_evidence)


class Failing(Reader):
    def forward(self, x, edge_index):
        if len(self.sizes) == 4:
            raise KeyError("in the middle")
        return super().forward(x, edge_index)


def test_nothing_is_left_behind_by_a_failure(graph):
    model = Failing("GCN", "node").train()
    explainer = explainer_for(model, OcclusionExplainer(progress=False), nodes=None)
    before = state_of(model)
    with pytest.raises(KeyError, match="in the middle"):
        explainer.algorithm(model, graph.x, graph.edge_index, target=torch.zeros(10), index=1)
    model.sizes.clear()
    assert_same_state(before, state_of(model))
    assert model.training


@pytest.mark.parametrize("level", BOTH)
def test_nothing_to_remove(level, gcn, graph):
    algorithm = OcclusionExplainer(level, progress=False)
    assert not explain(gcn, graph.x, graph.edge_index, occlusion=algorithm, index=9).edge_mask.any()
    assert explain(gcn, graph.x, graph.edge_index[:, :0], occlusion=algorithm, index=1).edge_mask.shape == (0,)
    nothing = torch.tensor([], dtype=torch.long)
    assert not explain(gcn, graph.x, graph.edge_index, occlusion=algorithm, index=nothing).edge_mask.any()
    for conv in gcn.convs:
        conv.explain = False
    assert not explain(gcn, graph.x, graph.edge_index, occlusion=algorithm, index=1).edge_mask.any()


class Deaf(nn.Module):
    """Passes messages, and does not listen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lin = GCNConv(3, 16), nn.Linear(3, 64)
        self.out = nn.Linear(64, 3)

    def forward(self, x, edge_index):
        return self.out(self.lin(x).relu() + 0 * self.conv(x, edge_index).sum(1, keepdim=True))


@pytest.mark.parametrize("level", BOTH)
def test_an_output_that_ignores_the_graph_has_no_evidence_in_rounding_errors(level, graph):
    torch.manual_seed(0)
    algorithm = OcclusionExplainer(level, progress=False)
    explanation = explain(Deaf(), graph.x, graph.edge_index, occlusion=algorithm)
    assert not explanation.edge_evidence.any()
    assert not explanation.edge_mask.any()


def test_integer_features(graph):
    torch.manual_seed(0)
    model, x = Embedded(), torch.arange(10) % 7
    target = model(x, graph.edge_index).argmax(-1)
    whole, _ = one_at_a_time(model, x, graph.edge_index, log_likelihood(target, [1]))
    torch.testing.assert_close(explain(model, x, graph.edge_index, index=1).edge_evidence, whole, rtol=1e-4, atol=1e-6)


class Adding(OwnLoops):
    def forward(self, x, edge_index):
        return self.propagate(torch.cat([edge_index, edge_index.flip(0)], dim=1), x=x)


def test_bad_input(gcn, graph, caplog):
    with pytest.raises(InvalidArgumentError, match="level 'input' or 'layer', got 'node'"):
        OcclusionExplainer("node")
    with pytest.raises(InvalidArgumentError, match="memory_mb of at least 1, got 0"):
        OcclusionExplainer(memory_mb=0)
    with pytest.raises(ValueError, match="does not support the given explanation settings"):
        explainer_for(gcn, OcclusionExplainer(), nodes="attributes")
    assert "does not support explaining node features" in caplog.text
    with pytest.raises(InvalidIndexError, match=r"in \[0, 9\], got 10"):
        explain(gcn, graph.x, graph.edge_index, index=10)
    with pytest.raises(InvalidGraphError, match="target class"):
        explain(gcn, graph.x, graph.edge_index, kind="phenomenon", target=torch.full((10,), 3), index=1)
    with pytest.raises(UnsupportedModelError, match="other edges"):
        explain(Adding(), graph.x, graph.edge_index, index=1)
    with pytest.raises(UnsupportedModelError, match="has none"):
        explain(nn.Bilinear(3, 2, 3), graph.x, torch.zeros(2, 10).long(), kind="phenomenon", target=torch.zeros(10))
    explainer = explainer_for(gcn, OcclusionExplainer(), nodes=None)
    with pytest.raises(InvalidTypeError, match="heterogeneous"):
        explainer.algorithm(gcn, {"a": graph.x}, {}, target=torch.zeros(10))
