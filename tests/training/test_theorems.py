"""The lemmas and theorems of the GraGR paper (appendix F), each as a statement that could turn out false.

Two of them are stated with a sign that contradicts itself; their tests say which reading is true, and show that the
other one is not.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graph_cases import Case, cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import GraGR
from gragr_explain.field import (
    alignment,
    conjugate_gradient_smooth,
    dirichlet_energy,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
)
from gragr_explain.training import TABLE_5, correct_field, validation_hypergradient

exact = cases(dtypes=(torch.float64,))
strengths = st.floats(0.01, 20)
BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def unweighted(case: Case) -> Case:
    return replace(case, weight=None)


# Lemma 1: conflict projection ----------------------------------------------------------------------------------------


@given(exact, st.sampled_from(sorted(TABLE_5)))
def test_lemma_1_a_projected_gradient_no_longer_opposes_its_context(case: Case, backbone: str) -> None:
    """What is in conflict becomes orthogonal to its neighbours' mean; all else stays bit by bit."""
    field, graph = case.field, case.graph
    projected, conflict = correct_field(field, graph, TABLE_5[backbone], alignment=False)
    context = neighbour_mean(field, graph)
    along = torch.linalg.vecdot(projected, context)
    scale = torch.linalg.vector_norm(field, dim=-1) * torch.linalg.vector_norm(context, dim=-1)

    assert bool((along[conflict].abs() <= 1e-12 * scale[conflict]).all())
    assert torch.equal(projected[~conflict], field[~conflict])
    before = alignment(field, context)
    assert bool((before[conflict] < TABLE_5[backbone].tau_cos).all())


@given(exact)
def test_lemma_1_projection_takes_away_nothing_but_the_part_along_the_context(case: Case) -> None:
    """Pythagoras: what is left and what is taken away are orthogonal, so no gradient grows."""
    field, graph = case.field, case.graph
    projected, _ = correct_field(field, graph, TABLE_5["GCN"], alignment=False)
    gone = field - projected
    lengths = [part.square().sum(-1) for part in (field, projected, gone)]
    torch.testing.assert_close(lengths[0], lengths[1] + lengths[2], rtol=1e-12, atol=1e-12)


# Lemma 2: smoothing --------------------------------------------------------------------------------------------------


def dense_system(case: Case, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """(I + lambda L), and the matrix D^(-1/2) R D^(-1/2), which has the eigenvalues of D^(-1) R."""
    matrix = np.eye(case.num_nodes) + strength * case.laplacian
    root = np.diag(np.diag(matrix) ** -0.5)
    return matrix, root @ (matrix - np.diag(np.diag(matrix))) @ root


@given(exact, strengths)
def test_lemma_2_jacobi_converges_to_the_direct_solve_within_its_spectral_bound(case: Case, strength: float) -> None:
    """In the norm of D, in which D^(-1) R is symmetric, each step shrinks the error by its spectral radius at least."""
    matrix, symmetric = dense_system(case, strength)
    solution = np.linalg.solve(matrix, case.field.numpy())
    radius = float(np.abs(np.linalg.eigvalsh(symmetric)).max())
    weight = np.diag(matrix)[:, None]

    def error(iterations: int) -> float:
        found = jacobi_smooth(case.field, case.graph, strength, iterations).numpy()
        return float(np.sqrt((weight * (found - solution) ** 2).sum()))

    assert radius < 1
    first = error(0)
    for iterations in (1, 2, 5, 20, 100):
        assert error(iterations) <= radius**iterations * first * (1 + 1e-9) + 1e-12
    needed = 1 + int(np.ceil(np.log(1e-12) / np.log(radius))) if radius > 0 else 1
    if needed < 5000:
        assert error(needed) <= 1e-11 * (1 + first)


@pytest.mark.parametrize("strength", [2.0, 10.0, 40.0])
@pytest.mark.parametrize("seed", range(4))
def test_lemma_2_the_measured_rate_is_the_spectral_radius(seed: int, strength: float) -> None:
    """The bound is tight: far on, the error shrinks by the spectral radius a step."""
    torch.manual_seed(seed)
    edge_index, num_nodes = erdos_renyi_graph(24, 0.2), 24
    field = torch.randn(num_nodes, 3, dtype=torch.float64)
    case = Case(edge_index, num_nodes, None, field)
    matrix, symmetric = dense_system(case, strength)
    radius = float(np.abs(np.linalg.eigvalsh(symmetric)).max())
    solution = torch.as_tensor(np.linalg.solve(matrix, field.numpy()))

    last = int(np.log(1e-10) / np.log(radius))  # before rounding has a say
    half = last // 2
    errors = [float((jacobi_smooth(field, case.graph, strength, k) - solution).norm()) for k in (half, last)]
    measured = (errors[1] / errors[0]) ** (1 / (last - half))
    assert measured == pytest.approx(radius, rel=0.02)
    degree = float(np.diag(case.laplacian).max())
    assert radius <= strength * degree / (1 + strength * degree) + 1e-12  # the bound that jacobi_smooth states


@settings(max_examples=30)
@given(exact, strengths, st.floats(0.05, 0.95))
def test_lemma_2_gradient_descent_converges_within_its_step_bound(case: Case, strength: float, share: float) -> None:
    """F(g') = |g' - g|^2 / 2 + lambda/2 tr(g'^T L g'), descended with any step below 2 / (1 + lambda lambda_max)."""
    matrix, _ = dense_system(case, strength)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[-1] <= 1 + 2 * strength * float(np.diag(case.laplacian).max()) + 1e-9
    step = share * 2 / eigenvalues[-1]
    solution = torch.as_tensor(np.linalg.solve(matrix, case.field.numpy()))
    contraction = float(np.abs(1 - step * eigenvalues).max())
    field, graph = case.field, case.graph

    smooth, steps = field.clone(), 40
    for _ in range(steps):
        smooth.requires_grad_()
        energy = (smooth - field).square().sum() / 2 + strength / 2 * dirichlet_energy(smooth, graph)
        smooth = (smooth - step * torch.autograd.grad(energy, smooth)[0]).detach()
    assert contraction < 1
    first = float((field - solution).norm())
    assert float((smooth - solution).norm()) <= contraction**steps * first * (1 + 1e-9) + 1e-11


def test_lemma_2_gradient_descent_beyond_its_step_bound_diverges() -> None:
    case = Case(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3, None, torch.tensor([[1.0], [-2.0], [4.0]]).double())
    matrix, _ = dense_system(case, 2.0)
    solution = np.linalg.solve(matrix, case.field.numpy())
    for factor, converges in ((0.99, True), (1.01, False)):
        step, smooth = factor * 2 / np.linalg.eigvalsh(matrix)[-1], case.field.numpy()
        for _ in range(2000):
            smooth = smooth - step * (matrix @ smooth - case.field.numpy())
        assert (np.abs(smooth - solution).max() < 1e-6) == converges


# Theorem 1: attention ------------------------------------------------------------------------------------------------


@given(cases(), st.sampled_from([0.0, 0.5, 2.0, 50.0]), st.sampled_from([1.0, 100.0]))
def test_theorem_1_attention_is_a_distribution_over_the_neighbours(case: Case, beta: float, scale: float) -> None:
    """For any finite graph, sharpness and length of gradients, without over- or underflow."""
    case = unweighted(case)
    alpha = gradient_attention(case.field * scale, case.graph, beta)
    assert bool(((alpha >= 0) & (alpha <= 1 + 1e-6)).all())
    total = alpha.new_zeros(case.num_nodes).index_add_(0, case.edge_index[1], alpha)
    expected = torch.tensor([float(len(case.neighbours(node)) > 0) for node in case.nodes], dtype=alpha.dtype)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    assert not bool(alpha[case.edge_index[0] == case.edge_index[1]].any())


@given(exact)
def test_theorem_1_sharper_attention_agrees_more_with_a_nodes_own_gradient(case: Case) -> None:
    """The descent claim made precise: g_u . sum_v alpha_uv g_v never falls as beta grows.

    Its derivative in beta is the variance of the agreement under alpha. So a step against the attended gradients lowers
    the loss of u for every beta above one for which it does, uniform attention (beta = 0) included.
    """
    case = unweighted(case)
    source, target = case.edge_index
    agreement = torch.linalg.vecdot(case.field[source], case.field[target])
    found = []
    for beta in (0.0, 0.3, 1.0, 3.0):
        alpha = gradient_attention(case.field, case.graph, beta)
        found.append(alpha.new_zeros(case.num_nodes).index_add_(0, target, alpha * agreement))
    for duller, sharper in pairwise(found):
        assert bool((sharper >= duller - 1e-9).all())


@given(exact, st.integers(0, 2**31), st.floats(0.02, 0.98))
def test_theorem_1_a_step_within_the_bound_lowers_a_smooth_loss(case: Case, seed: int, share: float) -> None:
    """Theorem 1 assumes grad . d <= -delta and steps to h - eta d; together they are false.

    By the paper's own descent lemma L(h - eta d) is bounded by L(h) + eta delta + ..., and for a convex loss it is
    above L(h) for every eta. True, and tested, is the step to h + eta d, with 0 < eta < 2 delta / (beta |d|^2); or
    equally the one to h - eta d where grad . d >= delta. The loss is the cross entropy of a linear readout W, convex
    and beta-smooth with beta = |W|^2 / 2; the direction is d_u = sum_v alpha_uv W^(l) h_v, or its opposite where it
    points uphill.
    """
    case = unweighted(case)
    generator = torch.Generator().manual_seed(seed)
    channels = case.field.size(1)
    readout = torch.randn(3, channels, generator=generator, dtype=torch.float64)
    weight = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (case.num_nodes,), generator=generator)
    hidden = case.field
    smoothness = float(torch.linalg.matrix_norm(readout, 2)) ** 2 / 2

    def loss(h: Tensor) -> Tensor:
        return F.cross_entropy(h @ readout.t(), label, reduction="none")

    point = hidden.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point).sum(), point)
    alpha = gradient_attention(gradient, case.graph, 1.0)
    source, target = case.edge_index
    messages = alpha.unsqueeze(-1) * (hidden @ weight.t())[source]
    direction = torch.zeros_like(hidden).index_add_(0, target, messages)

    slope = torch.linalg.vecdot(gradient, direction)
    tested = slope.abs() > 1e-3
    assume(bool(tested.any()))
    direction = -direction * slope.sign().unsqueeze(-1)  # now grad . d = -|slope| <= -delta
    delta = slope.abs()
    eta = share * 2 * delta / (smoothness * direction.square().sum(-1)).clamp(min=1e-300)
    step = torch.where(tested.unsqueeze(-1), eta.unsqueeze(-1) * direction, 0)

    assert bool((loss(hidden + step) < loss(hidden))[tested].all())
    assert bool((loss(hidden - step) > loss(hidden))[tested].all())  # as the paper has it


# Theorem 2: meta-scaling ---------------------------------------------------------------------------------------------


class QuadraticToy:
    """L(theta; gamma) = |theta|^2 / 2 - sum_i gamma_i a_i . theta, judged by |B theta - c|^2 / 2.

    One inner step of size 1 from anywhere arrives at theta* = sum_i gamma_i a_i, so that the hypergradient of one
    unrolled step is the exact one of the bilevel problem. J(gamma) = |B A gamma - c|^2 / 2 is known in closed form.
    """

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pulls = torch.linalg.qr(torch.randn(5, 3, generator=generator, dtype=torch.float64))[0].t()
        self.judge = torch.randn(12, 5, generator=generator, dtype=torch.float64)
        self.target = torch.randn(12, generator=generator, dtype=torch.float64)
        matrix = self.judge @ self.pulls.t()
        self.optimum = torch.linalg.lstsq(matrix, self.target.unsqueeze(-1)).solution.squeeze(-1)
        self.lipschitz = float(torch.linalg.eigvalsh(matrix.t() @ matrix)[-1])
        self.start = torch.randn(5, generator=generator, dtype=torch.float64)

    def validation(self, theta: Tensor) -> Tensor:
        return (self.judge @ theta - self.target).square().sum() / 2

    def solve(self, gamma: Tensor) -> Tensor:
        """The inner problem, by one step of gradient descent on the weighted loss."""
        theta = self.start.clone().requires_grad_()
        total = theta.square().sum() / 2 - gamma @ (self.pulls @ theta)
        return (theta - torch.autograd.grad(total, theta)[0]).detach()

    def hypergradient(self, gamma: Tensor) -> Tensor:
        after = self.solve(gamma).requires_grad_()
        (val_gradient,) = torch.autograd.grad(self.validation(after), after)
        theta = self.start.clone().requires_grad_()
        return validation_hypergradient(-(self.pulls @ theta), [theta], [val_gradient], step_size=1.0)

    def descend(self, rate: float, steps: int) -> tuple[Tensor, list[float]]:
        gamma, values = torch.ones(3, dtype=torch.float64), []
        for _ in range(steps):
            values.append(float(self.validation(self.solve(gamma))))
            gamma = gamma - rate * self.hypergradient(gamma)
        return gamma, values


@pytest.mark.parametrize("seed", range(3))
def test_theorem_2_the_hypergradient_of_the_toy_is_exact(seed: int) -> None:
    toy = QuadraticToy(seed)
    gamma = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(lambda g: toy.validation(g @ toy.pulls), gamma)
    torch.testing.assert_close(toy.hypergradient(gamma), expected)
    assert torch.allclose(toy.hypergradient(toy.optimum), torch.zeros(3, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("share", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("seed", range(3))
def test_theorem_2_gamma_converges_to_the_known_optimum(seed: int, share: float) -> None:
    """For every rate below 2 / L_gamma, and without ever raising the validation loss."""
    toy = QuadraticToy(seed)
    gamma, values = toy.descend(share / toy.lipschitz, 500)
    torch.testing.assert_close(gamma, toy.optimum, rtol=1e-6, atol=1e-6)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))


@pytest.mark.parametrize("seed", range(3))
def test_theorem_2_beyond_the_bound_gamma_diverges(seed: int) -> None:
    toy = QuadraticToy(seed)
    _, values = toy.descend(2.05 / toy.lipschitz, 400)
    assert values[-1] > 100 * values[0]


# Lemma 3: descent directions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
def test_lemma_3_a_small_step_along_a_descent_direction_lowers_the_loss(backbone: str, make_data) -> None:
    """With grad . d < 0 it is the step along +d that lowers the loss, not "along -d" as lemma 3's last line has it."""
    torch.manual_seed(0)
    data = make_data(dtype=torch.float64)
    model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, act="tanh").double().eval()
    parameters = list(model.parameters())

    def loss() -> Tensor:
        return F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask])

    gradient = torch.autograd.grad(loss(), parameters)
    start, value = [parameter.detach().clone() for parameter in parameters], loss().item()
    for _ in range(8):
        direction = [torch.randn_like(parameter) for parameter in parameters]
        slope = float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True)))
        direction = direction if slope < 0 else [-part for part in direction]
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, origin, part in zip(parameters, start, direction, strict=True):
                    parameter.copy_(origin + sign * 1e-6 * part)
                change = loss().item() - value
            assert (change < 0) == (sign == 1)
            assert change == pytest.approx(-sign * 1e-6 * abs(slope), rel=1e-2)


@given(exact, strengths)
def test_lemma_3_holds_for_the_corrected_gradients(case: Case, strength: float) -> None:
    """The paper's own directions satisfy its condition: both corrections are symmetric and non-negative."""
    projected, _ = correct_field(case.field, case.graph, TABLE_5["GCN"], alignment=False)
    assert float((case.field * projected).sum()) >= -1e-12
    smooth = conjugate_gradient_smooth(case.field, case.graph, strength, 1e-13)
    least = float(case.field.square().sum()) / float(np.linalg.eigvalsh(dense_system(case, strength)[0])[-1])
    assert float((case.field * smooth).sum()) >= least * (1 - 1e-6) - 1e-12


@pytest.mark.parametrize("backbone", BACKBONES)
def test_lemma_3_descent_with_corrected_gradients_lowers_the_training_loss(backbone: str, make_data) -> None:
    """The same for parameters, which nodes share: not a theorem, but so for every backbone at the paper's settings."""
    torch.manual_seed(0)
    data = make_data(dtype=torch.float64)
    model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, dropout=0.0).double()
    before = copy.deepcopy(model)
    trained = GraGR(model).fit(data, epochs=1, weight_decay=0.0, record=False, progress=False)
    corrected = [parameter.grad for parameter in trained.model.parameters()]
    loss = F.cross_entropy(before(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask])
    plain = torch.autograd.grad(loss, list(before.parameters()))
    agreement = sum((p * c).sum() for p, c in zip(plain, corrected, strict=True))
    assert agreement > 0
    assert any(not torch.allclose(p, c) for p, c in zip(plain, corrected, strict=True))
