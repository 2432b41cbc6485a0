"""Which models can be explained, on which graphs; and what is refused, by a typed error that says why."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gnns import BACKBONES, Embedded, Net, explainer_for
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import (
    APPNP,
    GAT,
    GCN,
    ChebConv,
    FastRGCNConv,
    GATv2Conv,
    GCNConv,
    GINEConv,
    GraphUNet,
    PNAConv,
    RGCNConv,
    SAGEConv,
    TransformerConv,
)
from torch_geometric.nn.models import DeepGCNLayer
from torch_geometric.utils import k_hop_subgraph, to_undirected

from gragr_explain import GradientRecorder, GraGR, explain_many
from gragr_explain.errors import (
    GragrError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)


class Stack(nn.Module):
    """Layers one after the other, with what a hand-written model has between them."""

    def __init__(self, *layers: nn.Module, norm: nn.Module | None = None, passes: tuple[str, ...] = ()):
        super().__init__()
        self.layers, self.norm, self.passes = nn.ModuleList(layers), norm, passes

    def forward(self, x, edge_index, edge_weight=None, edge_attr=None):
        given = {"edge_weight": edge_weight, "edge_attr": edge_attr}
        given = {name: given[name] for name in self.passes}
        for number, layer in enumerate(self.layers):
            if number:
                x = F.dropout((self.norm(x) if self.norm else x).relu(), 0.5, self.training)
            x = layer(x, edge_index, **given)
        return x


def mlp(channels: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, 8), nn.ReLU(), nn.Linear(8, out))


MODELS = {
    "GCN": lambda: GCN(3, 8, num_layers=2, out_channels=4),
    "GCN, deep": lambda: GCN(3, 8, num_layers=3, out_channels=4, norm="batch_norm"),
    "GAT": lambda: GAT(3, 8, num_layers=2, out_channels=4, heads=2),
    "GATv2": lambda: GAT(3, 8, num_layers=2, out_channels=4, v2=True),
    "GIN": lambda: BACKBONES["GIN"](3, 8, num_layers=2, out_channels=4),
    "GraphSAGE": lambda: BACKBONES["GraphSAGE"](3, 8, num_layers=2, out_channels=4),
    "GraphSAGE, max": lambda: BACKBONES["GraphSAGE"](3, 8, num_layers=2, out_channels=4, aggr="max"),
    "jumping knowledge, cat": lambda: GCN(3, 8, num_layers=2, out_channels=4, jk="cat"),
    "jumping knowledge, max": lambda: GCN(3, 8, num_layers=2, out_channels=4, jk="max"),
    "batch norm": lambda: GCN(3, 8, num_layers=2, out_channels=4, norm="batch_norm"),
    "by hand": lambda: Stack(GCNConv(3, 8), SAGEConv(8, 8), norm=nn.BatchNorm1d(8)),
    "one layer": lambda: Stack(GCNConv(3, 4)),
    "decomposed": lambda: Stack(GCNConv(3, 8), GCNConv(8, 4, decomposed_layers=2)),
    "edge weights": lambda: Stack(GCNConv(3, 8), GCNConv(8, 4), passes=("edge_weight",)),
    "edge attributes": lambda: Stack(
        TransformerConv(3, 8, edge_dim=2), TransformerConv(8, 4, edge_dim=2), passes=("edge_attr",)
    ),
    "GATv2, edge attributes": lambda: Stack(
        GATv2Conv(3, 8, edge_dim=2), GATv2Conv(8, 4, edge_dim=2), passes=("edge_attr",)
    ),
    "GINE": lambda: Stack(GINEConv(mlp(3, 8), edge_dim=2), GINEConv(mlp(8, 4), edge_dim=2), passes=("edge_attr",)),
    "PNA": lambda: Stack(PNAConv(3, 4, ["mean", "max"], ["identity", "amplification"], deg=torch.tensor([1, 4, 4, 1]))),
}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_models(name, recorded, graph):
    torch.manual_seed(1)
    model = MODELS[name]()
    extra = {}
    if "weight" in name:
        extra["edge_weight"] = torch.rand(graph.num_edges)
    if "attributes" in name or name == "GINE":
        extra["edge_attr"] = torch.randn(graph.num_edges, 2)
    if recorded:
        with GradientRecorder(model, graph):
            F.cross_entropy(model(graph.x, graph.edge_index, **extra), torch.arange(10) % 4).backward()
    explanation = explainer_for(model)(graph.x, graph.edge_index, index=1, **extra)
    hops = sum(hasattr(module, "propagate") for module in model.modules())
    nodes, _, _, edges = k_hop_subgraph(1, hops, graph.edge_index, num_nodes=10)
    outside = torch.ones(10, dtype=torch.bool)
    outside[nodes] = False
    assert explanation.psi_source == ("self" if recorded else "post hoc")
    assert explanation.edge_mask.max() == 1
    assert not explanation.edge_evidence[~edges].any()
    assert not explanation.node_evidence[outside].any()
    assert explanation.psi_valid[:9, 2].all()
    assert explanation.validate()


@pytest.mark.parametrize("layer", [lambda: APPNP(K=2, alpha=0.1), lambda: ChebConv(4, 4, K=3)])
def test_layers_of_several_hops(layer, graph):
    torch.manual_seed(1)
    model = Stack(GCNConv(3, 4), layer())
    explanation = explainer_for(model)(graph.x, graph.edge_index, index=1)
    assert explanation.edge_mask.max() == 1
    assert explanation.validate()


def test_residual_layers(graph):
    torch.manual_seed(1)

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = GCNConv(3, 8)
            self.block = DeepGCNLayer(GCNConv(8, 8), nn.LayerNorm(8), nn.ReLU(), block="res+", dropout=0.5)
            self.end = GCNConv(8, 4)

        def forward(self, x, edge_index):
            return self.end(self.block(self.start(x, edge_index), edge_index), edge_index)

    assert explainer_for(Deep())(graph.x, graph.edge_index, index=1).edge_mask.max() == 1


def test_double_precision(graph):
    model = GCN(3, 8, num_layers=2, out_channels=4).double()
    explanation = explainer_for(model)(graph.x.double(), graph.edge_index, index=1)
    assert explanation.edge_mask.dtype == explanation.node_mask.dtype == explanation.psi.dtype == torch.float64
    assert explanation.embedding.isfinite().all()


def test_frozen_parameters_change_nothing(graph):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=4)
    expected = explainer_for(model)(graph.x, graph.edge_index, index=1)
    explanation = explainer_for(model.requires_grad_(False))(graph.x, graph.edge_index, index=1)
    for name in ("edge_evidence", "node_evidence", "psi", "psi_valid", "embedding"):
        assert torch.equal(explanation[name], expected[name]), name
    assert explanation.rationale == expected.rationale
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("inside", [False, True])
def test_compiled_models(inside, graph):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=4)
    expected = explainer_for(model)(graph.x, graph.edge_index, index=1)
    compiled = torch.compile(model, backend="eager")
    compiled = GraGR(compiled) if inside else compiled
    explanation = explainer_for(compiled)(graph.x, graph.edge_index, index=1)
    torch.testing.assert_close(explanation.edge_evidence, expected.edge_evidence)
    torch.testing.assert_close(explanation.node_evidence, expected.node_evidence)


@pytest.mark.parametrize("shape", [(10,), (10, 1)])
def test_integer_features_have_edge_masks_only(shape, graph):
    torch.manual_seed(0)
    model, x = Embedded(), (torch.arange(10) % 7).view(shape)
    explanation = explainer_for(model, nodes=None)(x, graph.edge_index, index=1)
    assert explanation.edge_mask.max() == 1
    assert "node_mask" not in explanation
    assert explanation.psi_valid.any()
    assert "feature" not in explanation.rationale.replace("no input feature", "")
    with pytest.raises(InvalidTypeError, match=r"floating-point numbers, got torch\.int64"):
        explainer_for(model)(x, graph.edge_index, index=1)


class Ignores(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        self.how, self.conv, self.lin = how, GCNConv(3, 4), nn.Linear(3, 4)

    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        if self.how == "constant":
            return torch.ones(x.size(0), 4) * torch.arange(4.0)
        return self.lin(x) if self.how == "features only" else self.lin(x) + 0 * h


@pytest.mark.parametrize("how", ["constant", "features only", "zero times"])
def test_a_model_that_ignores_the_graph_has_no_edges_to_show(how, graph):
    explanation = explainer_for(Ignores(how))(graph.x, graph.edge_index, index=1)
    assert not explanation.edge_mask.any()
    assert explanation.node_mask.any() == (how != "constant")
    assert "neighbourhood, above all" not in explanation.rationale
    assert explanation.psi.isfinite().all()


def cut_in_half(edge_index):
    return edge_index[:, ::2]


def add_an_edge(edge_index):
    return torch.cat([edge_index, torch.tensor([[0], [8]])], dim=1)


def reorder(edge_index):
    return edge_index.flip(1)


def turn(edge_index):
    return edge_index.flip(0)


def make_undirected(edge_index):
    return to_undirected(edge_index)


@pytest.mark.parametrize("rewire", [cut_in_half, add_an_edge, reorder, turn, make_undirected])
def test_models_that_rewire_the_graph_are_refused(rewire, graph):
    """Even where the number of edges stays, for a mask would then be about other edges than it says."""

    class Rewires(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(3, 4)

        def forward(self, x, edge_index):
            return self.conv(x, rewire(edge_index))

    with pytest.raises(UnsupportedModelError, match=r"SAGEConv passes messages along other edges.*layer\.explain"):
        explainer_for(Rewires())(graph.x, graph.edge_index, index=1)


class Relations(nn.Module):
    def __init__(self, layer: type[RGCNConv]) -> None:
        super().__init__()
        self.first, self.second = layer(3, 8, num_relations=2), layer(8, 4, num_relations=2)

    def forward(self, x, edge_index, edge_type):
        return self.second(self.first(x, edge_index, edge_type).relu(), edge_index, edge_type)


def test_layers_of_relations(graph):
    """What passes the messages of one relation after another is refused, with advice that helps."""
    torch.manual_seed(0)
    slow, fast = Relations(RGCNConv).eval(), Relations(FastRGCNConv).eval()
    fast.load_state_dict(slow.state_dict())
    given = {"edge_type": torch.arange(graph.num_edges) % 2}
    torch.testing.assert_close(fast(graph.x, graph.edge_index, **given), slow(graph.x, graph.edge_index, **given))
    with pytest.raises(UnsupportedModelError, match="use FastRGCNConv"):
        explainer_for(slow)(graph.x, graph.edge_index, index=4, **given)
    explanation = explainer_for(fast)(graph.x, graph.edge_index, index=4, **given)
    assert explanation.edge_mask.max() == 1


@pytest.mark.parametrize("model", [nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 4))])
def test_models_without_message_passing(model, graph):
    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x, edge_index):
            return self.inner(x)

    with pytest.raises(UnsupportedModelError, match="MessagePassing"):
        explainer_for(Mlp())(graph.x, graph.edge_index, index=1)


def test_models_that_return_no_matrix_of_scores(graph):
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(3, 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index).view(10, 2, 2)

    with pytest.raises(UnsupportedModelError, match=r"\[num_outputs, num_classes\], got \[10, 2, 2\]"):
        explainer_for(Flat(), kind="phenomenon")(graph.x, graph.edge_index, target=torch.zeros(10).long(), index=1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.full((10,), 4), r"\[0, 3\], got 4 to 4"),
        (torch.full((10,), -1), "got -1"),
        (torch.zeros(9).long(), "each of 10 outputs, got 9"),
    ],
)
def test_targets_that_are_no_classes(target, message, graph):
    model = GCN(3, 8, num_layers=2, out_channels=4)
    with pytest.raises(InvalidGraphError, match=message):
        explainer_for(model, kind="phenomenon")(graph.x, graph.edge_index, target=target, index=1)


def test_regression_targets_of_another_shape(graph):
    explainer = explainer_for(Net("regression", "node", "raw"), mode="regression", kind="phenomenon")
    with pytest.raises(InvalidGraphError, match=r"\[10, 1\].*\[9, 1\]"):
        explainer(graph.x, graph.edge_index, target=torch.zeros(9, 1), index=1)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (10, InvalidIndexError, r"\[0, 9\], got 10"),
        (-1, InvalidIndexError, "got -1"),
        (torch.tensor([3, 99]), InvalidIndexError, "got 99"),
        (torch.tensor([0.5]), InvalidTypeError, "torch.float32"),
        (1.5, InvalidTypeError, "got 1.5"),
        ("1", InvalidTypeError, "got '1'"),
        (torch.ones(9, dtype=torch.bool), InvalidIndexError, r"mask of shape \[10\], got \[9\]"),
    ],
)
def test_bad_indices(index, error, message, gcn, graph):
    with pytest.raises(error, match=message) as caught:
        explainer_for(gcn)(graph.x, graph.edge_index, index=index)
    assert isinstance(caught.value, GragrError)


def with_nan(x):
    x = x.clone()
    x[3, 1] = torch.nan
    return x


@pytest.mark.parametrize(
    ("x", "edge_index", "error", "message"),
    [
        (with_nan, None, InvalidGraphError, "1 nodes, first in 3"),
        (lambda x: x / 0, None, InvalidGraphError, "NaN or infinite"),
        (None, lambda e: e + 5, InvalidGraphError, r"\[0, 9\] in edge_index"),
        (None, lambda e: e.float(), InvalidTypeError, "torch.float32"),
        (None, lambda e: e.t().contiguous(), InvalidGraphError, r"\[2, num_edges\]"),
    ],
)
def test_bad_graphs(x, edge_index, error, message, gcn, graph):
    """Straight to the algorithm: PyG's ``Explainer`` runs the model first, which may fail in its own way."""
    features = x(graph.x) if x else graph.x
    edges = edge_index(graph.edge_index) if edge_index else graph.edge_index
    algorithm = explainer_for(gcn).algorithm
    with pytest.raises(error, match=message):
        algorithm(gcn, features, edges, target=torch.zeros(10).long(), index=1)


def test_heterogeneous_graphs_are_refused(gcn):
    data = HeteroData()
    data["a"].x = torch.rand(2, 3)
    with pytest.raises(InvalidTypeError, match="heterogeneous"):
        explainer_for(gcn).algorithm(gcn, data.x_dict, {}, target=torch.zeros(2).long())


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize(
    "edges",
    [
        [],
        [(0, 0)],
        [(v, v) for v in range(4)],
        [(0, 1), (0, 1), (1, 0), (1, 0), (1, 0)],
        [(0, 1), (1, 2), (2, 3)],
        [(2, 2), (0, 1), (1, 1), (1, 0)],
    ],
    ids=["no edges", "one self-loop", "self-loops", "duplicates", "directed", "mixed"],
)
def test_unusual_graphs(edges, backbone):
    torch.manual_seed(0)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=3)
    x, edge_index = torch.randn(4, 3), torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    for index in (0, 3, None):
        explanation = explainer_for(model)(x, edge_index, index=index)
        assert explanation.edge_mask.shape == (len(edges),)
        assert explanation.validate()
        assert explanation.psi.isfinite().all()
        assert not explanation.psi.isnan().any()


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_single_node(backbone):
    torch.manual_seed(0)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=3)
    explanation = explainer_for(model)(torch.randn(1, 3), torch.empty(2, 0, dtype=torch.long), index=0)
    assert not explanation.psi_valid[:, :3].any()
    assert explanation.rationale.startswith("Node 0 is predicted")


def test_duplicate_edges_share_alike(graph):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3).double()
    twice = torch.cat([graph.edge_index, graph.edge_index], dim=1)
    evidence = explainer_for(model)(graph.x.double(), twice, index=1).edge_evidence
    torch.testing.assert_close(evidence[: graph.num_edges], evidence[graph.num_edges :])


def test_a_model_that_hides_fewer_nodes_is_refused(graph):
    torch.manual_seed(0)
    model = GraphUNet(3, 8, 4, depth=1)
    for explain in (
        lambda: explainer_for(model, nodes=None)(graph.x, graph.edge_index, index=1),
        lambda: explain_many(explainer_for(model), graph, progress=False),
    ):
        with pytest.raises(UnsupportedModelError, match="each of 10 nodes, got 5: a layer that runs on a part"):
            explain()
