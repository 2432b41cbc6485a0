"""Many graphs explained at once are explained as each is alone."""

from __future__ import annotations

import inspect

import pytest
import torch
from gnns import BACKBONES, Embedded, Net, assert_same_edges, explainer_for, supporting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.nn import (
    GCNConv,
    GINEConv,
    PairNorm,
    SAGEConv,
    global_add_pool,
    global_mean_pool,
)
from torch_geometric.utils import to_dense_batch

from gragr_explain import GradientContextExplainer, GraphExplanations, explain_many
from gragr_explain.explain import _explainer, _many_graphs
from gragr_explain.explain.search import Where, search
from gragr_explain.history import message_edges
from gragr_explain.rationale import Rationale

POOLS = {"sum": global_add_pool, "mean": global_mean_pool}
EVERYTHING = {"top_edges": 10_000, "top_features": 10_000, "progress": False}


class Pooled(nn.Module):
    """An encoder, a pooling, a head."""

    def __init__(self, backbone: str = "GCN", pool: str = "sum", **more):
        super().__init__()
        self.gnn, self.pool = BACKBONES[backbone](3, 6, num_layers=2, **more), POOLS[pool]
        self.head = nn.Linear(6, 3)

    def forward(self, x, edge_index, edge_weight=None, batch=None):
        return self.head(self.pool(self.gnn(x, edge_index, edge_weight).relu(), batch))


def random_graph(seed: int, num_nodes: int, num_edges: int, *, weighted: bool = False) -> Data:
    """A directed graph with self-loops and duplicate edges."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    edge_index = torch.cat([edge_index, edge_index[:, :2]], dim=1)
    data = Data(x=torch.randn(num_nodes, 3, generator=generator, dtype=torch.float64), edge_index=edge_index)
    if weighted:
        data.edge_weight = torch.rand(edge_index.size(1), generator=generator, dtype=torch.float64) + 0.1
    return data


def random_graphs(count: int, *, weighted: bool = False) -> list[Data]:
    """Graphs of 1 to 12 nodes, some without edges."""
    return [random_graph(n, 1 + 5 * n % 12, 3 * n % 20, weighted=weighted) for n in range(count)]


def check_same(explainer, graphs, found: GraphExplanations, *, kind: str = "model", texts: bool = True) -> None:
    """Compare with ``explainer(graph.x, graph.edge_index)``, or with a ``batch`` where a model has to be given one."""
    needs_batch = inspect.signature(explainer.model.forward).parameters.get("batch")
    needs_batch = needs_batch is not None and needs_batch.default is inspect.Parameter.empty
    written = explain_many(explainer, graphs, found.index, progress=False).rationales
    for row, number in enumerate(found.index.tolist()):
        graph = graphs[number]
        arguments = {name: graph[name] for name in ("edge_weight", "edge_attr") if name in graph}
        if needs_batch:
            arguments["batch"] = torch.zeros(graph.num_nodes, dtype=torch.long)
        one = explainer(graph.x, graph.edge_index, target=graph.y if kind == "phenomenon" else None, **arguments)
        messages = message_edges(explainer.model, graph.edge_index)
        assert_same_edges(found.edges[row], supporting(explainer, one), messages, 1e-5, number)
        if graph.x.is_floating_point():
            common = one.node_evidence.view(graph.x.shape).sum(0).clamp(min=0)
            common = common / (float(common.max()) or 1.0)
            features = torch.zeros_like(common)
            for column, weight in found.features[row]:
                features[column] = weight
            torch.testing.assert_close(features, common, rtol=0, atol=1e-5)
        if texts:
            assert written[row].text == one.rationale.replace("Graph 0 ", f"Graph {number} ", 1)


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """How many graphs were explained at a time."""
    sizes: list[int] = []
    evidence = _many_graphs._Job._evidence

    def noted(job, graphs, union):
        sizes.append(len(graphs))
        return evidence(job, graphs, union)

    monkeypatch.setattr(_many_graphs._Job, "_evidence", noted)
    return sizes


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=5))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_equals_one_at_a_time(backbone, pool, weighted, sizes):
    torch.manual_seed(0)
    weighted = weighted and backbone == "GCN"
    explainer = explainer_for(Pooled(backbone, pool).double(), level="graph")
    graphs = [random_graph(seed, *size, weighted=weighted) for seed, size in enumerate(sizes)]
    check_same(explainer, graphs, explain_many(explainer, graphs, **EVERYTHING))


@pytest.mark.parametrize(
    "options", [{"evidence": "uses"}, {"search_edges": 0}, {"search_edges": 3}, {"search_edges": 3, "ranked": False}]
)
def test_every_kind_of_evidence(options):
    torch.manual_seed(0)
    algorithm, graphs = GradientContextExplainer(**options), random_graphs(8)
    explainer = explainer_for(Pooled("GIN").double(), algorithm, level="graph")
    check_same(explainer, graphs, explain_many(explainer, graphs, **EVERYTHING))


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_in_single_precision_and_in_one_batch(backbone, batches):
    torch.manual_seed(0)
    graphs = random_graphs(30)
    for graph in graphs:
        graph.x = graph.x.float()
    explainer = explainer_for(Pooled(backbone), level="graph")
    found = explain_many(explainer, graphs, **EVERYTHING)
    assert batches == [30]
    check_same(explainer, graphs, found)


class ByHand(nn.Module):
    """As tutorials write it: ``batch`` has no default."""

    def __init__(self, layer=None, norm=None):
        super().__init__()
        self.first, self.second = GCNConv(3, 6), GCNConv(6, 6) if layer is None else layer
        self.norm, self.head = norm, nn.Linear(6, 3)

    def encode(self, x, edge_index):
        h = self.first(x, edge_index).relu()
        return self.second(h if self.norm is None else self.norm(h), edge_index).relu()

    def forward(self, x, edge_index, batch):
        return self.head(global_mean_pool(self.encode(x, edge_index), batch))


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = GCNConv(3, 6, flow="target_to_source"), nn.Linear(6, 3)

    def forward(self, x, edge_index, batch=None):
        return self.head(global_add_pool(self.conv(x, edge_index).relu(), batch))


class NoBatch(ByHand):
    def forward(self, x, edge_index):
        return self.head(self.encode(x, edge_index).sum(0, keepdim=True))


class IgnoresBatch(ByHand):
    def forward(self, x, edge_index, batch=None):
        return self.head(self.encode(x, edge_index).sum(0, keepdim=True))


class VirtualNode(ByHand):
    def forward(self, x, edge_index, batch=None):
        h = self.encode(x, edge_index)
        return self.head(global_add_pool(h * h.mean(0), batch))


class Padded(ByHand):
    """Attends to the padding of smaller graphs."""

    def forward(self, x, edge_index, batch=None):
        h, _ = to_dense_batch(self.encode(x, edge_index), batch)
        return self.head((h.softmax(1) * h).sum(1))


class Detached(ByHand):
    """Depends on the batch where no gradient tells so."""

    def forward(self, x, edge_index, batch=None):
        h = self.encode(x, edge_index)
        return self.head(global_add_pool(h / h.detach().norm(), batch))


class OneAtATime(ByHand):
    def forward(self, x, edge_index, batch=None):
        if batch is not None and bool(batch.any()):
            raise RuntimeError("only one graph")
        return self.head(self.encode(x, edge_index).sum(0, keepdim=True))


TOGETHER = {
    "batch has no default": ByHand,
    "batch norm": lambda: Pooled(norm="batch_norm"),
    "graph norm of each graph": lambda: Pooled("GIN", "mean", norm="layer_norm", norm_kwargs={"mode": "node"}),
    "another aggregation": lambda: ByHand(SAGEConv(6, 6, aggr="max")),
    "messages that flow backwards": Backwards,
}
ALONE = {
    "no batch": NoBatch,
    "batch ignored": IgnoresBatch,
    "virtual node of the batch": VirtualNode,
    "padding": Padded,
    "without a gradient": Detached,
    "one at a time": OneAtATime,
    "PairNorm": lambda: ByHand(norm=PairNorm()),
}


@pytest.mark.parametrize("name", [*TOGETHER, *ALONE])
def test_models_whose_graphs_do_not_depend_on_each_other_and_others(name, batches):
    torch.manual_seed(0)
    explainer = explainer_for({**TOGETHER, **ALONE}[name]().double(), level="graph")
    graphs = random_graphs(12)
    found = explain_many(explainer, graphs, **EVERYTHING)
    if name in TOGETHER:
        assert batches == [12]
    else:
        assert batches[-12:] == [1] * 12
    check_same(explainer, graphs, found)


class Kinds(nn.Module):
    """Edges of kinds, which are called labels."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.conv, self.head = nn.Embedding(4, 1), GCNConv(3, 6), nn.Linear(6, 3)

    def forward(self, x, edge_index, edge_labels, batch=None):
        weight = self.kind(edge_labels).sigmoid().view(-1)
        return self.head(global_add_pool(self.conv(x, edge_index, weight).relu(), batch))


def test_labels_of_edges_go_with_them(batches):
    torch.manual_seed(0)
    graphs = random_graphs(6)
    for graph in graphs:
        graph.edge_labels = torch.arange(graph.num_edges) % 4
    model = Kinds().double()
    explainer = explainer_for(model, level="graph")
    found = explain_many(explainer, graphs, **EVERYTHING)
    assert batches == [6]
    graph = graphs[3]
    one = explainer(graph.x, graph.edge_index, edge_labels=graph.edge_labels)
    strongest = one.edge_mask.argsort(descending=True, stable=True)[: one.change.removed]
    left = torch.ones(graph.num_edges, dtype=torch.bool).index_fill_(0, strongest, False)
    with torch.no_grad():
        without = model(graph.x, graph.edge_index[:, left], graph.edge_labels[left]).softmax(-1)
    assert found.changes[3].confidence == pytest.approx(float(without.max()))


@pytest.mark.parametrize("options", [{}, {"evidence": "uses"}, {"search_edges": 0}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_graph_of_a_batch_is_explained_as_if_it_were_alone(weighted, options):
    torch.manual_seed(0)
    graphs = random_graphs(6, weighted=weighted)
    batch, model = Batch.from_data_list(graphs), Pooled("GCN", "mean").double().eval()
    explainer = explainer_for(model, GradientContextExplainer(**options), level="graph")
    more = {"edge_weight": batch.edge_weight} if weighted else {}
    found = explain_many(explainer, graphs, progress=False)
    for number, graph in enumerate(graphs):
        own = batch.batch[batch.edge_index[0]] == number
        one = explainer(batch.x, batch.edge_index, index=number, batch=batch.batch, **more)
        alone = explainer(graph.x, graph.edge_index, **({"edge_weight": graph.edge_weight} if weighted else {}))
        torch.testing.assert_close(one.edge_mask[own], alone.edge_mask, rtol=1e-5, atol=1e-5)
        assert not one.edge_mask[~own].any()
        assert (one.change is None) == (alone.change is None)
        if one.change is not None:
            assert one.change.removed == alone.change.removed == found.changes[number].removed


def test_a_graph_that_others_change_is_explained_among_them():
    torch.manual_seed(0)
    graphs = random_graphs(4)
    batch, model = Batch.from_data_list(graphs), VirtualNode().double().eval()
    explainer = explainer_for(model, level="graph")
    one = explainer(batch.x, batch.edge_index, index=1, batch=batch.batch)
    assert one.edge_mask[batch.batch[batch.edge_index[0]] != 1].any()


class Attributes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = GINEConv(nn.Linear(3, 6), edge_dim=2), nn.Linear(6, 3)

    def forward(self, x, edge_index, batch=None, edge_attr=None):
        return self.head(global_add_pool(self.conv(x, edge_index, edge_attr).relu(), batch))


def test_edge_attributes(batches):
    torch.manual_seed(0)
    graphs = random_graphs(12)
    for graph in graphs:
        graph.edge_attr = torch.randn(graph.num_edges, 2, dtype=torch.float64)
    explainer = explainer_for(Attributes().double(), level="graph")
    check_same(explainer, graphs, explain_many(explainer, graphs, **EVERYTHING))
    assert batches[0] == 12


@pytest.mark.parametrize(
    ("mode", "returns"),
    [("binary_classification", "raw"), ("binary_classification", "probs"), ("regression", "raw")]
    + [("multiclass_classification", returns) for returns in ("log_probs", "probs")],
)
@pytest.mark.parametrize("kind", ["model", "phenomenon"])
def test_modes(kind, mode, returns, batches):
    torch.manual_seed(0)
    model, graphs = Net(mode, "graph", returns).double(), random_graphs(8)
    for number, graph in enumerate(graphs):
        graph.y = torch.tensor([[number / 3]]).double() if mode == "regression" else torch.tensor([number % 2])
    explainer = explainer_for(model, mode=mode, level="graph", returns=returns, kind=kind)
    found = explain_many(explainer, graphs, **EVERYTHING)
    assert batches == [8]
    check_same(explainer, graphs, found, kind=kind, texts=kind == "phenomenon")
    assert found.confidence.shape == found.prediction.shape == (8,)
    assert bool(found.confidence.isnan().all()) == (mode == "regression")
    assert found.label is not None
    if mode == "regression":
        torch.testing.assert_close(found.label.double(), torch.cat([graph.y.view(-1) for graph in graphs]).double())


def test_a_phenomenon_has_its_labels_explained():
    torch.manual_seed(0)
    graphs = random_graphs(8)
    explainer = explainer_for(Pooled().double(), level="graph", kind="phenomenon")
    labels = torch.arange(8) % 3
    for graph, label in zip(graphs, labels, strict=True):
        graph.y = label.view(1)
    found = explain_many(explainer, graphs, **EVERYTHING)
    check_same(explainer, graphs, found, kind="phenomenon")
    assert torch.equal(found.label, labels)


def test_what_is_found():
    torch.manual_seed(0)
    model, graphs = Pooled().double().eval(), random_graphs(9)
    graphs[4].y, graphs[7].y = torch.tensor([1]), torch.tensor([[0.5]])
    algorithm = GradientContextExplainer(class_names=["a", "b", "c"], feature_names=["x", "y", "z"])
    explainer = explainer_for(model, algorithm, level="graph")
    found = explain_many(explainer, graphs, [7, 4, 4], top_edges=2, top_features=1, progress=False)
    output = torch.cat([model(graph.x, graph.edge_index) for graph in (graphs[7], graphs[4], graphs[4])]).detach()
    assert len(found) == 3
    assert found.index.tolist() == [7, 4, 4]
    assert torch.equal(found.prediction, output.argmax(-1))
    torch.testing.assert_close(found.confidence, output.softmax(-1).amax(-1))
    assert found.label.tolist() == [-1, 1, 1]
    assert all(len(edges) <= 2 for edges in found.edges)
    assert all(len(features) <= 1 for features in found.features)
    assert found.edges[1] == found.edges[2]
    assert found.class_name(1) == "b"
    assert repr(found) == "GraphExplanations(num_explained=3, num_graphs=9)"
    texts = [rationale.text for rationale in found.rationales]
    assert texts[0].startswith("Graph 7 is predicted as")
    assert texts[1] == texts[2]
    assert texts[1].startswith("Graph 4 is predicted as")
    assert ["its true label is" in text for text in texts] == [False, True, True]
    assert any(name in texts[1] for name in ('"x"', '"y"', '"z"'))
    everything = explain_many(explainer, graphs, progress=False)
    assert everything.edges[4][:2] == found.edges[1]
    assert everything.index.tolist() == list(range(9))


def test_the_algorithm_s_writer_writes():
    told = []

    def writer(facts):
        told.extend(facts)
        return [Rationale(each.subject, "llm", False, ()) for each in facts]

    torch.manual_seed(0)
    graphs = random_graphs(5)
    algorithm = GradientContextExplainer(writer=writer)
    found = explain_many(explainer_for(Pooled().double(), algorithm, level="graph"), graphs, [3, 1], progress=False)
    assert [rationale.text for rationale in found.rationales] == ["graph 3", "graph 1"]
    assert [facts.source for facts in told] == ["post hoc"] * 2
    assert all(facts.psi == () and facts.role is None for facts in told)
    strongest = {f"node {sender}": weight for sender, _, weight in reversed(found.edges[0])}
    assert {each.name: each.weight for each in told[0].neighbours} == dict(
        sorted(strongest.items(), key=lambda item: -item[1])[:5]
    )


@pytest.mark.parametrize(
    ("index", "numbers"),
    [
        (None, list(range(6))),
        (4, [4]),
        ([4, 2], [4, 2]),
        (torch.tensor([5, 0]), [5, 0]),
        (torch.arange(6) % 4 == 1, [1, 5]),
        ([], []),
        (range(2, 4), [2, 3]),
    ],
)
def test_forms_of_an_index(index, numbers):
    torch.manual_seed(0)
    explainer, graphs = explainer_for(Pooled().double(), level="graph"), random_graphs(6)
    found = explain_many(explainer, graphs, index, **EVERYTHING)
    assert found.index.tolist() == numbers
    assert len(found.rationales) == len(found.edges) == len(found.features) == len(found) == len(numbers)
    assert found.prediction.shape == found.confidence.shape == (len(numbers),)
    check_same(explainer, graphs, found)


class Collated(InMemoryDataset):
    def __init__(self, graphs):
        super().__init__()
        self.data, self.slices = self.collate(graphs)


@pytest.mark.parametrize("form", [tuple, Collated, Batch.from_data_list])
def test_forms_of_many_graphs(form):
    torch.manual_seed(0)
    explainer, graphs = explainer_for(Pooled().double(), level="graph"), random_graphs(6)
    expected, found = (explain_many(explainer, given, progress=False) for given in (graphs, form(graphs)))
    assert found.edges == expected.edges
    assert found.features == expected.features
    assert found.rationales == expected.rationales


def test_memory_does_not_change_the_result(batches):
    torch.manual_seed(0)
    graphs = [random_graph(seed, *size) for seed, size in enumerate([(5, 9), (3000, 12000)] * 3 + [(5, 9)] * 50)]
    explainer = explainer_for(Pooled().double(), level="graph")
    plenty = explain_many(explainer, graphs, progress=False)
    assert batches == [56]
    batches.clear()
    tiny = explain_many(explainer, graphs, memory_mb=1, progress=False)
    assert batches == [1] * 6 + [50]
    assert tiny.rationales == plenty.rationales
    for few, many in zip(tiny.edges, plenty.edges, strict=True):
        assert [weight for *_, weight in few] == pytest.approx([weight for *_, weight in many])


def test_integer_features():
    class Atoms(nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = Embedded()

        def forward(self, x, edge_index, batch=None):
            return global_mean_pool(self.gnn(x, edge_index), batch)

    torch.manual_seed(0)
    graphs = random_graphs(6)
    for graph in graphs:
        graph.x = torch.arange(graph.num_nodes) % 7
    explainer = explainer_for(Atoms(), level="graph", nodes=None)
    found = explain_many(explainer, graphs, **EVERYTHING)
    assert all(features == [] for features in found.features)
    check_same(explainer, graphs, found)


def test_the_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = Pooled(norm="batch_norm").double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_many(explainer_for(model, level="graph"), random_graphs(6), progress=False)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_progress_bar(capsys):
    explainer, graphs = explainer_for(Pooled().double(), level="graph"), random_graphs(6)
    explain_many(explainer, graphs)
    assert "6/6" in capsys.readouterr().err
    explain_many(explainer, graphs, progress=False)
    assert capsys.readouterr().err == ""


class Alone(Pooled):
    """Takes one graph at a time."""

    def forward(self, x, edge_index):
        return super().forward(x, edge_index)


@pytest.mark.parametrize(
    ("model", "level", "options", "expected"),
    [
        (Pooled(), "graph", {}, Where.EVERYWHERE),
        (Pooled(), "graph", {"refine": False}, Where.NOWHERE),
        (Alone(), "graph", {}, Where.NOWHERE),
        (Alone(), "graph", {"refine": True}, Where.EVERYWHERE),
        (BACKBONES["GCN"](3, 6, num_layers=2), "node", {}, Where.FAILED),
        (BACKBONES["GCN"](3, 6, num_layers=2), "node", {"refine": True}, Where.EVERYWHERE),
        (BACKBONES["GCN"](3, 6, num_layers=2), "node", {"ranked": False}, Where.EVERYWHERE),
        (Alone(), "graph", {"ranked": False}, Where.EVERYWHERE),
    ],
)
def test_which_rankings_are_refined(model, level, options, expected, monkeypatch):
    seen = []

    def noted(*arguments, **named):
        seen.append(named["where"])
        return search(*arguments, **named)

    monkeypatch.setattr(_explainer, "search", noted)
    explainer, graphs = (
        explainer_for(model.double(), GradientContextExplainer(**options), level=level),
        random_graphs(4),
    )
    explain_many(explainer, graphs if level == "graph" else graphs[2], progress=False)
    explainer(graphs[2].x, graphs[2].edge_index, index=None if level == "graph" else 0)
    assert set(seen) == {expected}
    assert len(seen) >= 2


@pytest.mark.filterwarnings("error")
def test_one_graph_takes_few_passes():
    model, calls = Pooled().double(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    explain_many(explainer_for(model, level="graph"), [random_graph(0, 10, 28)], progress=False)
    assert len(calls) < 50
