"""Edge gradients at input level and layer by layer: against finite differences, and against what they approximate."""

from __future__ import annotations

import copy

import pytest
import torch
from gnns import BACKBONES, Embedded, Net, OwnLoops, assert_same_state, explainer_for, state_of
from test_explain_evidence import Wrapped
from test_explain_settings import MODES, WIDTH, arguments_of
from torch import nn
from torch_geometric.explain import GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import GCN, GraphConv, MessagePassing, SGConv
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import EdgeGradientExplainer, GradientContextExplainer
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.explain import input_gradients, layer_gradients
from gragr_explain.messages import edge_mask_applied

BOTH = ["input", "layer"]


def finite_differences(model, masked, edge_index, value, step=1e-6):
    """Each edge's factor up and down in the layers of one module, by PyG's own masks."""
    found = torch.zeros(edge_index.size(1), dtype=torch.double)
    for edge in range(edge_index.size(1)):
        values = []
        for factor in (1 + step, 1 - step):
            mask = torch.ones_like(found)
            mask[edge] = factor
            set_masks(masked, mask, edge_index, apply_sigmoid=False)
            with torch.no_grad():
                values.append(value())
            clear_masks(model)
        found[edge] = (values[0] - values[1]) / (2 * step)
    return found


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_evidence_of_each_layer_is_its_derivative(backbone, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=3, out_channels=4).double().eval()
    x, edge_index = graph.x.double(), graph.edge_index
    explanation = explainer_for(model, EdgeGradientExplainer(level="layer"))(x, edge_index, index=4)
    label = int(explanation.target[4])
    slow = copy.deepcopy(model)
    layers = [module for module in slow.modules() if isinstance(module, MessagePassing)]

    def value():
        return slow(x, edge_index).log_softmax(-1)[4, label]

    expected = torch.stack([finite_differences(slow, layer, edge_index, value) for layer in layers], dim=1)
    assert (expected.abs().amax(0) > 1e-3).all()
    torch.testing.assert_close(explanation.layer_edge_evidence, expected, rtol=1e-4, atol=1e-7)
    together = finite_differences(slow, slow, edge_index, value)
    torch.testing.assert_close(explanation.edge_evidence, together, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_layers_add_up_to_the_input_level(backbone, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=3, out_channels=4).double()
    x = graph.x.double()
    one = explainer_for(model, EdgeGradientExplainer())(x, graph.edge_index, index=4)
    layered = explainer_for(model, EdgeGradientExplainer(level="layer"))(x, graph.edge_index, index=4)
    torch.testing.assert_close(layered.layer_edge_evidence.sum(1), one.edge_evidence)
    torch.testing.assert_close(layered.edge_mask, one.edge_mask)
    torch.testing.assert_close(layered.node_mask, one.node_mask)
    assert "layer_edge_evidence" not in one
    history_free = explainer_for(model, GradientContextExplainer(history=False))(x, graph.edge_index, index=4)
    torch.testing.assert_close(one.edge_evidence, history_free.edge_evidence)
    torch.testing.assert_close(one.node_evidence, history_free.node_evidence)


def test_masks_of_both_heuristics(gcn, graph):
    found = {
        heuristic: explainer_for(gcn, EdgeGradientExplainer(heuristic, level="layer"))(
            graph.x, graph.edge_index, index=1
        )
        for heuristic in ("signed", "sign")
    }
    for name, mask in (("edge", "edge_mask"), ("node", "node_mask"), ("layer_edge", "layer_edge_masks")):
        evidence = found["signed"][f"{name}_evidence"]
        torch.testing.assert_close(found["signed"][mask], evidence.clamp(min=0) / evidence.max())
        assert torch.equal(found["sign"][mask], (evidence > 0).float())
        assert torch.equal(found["sign"][f"{name}_evidence"], evidence)
        assert (evidence < 0).any()


def test_the_last_layer_hears_only_the_neighbours(gcn, graph):
    explanation = explainer_for(gcn, EdgeGradientExplainer(level="layer"))(graph.x, graph.edge_index, index=1)
    first, last = explanation.layer_edge_evidence.t()
    assert not last[graph.edge_index[1] != 1].any()
    assert last[graph.edge_index[1] == 1].all()
    assert first[graph.edge_index[1] != 1].any()


def test_a_layer_that_is_called_twice_is_one_layer(graph):
    torch.manual_seed(0)
    model = Wrapped(SGConv(3, 4, K=2))
    explanation = explainer_for(model, EdgeGradientExplainer(level="layer"))(graph.x, graph.edge_index, index=1)
    assert explanation.layer_edge_evidence.shape == (graph.num_edges, 1)
    torch.testing.assert_close(explanation.layer_edge_evidence[:, 0], explanation.edge_evidence)
    assert explanation.edge_evidence[graph.edge_index[1] != 1].any()


def test_layers_that_are_not_to_be_explained_have_no_mask(gcn, graph):
    explainer = explainer_for(gcn, EdgeGradientExplainer(level="layer"))
    both = explainer(graph.x, graph.edge_index, index=1)
    gcn.convs[0].explain = False
    last = explainer(graph.x, graph.edge_index, index=1)
    torch.testing.assert_close(last.layer_edge_evidence, both.layer_edge_evidence[:, 1:])
    gcn.convs[1].explain = False
    none = explainer(graph.x, graph.edge_index, index=1)
    assert none.layer_edge_evidence.shape == (graph.num_edges, 0)
    assert not none.edge_mask.any()


def test_layers_follow_the_edges_into_a_subgraph(gcn, graph):
    explanation = explainer_for(gcn, EdgeGradientExplainer(level="layer"), nodes=None)(
        graph.x, graph.edge_index, index=1
    )
    assert explanation.available_explanations == ["edge_mask"]
    kept = explanation.edge_mask > 0
    inner = explanation.get_explanation_subgraph()
    assert torch.equal(inner.layer_edge_evidence, explanation.layer_edge_evidence[kept])
    assert torch.equal(inner.layer_edge_masks, explanation.layer_edge_masks[kept])


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_mask_for_each_layer_is_applied_to_that_layer(backbone, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=4).eval()
    mask = torch.rand(2, graph.num_edges)
    with torch.no_grad(), edge_mask_applied(model, mask, graph.edge_index):
        found = model(graph.x, graph.edge_index)
    slow = copy.deepcopy(model)
    for layer, row in zip(slow.convs, mask, strict=True):
        set_masks(layer, row, graph.edge_index, apply_sigmoid=False)
    with torch.no_grad():
        torch.testing.assert_close(found, slow(graph.x, graph.edge_index))


def test_gradients_of_a_constant_are_zero(gcn, graph):
    edges, features = layer_gradients(gcn, lambda output: torch.ones(()), graph.x, graph.edge_index)
    assert edges.shape == (2, graph.num_edges)
    assert not edges.any()
    assert not features.any()


# GNNExplainer -------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """Sums over the edges, without a nonlinearity; what a node knows of itself outweighs what it hears."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GraphConv(4 if i == 0 else 3, 3, bias=False) for i in range(num_layers))
        self.head = nn.Linear(3, 1)
        with torch.no_grad():  # far from certainty, where every gradient vanishes
            for parameter in self.parameters():
                parameter *= 0.5
            for conv in self.convs[:-1]:
                conv.lin_rel.weight *= 0.05
                conv.lin_root.weight *= 4

    def forward(self, x, edge_index):
        for conv in self.convs:
            x = conv(x, edge_index)
        return self.head(x)


@pytest.mark.parametrize(("num_layers", "seed"), [(1, 0), (1, 1), (1, 4), (2, 0), (2, 1), (2, 2)])
def test_gnnexplainer_without_penalties_tends_to_the_sign(num_layers, seed):
    torch.manual_seed(seed)
    edge_index = erdos_renyi_graph(12, 0.5, directed=True)
    x, model = torch.randn(12, 4), Linear(num_layers)
    settings = {"mode": "binary_classification", "nodes": None}
    explanation = explainer_for(model, EdgeGradientExplainer("sign"), **settings)(x, edge_index, index=0)
    sign, label = explanation.edge_evidence.sign(), int(explanation.target[0])
    assert (sign > 0).sum() > 1
    assert (sign < 0).sum() > 1
    for mask in torch.rand(20, edge_index.size(1)):  # the derivatives keep their signs on the masks in [0, 1]
        mask.requires_grad_()
        with edge_mask_applied(model, mask, edge_index):
            logit = model(x, edge_index)[0, 0]
        (gradient,) = torch.autograd.grad(logit if label else -logit, mask)
        assert torch.equal(gradient.sign(), sign)

    similarity = {}
    for penalty in (0.0, 0.5):
        algorithm = GNNExplainer(epochs=150, lr=0.2, edge_size=penalty, edge_ent=0.0)
        found = explainer_for(copy.deepcopy(model), algorithm, **settings)(x, edge_index, index=0)
        similarity[penalty] = torch.cosine_similarity(found.edge_mask, explanation.edge_mask, dim=0)
    assert similarity[0.0] > 0.97
    assert similarity[0.5] < similarity[0.0]


# PyG's settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["node", "edge", "graph"])
@pytest.mark.parametrize(("mode", "returns"), MODES)
def test_every_setting(mode, returns, level, graph):
    torch.manual_seed(2)
    model = Net(mode, level, returns).train()
    arguments, num_outputs = arguments_of(level)
    some = torch.tensor([0, 2])
    for kind, nodes, own_level, index in [
        ("model", None, "input", None),
        ("model", "attributes", "layer", some),
        ("phenomenon", "object", "input", some),
        ("phenomenon", "common_attributes", "layer", None),
    ]:
        target = None
        if kind == "phenomenon":
            target = torch.arange(num_outputs) % (4 if mode.startswith("multi") else 2)
            target = target.float().view(-1, 1) if mode == "regression" else target
        algorithm = EdgeGradientExplainer(level=own_level)
        explainer = explainer_for(model, algorithm, kind=kind, nodes=nodes, mode=mode, level=level, returns=returns)
        explanation = explainer(graph.x, graph.edge_index, target=target, index=index, **arguments)
        assert explanation.validate()
        assert model.training
        assert explanation.edge_mask.shape == (graph.num_edges,)
        assert ("node_mask" in explanation) == (nodes is not None)
        assert nodes is None or explanation.node_mask.shape == WIDTH[nodes]
        reference = explainer_for(model, kind=kind, nodes=nodes, mode=mode, level=level, returns=returns)
        expected = reference(graph.x, graph.edge_index, target=target, index=index, **arguments)
        torch.testing.assert_close(explanation.edge_mask, expected.edge_mask)


def test_node_masks_alone(gcn, graph):
    explanation = explainer_for(gcn, EdgeGradientExplainer(), edges=None)(graph.x, graph.edge_index, index=1)
    assert "edge_mask" not in explanation
    assert explanation.node_mask.max() == 1


# Traces, and bad input ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("level", BOTH)
def test_nothing_is_left_behind(level, training, gcn, graph):
    gcn.train(training)
    explainer = explainer_for(gcn, EdgeGradientExplainer(level=level))
    before, state = state_of(gcn), torch.random.get_rng_state()
    first = explainer(graph.x, graph.edge_index, index=1)
    assert_same_state(before, state_of(gcn))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert gcn.training == training
    explainer_for(gcn, GNNExplainer(epochs=2))(graph.x, graph.edge_index, index=1)
    again = explainer(graph.x, graph.edge_index, index=1)
    assert torch.equal(first.edge_evidence, again.edge_evidence)
    assert torch.equal(first.node_evidence, again.node_evidence)


def test_nothing_is_left_behind_by_a_failure(gcn, graph):
    explainer = explainer_for(gcn.train(), EdgeGradientExplainer(level="layer"))
    before = state_of(gcn)
    with pytest.raises(InvalidGraphError, match="a target for each of 10 outputs, got 3"):
        explainer.algorithm(gcn, graph.x, graph.edge_index, target=torch.zeros(3), index=1)
    assert_same_state(before, state_of(gcn))
    assert gcn.training


@pytest.mark.parametrize("level", BOTH)
def test_nodes_and_graphs_without_edges(level, gcn, graph):
    explainer = explainer_for(gcn, EdgeGradientExplainer(level=level))
    assert not explainer(graph.x, graph.edge_index, index=9).edge_mask.any()
    empty = explainer(graph.x, graph.edge_index[:, :0], index=1)
    assert empty.edge_mask.shape == (0,)
    assert empty.node_mask.max() == 1
    assert not explainer(graph.x, graph.edge_index, index=torch.tensor([], dtype=torch.long)).edge_mask.any()


@pytest.mark.parametrize("level", BOTH)
def test_integer_features(level, graph):
    torch.manual_seed(0)
    x = torch.arange(10) % 7
    explanation = explainer_for(Embedded(), EdgeGradientExplainer(level=level), nodes=None)(
        x, graph.edge_index, index=1
    )
    assert explanation.edge_mask.max() == 1
    with pytest.raises(InvalidTypeError, match="floating-point"):
        explainer_for(Embedded(), EdgeGradientExplainer(level=level))(x, graph.edge_index, index=1)


class Adding(OwnLoops):
    def forward(self, x, edge_index):
        return self.propagate(torch.cat([edge_index, edge_index.flip(0)], dim=1), x=x)


def test_bad_input(gcn, graph):
    with pytest.raises(InvalidArgumentError, match="heuristic 'signed' or 'sign', got 'positive'"):
        EdgeGradientExplainer("positive")
    with pytest.raises(InvalidArgumentError, match="level 'input' or 'layer', got 'node'"):
        EdgeGradientExplainer(level="node")
    explainer = explainer_for(gcn, EdgeGradientExplainer())
    with pytest.raises(InvalidIndexError, match=r"in \[0, 9\], got 10"):
        explainer(graph.x, graph.edge_index, index=10)
    with pytest.raises(InvalidTypeError, match="heterogeneous"):
        explainer.algorithm(gcn, {"a": graph.x}, {}, target=torch.zeros(10))
    with pytest.raises(InvalidGraphError, match="node indices"):
        explainer.algorithm(gcn, graph.x[:5], graph.edge_index, target=torch.zeros(5))
    with pytest.raises(UnsupportedModelError, match="has none"):
        explainer.algorithm(nn.Linear(3, 3), graph.x, graph.edge_index, target=torch.zeros(10))
    with pytest.raises(UnsupportedModelError, match="other edges"):
        explainer_for(Adding(), EdgeGradientExplainer())(graph.x, graph.edge_index, index=1)
    for shape in ((graph.num_edges - 1,), (3, graph.num_edges), ()):
        with (
            pytest.raises(InvalidArgumentError, match="edge mask of shape"),
            edge_mask_applied(gcn, torch.ones(shape), graph.edge_index),
        ):
            pass
    assert issubclass(InvalidArgumentError, GragrError)


def test_input_gradients_are_the_layers_added_up(graph):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3).double().eval()
    x = graph.x.double()
    together, features = input_gradients(model, lambda output: output[1].sum(), x, graph.edge_index)
    each, same_features = layer_gradients(model, lambda output: output[1].sum(), x, graph.edge_index)
    torch.testing.assert_close(each.sum(0), together)
    torch.testing.assert_close(same_features, features)
