"""``EdgeGradientAttribution``: what ``EdgeGradientExplainer`` finds, as a method of Captum."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from gnns import BACKBONES, Embedded, Net, assert_same_state, explainer_for, state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import CaptumExplainer, GNNExplainer
from torch_geometric.explain.algorithm.captum import CaptumModel
from torch_geometric.explain.config import ModelConfig
from torch_geometric.nn import GCN, GraphConv, to_captum_input, to_captum_model
from torch_geometric.utils import add_self_loops, coalesce

from gragr_explain import EdgeGradientAttribution, EdgeGradientExplainer
from gragr_explain.errors import (
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.messages import edge_mask_applied

captum_attr = pytest.importorskip("captum.attr")
captum_metrics = pytest.importorskip("captum.metrics")
pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor|Setting forward")

KINDS = ["edge", "node", "node_and_edge"]


def attributions(model, graph, kind, target, index=1, *more, **settings):
    """Attributions, with those of edges last, without Captum's first dimension."""
    method = EdgeGradientAttribution(to_captum_model(model, kind, index), **settings)
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, kind, *more)
    found = method.attribute(inputs, target=target, additional_forward_args=arguments)
    assert isinstance(found, tuple)
    assert [f.shape for f in found] == [i.shape for i in inputs]
    return [f[0] for f in found]


def expected_of(model, graph, index=1, **settings):
    return explainer_for(model, EdgeGradientExplainer(), **settings)(graph.x, graph.edge_index, index=index)


# The same evidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_the_evidence_of_the_explainer(backbone, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=4).eval()
    explanation = expected_of(model, graph)
    target = int(explanation.target[1])
    assert explanation.edge_evidence.abs().max() > 1e-3
    close = {"rtol": 1e-5, "atol": 1e-6}
    (edges,) = attributions(model, graph, "edge", target)
    torch.testing.assert_close(edges, explanation.edge_evidence, **close)
    (features,) = attributions(model, graph, "node", target)
    torch.testing.assert_close(features, explanation.node_evidence, **close)
    features, edges = attributions(model, graph, "node_and_edge", target)
    torch.testing.assert_close(edges, explanation.edge_evidence, **close)
    torch.testing.assert_close(features, explanation.node_evidence, **close)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), num_edges=st.integers(0, 30), index=st.integers(0, 6))
def test_the_evidence_of_the_explainer_on_any_graph(seed, num_edges, index):
    torch.manual_seed(seed)
    graph = Data(x=torch.randn(7, 3), edge_index=torch.randint(7, (2, num_edges)))
    model = GCN(3, 8, num_layers=2, out_channels=4).eval()
    explanation = expected_of(model, graph, index)
    features, edges = attributions(model, graph, "node_and_edge", int(explanation.target[index]), index)
    torch.testing.assert_close(edges, explanation.edge_evidence, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features, explanation.node_evidence, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("returns", ["raw", "log_probs", "probs"])
def test_return_types(returns, graph):
    torch.manual_seed(2)
    model = Net("multiclass_classification", "node", returns).eval()
    explanation = expected_of(model, graph, returns=returns)
    (edges,) = attributions(model, graph, "edge", int(explanation.target[1]), return_type=returns)
    torch.testing.assert_close(edges, explanation.edge_evidence, rtol=1e-5, atol=1e-6)


def test_one_number_needs_no_target(graph):
    torch.manual_seed(2)
    model = Net("regression", "node", "raw").eval()
    explanation = expected_of(model, graph, mode="regression")
    for target in (None, 0):
        (edges,) = attributions(model, graph, "edge", target)
        torch.testing.assert_close(edges, explanation.edge_evidence, rtol=1e-5, atol=1e-6)
    binary = Net("binary_classification", "node", "raw").eval()
    explanation = expected_of(binary, graph, mode="binary_classification")
    (edges,) = attributions(binary, graph, "edge", None)
    torch.testing.assert_close(edges / edges.norm(), explanation.edge_evidence / explanation.edge_evidence.norm())


def test_several_numbers_of_a_regression(graph):
    torch.manual_seed(2)
    model = GCN(3, 8, num_layers=2, out_channels=3).eval()
    config = ModelConfig("regression", "node", "raw")
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, "edge")

    def found(target, index=1):
        method = EdgeGradientAttribution(CaptumModel(model, "edge", index, config))
        return method.attribute(inputs, target=target, additional_forward_args=arguments)[0]

    mask = torch.ones(graph.num_edges, requires_grad=True)
    with edge_mask_applied(model, mask, graph.edge_index):
        output = model(graph.x, graph.edge_index)
    of_each = [torch.autograd.grad(output[1, k].abs(), mask, retain_graph=True)[0] for k in range(3)]
    for k in range(3):
        torch.testing.assert_close(found(k)[0], of_each[k])
        torch.testing.assert_close(found(torch.tensor([k]))[0], of_each[k])
    torch.testing.assert_close(found(None)[0], sum(of_each))
    torch.testing.assert_close(found(None)[0], expected_of(model, graph, mode="regression").edge_evidence)
    torch.testing.assert_close(found([0, 2], torch.tensor([1, 1]))[0], of_each[0] + of_each[2])
    with pytest.raises(InvalidGraphError, match="for each of 3 outputs, got 2"):
        found([0, 1], torch.tensor([1, 2, 3]))


def test_graphs_of_a_batch(graph):
    torch.manual_seed(2)
    model, batch = Net("multiclass_classification", "graph", "raw").eval(), torch.tensor([0] * 6 + [1] * 3 + [2])
    explainer = explainer_for(model, EdgeGradientExplainer(), level="graph")
    explanation = explainer(graph.x, graph.edge_index, index=1, batch=batch)
    (edges,) = attributions(model, graph, "edge", int(explanation.target[1]), 1, None, batch)
    torch.testing.assert_close(edges, explanation.edge_evidence, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "target",
    [2, torch.tensor(2), torch.tensor([2]), [2], (2,), torch.tensor([2], dtype=torch.int32)],
    ids=["int", "0-d", "1-d", "list", "tuple", "int32"],
)
def test_forms_of_the_same_target(target, gcn, graph):
    gcn.eval()
    (expected,) = attributions(gcn, graph, "edge", 2)
    (found,) = attributions(gcn, graph, "edge", target)
    assert torch.equal(found, expected)


def test_several_outputs_add_up(gcn, graph):
    gcn.eval()
    each = [attributions(gcn, graph, "edge", target, node)[0] for node, target in ((1, 0), (7, 2))]
    for target in ([0, 2], torch.tensor([0, 2])):
        (both,) = attributions(gcn, graph, "edge", target, torch.tensor([1, 7]))
        torch.testing.assert_close(both, each[0] + each[1])
    (same,) = attributions(gcn, graph, "edge", 0, torch.tensor([1, 7]))
    torch.testing.assert_close(same, each[0] + attributions(gcn, graph, "edge", 0, 7)[0])
    (every,) = attributions(gcn, graph, "edge", torch.arange(10) % 3, None)
    torch.testing.assert_close(every, sum(attributions(gcn, graph, "edge", v % 3, v)[0] for v in range(10)))


def test_edge_masks_are_taken_where_they_are(gcn, graph):
    gcn.eval()
    method = EdgeGradientAttribution(to_captum_model(gcn, "edge", 1))
    mask = torch.rand(1, graph.num_edges)
    found = method.attribute(mask, target=0, additional_forward_args=(graph.x, graph.edge_index))
    assert isinstance(found, torch.Tensor)
    step, expected = 1e-2, torch.zeros(graph.num_edges)
    slow = to_captum_model(gcn.double(), "edge", 1)
    for edge in range(graph.num_edges):
        up, down = mask.double().clone(), mask.double().clone()
        up[0, edge] += step
        down[0, edge] -= step
        values = [slow(m, graph.x.double(), graph.edge_index).log_softmax(-1)[0, 0] for m in (up, down)]
        expected[edge] = (values[0] - values[1]) / (2 * step)
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-4)


# Functions of one's own ---------------------------------------------------------------------------------------------


def test_a_function_of_ones_own(gcn, graph):
    gcn.eval()
    model = to_captum_model(gcn, "node_and_edge", 1)

    def log_probabilities(x, mask, edge_index):
        return model(x, mask, edge_index).log_softmax(-1)

    inputs, arguments = to_captum_input(graph.x, graph.edge_index, "node_and_edge")
    method = EdgeGradientAttribution(log_probabilities, mask_type="node_and_edge", return_type="log_probs")
    found = method.attribute(inputs, target=0, additional_forward_args=arguments)
    for one, other in zip(found, attributions(gcn, graph, "node_and_edge", 0), strict=True):
        torch.testing.assert_close(one[0], other)
    with pytest.raises(InvalidArgumentError, match="mask_type 'edge', 'node' or 'node_and_edge', got None"):
        EdgeGradientAttribution(log_probabilities)


def test_several_examples_of_a_function_of_ones_own():
    torch.manual_seed(0)
    weights = torch.randn(5, 3)
    for kind, factor in (("edge", lambda x: 1), ("node", lambda x: x)):
        method = EdgeGradientAttribution(lambda x: (x @ weights).tanh(), mask_type=kind)
        x = torch.randn(4, 5)
        together = method.attribute(x, target=[0, 2, 1, 1])
        for example, target in zip(range(4), [0, 2, 1, 1], strict=True):
            one = x[example : example + 1].clone().requires_grad_()
            (gradient,) = torch.autograd.grad((one @ weights).tanh().log_softmax(-1)[0, target], one)
            torch.testing.assert_close(together[example], (gradient * factor(one)).detach()[0])


# Under Captum's own ------------------------------------------------------------------------------------------------


def test_it_is_a_method_of_captum(gcn):
    method = EdgeGradientAttribution(to_captum_model(gcn, "edge", 1))
    assert isinstance(method, captum_attr.Attribution)
    assert method.get_name() == "Edge Gradient Attribution"
    assert not method.has_convergence_delta()
    multiplies = [EdgeGradientAttribution(to_captum_model(gcn, kind, 1)).multiplies_by_inputs for kind in KINDS]
    assert multiplies == [False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_infidelity(kind, gcn, graph):
    gcn.eval()
    model = to_captum_model(gcn, kind, 1)

    def log_probabilities(*given):
        return model(*given).log_softmax(-1)

    method = EdgeGradientAttribution(model)
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, kind)
    found = method.attribute(inputs, target=0, additional_forward_args=arguments)

    @captum_metrics.infidelity_perturb_func_decorator(multiply_by_inputs=method.multiplies_by_inputs)
    def perturb(given):
        given = given if isinstance(given, tuple) else (given,)
        return tuple(x - 0.01 * torch.randn_like(x) for x in given)

    def infidelity(given):
        torch.manual_seed(0)
        return captum_metrics.infidelity(
            log_probabilities,
            perturb,
            inputs,
            given,
            additional_forward_args=arguments,
            target=0,
            n_perturb_samples=20,
            max_examples_per_batch=1,
        )

    nothing = infidelity(tuple(torch.zeros_like(f) for f in found))
    assert nothing > 0
    assert infidelity(found) < 0.01 * nothing


class Sum(nn.Module):
    """A model that is linear in masks and in features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GraphConv(3, 1)

    def forward(self, x, edge_index):
        return 10 + self.conv(x, edge_index)


def test_sensitivity(gcn, graph):
    def sensitivity(model, target):
        method = EdgeGradientAttribution(to_captum_model(model.eval(), "edge", 1))
        inputs, arguments = to_captum_input(graph.x, graph.edge_index, "edge")
        return captum_metrics.sensitivity_max(
            method.attribute,
            inputs,
            target=target,
            additional_forward_args=arguments,
            max_examples_per_batch=1,
        )

    torch.manual_seed(0)
    assert sensitivity(Sum(), None) < 1e-6
    assert 1e-5 < sensitivity(gcn, 0) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_noise_tunnel(kind, gcn, graph):
    torch.manual_seed(0)
    tunnel = captum_attr.NoiseTunnel(EdgeGradientAttribution(to_captum_model(gcn.eval(), kind, 1)))
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, kind)
    given = {"target": 0, "additional_forward_args": arguments, "nt_samples": 20, "stdevs": 1e-3}
    smooth = tunnel.attribute(inputs, nt_samples_batch_size=1, **given)
    for found, exact in zip(smooth, attributions(gcn, graph, kind, 0), strict=True):
        assert not torch.equal(found[0], exact)
        torch.testing.assert_close(found[0], exact, rtol=0.05, atol=1e-3)
    with pytest.raises(InvalidGraphError, match="nt_samples_batch_size=1"):
        tunnel.attribute(inputs, **given)


@pytest.mark.parametrize(("nodes", "edges"), [("attributes", None), (None, "object"), ("attributes", "object")])
@pytest.mark.parametrize(
    ("mode", "returns"),
    [
        ("multiclass_classification", "raw"),
        ("multiclass_classification", "probs"),
        ("binary_classification", "probs"),
        ("regression", "raw"),
    ],
)
def test_through_the_captum_explainer_of_pyg(mode, returns, nodes, edges, graph):
    torch.manual_seed(2)
    model = Net(mode, "node", returns).eval()

    class WithEdgeGradients(CaptumExplainer):
        SUPPORTED_METHODS = [*CaptumExplainer.SUPPORTED_METHODS, "EdgeGradientAttribution"]  # noqa: RUF012

    algorithm = WithEdgeGradients(EdgeGradientAttribution)
    chosen = {"mode": mode, "returns": returns, "nodes": nodes, "edges": edges}
    found = explainer_for(model, algorithm, **chosen)(graph.x, graph.edge_index, index=1)
    expected = expected_of(model, graph, **chosen)
    if edges is not None:
        torch.testing.assert_close(found.edge_mask, expected.edge_evidence, rtol=1e-5, atol=1e-6)
    if nodes is not None:
        torch.testing.assert_close(found.node_mask, expected.node_evidence, rtol=1e-5, atol=1e-6)


def test_the_captum_explainer_of_pyg_knows_only_its_own():
    with pytest.raises(ValueError, match="does not support attribution method EdgeGradientAttribution"):
        CaptumExplainer(EdgeGradientAttribution)


# Where PyG's masks go wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["GCN", "GAT"])
def test_self_loops(backbone, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=4).eval()
    looped = Data(x=graph.x, edge_index=coalesce(add_self_loops(graph.edge_index, num_nodes=10)[0]))
    explanation = expected_of(model, looped)
    target = int(explanation.target[1])
    (edges,) = attributions(model, looped, "edge", target)
    torch.testing.assert_close(edges, explanation.edge_evidence, rtol=1e-5, atol=1e-6)
    links = looped.edge_index[0] != looped.edge_index[1]
    (without,) = attributions(model, Data(x=graph.x, edge_index=looped.edge_index[:, links]), "edge", target)
    torch.testing.assert_close(edges[links], without, rtol=1e-5, atol=1e-6)
    inputs, arguments = to_captum_input(looped.x, looped.edge_index, "edge")
    pyg = to_captum_model(model, "edge", 1)
    saliency = captum_attr.Saliency(lambda *given: pyg(*given).log_softmax(-1)).attribute(
        inputs, target=target, abs=False, additional_forward_args=arguments
    )
    assert not torch.allclose(saliency[0][0], edges, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_after_gnnexplainer(backbone, kind, graph):
    torch.manual_seed(1)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=4).eval()
    clean = attributions(model, graph, kind, 0)
    explainer_for(model, GNNExplainer(epochs=2))(graph.x, graph.edge_index, index=1)
    assert any(name.endswith("_edge_mask") for module in model.modules() for name in module._parameters)
    before = state_of(model)
    for found, expected in zip(attributions(model, graph, kind, 0), clean, strict=True):
        assert torch.equal(found, expected)
        assert expected.any()
    assert_same_state(before, state_of(model))


# Traces, and bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wants_gradient", [True, False])
def test_nothing_is_left_behind(kind, wants_gradient, gcn, graph):
    gcn.eval()
    before, state = state_of(gcn), torch.random.get_rng_state()
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, kind)
    inputs = tuple(i.detach().clone().requires_grad_(wants_gradient) for i in inputs)
    for tensor in inputs:
        tensor.grad = torch.ones_like(tensor) if wants_gradient else None
    method = EdgeGradientAttribution(to_captum_model(gcn, kind, 1))
    first = method.attribute(inputs, target=0, additional_forward_args=arguments)
    with torch.no_grad():
        again = method.attribute(inputs, target=0, additional_forward_args=arguments)
    assert_same_state(before, state_of(gcn))
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other, tensor in zip(first, again, inputs, strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad
        assert tensor.requires_grad == wants_gradient
        assert tensor.grad is None if not wants_gradient else torch.equal(tensor.grad, torch.ones_like(tensor))


def test_frozen_models(gcn, graph):
    (expected,) = attributions(gcn.eval(), graph, "edge", 0)
    (found,) = attributions(gcn.requires_grad_(False), graph, "edge", 0)
    assert torch.equal(found, expected)


class Deaf(nn.Module):
    """Has layers that pass messages, and does not listen to them; perhaps not even to features."""

    def __init__(self, listens_to_features: bool) -> None:
        super().__init__()
        self.gnn, self.head = GCN(3, 8, num_layers=2, out_channels=3), nn.Linear(3, 3)
        self.listens_to_features = listens_to_features

    def forward(self, x, edge_index):
        self.gnn(x, edge_index)
        return self.head(x) if self.listens_to_features else self.head.bias.expand(x.size(0), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_ignore_the_graph(kind, graph):
    torch.manual_seed(0)
    for found in attributions(Deaf(False), graph, kind, 0):
        assert not found.any()
    *features, last = attributions(Deaf(True), graph, kind, 0)
    assert last.any() == (kind == "node")
    assert all(found[1].any() for found in features)


def test_models_without_messages(graph):
    class Alone(nn.Linear):
        def forward(self, x, edge_index):
            return super().forward(x)

    assert attributions(Alone(3, 3), graph, "node", 0)[0][1].any()
    with pytest.raises(UnsupportedModelError, match="has none"):
        attributions(Alone(3, 3), graph, "edge", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_and_nodes_without_edges(kind, gcn, graph):
    gcn.eval()
    bare = Data(x=graph.x, edge_index=graph.edge_index[:, :0])
    found = attributions(gcn, bare, kind, 0)
    assert kind == "edge" or found[0][1].any()
    assert kind == "node" or found[-1].shape == (0,)
    isolated = attributions(gcn, graph, kind, 0, 9)
    assert kind == "node" or not isolated[-1].any()


def test_integer_features(graph):
    torch.manual_seed(0)
    model, numbers = Embedded().eval(), Data(x=torch.arange(10) % 7, edge_index=graph.edge_index)
    assert attributions(model, numbers, "edge", 0)[0].any()
    with pytest.raises(InvalidTypeError, match=r"floating-point numbers, got torch.int64"):
        attributions(model, numbers, "node", 0)


@pytest.mark.parametrize("target", [3, -1, [5], torch.tensor([7])])
def test_targets_out_of_range(target, gcn, graph):
    with pytest.raises(InvalidIndexError, match=r"in \[0, 2\], got"):
        attributions(gcn, graph, "edge", target)


def test_bad_targets(gcn, graph):
    with pytest.raises(InvalidArgumentError, match=r"a target for outputs of shape \[1, 3\], got None"):
        attributions(gcn, graph, "edge", None)
    with pytest.raises(InvalidGraphError, match="a target class for each of 1 outputs, got 2"):
        attributions(gcn, graph, "edge", [0, 1])
    for target in (1.5, True, [False, True, False], torch.tensor([True, False, False])):
        with pytest.raises(InvalidTypeError, match="integer"):
            attributions(gcn, graph, "edge", target)
    with pytest.raises(InvalidIndexError, match=r"in \[0, 0\], got 1"):
        attributions(Sum(), graph, "edge", 1)


class Sure(GCN):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index).softmax(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_do_not_return_what_they_are_said_to(kind, gcn, graph):
    torch.manual_seed(0)
    sure = Sure(3, 8, num_layers=2, out_channels=3).eval()
    with pytest.raises(UnsupportedModelError, match=r"returns 'raw'.* got probabilities"):
        attributions(sure, graph, kind, 0)
    assert attributions(sure, graph, kind, 0, return_type="probs")[0].any()
    assert attributions(sure, graph, kind, 0, return_type="raw")[0].any()  # as it is said
    inputs, arguments = to_captum_input(graph.x, graph.edge_index, kind)
    for returns in ("probs", "log_probs"):
        said = CaptumModel(gcn.eval(), kind, 1, ModelConfig("multiclass_classification", "node", returns))
        with pytest.raises(UnsupportedModelError, match=f"returns '{returns}'"):
            EdgeGradientAttribution(said).attribute(inputs, target=0, additional_forward_args=arguments)


class Untracked(GCN):
    """Keeps no gradients."""

    @torch.no_grad()
    def forward(self, x, edge_index):
        return super().forward(x, edge_index)


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_nothing_is_said(kind, graph):
    torch.manual_seed(0)
    model = Untracked(3, 8, num_layers=2, out_channels=3).eval()
    with pytest.raises(UnsupportedModelError, match=r"with gradients.* under torch.no_grad"):
        attributions(model, graph, kind, 0)
    with pytest.raises(UnsupportedModelError, match=r"with gradients.* under torch.no_grad"):
        expected_of(model, graph)


def test_inference_mode(gcn, graph):
    with torch.inference_mode():
        with pytest.raises(InvalidArgumentError, match=r"outside of torch.inference_mode\(\)"):
            attributions(gcn, graph, "edge", 0)
        with pytest.raises(InvalidArgumentError, match=r"outside of torch.inference_mode\(\)"):
            EdgeGradientAttribution(lambda mask: mask, mask_type="edge").attribute(torch.ones(1, 3), target=0)


def test_wrong_shapes(gcn, graph):
    method, ones = EdgeGradientAttribution(to_captum_model(gcn, "edge", 1)), torch.ones(1, graph.num_edges)
    both = (graph.x, graph.edge_index)
    with pytest.raises(InvalidGraphError, match=r"edge mask of shape \[1, 19\], got \[1, 18\]"):
        method.attribute(ones[:, 1:], target=0, additional_forward_args=both)
    with pytest.raises(InvalidGraphError, match=r"one example, of shape \[1, ...\], got \[\[19\]\]"):
        method.attribute(ones[0], target=0, additional_forward_args=both)
    with pytest.raises(InvalidArgumentError, match="features and edge_index as additional_forward_args, got 1 and 1"):
        method.attribute(ones, target=0, additional_forward_args=graph.x)
    with pytest.raises(InvalidArgumentError, match=r"an edge mask as inputs .*got 2 and 2"):
        method.attribute((graph.x.unsqueeze(0), ones), target=0, additional_forward_args=both)
    with pytest.raises(InvalidTypeError, match="inputs of floating-point numbers, got list"):
        method.attribute([ones], target=0, additional_forward_args=both)
    with pytest.raises(InvalidGraphError, match="node indices"):
        method.attribute(ones, target=0, additional_forward_args=(graph.x[:5], graph.edge_index))
    features = EdgeGradientAttribution(to_captum_model(gcn, "node", 1))
    with pytest.raises(InvalidGraphError, match="one example"):
        features.attribute(graph.x, target=0, additional_forward_args=graph.edge_index)
    damaged = graph.x.clone().unsqueeze(0)
    damaged[0, 3] = torch.nan
    with pytest.raises(InvalidGraphError, match="finite node features"):
        features.attribute(damaged, target=0, additional_forward_args=graph.edge_index)


def test_bad_settings(gcn):
    model = to_captum_model(gcn, "edge", 1)
    with pytest.raises(InvalidTypeError, match="a forward function, got str"):
        EdgeGradientAttribution("GCN")
    with pytest.raises(InvalidArgumentError, match="mask_type 'edge', 'node' or 'node_and_edge', got 'edges'"):
        EdgeGradientAttribution(model, mask_type="edges")
    with pytest.raises(InvalidArgumentError, match="mask_type 'edge', which is the model's, got 'node'"):
        EdgeGradientAttribution(model, mask_type="node")
    with pytest.raises(InvalidArgumentError, match="return_type 'raw', 'log_probs' or 'probs', got 'logits'"):
        EdgeGradientAttribution(model, return_type="logits")
    heterogeneous = to_captum_model(gcn, "edge", 1, metadata=(["a"], [("a", "to", "a")]))
    with pytest.raises(InvalidTypeError, match="homogeneous graph"):
        EdgeGradientAttribution(heterogeneous)


def test_without_captum():
    """Captum is imported for those who ask for it; where it is missing, they are told what to install."""
    script = """
import sys
import gragr_explain.explain
print("captum" in sys.modules)
sys.modules["captum"] = sys.modules["captum.attr"] = None
from gragr_explain import *
from gragr_explain.explain import *
try:
    EdgeGradientAttribution(lambda mask: mask)
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("False\n")
    assert "pip install 'gragr-explain[captum]'" in said.stdout
