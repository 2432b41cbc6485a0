"""Many explanations at once are those that one gets one at a time."""

from __future__ import annotations

import warnings

import pytest
import torch
from gnns import BACKBONES, Embedded, Net, assert_same_edges, explainer_for, supporting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import GNNExplainer
from torch_geometric.nn import (
    APPNP,
    GCN,
    GATv2Conv,
    GCNConv,
    PairNorm,
    SAGEConv,
    SGConv,
    SSGConv,
    TransformerConv,
    global_add_pool,
)

from gragr_explain import GradientContextExplainer, GraGR, NodeExplanations, explain_many
from gragr_explain.errors import (
    GragrError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.explain._ego import EgoGraphs, EgoUnion
from gragr_explain.history import message_edges

EVERYTHING = {"top_edges": 10_000, "top_features": 10_000, "progress": False}


def check_same(explainer, data: Data, found: NodeExplanations, *, kind: str = "model", texts: bool = True) -> None:
    """Compare with ``explainer(..., index=node)``; explanations of weight below rounding may be missing."""
    arguments = {name: data[name] for name in ("edge_weight", "edge_attr") if name in data}
    written = explain_many(explainer, data, found.index, progress=False).rationales
    target = data.y if kind == "phenomenon" else None
    for row, node in enumerate(found.index.tolist()):
        one = explainer(data.x, data.edge_index, target=target, index=node, **arguments)
        messages = message_edges(explainer.model, data.edge_index)
        assert_same_edges(found.edges[row], supporting(explainer, one), messages, 1e-4, node)
        assert all(0 < weight <= 1 for _, _, weight in found.edges[row])
        if data.x.is_floating_point():
            common = one.node_evidence.view(data.x.shape).sum(0).clamp(min=0)
            common = common / (float(common.max()) or 1.0)
            features = torch.zeros_like(common)
            for column, weight in found.features[row]:
                features[column] = weight
            torch.testing.assert_close(features, common, rtol=0, atol=1e-4)
        if texts:
            assert written[row].text == one.rationale
        torch.testing.assert_close(found.embedding[row], one.embedding[node])
        torch.testing.assert_close(found.context.psi, one.psi)


@pytest.fixture
def cuts(monkeypatch) -> list[tuple[str, list[int]]]:
    """How computation graphs were cut, and for which nodes."""
    noted: list[tuple[str, list[int]]] = []
    init, cut = EgoGraphs.__init__, EgoGraphs.cut

    def note_kind(graphs, *args, **kwargs):
        init(graphs, *args, **kwargs)
        one = "loop" if kwargs.get("as_loops") else "one edge"
        graphs.kind = "none" if kwargs.get("rim") is False else one if "edge_weight" in kwargs else "all edges"

    def note_nodes(graphs, centres, *fewer_hops):
        if not fewer_hops:
            noted.append((graphs.kind, centres.tolist()))
        return cut(graphs, centres, *fewer_hops)

    monkeypatch.setattr(EgoGraphs, "__init__", note_kind)
    monkeypatch.setattr(EgoGraphs, "cut", note_nodes)
    return noted


def random_graph(seed: int, num_nodes: int, num_edges: int, *, loops: bool = True) -> Data:
    """A directed graph with self-loops, duplicate edges and, mostly, isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    if not loops:
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    edge_index = torch.cat([edge_index, edge_index[:, :2]], dim=1)
    x = torch.randn(num_nodes, 3, generator=generator, dtype=torch.float64)
    return Data(x=x, edge_index=edge_index)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 10_000), num_nodes=st.integers(1, 12), num_edges=st.integers(0, 30))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_equals_one_at_a_time(backbone, weighted, seed, num_nodes, num_edges):
    torch.manual_seed(seed)
    model = BACKBONES[backbone](3, 6, num_layers=2, out_channels=3).double()
    data = random_graph(seed, num_nodes, num_edges)
    if weighted and backbone == "GCN":
        data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64) + 0.1
    explainer = explainer_for(model)
    check_same(explainer, data, explain_many(explainer, data, **EVERYTHING))


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_sets_of_a_known_size_equal_those_of_one_at_a_time(backbone):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 6, num_layers=2, out_channels=3).double()
    data = random_graph(1, 10, 24)
    explainer = explainer_for(model, GradientContextExplainer(search_edges=3, ranked=False))
    check_same(explainer, data, explain_many(explainer, data, **EVERYTHING))


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_equals_one_at_a_time_with_a_loop_at_every_node(backbone):
    torch.manual_seed(0)
    model = BACKBONES[backbone](3, 6, num_layers=2, out_channels=3).double()
    data = random_graph(1, 9, 20, loops=False)
    loops = torch.arange(9).expand(2, -1)
    explainer = explainer_for(model)
    for edge_index in (torch.cat([data.edge_index, loops], 1), torch.cat([loops, data.edge_index], 1)):
        data.edge_index = edge_index
        check_same(explainer, data, explain_many(explainer, data, **EVERYTHING))


def test_weights_in_a_column_are_weights(cuts):
    torch.manual_seed(0)
    model = GCN(3, 6, num_layers=2, out_channels=3).double()
    data = random_graph(1, 9, 20)
    data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64) + 0.1
    explainer = explainer_for(model)
    expected = explain_many(explainer, data, **EVERYTHING)
    data.edge_weight = data.edge_weight.view(-1, 1)
    found = explain_many(explainer, data, **EVERYTHING)
    assert cuts[-1][0] == "all edges"
    for row in range(9):
        assert [edge[:2] for edge in found.edges[row]] == [edge[:2] for edge in expected.edges[row]]
        weights = [[weight for *_, weight in each] for each in (found.edges[row], expected.edges[row])]
        assert weights[0] == pytest.approx(weights[1], abs=1e-9)


class Flow(nn.Module):
    def __init__(self, flow: str):
        super().__init__()
        self.first, self.second = SAGEConv(3, 6, flow=flow), SAGEConv(6, 3, flow=flow)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


class Propagation(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.walk = nn.Linear(3, 3), APPNP(K=4, alpha=0.1)

    def forward(self, x, edge_index, edge_weight=None):
        return self.walk(self.lin(x), edge_index, edge_weight)


class Attributes(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.first, self.second = layer(3, 6, edge_dim=2), layer(6, 3, edge_dim=2)

    def forward(self, x, edge_index, edge_attr=None):
        return self.second(self.first(x, edge_index, edge_attr).relu(), edge_index, edge_attr)


class Cached(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 6, cached=True), GCNConv(6, 3, cached=True)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_layers_that_keep_what_they_propagated_cannot_be_masked():
    torch.manual_seed(0)
    data = random_graph(3, 24, 40)
    model = SGConv(3, 3, K=2, cached=True).double()
    with torch.no_grad():
        model(data.x, data.edge_index)
    explainer = explainer_for(model)
    for explain in (lambda: explain_many(explainer, data), lambda: explainer(data.x, data.edge_index, index=3)):
        with pytest.raises(UnsupportedModelError, match=r"SGConv passes no messages.*cached=False"):
            explain()
    model.cached = False  # what it has kept, it still uses
    for explain in (lambda: explain_many(explainer, data), lambda: explainer(data.x, data.edge_index, index=3)):
        with pytest.raises(UnsupportedModelError, match=r"SGConv passes no messages.*_cached_x = None"):
            explain()
    model._cached_x = None
    assert explainer(data.x, data.edge_index, index=3).edge_mask.any()

    other = SSGConv(3, 3, alpha=0.1, K=2, cached=True).double()
    with torch.no_grad():
        other(data.x, data.edge_index)
    with pytest.raises(UnsupportedModelError, match=r"layer\.cached = False` and `layer\._cached_h = None`"):
        explainer_for(other)(data.x, data.edge_index, index=3)


class WithType(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCN(3, 6, num_layers=1), GCN(6, 3, num_layers=1)

    def forward(self, x, edge_index, edge_type, pos):
        weight = torch.where(edge_type == 0, 1.0, 0.5).to(x.dtype)
        return self.second(self.first(x + pos, edge_index, weight).relu(), edge_index, weight)


def test_models_get_what_they_take_by_its_name():
    torch.manual_seed(0)
    data = random_graph(3, 24, 40, loops=False)
    data.edge_type, data.pos = torch.randint(2, (data.num_edges,)), torch.rand(24, 3, dtype=torch.float64)
    explainer = explainer_for(WithType().double())
    found = explain_many(explainer, data, **EVERYTHING)
    for node in range(24):
        one = explainer(data.x, data.edge_index, index=node, edge_type=data.edge_type, pos=data.pos)
        messages = message_edges(explainer.model, data.edge_index)
        assert_same_edges(found.edges[node], supporting(explainer, one), messages, 1e-4, node)


class VirtualNode(nn.Module):
    """Every prediction depends on the mean of the whole graph."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 6), GCNConv(6, 3)

    def forward(self, x, edge_index):
        h = self.first(x, edge_index).relu()
        return self.second(h + h.mean(0), edge_index)


MODELS = {
    "target_to_source": (lambda: Flow("target_to_source"), True),
    "source_to_target": (lambda: Flow("source_to_target"), True),
    "several hops in a layer": (Propagation, True),
    "PairNorm": (lambda: GCN(3, 6, num_layers=2, out_channels=3, norm=PairNorm()), False),
    "virtual node": (VirtualNode, False),
    "cached": (Cached, False),
    "batch norm": (lambda: GCN(3, 6, num_layers=2, out_channels=3, norm="batch_norm"), True),
    "jumping knowledge": (lambda: GCN(3, 6, num_layers=3, out_channels=3, jk="cat"), True),
    "GATv2": (lambda: Attributes(GATv2Conv), True),
    "transformer": (lambda: Attributes(TransformerConv), True),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_fit_into_computation_graphs_and_models_that_do_not(name, cuts):
    torch.manual_seed(0)
    build, as_union = MODELS[name]
    model, data = build().double(), random_graph(3, 24, 40, loops=False)
    if name in ("GATv2", "transformer"):
        data.edge_attr = torch.randn(data.num_edges, 2, dtype=torch.float64)
    explainer = explainer_for(model)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = explain_many(explainer, data, **EVERYTHING)
    assert any("on the whole graph, in many passes" in str(each.message) for each in caught) != as_union

    tried = {node for _, nodes in cuts for node in nodes}
    assert tried == set(range(24)) if as_union else tried <= {0}
    check_same(explainer, data, found)


@pytest.mark.parametrize("options", [{"evidence": "uses"}, {"search_edges": 0}, {"search_edges": 3}])
def test_every_kind_of_evidence(options):
    torch.manual_seed(0)
    algorithm, data = GradientContextExplainer(**options), random_graph(3, 12, 40)
    explainer = explainer_for(GCN(3, 6, num_layers=2, out_channels=3).double(), algorithm)
    check_same(explainer, data, explain_many(explainer, data, **EVERYTHING))


def test_a_phenomenon_has_its_labels_explained():
    torch.manual_seed(0)
    model, data = GCN(3, 6, num_layers=2, out_channels=3).double(), random_graph(4, 10, 25)
    data.y = torch.arange(10) % 3
    explainer = explainer_for(model, kind="phenomenon")
    found = explain_many(explainer, data, **EVERYTHING)
    check_same(explainer, data, found, kind="phenomenon")
    assert torch.equal(found.label, data.y)
    del data.y
    with pytest.raises(InvalidGraphError, match=r"labels data\.y"):
        explain_many(explainer, data, progress=False)


@pytest.mark.parametrize(
    ("mode", "returns"),
    [("binary_classification", "raw"), ("binary_classification", "probs"), ("regression", "raw")]
    + [("multiclass_classification", returns) for returns in ("log_probs", "probs")],
)
def test_modes(mode, returns):
    torch.manual_seed(0)
    model, data = Net(mode, "node", returns).double(), random_graph(5, 10, 25)
    explainer = explainer_for(model, mode=mode, returns=returns)
    found = explain_many(explainer, data, **EVERYTHING)
    check_same(explainer, data, found)
    assert found.confidence.shape == (10,)
    assert bool(found.confidence.isnan().all()) == (mode == "regression")
    assert found.label is None
    assert found.prediction.shape == found.all_predictions.shape == (10,)


def test_a_trained_model_with_its_history():
    torch.manual_seed(0)
    data = random_graph(6, 20, 50)
    data.y, data.train_mask = torch.arange(20) % 3, torch.arange(20) < 10
    trained = GraGR(GCN(3, 6, num_layers=2, out_channels=3).double()).fit(data, epochs=10, progress=False)
    explainer = explainer_for(trained)
    found = explain_many(explainer, data, **EVERYTHING)
    assert found.context.source == "self"
    check_same(explainer, data, found, texts=False)
    for row, rationale in enumerate(found.rationales):  # here the true label is known
        assert ("is wrong" in rationale.text) == (int(found.prediction[row]) != int(data.y[row]))
    assert torch.equal(found.label, data.y)


def test_the_auxiliary_signal_is_of_the_whole_graph():
    torch.manual_seed(0)
    data = random_graph(6, 20, 50)
    data.y, data.train_mask = torch.arange(20) % 3, torch.arange(20) < 10
    trained = GraGR(GCN(3, 6, num_layers=2, out_channels=3).double(), auxiliary_weight=0.5)
    trained.fit(data, epochs=5, progress=False)
    del data.y
    explainer = explainer_for(trained)
    check_same(explainer, data, explain_many(explainer, data, [3, 5], **EVERYTHING))


def test_labels_as_a_column():
    model, data = GCN(3, 6, num_layers=2, out_channels=3).double().eval(), random_graph(7, 15, 40)
    data.y = torch.arange(15).view(-1, 1) % 3
    found = explain_many(explainer_for(model), data, [4, 5], progress=False)
    assert found.label.tolist() == [1, 2]
    assert repr(found) == "NodeExplanations(num_explained=2, num_nodes=15, source='post hoc')"


def test_what_is_found():
    torch.manual_seed(0)
    model, data = GCN(3, 6, num_layers=2, out_channels=3).double().eval(), random_graph(7, 15, 40)
    data.y = torch.full((15,), -1)
    data.y[2] = 1
    output = model(data.x, data.edge_index)
    algorithm = GradientContextExplainer(class_names=["a", "b", "c"], feature_names=["x", "y", "z"])
    found = explain_many(explainer_for(model, algorithm), data, [2, 0, 14], top_edges=2, top_features=1, progress=False)
    assert len(found) == 3
    assert found.index.tolist() == [2, 0, 14]
    assert torch.equal(found.prediction, output.argmax(-1)[[2, 0, 14]])
    assert torch.equal(found.all_predictions, output.argmax(-1))
    torch.testing.assert_close(found.confidence, output.softmax(-1).amax(-1)[[2, 0, 14]].detach())
    assert found.label.tolist() == [1, -1, -1]
    assert found.embedding.shape == (3, 16)
    assert found.hidden.shape == (15, 6)
    assert found.context.num_nodes == 15
    assert all(len(edges) <= 2 for edges in found.edges)
    assert all(len(features) <= 1 for features in found.features)
    assert len(found.edges) == len(found.features) == len(found.rationales) == 3
    assert (found.class_names, found.feature_names) == (["a", "b", "c"], ["x", "y", "z"])
    assert "its true label is" in found.rationales[0].text
    assert "no true label was given" in found.rationales[1].text
    whole = explain_many(explainer_for(model, algorithm), data, [2], progress=False)
    assert found.edges[0] == whole.edges[0][:2]


@pytest.mark.parametrize(
    ("index", "nodes"),
    [
        (None, list(range(10))),
        (4, [4]),
        ([4, 2], [4, 2]),
        ([3, 3], [3, 3]),
        (torch.tensor([9, 0]), [9, 0]),
        (torch.tensor(5), [5]),
        (torch.arange(10) % 4 == 1, [1, 5, 9]),
        ([], []),
        (torch.zeros(10, dtype=torch.bool), []),
        (range(2, 4), [2, 3]),
    ],
)
def test_forms_of_an_index(index, nodes):
    torch.manual_seed(0)
    model, data = GCN(3, 6, num_layers=2, out_channels=3).double(), random_graph(8, 10, 30)
    explainer = explainer_for(model)
    found = explain_many(explainer, data, index, **EVERYTHING)
    assert found.index.tolist() == nodes
    assert len(found.rationales) == len(found.edges) == len(found.features) == len(found) == len(nodes)
    assert found.embedding.shape == (len(nodes), 16)
    check_same(explainer, data, found)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_memory_does_not_change_the_result(backbone, monkeypatch):
    torch.manual_seed(0)
    data = random_graph(9, 300, 1500)
    data.x = torch.randn(300, 64, dtype=torch.float64)
    model = BACKBONES[backbone](64, 16, num_layers=2, out_channels=3).double()
    explainer = explainer_for(model)
    batches = []
    first = EgoUnion.first
    monkeypatch.setattr(EgoUnion, "first", lambda union, count: batches.append(count) or first(union, count))
    plenty = explain_many(explainer, data, progress=False)
    at_most, batches[:] = max(batches), []
    tiny = explain_many(explainer, data, memory_mb=1, progress=False)
    assert max(batches) < at_most
    assert sum(batches) - 300 in (0, 1)  # some models need a second look at the first node
    assert tiny.rationales == plenty.rationales
    for few, many in zip(tiny.edges, plenty.edges, strict=True):
        assert [weight for *_, weight in few] == pytest.approx([weight for *_, weight in many])


class ByHand(nn.Module):
    """A GCN that takes no edge weights."""

    def __init__(self, returns: str = "raw"):
        super().__init__()
        self.first, self.second, self.returns = GCNConv(3, 6), GCNConv(6, 3), returns

    def forward(self, x, edge_index):
        out = self.second(self.first(x, edge_index).relu(), edge_index)
        return out if self.returns == "raw" else (1e6 * out).softmax(-1)


class WithoutLoops(nn.Module):
    """Normalised, but without self-loops of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 6, add_self_loops=False), GCNConv(6, 3, add_self_loops=False)

    def forward(self, x, edge_index, edge_weight=None):
        return self.second(self.first(x, edge_index, edge_weight).relu(), edge_index, edge_weight)


RIMS = {
    "GCN": "loop",
    "without loops": "one edge",
    "GAT": "none",
    "GIN": "none",
    "GraphSAGE": "none",
    "by hand": "all edges",
}
OTHERS = {"by hand": ByHand, "without loops": WithoutLoops}


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("name", RIMS)
def test_computation_graphs_are_no_larger_than_they_have_to_be(name, loops, cuts):
    torch.manual_seed(0)
    model = OTHERS[name]() if name in OTHERS else BACKBONES[name](3, 6, num_layers=2, out_channels=3)
    data = random_graph(11, 40, 90, loops=loops)
    explainer = explainer_for(model.double())
    found = explain_many(explainer, data, **EVERYTHING)
    assert cuts[-1][0] == RIMS[name]
    check_same(explainer, data, found)


def test_a_certain_model_has_its_degrees_right(cuts):
    """Where all probabilities are 0 or 1, they do not tell whether a computation graph is large enough."""
    torch.manual_seed(0)
    data = random_graph(11, 40, 90)
    explainer = explainer_for(ByHand("probs").double(), returns="probs")
    explain_many(explainer, data, progress=False)
    assert {tuple(nodes) for kind, nodes in cuts if kind == "none"} == {(0,)}
    assert cuts[-1][0] == "all edges"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), num_nodes=st.integers(1, 9), num_edges=st.integers(0, 25), hops=st.integers(1, 3))
@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("kind", ["none", "loop", "one edge", "all edges"])
def test_cut_computation_graphs(kind, flow, seed, num_nodes, num_edges, hops):
    edge_index = random_graph(seed, num_nodes, num_edges).edge_index
    weight = torch.rand(edge_index.size(1))
    weighted = {"edge_weight": weight, "as_loops": kind == "loop"} if kind in ("loop", "one edge") else {}
    graphs = EgoGraphs(edge_index, num_nodes, hops, flow, rim=kind != "none", **weighted)
    union = graphs.cut(torch.arange(num_nodes))
    senders, receivers = (edge_index if flow == "source_to_target" else edge_index.flip(0)).tolist()
    union_senders, union_receivers = union.edge_index if flow == "source_to_target" else union.edge_index.flip(0)
    for centre in range(num_nodes):
        distance = {centre: 0}
        for hop in range(hops):
            for sender, receiver in zip(senders, receivers, strict=True):
                if distance.get(receiver) == hop:
                    distance.setdefault(sender, hop + 1)
        assert union.node[union.node_graph == centre].tolist() == sorted(distance)
        assert int(union.node[union.centre[centre]]) == centre
        got = (union.edge_graph == centre).nonzero().view(-1)
        ends = [(int(union.node[union_senders[e]]), int(union.node[union_receivers[e]])) for e in got]
        assert bool((union.node_graph[union.edge_index[:, got]] == centre).all())
        inner = [e for e, end in enumerate(receivers) if distance.get(end, hops) < hops]
        rim = [e for e, end in enumerate(receivers) if distance.get(end) == hops]
        assert [edge for edge in union.edge[got].tolist() if edge not in rim] == inner
        assert all(
            pair == (senders[e], receivers[e])
            for e, pair in zip(union.edge[got].tolist(), ends, strict=True)
            if e in inner
        )
        outer = [pair for e, pair in zip(union.edge[got].tolist(), ends, strict=True) if e in rim]
        expected = [(centre if senders[e] != receivers[e] else senders[e], receivers[e]) for e in rim]
        if kind == "none":
            expected = []
        elif kind == "loop":
            for node in {end for _, end in expected}:
                into = [e for e in rim if receivers[e] == node and senders[e] != node]
                own = [float(weight[e]) for e in rim if receivers[e] == node == senders[e]]
                got_here = [float(w) for w, (_, end) in zip(union.edge_weight[got], ends, strict=True) if end == node]
                if into:
                    expected = [pair for pair in expected if pair[1] != node] + [(node, node)]
                    assert got_here == pytest.approx([float(weight[into].sum()) + (own[-1] if own else 1)], rel=1e-5)
                else:
                    assert got_here == own
        elif kind == "one edge":
            loops = [pair for pair in expected if pair[0] == pair[1]]
            expected = loops + list({pair for pair in expected if pair[0] != pair[1]})
            for node in {end for _, end in expected}:
                into = [e for e in rim if receivers[e] == node]
                total = sum(float(w) for w, (_, end) in zip(union.edge_weight[got], ends, strict=True) if end == node)
                assert total == pytest.approx(float(weight[into].sum()), rel=1e-5)
        assert sorted(outer) == sorted(expected)


@pytest.mark.parametrize("edges", [[], [(0, 0), (1, 1)], [(0, 1)]])
def test_graphs_almost_without_edges(edges):
    torch.manual_seed(0)
    data = Data(x=torch.randn(4, 3).double(), edge_index=torch.tensor(edges, dtype=torch.long).view(-1, 2).t())
    for build in BACKBONES.values():
        explainer = explainer_for(build(3, 6, num_layers=2, out_channels=3).double())
        found = explain_many(explainer, data, **EVERYTHING)
        check_same(explainer, data, found)
        assert found.edges[3] == []


@pytest.mark.parametrize("shape", [(10,), (10, 1)])
def test_integer_features(shape):
    torch.manual_seed(0)
    data = random_graph(8, 10, 30)
    data.x = (torch.arange(10) % 7).view(shape)
    explainer = explainer_for(Embedded(), nodes=None)
    found = explain_many(explainer, data, **EVERYTHING)
    assert all(features == [] for features in found.features)
    check_same(explainer, data, found, texts=False)


def test_progress_bar(capsys):
    torch.manual_seed(0)
    model, data = GCN(3, 6, num_layers=2, out_channels=3).double(), random_graph(8, 10, 30)
    explain_many(explainer_for(model), data)
    assert "10/10" in capsys.readouterr().err
    explain_many(explainer_for(model), data, progress=False)
    assert capsys.readouterr().err == ""


# what is refused -----------------------------------------------------------------------------------------------------


@pytest.fixture
def job():
    torch.manual_seed(0)
    return explainer_for(GCN(3, 6, num_layers=2, out_channels=3).double()), random_graph(8, 10, 30)


def test_another_algorithm(job):
    explainer = explainer_for(job[0].model, GNNExplainer())
    with pytest.raises(InvalidTypeError, match="got GNNExplainer"):
        explain_many(explainer, job[1], progress=False)


def test_another_task_level(job):
    with pytest.raises(InvalidArgumentError, match="'edge'"):
        explain_many(explainer_for(job[0].model, level="edge"), job[1], progress=False)


@pytest.mark.parametrize("name", ["top_edges", "top_features", "memory_mb"])
def test_numbers_that_are_not_positive(name, job):
    with pytest.raises(InvalidArgumentError, match=f"{name} of at least 1, got 0"):
        explain_many(*job, progress=False, **{name: 0})


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (10, InvalidIndexError),
        ([0, -1], InvalidIndexError),
        ("all", InvalidTypeError),
        ([0.5], InvalidTypeError),
        (torch.ones(3, dtype=torch.bool), InvalidIndexError),
        ([[0], [1, 2]], InvalidTypeError),
    ],
)
def test_bad_indices(index, error, job):
    with pytest.raises(error, match="got") as caught:
        explain_many(*job, index, progress=False)
    assert isinstance(caught.value, GragrError)


def test_what_is_no_graph(job):
    with pytest.raises(InvalidTypeError, match="got dict"):
        explain_many(job[0], {}, progress=False)
    with pytest.raises(InvalidGraphError, match="without x"):
        explain_many(job[0], Data(edge_index=job[1].edge_index), progress=False)


def test_a_model_without_message_passing():
    with pytest.raises(UnsupportedModelError, match="Linear has none"):
        explain_many(explainer_for(torch.nn.Linear(3, 3).double()), random_graph(7, 15, 40), [0], progress=False)


def test_features_that_are_not_finite(job):
    job[1].x[3] = torch.inf
    with pytest.raises(InvalidGraphError, match="first in 3"):
        explain_many(*job, progress=False)


def test_a_history_of_another_graph(job):
    explainer, data = job
    data.y, data.train_mask = torch.zeros(10).long(), torch.ones(10, dtype=torch.bool)
    trained = GraGR(explainer.model).fit(data, epochs=2, progress=False)
    with pytest.raises(HistoryMismatchError, match=r"10 nodes .*, got one of 12"):
        explain_many(explainer_for(trained), random_graph(2, 12, 20), progress=False)


def test_messages_that_flow_backwards_name_their_senders():
    """With ``target_to_source``, the node whose message supports a prediction is the edge's second end."""
    torch.manual_seed(0)
    model = GCN(4, 8, num_layers=1, out_channels=2, flow="target_to_source")
    data = Data(x=torch.rand(3, 4), edge_index=torch.tensor([[0, 0], [1, 2]]))
    found = explain_many(explainer_for(model), data, [0], progress=False)
    assert {(sender, receiver) for sender, receiver, _ in found.edges[0]} <= {(1, 0), (2, 0)}
    assert found.edges[0]
    assert "node 1" in found.rationales[0].text or "node 2" in found.rationales[0].text


def test_features_of_another_width_are_named():
    data = Data(x=torch.rand(3, 5), edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(InvalidGraphError, match=r"cannot take features of shape \[3, 5\]"):
        explain_many(explainer_for(GCN(4, 8, num_layers=2, out_channels=2)), data, progress=False)


@pytest.mark.parametrize("level", ["node", "graph"])
def test_no_features_where_no_mask_of_them_is_asked_for(level):
    torch.manual_seed(0)
    data = random_graph(3, 8, 20)
    model = Pooled() if level == "graph" else GCN(3, 6, num_layers=2, out_channels=3)
    explainer = explainer_for(model.double(), nodes=None, level=level)
    found = explain_many(explainer, [data, data] if level == "graph" else data, **EVERYTHING)
    assert all(features == [] for features in found.features)
    one = explainer(data.x, data.edge_index, index=0)
    assert "node_mask" not in one
    assert "feature" not in one.rationale + found.rationales[0].text
    with_features = explainer_for(model, level=level)(data.x, data.edge_index, index=0)
    assert "feature" in with_features.rationale
    assert torch.equal(one.edge_mask, with_features.edge_mask)


class Pooled(nn.Module):
    """A model of graphs."""

    def __init__(self):
        super().__init__()
        self.gnn = GCN(3, 6, num_layers=2, out_channels=3)

    def forward(self, x, edge_index, batch=None):
        return global_add_pool(self.gnn(x, edge_index), batch)
