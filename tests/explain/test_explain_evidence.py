"""What the numbers of an explanation are: against finite differences, exact occlusion and autograd by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from gnns import BACKBONES, Net, OwnLoops, explainer_for
from torch import nn
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import APPNP, GCN, GATv2Conv, GCNConv, GraphConv, Linear
from torch_geometric.utils import add_self_loops, coalesce, k_hop_subgraph

from gragr_explain.explain import GradientContextExplainer, input_gradients
from gragr_explain.explain._masks import feature_evidence, support_mask


def by_finite_differences(model, x, edge_index, log_likelihood, step=1e-5):
    """Each edge's factor up and down by PyG's own masks."""
    model = copy.deepcopy(model).eval()
    found = torch.zeros(edge_index.size(1), dtype=x.dtype)
    for edge in range(edge_index.size(1)):
        values = []
        for factor in (1 + step, 1 - step):
            mask = torch.ones_like(found)
            mask[edge] = factor
            set_masks(model, mask, edge_index, apply_sigmoid=False)
            with torch.no_grad():
                values.append(log_likelihood(model(x, edge_index)))
            clear_masks(model)
        found[edge] = (values[0] - values[1]) / (2 * step)
    return found


@pytest.mark.parametrize("backbone", [*BACKBONES, "APPNP", "GATv2"])
def test_edge_evidence_is_the_derivative_of_the_log_likelihood(backbone, graph):
    torch.manual_seed(1)
    if backbone in BACKBONES:
        model = BACKBONES[backbone](3, 8, num_layers=3, out_channels=4)
    elif backbone == "GATv2":
        model = Wrapped(GATv2Conv(3, 4, heads=2, concat=False))
    else:
        model = Wrapped(nn.Sequential(Linear(3, 4)), APPNP(K=3, alpha=0.1))
    model, x = model.double(), graph.x.double()
    explanation = explainer_for(model)(x, graph.edge_index, index=4)
    label = int(explanation.target[4])
    expected = by_finite_differences(
        model, x, graph.edge_index, lambda output: output.log_softmax(-1)[4, label], step=1e-6
    )
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(explanation.edge_evidence, expected, rtol=1e-4, atol=1e-7)


class Wrapped(nn.Module):
    def __init__(self, *parts: nn.Module):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x, edge_index):
        for part in self.parts:
            x = part(x) if isinstance(part, nn.Sequential) else part(x, edge_index)
        return x


@pytest.mark.parametrize(
    ("mode", "returns", "likelihood"),
    [
        ("multiclass_classification", "raw", lambda out, y: out.log_softmax(-1)[1, y]),
        ("multiclass_classification", "log_probs", lambda out, y: out[1, y]),
        ("multiclass_classification", "probs", lambda out, y: out[1, y].log()),
        ("binary_classification", "raw", lambda out, y: (out.sigmoid() if y else 1 - out.sigmoid())[1, 0].log()),
        ("binary_classification", "probs", lambda out, y: (out if y else 1 - out)[1, 0].log()),
        ("regression", "raw", lambda out, y: out[1, 0].abs()),
    ],
)
def test_each_mode_explains_its_own_likelihood(mode, returns, likelihood, graph):
    torch.manual_seed(2)
    model, x = Net(mode, "node", returns).double(), graph.x.double()
    explanation = explainer_for(model, mode=mode, returns=returns)(x, graph.edge_index, index=1)
    label = None if mode == "regression" else int(explanation.target[1])
    inputs = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(model.eval()(inputs, graph.edge_index), label), inputs)
    torch.testing.assert_close(explanation.node_evidence, gradient * x)
    expected = by_finite_differences(model, x, graph.edge_index, lambda output: likelihood(output, label))
    torch.testing.assert_close(explanation.edge_evidence, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("mode", "returns", "target", "likelihood"),
    [
        ("multiclass_classification", "raw", torch.arange(10) % 4, lambda out: out.log_softmax(-1)[1, 1]),
        ("binary_classification", "raw", torch.arange(10) % 2, lambda out: out[1, 0].sigmoid().log()),
        ("regression", "raw", torch.arange(10.0).double(), lambda out: -((out[1, 0] - 1) ** 2) / 2),
    ],
)
def test_a_phenomenon_explains_its_target(mode, returns, target, likelihood, graph):
    torch.manual_seed(2)
    model, x = Net(mode, "node", returns).double(), graph.x.double()
    explainer = explainer_for(model, mode=mode, returns=returns, kind="phenomenon")
    explanation = explainer(x, graph.edge_index, target=target, index=1)
    inputs = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(model.eval()(inputs, graph.edge_index)), inputs)
    torch.testing.assert_close(explanation.node_evidence, gradient * x)


def occlusion(model, x, edge_index) -> torch.Tensor:
    whole = model(x, edge_index)[1].abs().sum()
    kept = torch.ones(edge_index.size(1), dtype=torch.bool)
    losses = []
    for edge in range(edge_index.size(1)):
        kept[edge] = False
        losses.append(whole - model(x, edge_index[:, kept])[1].abs().sum())
        kept[edge] = True
    return torch.stack(losses).detach()


@pytest.mark.parametrize("layer", ["GraphConv", "own loops"])
@pytest.mark.parametrize("loops", ["none", "last", "sorted", "some"])
def test_a_linear_models_evidence_is_exact_occlusion(layer, loops, graph):
    """Also where a layer puts its own self-loops after all edges, and the graph has its among them."""
    torch.manual_seed(3)
    model = Wrapped(GraphConv(3, 1) if layer == "GraphConv" else OwnLoops(), nn.Sequential(Linear(-1, 1))).double()
    x = graph.x.double().abs()
    for parameter in model.parameters():
        if not isinstance(parameter, nn.UninitializedParameter):
            parameter.data.abs_()
    edge_index = graph.edge_index
    if loops in ("last", "sorted"):
        edge_index = add_self_loops(edge_index, num_nodes=10)[0]
    if loops == "some":
        edge_index = torch.cat([torch.tensor([[1, 1], [1, 1]]), edge_index, torch.tensor([[4], [4]])], dim=1)
    if loops == "sorted":
        edge_index = coalesce(edge_index)
    model(x, edge_index)
    for parameter in model.parameters():
        parameter.data.abs_()
    explanation = explainer_for(model, mode="regression")(x, edge_index, index=1)
    expected = occlusion(model, x, edge_index)
    if layer == "own loops" and loops == "last":  # the layer's loops then cannot be told from the graph's
        expected = torch.where(edge_index[0] == edge_index[1], explanation.edge_evidence, expected)
    assert expected.max() > 0.1
    torch.testing.assert_close(explanation.edge_evidence, expected)


def test_sorted_self_loops_do_not_shift_the_mask(graph):
    """GCN moves self-loops to the end; nothing outside the computation graph may get evidence by that."""
    torch.manual_seed(0)
    edge_index = coalesce(add_self_loops(graph.edge_index, num_nodes=10)[0])
    explanation = explainer_for(GCN(3, 8, num_layers=2, out_channels=3))(graph.x, edge_index, index=7)
    inside = k_hop_subgraph(7, 2, edge_index, num_nodes=10)[3]
    assert explanation.edge_evidence[inside].any()
    assert not explanation.edge_evidence[~inside].any()
    assert not explanation.edge_evidence[edge_index[0] == edge_index[1]].any()


def test_order_of_edges_does_not_matter(graph):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3).double()
    edge_index = add_self_loops(graph.edge_index, num_nodes=10)[0]
    order = torch.randperm(edge_index.size(1))
    explainer, x = explainer_for(model), graph.x.double()
    first = explainer(x, edge_index, index=1).edge_evidence
    second = explainer(x, edge_index[:, order], index=1).edge_evidence
    torch.testing.assert_close(first[order], second)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_masks_are_the_positive_evidence_on_a_scale_of_one(backbone, graph):
    torch.manual_seed(4)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=3)
    explanation = explainer_for(model, GradientContextExplainer(search_edges=0))(graph.x, graph.edge_index, index=1)
    for mask, evidence in (
        (explanation.edge_mask, explanation.edge_evidence),
        (explanation.node_mask, explanation.node_evidence),
    ):
        torch.testing.assert_close(mask, evidence.clamp(min=0) / evidence.max())
        assert mask.max() == 1


def test_feature_masks_of_every_type(gcn, graph):
    found = {
        nodes: explainer_for(gcn, nodes=nodes)(graph.x, graph.edge_index, index=1).node_evidence
        for nodes in ("attributes", "object", "common_attributes")
    }
    torch.testing.assert_close(found["object"], found["attributes"].sum(1, keepdim=True))
    torch.testing.assert_close(found["common_attributes"], found["attributes"].sum(0, keepdim=True))


def test_feature_evidence_and_support_by_hand():
    evidence = torch.tensor([[1.0, -2.0], [0.5, 0.0]]) * torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    from torch_geometric.explain.config import MaskType

    assert feature_evidence(evidence, MaskType.attributes).tolist() == [[3, -2], [1, 0]]
    assert feature_evidence(evidence, MaskType.object).tolist() == [[1], [1]]
    assert feature_evidence(evidence, MaskType.common_attributes).tolist() == [[4, -2]]
    assert support_mask(torch.tensor([-1.0, -2.0])).tolist() == [0, 0]
    assert support_mask(torch.tensor([])).shape == (0,)
    assert support_mask(torch.tensor([torch.nan, 2.0, torch.inf, 1.0])).tolist() == [0, 1, 0, 0.5]
    assert support_mask(torch.tensor([4.0, 1.0, -4.0])).tolist() == [1, 0.25, 0]


def test_input_gradients_of_a_constant_are_zero(gcn, graph):
    edges, features = input_gradients(gcn, lambda output: torch.ones(()), graph.x, graph.edge_index)
    assert not edges.any()
    assert not features.any()
    assert features.shape == graph.x.shape


def test_a_masked_layer_can_be_left_out(graph):
    torch.manual_seed(0)
    model = Wrapped(GCNConv(3, 8), GCNConv(8, 3))
    everything = explainer_for(model)(graph.x, graph.edge_index, index=1).edge_evidence
    model.parts[0].explain = False
    last_only = explainer_for(model)(graph.x, graph.edge_index, index=1).edge_evidence
    assert everything[graph.edge_index[1] != 1].any()
    assert not last_only[graph.edge_index[1] != 1].any()
    assert last_only[graph.edge_index[1] == 1].any()


def test_confident_models_keep_their_evidence(graph):
    """Probabilities saturate in float32, their logarithms do not."""
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3)
    with torch.no_grad():
        model.convs[-1].lin.weight *= 300
    explanation = explainer_for(model)(graph.x, graph.edge_index, index=torch.arange(9))
    probability = model.eval()(graph.x, graph.edge_index).softmax(-1).amax(-1)
    sure = int((probability[:9] > 0.999).nonzero()[0])
    explanation = explainer_for(model)(graph.x, graph.edge_index, index=sure)
    assert explanation.edge_evidence.isfinite().all()
