"""Sums and means over neighbours."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from gragr_explain.field._graph import Graph, GraphOperator, prepare


class _Product(torch.autograd.Function):
    """The product of a prepared operator, or its transpose, with a field.

    Its derivative is the product with the other of the two, which is prepared as well: nothing is transposed or
    sorted in the backward pass, and the derivative can be taken any number of times.
    """

    @staticmethod
    def forward(ctx: Any, field: Tensor, graph: GraphOperator, transposed: bool) -> Tensor:
        ctx.graph, ctx.transposed = graph, transposed
        device = field.device.type
        lowers = torch.is_autocast_enabled(device)  # which a sparse product cannot; to switch it off takes some time
        with torch.autocast(device, enabled=False) if lowers else nullcontext():
            return graph.matrix(field.dtype, transposed=transposed) @ field

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grad.contiguous(), ctx.graph, not ctx.transposed), None, None


def neighbour_sum(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The (weighted) sum of the neighbours' rows, :math:`A G`.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A field of the same shape; zero for a node without neighbours.

    Example:
        >>> neighbour_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0, 2], [1, 1]])).view(-1)
        tensor([0., 5., 0.])
    """
    return _Product.apply(field, prepare(field, graph, edge_weight), False)


def neighbour_mean(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The contextual gradient :math:`g_{\text{ctx}}(v)`: the (weighted) mean of the neighbours' gradients.

    GraGR paper, section 4.1, the equation before eq. 1.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A field of the same shape; zero for a node without neighbours.

    Example:
        >>> neighbour_mean(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0, 2], [1, 1]])).view(-1)
        tensor([0.0000, 2.5000, 0.0000])
    """
    graph = prepare(field, graph, edge_weight)
    strength = graph.strength.to(field.dtype)
    inverse = torch.where(strength > 0, 1 / strength, 0)
    return neighbour_sum(field, graph) * inverse.unsqueeze(-1)
