"""How much gradients disagree: conflict loss (eq. 2), conflict energy (section 2), Dirichlet energy."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidGraphError
from gragr_explain.field._edges import edge_distance, edge_dot
from gragr_explain.field._graph import Graph, prepare


def conflict_loss(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The conflict loss of a gradient field.

    .. math::
        L_{\text{conf}} = \sum_{(i,j) \in E} \max(0, -g_i^\top g_j)

    GraGR paper, eq. 2. :math:`E` holds each linked pair once, whether it is listed in one direction or in both;
    weights multiply the terms. Differentiable with respect to the field.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A scalar in the square of the field's unit.

    Example:
        >>> conflict_loss(torch.tensor([[1.0], [-2.0], [3.0]]), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        tensor(8.)
    """
    graph = prepare(field, graph, edge_weight)
    disagreement = (-edge_dot(field, graph.pairs)).relu()  # unlike that of clamp, its derivative is zero at zero
    return (disagreement * graph.pair_weight.to(field.dtype)).sum()


def conflict_energy(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The mean conflict energy of an edge.

    .. math::
        E_{\text{conf}} = \frac{1}{|E|} \sum_{(i,j) \in E} \max\left(0, -\cos(g_i, g_j)\right)

    GraGR paper, the energy of section 2 taken over neighbours instead of tasks. It does not depend on the length
    of the gradients. :math:`E` holds each linked pair once; a pair with a zero gradient has no energy but counts.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only; the mean is then weighted.

    Returns:
        A scalar in ``[0, 1]``; zero for a graph without edges.

    Example:
        >>> conflict_energy(torch.tensor([[1.0], [-2.0], [3.0], [1.0]]), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        tensor(0.6667)
    """
    graph = prepare(field, graph, edge_weight)
    weight = graph.pair_weight.to(field.dtype)
    disagreement = (-edge_dot(_directions(field), graph.pairs)).clamp(0, 1)
    return (disagreement * weight).sum() / weight.sum().clamp(min=torch.finfo(field.dtype).tiny)


def task_conflict_energy(fields: Tensor) -> Tensor:
    r"""The conflict energy between the gradients of several tasks.

    .. math::
        E_{\text{conf}}(v) = \sum_{i < j} \max\left(0, -\frac{g_i(v)^\top g_j(v)}{\|g_i(v)\| \|g_j(v)\|}\right)

    GraGR paper, section 2 and eq. 27. A pair with a zero gradient has no energy.

    Args:
        fields: The tasks' gradients of shape ``[num_tasks, *, channels]``, for example
            ``[num_tasks, num_nodes, channels]``, or ``[num_tasks, num_parameters]``.

    Returns:
        Energies in ``[0, T(T-1)/2]`` of shape ``[*]``.

    Raises:
        InvalidTypeError: If ``fields`` is no tensor.
        InvalidGraphError: If ``fields`` has fewer than two dimensions.

    Example:
        >>> task_conflict_energy(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]]))
        tensor(1.)
    """
    check_type("fields", fields, Tensor)
    if fields.dim() < 2:
        raise InvalidGraphError(f"expected fields of shape [num_tasks, *, channels], got {list(fields.shape)}")
    directions = _directions(fields)
    energy = fields.new_zeros(fields.shape[1:-1])
    for i, first in enumerate(directions):
        for second in directions[i + 1 :]:
            energy = energy + (-torch.linalg.vecdot(first, second)).clamp(0, 1)
    return energy


def dirichlet_energy(
    field: Tensor, graph: Graph, edge_weight: Tensor | None = None, *, normalized: bool = False
) -> Tensor:
    r"""The Dirichlet energy of a field: how much it varies along the edges.

    .. math::
        \mathcal{E}(F) = \sum_{(i,j) \in E} w_{ij} \|f_i - f_j\|^2 = \operatorname{tr}(F^\top L F)

    With ``normalized=True``, rows are divided by :math:`\sqrt{d_i}` first (:math:`d_i` the sum of a node's
    weights), which is the energy of the symmetrically normalised Laplacian. :math:`E` holds each linked pair once.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.
        normalized: Whether to divide rows by the root of their degree.

    Returns:
        A non-negative scalar in the square of the field's unit.

    Example:
        >>> dirichlet_energy(torch.tensor([[1.0], [3.0], [3.0]]), torch.tensor([[0, 1], [1, 2]]))
        tensor(4.)
    """
    graph = prepare(field, graph, edge_weight).undirected
    weight = graph.pair_weight.to(field.dtype)
    if normalized:
        strength = graph.strength.to(field.dtype)
        field = field * torch.where(strength > 0, strength.rsqrt(), 0).unsqueeze(-1)
    return (edge_distance(field, graph.pairs) * weight).sum()


def _directions(field: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(field, dim=-1, keepdim=True)
    return field / torch.where(norm > 0, norm, 1)
