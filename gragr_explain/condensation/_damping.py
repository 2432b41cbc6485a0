"""Damping a gradient field: the nearest field of less Dirichlet energy, on the graph and on the condensed one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gragr_explain.field import GraphOperator, conjugate_gradient_smooth, dirichlet_energy


def damping_graph(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None, dtype: torch.dtype | None = None
) -> GraphOperator:
    r"""The graph along which a field is damped, its edges weighted as GCN does, :math:`1 / \sqrt{d_u d_v}`.

    Directions do not count. So weighted, :math:`\lambda` means the same on a dense and on a sparse graph, and a hub is
    damped no more than another node.

    Args:
        edge_index: Edges of shape ``[2, num_edges]``.
        num_nodes: The number of nodes.
        edge_weight: Weights of shape ``[num_edges]``.
        dtype: The type of the weights.

    Returns:
        The prepared graph, without self-loops.
    """
    graph = GraphOperator(edge_index, num_nodes, edge_weight).undirected
    weight = graph.weight if dtype is None else graph.weight.to(dtype)
    edges, weight = gcn_norm(torch.stack([graph.col, graph.row]), weight, num_nodes, add_self_loops=False)
    return GraphOperator(edges, num_nodes, weight)


def smooth_features(data: Data, x: Tensor, strength: float) -> Tensor:
    r"""Features damped along a graph, :math:`(I + \lambda L)^{-1} X`.

    Args:
        data: The graph.
        x: Its features, as its modalities lay them out, of shape ``[num_nodes, channels]``.
        strength: The strength :math:`\lambda`; 0 for none.

    Returns:
        Features of the same shape.

    Example:
        >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> smooth_features(data, data.x, 1.0).view(-1)
        tensor([0.6667, 0.3333])
    """
    if strength == 0:
        return x
    graph = damping_graph(data.edge_index, x.size(0), data.get("edge_weight"), x.dtype)
    return _solved(x, graph, strength)


def class_graph(sizes: Tensor, dtype: torch.dtype) -> GraphOperator:
    """The graph along which a field on condensed nodes is damped: all nodes of a class are neighbours.

    Gradients are matched class by class: what moves the nodes of a class apart, and not together, is mostly chance.
    Learned edges, which begin as good as equal between any two nodes, would mix the classes.

    Args:
        sizes: The condensed nodes of each class, of shape ``[num_classes]``.
        dtype: The type of the weights.

    Example:
        >>> class_graph(torch.tensor([2, 3]), torch.float32).degree
        tensor([1, 1, 2, 2, 2])
    """
    labels = torch.repeat_interleave(sizes)
    linked = labels[:, None] == labels[None]
    linked.fill_diagonal_(False)
    return damping_graph(linked.nonzero().t().contiguous(), labels.numel(), dtype=dtype)


def damping_matrix(graph: GraphOperator, strength: float, dtype: torch.dtype) -> Tensor:
    r"""The matrix :math:`(I + \lambda L)^{-1}` which damps a field on a small graph, by one product.

    .. math::
        \tilde G = \arg\min_F \|F - G\|^2 + \lambda \operatorname{tr}(F^\top L F) = (I + \lambda L)^{-1} G

    Damping keeps the sum of a field over each connected component, and lowers its Dirichlet energy, the more the
    faster it varies from neighbour to neighbour (SR-GM, arXiv 2511.20222: the structure as a damper).

    Args:
        graph: The graph.
        strength: The strength :math:`\lambda`.
        dtype: The type of the matrix.

    Returns:
        A symmetric matrix of shape ``[num_nodes, num_nodes]``.

    Example:
        >>> damping_matrix(class_graph(torch.tensor([2]), torch.float64), 1.0, torch.float64)
        tensor([[0.6667, 0.3333],
                [0.3333, 0.6667]], dtype=torch.float64)
    """
    identity = torch.eye(graph.num_nodes, dtype=dtype, device=graph.device)
    return _solved(identity, graph, strength)


def _solved(field: Tensor, graph: GraphOperator, strength: float) -> Tensor:
    """As exact as the type of the numbers allows."""
    tolerance = 1e-12 if field.dtype == torch.double else 1e-6
    return conjugate_gradient_smooth(field, graph, strength, tolerance)


def roughness(field: Tensor, graph: GraphOperator) -> float:
    r"""The Dirichlet energy of a field of unit length, :math:`\operatorname{tr}(F^\top L F) / \|F\|^2`; zero of none.

    Example:
        >>> graph = class_graph(torch.tensor([2]), torch.float32)
        >>> roughness(torch.tensor([[1.0], [1.0]]), graph), roughness(torch.tensor([[1.0], [-1.0]]), graph)
        (0.0, 2.0)
    """
    squared = field.square().sum()
    return float(dirichlet_energy(field, graph) / squared) if float(squared) > 0 else 0.0
