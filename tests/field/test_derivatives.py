from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gragr_explain.field import (
    GraphOperator,
    alignment,
    conflict_energy,
    conflict_loss,
    conjugate_gradient_smooth,
    dirichlet_energy,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
    neighbour_sum,
    project_conflicts,
    task_conflict_energy,
)

# Directed, with a self-loop, a duplicate, links in both directions and an isolated node.
EDGES = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 3, 0, 0], [1, 0, 2, 1, 3, 0, 3, 1, 4, 4]])
WEIGHT = torch.tensor([1.0, 0.5, 2.0, 1.5, 0.25, 3.0, 1.0, 0.75, 1.0, 0.5], dtype=torch.float64)
GRAPHS = {"plain": GraphOperator(EDGES, 6), "weighted": GraphOperator(EDGES, 6, WEIGHT)}
MASK = torch.tensor([True, False, True, True, False, True])

FUNCTIONS: dict[str, Callable[[Tensor, GraphOperator], Tensor]] = {
    "neighbour_sum": neighbour_sum,
    "neighbour_mean": neighbour_mean,
    "conflict_loss": conflict_loss,
    "conflict_energy": conflict_energy,
    "dirichlet_energy": dirichlet_energy,
    "dirichlet_energy, normalized": partial(dirichlet_energy, normalized=True),
    "jacobi_smooth": partial(jacobi_smooth, lambda_smooth=0.7, iterations=3),
    "conjugate_gradient_smooth": partial(conjugate_gradient_smooth, lambda_smooth=5.0, tolerance=1e-14),
    "gradient_attention": partial(gradient_attention, beta=0.8),
    "gradient_attention, two tasks": lambda field, graph: gradient_attention(torch.stack([field, field.sin()]), graph),
    "task_conflict_energy": lambda field, graph: task_conflict_energy(torch.stack([field, field.flip(0), -(field**3)])),
    "alignment": lambda field, graph: alignment(field[:4], neighbour_mean(field, graph)[:4]),
    "project_conflicts": lambda field, graph: project_conflicts(field, neighbour_mean(field, graph), MASK),
}


@pytest.fixture
def field() -> Tensor:
    return torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()


@pytest.mark.parametrize("weights", GRAPHS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives_are_right(name: str, weights: str, field: Tensor) -> None:
    function = partial(FUNCTIONS[name], graph=GRAPHS[weights])
    assert bool((function(field.detach()) != 0).any())
    assert gradcheck(function, (field,))
    assert gradgradcheck(function, (field,))


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"alignment"}))
def test_zero_gradients_have_finite_derivatives(name: str, field: Tensor) -> None:
    rows = torch.tensor([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    some_zero = (field * rows).detach().requires_grad_()
    value = FUNCTIONS[name](some_zero, GRAPHS["plain"])
    (gradient,) = torch.autograd.grad(value.sum(), some_zero)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_tracked_without_need(name: str, field: Tensor) -> None:
    assert not FUNCTIONS[name](field.detach(), GRAPHS["plain"]).requires_grad
