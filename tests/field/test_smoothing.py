from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_cases import Case, assert_close, cases
from hypothesis import given, settings
from hypothesis import strategies as st

from gragr_explain.errors import TrainingError
from gragr_explain.field import conjugate_gradient_smooth, dirichlet_energy, jacobi_smooth

strengths = st.floats(0, 50)
exact = cases(dtypes=(torch.float64,))


def system(case: Case, strength: float) -> np.ndarray:
    return np.eye(case.num_nodes) + strength * case.laplacian


@given(cases(), strengths, st.integers(0, 6))
def test_jacobi_makes_the_steps_of_the_dense_iteration(case: Case, strength: float, iterations: int) -> None:
    matrix = system(case, strength)
    diagonal = np.diag(np.diag(matrix))
    start = case.field.double().numpy()
    smooth = start
    for _ in range(iterations):
        smooth = np.linalg.inv(diagonal) @ (start - (matrix - diagonal) @ smooth)
    assert_close(jacobi_smooth(case.field, case.graph, strength, iterations), smooth, case)


@settings(max_examples=25)
@given(exact, strengths)
def test_jacobi_converges_at_the_stated_rate(case: Case, strength: float) -> None:
    """Lemma 2, for every strength: the largest error shrinks by lambda d / (1 + lambda d) a step."""
    solution = torch.as_tensor(np.linalg.solve(system(case, strength), case.field.numpy()))
    largest = strength * float(np.diag(case.laplacian).max())
    rate, first = largest / (1 + largest), float((case.field - solution).abs().max())
    for iterations in (1, 3, 10, 100):
        error = float((jacobi_smooth(case.field, case.graph, strength, iterations) - solution).abs().max())
        assert error <= rate**iterations * first * (1 + 1e-9) + 1e-12


@settings(max_examples=25)
@given(exact, st.floats(0, 1))
def test_jacobi_arrives_at_the_dense_solution(case: Case, strength: float) -> None:
    expected = np.linalg.solve(system(case, strength), case.field.numpy())
    assert_close(jacobi_smooth(case.field, case.graph, strength, 1000), expected, case)


@given(cases(), strengths)
def test_conjugate_gradients_solve_the_system(case: Case, strength: float) -> None:
    tolerance = 1e-6 if case.field.dtype == torch.float32 else 1e-13
    found = conjugate_gradient_smooth(case.field, case.graph, strength, tolerance)
    assert_close(found, np.linalg.solve(system(case, strength), case.field.double().numpy()), case)


@given(exact, strengths)
def test_the_derivative_of_the_solution_is_the_same_solve(case: Case, strength: float) -> None:
    field = case.field.clone().requires_grad_()
    towards = torch.linspace(-1, 1, field.numel(), dtype=field.dtype).view_as(field)
    smooth = conjugate_gradient_smooth(field, case.graph, strength, 1e-13)
    (gradient,) = torch.autograd.grad(smooth, field, towards)
    assert_close(gradient, np.linalg.solve(system(case, strength), towards.numpy()), case)


@given(exact, strengths)
def test_smoothing_keeps_the_sum_and_takes_energy_away(case: Case, strength: float) -> None:
    smooth = conjugate_gradient_smooth(case.field, case.graph, strength, 1e-13)
    assert_close(smooth.sum(0), case.field.sum(0).numpy(), case)
    assert float(dirichlet_energy(smooth, case.graph)) <= float(dirichlet_energy(case.field, case.graph)) + 1e-9


@given(cases())
def test_no_smoothing_is_the_field_itself(case: Case) -> None:
    assert torch.equal(jacobi_smooth(case.field, case.graph, 0.0, 3), case.field)
    assert torch.equal(jacobi_smooth(case.field, case.graph, 0.3, 0), case.field)
    assert torch.equal(conjugate_gradient_smooth(case.field, case.graph, 0.0), case.field)


def path(num_nodes: int) -> torch.Tensor:
    return torch.stack([torch.arange(num_nodes - 1), torch.arange(1, num_nodes)])


def test_too_few_steps_are_an_error_that_names_the_residual() -> None:
    field = torch.eye(50)[:, :2]
    with pytest.raises(TrainingError, match=r"residual of 1e-06 in 2 steps, got \d"):
        conjugate_gradient_smooth(field, path(50), 50.0, max_iterations=2)
    with pytest.raises(TrainingError, match="in 0 steps"):
        conjugate_gradient_smooth(field, path(50), 50.0, max_iterations=0)


def test_the_last_step_counts() -> None:
    field = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    conjugate_gradient_smooth(field, path(2), 1.0, 1e-12, max_iterations=2)  # two unknowns: two steps are enough


def test_a_field_that_is_not_finite_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(TrainingError, match="got nan"):
        conjugate_gradient_smooth(torch.full((3, 1), torch.nan), path(3))


def test_conjugate_gradients_need_far_fewer_steps_for_strong_smoothing() -> None:
    field = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exactly = conjugate_gradient_smooth(field, path(200), 50.0, 1e-13)
    found = conjugate_gradient_smooth(field, path(200), 50.0, 1e-6, max_iterations=120)
    slow = jacobi_smooth(field, path(200), 50.0, 120)
    assert float((found - exactly).norm()) < 1e-3 * float((slow - exactly).norm())


def test_each_channel_is_solved_to_its_own_size() -> None:
    """A constant one is solved at once on a ring; one a million times smaller is not."""
    ring = torch.stack([torch.arange(50), (torch.arange(50) + 1) % 50])
    field = torch.ones(50, 2, dtype=torch.float64)
    field[:, 1] = 1e-6 * torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = conjugate_gradient_smooth(field, ring, 5.0, 1e-8)
    alone = conjugate_gradient_smooth(field[:, 1:], ring, 5.0, 1e-8)
    torch.testing.assert_close(together[:, 1:], alone, rtol=1e-5, atol=1e-13)
