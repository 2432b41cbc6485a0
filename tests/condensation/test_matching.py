"""The mathematics of matching, decoupling and damping, against transcriptions and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from condensed_graphs import CHANNELS, CLASSES, PARTS, QUICK, make_graph
from graph_cases import Case, assert_close, cases
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import SGConv
from torch_geometric.utils import to_undirected

from gragr_explain.condensation._condensation import Condensation
from gragr_explain.condensation._damping import class_graph, damping_graph, damping_matrix, roughness
from gragr_explain.condensation._matching import class_gradients, logit_field, matching_distance, propagate
from gragr_explain.condensation._modalities import modality_features
from gragr_explain.condensation._structure import LearnedAdjacency, propagate_densely
from gragr_explain.condensation._target import make_target
from gragr_explain.field import dirichlet_energy

DOUBLE = torch.float64


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


@given(cases(dtypes=(DOUBLE,)))
def test_propagation_is_that_of_sgc(case: Case) -> None:
    layer = SGConv(case.field.size(1), 1, K=2, bias=False).double()
    with torch.no_grad():
        expected = layer(case.field, case.edge_index, case.weight)
        found = propagate(case.field, case.edge_index, case.weight, hops=2) @ layer.lin.weight.t()
    torch.testing.assert_close(found, expected)


def test_dense_propagation_is_the_same() -> None:
    adjacency = torch.rand(5, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)).triu(1)
    adjacency = adjacency + adjacency.t()
    edge_index, x = adjacency.nonzero().t(), numbers(5, 3)
    expected = propagate(x, edge_index, adjacency[edge_index[0], edge_index[1]], hops=2)
    torch.testing.assert_close(propagate_densely(x, adjacency, 2), expected)


@given(st.integers(0, 50))
def test_class_gradients_are_what_autograd_says(seed: int) -> None:
    sizes, x = [2, 1, 4], numbers(7, 5, seed=seed)
    y = torch.repeat_interleave(torch.tensor(sizes))
    weight, bias = numbers(5, 3, seed=seed + 100).requires_grad_(), numbers(3, seed=seed + 200)
    found = class_gradients(x, logit_field(x, y, weight, bias), sizes)
    for label in range(3):
        loss = F.cross_entropy((x @ weight + bias)[y == label], y[y == label])
        torch.testing.assert_close(found[label], torch.autograd.grad(loss, weight)[0])


def transcribed_distance(found: Tensor, wanted: Tensor, importance: list[float]) -> float:
    total = 0.0
    for label, weight in enumerate(importance):
        for output in range(found.size(2)):
            a, b = found[label, :, output].numpy(), wanted[label, :, output].numpy()
            total += weight * (1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return total


@given(st.integers(0, 50))
def test_distance_is_that_of_gcond(seed: int) -> None:
    found, wanted = numbers(3, 4, 2, seed=seed), numbers(3, 4, 2, seed=seed + 1000)
    importance = [1.0, 0.5, 0.25]
    distance = float(matching_distance(found, wanted, torch.tensor(importance, dtype=DOUBLE)))
    assert distance == pytest.approx(transcribed_distance(found, wanted, importance), rel=1e-4)
    assert float(matching_distance(found, 3 * found, torch.ones(3, dtype=DOUBLE))) == pytest.approx(0, abs=1e-4)


def distance_of(x: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor, adjacency: nn.Module | None) -> Tensor:
    sizes, y = [2, 2, 2], torch.tensor([0, 0, 1, 1, 2, 2])
    seen = x if adjacency is None else propagate_densely(x, adjacency(x), 2)
    found = class_gradients(seen, logit_field(seen, y, weight, bias), sizes)
    return matching_distance(found, wanted, torch.tensor([1.0, 0.5, 1.0], dtype=DOUBLE))


@pytest.mark.parametrize("structure", [False, True])
def test_the_gradient_of_the_distance_is_the_finite_difference(structure: bool) -> None:
    torch.manual_seed(0)
    adjacency = LearnedAdjacency(4, 8).double() if structure else None
    x, wanted, weight, bias = numbers(6, 4), numbers(3, 4, 3, seed=1), numbers(4, 3, seed=2), numbers(3, seed=3)
    assert torch.autograd.gradcheck(
        lambda x: distance_of(x, wanted, weight, bias, adjacency), (x.requires_grad_(),), atol=1e-6
    )


def test_a_learned_adjacency_is_symmetric_and_has_no_loops() -> None:
    torch.manual_seed(0)
    adjacency = LearnedAdjacency(4)(torch.rand(6, 4))
    assert torch.equal(adjacency, adjacency.t())
    assert adjacency.diagonal().eq(0).all()
    assert ((adjacency >= 0) & (adjacency <= 1)).all()


SLOW_TO_SOLVE = Case(  # conjugate gradients need as many steps as nodes
    torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]]),
    num_nodes=4,
    weight=torch.tensor([0.25, 0.25, 0.5, 0.75], dtype=DOUBLE),
    field=torch.tensor([[0.0], [0.0], [0.0], [0.25]], dtype=DOUBLE),
)


@given(cases(dtypes=(DOUBLE,)), st.sampled_from([0.1, 1.0, 10.0]))
@example(SLOW_TO_SOLVE, 0.1)
def test_damping_solves_its_system_keeps_the_sum_and_lowers_the_energy(case: Case, strength: float) -> None:
    graph = damping_graph(case.edge_index, case.num_nodes, case.weight, DOUBLE)
    damped = damping_matrix(graph, strength, DOUBLE) @ case.field
    weights = graph.undirected.matrix(DOUBLE).to_dense().numpy()
    laplacian = np.diag(weights.sum(1)) - weights
    assert_close(damped, np.linalg.solve(np.eye(case.num_nodes) + strength * laplacian, case.field.numpy()), case)
    torch.testing.assert_close(damped.sum(0), case.field.sum(0))
    before, after = (float(dirichlet_energy(field, graph)) for field in (case.field, damped))
    assert after <= before * (1 - 1e-9) + 1e-12 if before > 1e-9 else after <= before + 1e-12
    assert roughness(damped, graph) <= roughness(case.field, graph) + 1e-9


def test_without_strength_nothing_is_damped() -> None:
    assert torch.equal(
        damping_matrix(class_graph(torch.tensor([3, 2]), DOUBLE), 0.0, DOUBLE), torch.eye(5, dtype=DOUBLE)
    )


def test_the_damped_target_is_the_gradient_of_the_damped_field() -> None:
    """The damped features give the same gradient as a field that is damped along the whole graph."""
    data, strength = make_graph(dtype=DOUBLE), 3.0
    target = make_target(data, data.x, hops=2, batch_size=100, damping=strength)
    weight, bias = numbers(CHANNELS, CLASSES), numbers(CLASSES, seed=1)
    found = target.gradients(weight, bias, torch.Generator())
    seen = propagate(data.x, data.edge_index)
    field = logit_field(seen, data.y, weight, bias)
    graph = damping_graph(data.edge_index, data.num_nodes, dtype=DOUBLE)
    weights = graph.undirected.matrix(DOUBLE).to_dense()
    system = torch.eye(data.num_nodes, dtype=DOUBLE) + strength * (weights.sum(1).diag() - weights)
    for label in range(CLASSES):
        of_class = data.train_mask & (data.y == label)
        damped = torch.linalg.solve(system, field * of_class.unsqueeze(-1))
        torch.testing.assert_close(found[label], seen.t() @ damped / of_class.sum(), rtol=1e-4, atol=1e-8)


def test_a_batch_has_each_class_and_no_node_twice() -> None:
    data = make_graph(num_nodes=90)
    target = make_target(data, data.x, hops=1, batch_size=7, damping=0.0)
    rows = target._draw(torch.Generator().manual_seed(0))
    assert target.y[rows].bincount().tolist() == [min(7, size) for size in target.sizes]
    assert rows.unique().numel() == rows.numel()


def make_condensation(dtype: torch.dtype = DOUBLE, **switches: bool) -> Condensation:
    data = make_graph(dtype=dtype)
    x, columns = modality_features(data, PARTS)
    target = make_target(data, x, 2, 256, 0.0)
    start = torch.rand(7, CHANNELS, dtype=dtype, generator=torch.Generator().manual_seed(1))
    made_with = {"decouple": False, "damp": False, "structure": False, **switches}
    sizes, generator = torch.tensor([3, 2, 2]), torch.Generator().manual_seed(0)
    return Condensation(target, start, sizes, list(columns.values()), QUICK, generator=generator, **made_with)


def test_no_part_of_a_decoupled_field_opposes_another() -> None:
    condensation = make_condensation(decouple=True)
    conflicts = 0
    for seed in range(20):
        before = condensation.x.detach().clone()
        weight, bias = numbers(CHANNELS, CLASSES, seed=seed), numbers(CLASSES, seed=seed + 100)
        step = condensation.step(weight, bias)
        first, second = step.fields
        dots = (first * second).sum(1)
        conflicts += int((dots < 0).sum())
        for node in range(7):
            a, b = first[node], second[node]
            if dots[node] < 0:
                projected = a - dots[node] / (b @ b) * b + b - dots[node] / (a @ a) * a
                assert float(step.field[node] @ a) >= -1e-12  # neither modality is made worse to first order
                assert float(step.field[node] @ b) >= -1e-12
            else:
                projected = a + b
            torch.testing.assert_close(step.field[node], projected / 2)
        assert not torch.equal(before, condensation.x)
    assert conflicts > 10


def test_without_switches_a_step_is_that_of_gcond() -> None:
    """Against the textbook: double backward through a model's loss, class by class, then Adam on the features."""
    condensation, data = make_condensation(), make_graph(dtype=DOUBLE)
    start = condensation.x.detach().clone()
    weight, bias = numbers(CHANNELS, CLASSES, seed=5), numbers(CLASSES, seed=6)
    step = condensation.step(weight, bias)
    x, w = start.clone().requires_grad_(), weight.clone().requires_grad_()
    seen, total = propagate(data.x, data.edge_index), torch.zeros((), dtype=DOUBLE)
    for label, size in enumerate([3, 2, 2]):
        real = data.train_mask & (data.y == label)
        (wanted,) = torch.autograd.grad(F.cross_entropy(seen[real] @ w + bias, data.y[real]), w)
        own = condensation.y == label
        loss = F.cross_entropy(x[own] @ w + bias, condensation.y[own])
        (found,) = torch.autograd.grad(loss, w, create_graph=True)
        lengths = found.norm(dim=0) * wanted.norm(dim=0) + 1e-6
        total = total + size / 3 * (1 - (found * wanted).sum(0) / lengths).sum()
    torch.testing.assert_close(step.loss, total)
    optimizer = torch.optim.Adam([x], lr=QUICK.lr_feat)
    total.backward()
    optimizer.step()
    torch.testing.assert_close(condensation.x.detach(), x.detach())


def test_damping_reaches_the_step() -> None:
    plain, damped = make_condensation(), make_condensation(damp=True)
    weight, bias = numbers(CHANNELS, CLASSES, seed=5), numbers(CLASSES, seed=6)
    for condensation in (plain, damped):
        condensation.step(weight, bias)
    torch.testing.assert_close(damped.x.grad, damped._damping @ plain.x.grad)
    assert roughness(damped.x.grad, damped.graph) < roughness(plain.x.grad, plain.graph)


def test_the_class_graph_links_the_nodes_of_a_class_and_no_others() -> None:
    graph = class_graph(torch.tensor([1, 3]), DOUBLE)
    expected = to_undirected(torch.tensor([[1, 1, 2], [2, 3, 3]]), num_nodes=4)
    assert sorted(zip(graph.row.tolist(), graph.col.tolist(), strict=True)) == sorted(
        zip(*expected.tolist(), strict=True)
    )
    torch.testing.assert_close(graph.weight, torch.full((6,), 0.5, dtype=DOUBLE))


def test_directions_do_not_count_for_damping() -> None:
    edges = torch.tensor([[0, 1, 3, 3], [1, 2, 0, 1]])
    directed, undirected = (damping_graph(ends, 4, dtype=DOUBLE) for ends in (edges, to_undirected(edges)))
    assert undirected.num_edges == 8
    torch.testing.assert_close(directed.matrix(DOUBLE).to_dense(), undirected.matrix(DOUBLE).to_dense())
