"""Smoothing a field over the graph (eq. 4): the solution of ``(I + lambda L) g' = g``, by two solvers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gragr_explain.arguments import check_number
from gragr_explain.errors import TrainingError
from gragr_explain.field._graph import Graph, GraphOperator, prepare
from gragr_explain.field._neighbours import neighbour_sum


def jacobi_smooth(
    field: Tensor,
    graph: Graph,
    lambda_smooth: float = 0.1,
    iterations: int = 3,
    edge_weight: Tensor | None = None,
) -> Tensor:
    r"""Smooth a field by a few Jacobi steps.

    .. math::
        g^{(k+1)} = D^{-1} (g - R g^{(k)}), \qquad I + \lambda L = D + R, \qquad g^{(0)} = g

    GraGR paper, eq. 4 and lemma 2. :math:`L` is the combinatorial Laplacian of the graph without directions. The
    system is strictly diagonally dominant, so the steps converge for every :math:`\lambda \ge 0`, with a factor of
    at most :math:`\lambda d_{\max} / (1 + \lambda d_{\max})`; for large :math:`\lambda` use
    :func:`conjugate_gradient_smooth`. Costs one sparse product a step. Differentiable.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        lambda_smooth: The strength :math:`\lambda`.
        iterations: The number of steps.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A field of the same shape.

    Raises:
        InvalidArgumentError: If ``lambda_smooth`` or ``iterations`` is negative.

    Example:
        >>> field, edge_index = torch.tensor([[1.0], [0.0]]), torch.tensor([[0, 1], [1, 0]])
        >>> jacobi_smooth(field, edge_index, lambda_smooth=1.0, iterations=50).view(-1)
        tensor([0.6667, 0.3333])
    """
    check_number("iterations", iterations, whole=True, least=0)
    graph = _system(field, graph, lambda_smooth, edge_weight)
    inverse_diagonal = 1 / (1 + lambda_smooth * graph.strength.to(field.dtype).unsqueeze(-1))
    start, pull = field * inverse_diagonal, lambda_smooth * inverse_diagonal
    smooth = field
    for _ in range(iterations):
        smooth = neighbour_sum(smooth, graph).mul_(pull).add_(start)
    return smooth


def conjugate_gradient_smooth(
    field: Tensor,
    graph: Graph,
    lambda_smooth: float = 0.1,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    edge_weight: Tensor | None = None,
) -> Tensor:
    r"""Smooth a field by solving ``(I + lambda L) g' = g`` with conjugate gradients.

    GraGR paper, eq. 4. All channels are solved together, preconditioned by the diagonal. The number of steps grows
    with the square root of the condition number, where Jacobi's grows with the condition number itself.
    Differentiable: the derivative is the solution of the same system.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        lambda_smooth: The strength :math:`\lambda`.
        tolerance: Norm of each channel's residual, relative to the channel's norm, at which to stop.
        max_iterations: The number of steps after which to give up.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A field of the same shape.

    Raises:
        InvalidArgumentError: If ``lambda_smooth`` or ``max_iterations`` is negative, or ``tolerance`` not positive.
        TrainingError: If the tolerance was not reached in ``max_iterations`` steps.

    Example:
        >>> field, edge_index = torch.tensor([[1.0], [0.0]]), torch.tensor([[0, 1], [1, 0]])
        >>> conjugate_gradient_smooth(field, edge_index, lambda_smooth=1.0).view(-1)
        tensor([0.6667, 0.3333])
    """
    check_number("tolerance", tolerance, within="(0, inf)")
    check_number("max_iterations", max_iterations, whole=True, least=0)
    graph = _system(field, graph, lambda_smooth, edge_weight)
    return _Solve.apply(field, graph, lambda_smooth, tolerance, max_iterations)


def _system(field: Tensor, graph: Graph, lambda_smooth: float, edge_weight: Tensor | None) -> GraphOperator:
    check_number("lambda_smooth", lambda_smooth, least=0)
    return prepare(field, graph, edge_weight).undirected


class _Solve(torch.autograd.Function):
    """The symmetric solve; its derivative is the same solve, to any order."""

    @staticmethod
    def forward(ctx: Any, field: Tensor, graph: GraphOperator, *how: Any) -> Tensor:
        ctx.graph, ctx.how = graph, how
        return _conjugate_gradients(field, graph, *how)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Solve.apply(grad, ctx.graph, *ctx.how), None, None, None, None


def _conjugate_gradients(
    field: Tensor, graph: GraphOperator, lambda_smooth: float, tolerance: float, max_iterations: int
) -> Tensor:
    diagonal = 1 + lambda_smooth * graph.strength.to(field.dtype).unsqueeze(-1)

    def apply(x: Tensor) -> Tensor:
        return diagonal * x - lambda_smooth * neighbour_sum(x, graph)

    def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
        return torch.where(denominator > 0, numerator / denominator, 0)

    solution = field / diagonal
    residual = field - apply(solution)
    scale = torch.linalg.vector_norm(field, dim=0)
    step = residual / diagonal
    energy = (residual * step).sum(0)
    for _ in range(max_iterations + 1):
        error = torch.linalg.vector_norm(residual, dim=0)
        if bool((error <= tolerance * scale).all()):
            return solution
        image = apply(step)
        length = ratio(energy, (step * image).sum(0))
        solution = solution + length * step
        residual = residual - length * image
        scaled = residual / diagonal
        next_energy = (residual * scaled).sum(0)
        step = scaled + ratio(next_energy, energy) * step
        energy = next_energy
    worst = float((error / scale.clamp(min=torch.finfo(scale.dtype).tiny)).max())
    raise TrainingError(
        f"smoothing did not reach a relative residual of {tolerance} in {max_iterations} steps, got {worst:.1e}"
    )
