"""Attention from the agreement of gradients (eq. 5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidGraphError
from gragr_explain.field._edges import edge_dot
from gragr_explain.field._graph import Graph, GraphOperator, prepare


def gradient_attention(field: Tensor, graph: Graph, beta: float = 1.0, edge_weight: Tensor | None = None) -> Tensor:
    r"""How much each node attends to each neighbour, by the agreement of their gradients.

    .. math::
        \alpha_{uv} = \frac{\exp\left(\beta \sum_{i=1}^T g_i(u)^\top g_i(v)\right)}
                           {\sum_{w \in \mathcal{N}(u)} \exp\left(\beta \sum_{i=1}^T g_i(u)^\top g_i(w)\right)}

    GraGR paper, eq. 5 and theorem 1: the weights of a node's neighbours are a probability distribution.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``, or one for each task of shape
            ``[num_tasks, num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        beta: The sharpness; 0 is uniform attention.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only; an edge of weight zero is no edge
            to attend to, other weights do not enter eq. 5.

    Returns:
        For each given edge :math:`(v, u)`, from source to target, the weight :math:`\alpha_{uv}`, of shape
        ``[num_edges]``. Self-loops get zero, an edge that is listed several times shares its weight among its copies.

    Raises:
        InvalidTypeError: If the field is no tensor of float32 or float64.
        InvalidGraphError: If the field has another shape.

    Example:
        >>> field = torch.tensor([[1.0], [1.0], [-1.0]])
        >>> gradient_attention(field, torch.tensor([[1, 2], [0, 0]]))
        tensor([0.8808, 0.1192])
    """
    check_number("beta", beta)
    check_type("field", field, Tensor)
    if field.dim() == 2:
        field = field.unsqueeze(0)
    if field.dim() != 3 or field.size(0) == 0:
        raise InvalidGraphError(
            f"expected a field of shape [num_nodes, channels] or [num_tasks, num_nodes, channels], "
            f"got {list(field.shape)}"
        )
    stacked = field.transpose(0, 1).flatten(1)  # the inner products of all tasks are one of the stacked rows
    graph = prepare(stacked, graph, edge_weight)
    agreement = beta * edge_dot(stacked, torch.stack([graph.row, graph.col]))
    agreement = agreement.masked_fill(graph.weight == 0, -torch.inf)
    return _to_given_edges(_softmax(agreement, graph), graph)


class _RowSum(torch.autograd.Function):
    """The sum over each node's edges, always in the same order; its derivative can be taken any number of times."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, graph: GraphOperator) -> Tensor:
        ctx.graph = graph
        return torch.segment_reduce(values, "sum", offsets=graph.rowptr, initial=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.graph.row], None


def _softmax(values: Tensor, graph: GraphOperator) -> Tensor:
    top = torch.segment_reduce(values.detach(), "max", offsets=graph.rowptr, initial=-torch.inf)
    top = top.masked_fill(top == -torch.inf, 0)  # a node without an edge to attend to
    exponential = (values - top[graph.row]).exp()
    total = _RowSum.apply(exponential, graph)
    return exponential / total.clamp(min=torch.finfo(total.dtype).tiny)[graph.row]


def _to_given_edges(values: Tensor, graph: GraphOperator) -> Tensor:
    listed = graph.edge_slot >= 0
    slot = graph.edge_slot[listed]
    given = values.new_zeros(graph.edge_slot.numel())
    return given.masked_scatter(listed, values[slot] / graph.multiplicity[slot])
