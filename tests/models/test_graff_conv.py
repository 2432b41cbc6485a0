"""The layer against the equation, in dense matrices, and against PyG's own layers where they share a convention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from graph_cases import Case, cases
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.models import MIXINGS, ChannelMixing, GRAFFConv

DOUBLE = (torch.float64,)


def dense_step(case: Case, conv: GRAFFConv, x: Tensor, x_0: Tensor) -> Tensor:
    """The slides' equation; as in PyG, degrees are those of incoming edges and edges listed twice count twice."""
    weights = [1.0] * len(case.edges) if case.weight is None else case.weight.tolist()
    adjacency = np.zeros((case.num_nodes, case.num_nodes))
    for (source, target), weight in zip(case.edges, weights, strict=True):
        adjacency[target, source] += weight
    degree = adjacency.sum(1)
    root = np.diag([1 / math.sqrt(value) if value > 0 else 0.0 for value in degree])
    normalized = torch.from_numpy(root @ adjacency @ root)
    direction = -x @ conv.mixing.external().diag() + normalized @ x @ conv.mixing() + conv.beta * x_0
    return x + conv.step_size * (direction if conv.act is None else conv.act(direction))


def conv_of(w: str | Tensor, channels: int, seed: int, **more: object) -> GRAFFConv:
    """With all parameters drawn, also those that start at zero."""
    torch.manual_seed(seed)
    conv = GRAFFConv(channels, w, directed=True, **more).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.normal_()
    return conv


@given(cases(dtypes=DOUBLE), st.sampled_from(MIXINGS), st.sampled_from([None, "tanh"]), st.integers(0, 99))
def test_a_step_is_that_of_the_equation(case: Case, w: str, act: str | None, seed: int) -> None:
    conv = conv_of(w, case.field.size(1), seed, step_size=0.25, beta=0.5, act=act)
    x_0 = torch.randn(case.field.shape, dtype=torch.float64)
    found = conv(case.field, x_0, case.edge_index, case.weight)
    torch.testing.assert_close(found, dense_step(case, conv, case.field, x_0))


@pytest.mark.parametrize("w", MIXINGS)
def test_channel_mixings_are_symmetric_with_the_spectrum_that_they_promise(w):
    torch.manual_seed(0)
    mixing = ChannelMixing(12, w)
    for _ in range(3):
        for parameter in mixing.parameters():
            torch.nn.init.normal_(parameter)
        matrix = mixing()
        torch.testing.assert_close(matrix, matrix.t())
        low, high = torch.linalg.eigvalsh(matrix)[[0, -1]].tolist()
        if w == "prod":
            assert low > -1e-4
        elif w == "neg-prod":
            assert high < 1e-4
        else:
            assert low < 0 < high


def test_the_diagonally_dominant_mixing_is_that_of_the_slides():
    mixing = ChannelMixing(5, "diagonally-dominant")
    for parameter in mixing.parameters():
        torch.nn.init.normal_(parameter)
    matrix = mixing()
    outside = matrix - matrix.diag().diag()
    torch.testing.assert_close(matrix.diag(), mixing.q * outside.abs().sum(1) + mixing.r)
    with torch.no_grad():
        mixing.q.fill_(1.5)
        mixing.r.zero_()
    assert torch.linalg.eigvalsh(mixing())[0] > 0  # Gershgorin
    with torch.no_grad():
        mixing.q.neg_()
    assert torch.linalg.eigvalsh(mixing())[-1] < 0


@pytest.mark.parametrize("w", MIXINGS)
def test_a_new_mixing_is_of_unit_size(w):
    torch.manual_seed(0)
    size = torch.linalg.eigvalsh(ChannelMixing(256, w)()).abs().max()
    assert 0.8 < size < 1.2


def heated(conv: GRAFFConv, share: float) -> GRAFFConv:
    """The same layer with a share of heat flow."""
    mixing = ChannelMixing(conv.channels, conv.mixing.kind, share).double()
    mixing.load_state_dict(conv.mixing.state_dict())
    return GRAFFConv(conv.channels, mixing, conv.step_size, conv.beta, directed=True)


@given(cases(dtypes=DOUBLE), st.sampled_from(MIXINGS), st.floats(0, 0.99), st.integers(0, 99))
def test_a_share_of_heat_flow_is_mixed_into_the_step(case: Case, w: str, share: float, seed: int) -> None:
    learned = conv_of(w, case.field.size(1), seed, step_size=0.25, beta=0.5)
    heat = GRAFFConv(learned.channels, torch.eye(learned.channels).double(), 0.25, 0.5).double()
    torch.nn.init.ones_(heat.mixing.omega)
    x_0 = torch.randn(case.field.shape, dtype=torch.float64)
    inputs = (case.field, x_0, case.edge_index, case.weight)
    expected = share * dense_step(case, heat, *inputs[:2]) + (1 - share) * dense_step(case, learned, *inputs[:2])
    torch.testing.assert_close(heated(learned, share)(*inputs), expected)


@given(cases(dtypes=DOUBLE), st.sampled_from(MIXINGS), st.floats(0, 0.99), st.integers(0, 99))
def test_a_share_of_the_energy_of_heat_flow_is_mixed_into_the_energy(
    case: Case, w: str, share: float, seed: int
) -> None:
    graph = case.graph.undirected
    inputs = (case.field, case.field, torch.stack([graph.col, graph.row]), graph.weight.double())
    learned = conv_of(w, case.field.size(1), seed)
    step = GRAFFConv(learned.channels, torch.eye(learned.channels).double()).double()(*inputs) - case.field
    dirichlet = torch.sum(case.field * (case.field - step)) / 2
    expected = share * dirichlet + (1 - share) * learned.energy(*inputs)
    torch.testing.assert_close(heated(learned, share).energy(*inputs), expected)


@pytest.mark.parametrize("w", MIXINGS)
def test_without_parameters_a_share_of_heat_flow_is_left(w, graph):
    """What weight decay draws to: without it the identity, with it a step of heat flow."""
    edge_index, weight = gcn_norm(graph.edge_index, None, 10, add_self_loops=False)
    adjacency = torch.zeros(10, 10).index_put((edge_index[1], edge_index[0]), weight)
    for share in (0.0, 0.9):
        conv = GRAFFConv(5, ChannelMixing(5, w, share), step_size=0.5)
        with torch.no_grad():
            for parameter in conv.parameters():
                parameter.zero_()
        expected = graph.x + 0.5 * share * (adjacency @ graph.x - graph.x)
        torch.testing.assert_close(conv(graph.x, graph.x, graph.edge_index), expected)


@pytest.mark.parametrize("w", MIXINGS)
def test_a_new_mixing_with_a_share_of_heat_flow_is_near_it(w):
    torch.manual_seed(0)
    mixing = ChannelMixing(256, w, heat=0.9)
    assert torch.linalg.eigvalsh(mixing() - 0.9 * torch.eye(256)).abs().max() < 0.12
    assert mixing.external().tolist() == pytest.approx([0.9] * 256)


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_self_loops_and_normalisation_are_those_of_gcn(self_loops, improved, weighted, graph):
    torch.manual_seed(0)
    weight = torch.rand(graph.num_edges) if weighted else None
    conv = GRAFFConv(5, "sum", add_self_loops=self_loops, improved=improved)
    gcn = GCNConv(5, 5, bias=False, add_self_loops=self_loops, improved=improved)
    with torch.no_grad():
        gcn.lin.weight.copy_(conv.mixing())
    found = conv(graph.x, graph.x, graph.edge_index, weight) - graph.x
    torch.testing.assert_close(found, gcn(graph.x, graph.edge_index, weight))


def test_a_sparse_adjacency_gives_the_same(graph):
    conv = GRAFFConv(5, "diagonally-dominant", beta=1.0)
    adjacency = torch.sparse_coo_tensor(graph.edge_index.flip(0), torch.ones(graph.num_edges), (10, 10)).to_sparse_csr()
    expected = conv(graph.x, graph.x, graph.edge_index)
    torch.testing.assert_close(conv(graph.x, graph.x, adjacency), expected)


def test_a_normalised_graph_may_be_handed_in(graph):
    conv = GRAFFConv(5)
    edge_index, weight = gcn_norm(graph.edge_index, None, 10, add_self_loops=False)
    again = GRAFFConv(5, conv.mixing, normalize=False)
    expected = conv(graph.x, graph.x, graph.edge_index)
    torch.testing.assert_close(again(graph.x, graph.x, edge_index, weight), expected)


def test_what_is_cached_is_the_graph(graph):
    conv = GRAFFConv(5, cached=True, directed=True)
    expected = conv(graph.x, graph.x, graph.edge_index)
    torch.testing.assert_close(conv(graph.x, graph.x, graph.edge_index[:, :2]), expected)
    conv.reset_parameters()
    other = conv(graph.x, graph.x, graph.edge_index[:, :2])
    torch.testing.assert_close(other[3:], graph.x[3:])  # no edge, no change


def test_the_flow_of_messages_may_be_turned_round(graph):
    directed = graph.edge_index[:, :10]
    conv = GRAFFConv(5, directed=True)
    turned = GRAFFConv(5, conv.mixing, directed=True, flow="target_to_source")
    expected = conv(graph.x, graph.x, directed)
    torch.testing.assert_close(turned(graph.x, graph.x, directed.flip(0)), expected)


@given(cases(dtypes=DOUBLE), st.sampled_from(MIXINGS), st.booleans(), st.integers(0, 99))
def test_a_step_goes_down_the_gradient_of_the_energy(case: Case, w: str, self_loops: bool, seed: int) -> None:
    """On a graph without directions, the derivative of the energy is minus the direction of the step."""
    graph = case.graph.undirected
    edge_index = torch.stack([graph.col, graph.row])
    conv = conv_of(w, case.field.size(1), seed, step_size=0.5, beta=0.75, add_self_loops=self_loops)
    x, x_0 = case.field.clone().requires_grad_(), torch.randn(case.field.shape, dtype=torch.float64)
    (slope,) = torch.autograd.grad(conv.energy(x, x_0, edge_index, graph.weight.double()), x)
    step = conv(x, x_0, edge_index, graph.weight.double()) - x
    torch.testing.assert_close(step / conv.step_size, -slope)


def test_there_is_no_energy_of_other_sums_or_of_weights_with_directions(graph):
    x = torch.rand(10, 5)
    with pytest.raises(InvalidArgumentError, match=r"aggr='add'.* got 'mean'"):
        GRAFFConv(5, aggr="mean").energy(x, x, graph.edge_index)
    weight = torch.rand(graph.num_edges)
    with pytest.raises(InvalidGraphError, match="weigh more one way"):
        GRAFFConv(5).energy(x, x, graph.edge_index, weight)
    assert GRAFFConv(5)(x, x, graph.edge_index, weight).shape == (10, 5)


def test_gradients_are_those_of_finite_differences(graph):
    conv = conv_of("diagonally-dominant", 5, 0, beta=0.5)
    inputs = (graph.x.double().requires_grad_(), torch.randn(10, 5, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda x, x_0: conv(x, x_0, graph.edge_index), inputs)


def test_a_layer_says_what_it_is():
    assert str(GRAFFConv(4, "prod", step_size=0.5)) == "GRAFFConv(4, w='prod', step_size=0.5)"
    assert str(ChannelMixing(2, torch.eye(2))) == "ChannelMixing(2, w='given')"
    assert str(ChannelMixing(2, heat=0.5)) == "ChannelMixing(2, w='sum', heat=0.5)"


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_an_energy_needs_weights_that_are_the_same_both_ways_in_a_matrix_too(layout: torch.layout) -> None:
    conv = GRAFFConv(2).double()
    x = torch.rand(2, 2, dtype=torch.float64)
    edge_index, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0], dtype=torch.float64)

    def matrix(weight: Tensor) -> Tensor:
        made = torch.sparse_coo_tensor(edge_index, weight, (2, 2)).coalesce()
        return made if layout == torch.sparse_coo else made.to_sparse_csr()

    with pytest.raises(InvalidGraphError, match="weigh more one way"):
        conv.energy(x, x, matrix(weight))
    same = torch.ones_like(weight)
    torch.testing.assert_close(conv.energy(x, x, matrix(same)), conv.energy(x, x, edge_index, same))


@pytest.mark.parametrize("aggr", ["add", "mean", "max"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("act", [None, torch.relu])
def test_it_learns_with_any_aggregation(act: object, normalize: bool, aggr: str) -> None:
    torch.manual_seed(0)
    conv = GRAFFConv(3, act=act, normalize=normalize, aggr=aggr, beta=0.5)
    x, edge_index = torch.rand(4, 3, requires_grad=True), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    conv(x, x, edge_index).square().sum().backward()
    assert bool(x.grad.isfinite().all())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in conv.parameters())


def test_a_matrix_of_another_type_is_taken() -> None:
    x, edge_index = torch.rand(3, 4), torch.tensor([[0, 1], [1, 0]])
    given, own = (GRAFFConv(4, w=torch.eye(4, dtype=dtype)) for dtype in (torch.float64, torch.float32))
    assert torch.equal(given(x, x, edge_index), own(x, x, edge_index))
