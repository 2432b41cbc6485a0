"""Matching gradients: those of a linear model on real and on condensed nodes, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gragr_explain.field import GraphOperator, neighbour_sum

_TINY = 1e-6


def propagate(x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, hops: int = 2) -> Tensor:
    r"""Features after propagation, :math:`\hat{A}^{hops} X`: what SGC, the matching model, classifies.

    Args:
        x: Features of shape ``[num_nodes, channels]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``.
        hops: How often to propagate, by GCN's normalised adjacency with self-loops.

    Returns:
        Features of the same shape.

    Example:
        >>> propagate(torch.tensor([[1.0], [0.0]]), torch.tensor([[0, 1], [1, 0]]), hops=1).view(-1)
        tensor([0.5000, 0.5000])
    """
    weight = None if edge_weight is None else edge_weight.to(x.dtype)
    edges, weight = gcn_norm(edge_index, weight, x.size(0), dtype=x.dtype)
    graph, is_loop = GraphOperator(edges, x.size(0), weight), edges[0] == edges[1]
    own = weight.new_zeros(x.size(0)).index_add_(0, edges[0, is_loop], weight[is_loop]).unsqueeze(-1)
    for _ in range(hops):
        x = own * x + neighbour_sum(x, graph)
    return x


def logit_field(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""The gradient field of the cross entropy at the logits, :math:`g_v = \mathrm{softmax}(W^\top x_v + b) - y_v`.

    Args:
        x: Propagated features of shape ``[num_nodes, channels]``.
        y: Labels of shape ``[num_nodes]``.
        weight: The model's weight of shape ``[channels, num_classes]``.
        bias: Its bias of shape ``[num_classes]``.

    Returns:
        A field of shape ``[num_nodes, num_classes]``; each node has its own loss.

    Example:
        >>> logit_field(torch.zeros(1, 1), torch.tensor([1]), torch.ones(1, 2), torch.zeros(2))
        tensor([[ 0.5000, -0.5000]])
    """
    return torch.softmax(torch.addmm(bias, x, weight), -1) - F.one_hot(y, bias.numel()).to(x)


def class_gradients(x: Tensor, field: Tensor, sizes: Sequence[int]) -> Tensor:
    r"""The gradient of each class's mean loss with respect to the model's weight, :math:`X_c^\top G_c / n_c`.

    Args:
        x: Propagated features of shape ``[num_nodes, channels]``, class after class.
        field: The field at the logits of shape ``[num_nodes, num_outputs]``.
        sizes: The number of nodes of each class.

    Returns:
        Gradients of shape ``[num_classes, channels, num_outputs]``.

    Example:
        >>> class_gradients(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0, -1.0], [-2.0, 2.0]]), [1, 1])
        tensor([[[ 1., -1.]],
        <BLANKLINE>
                [[-6.,  6.]]])
    """
    parts = zip(x.split(list(sizes)), field.split(list(sizes)), strict=True)
    return torch.stack([rows.t() @ gradients / rows.size(0) for rows, gradients in parts])


def matching_distance(found: Tensor, wanted: Tensor, importance: Tensor) -> Tensor:
    r"""How far two sets of gradients point apart.

    .. math::
        D = \sum_c \gamma_c \sum_k
            \left(1 - \frac{\langle G^{(c)}_{:k}, G'^{(c)}_{:k} \rangle}
                           {\|G^{(c)}_{:k}\| \|G'^{(c)}_{:k}\| + \varepsilon}\right)

    GCond (Jin et al., 2022, arXiv 2110.07580), eq. 9, class by class; :math:`k` runs over the
    model's outputs, and :math:`\varepsilon = 10^{-6}` is that of its code.

    Args:
        found: The condensed graph's :func:`class_gradients`, of shape ``[num_classes, channels, num_outputs]``.
        wanted: The graph's, of the same shape.
        importance: The weight :math:`\gamma_c` of each class, of shape ``[num_classes]``.

    Returns:
        A scalar.

    Example:
        >>> gradients = torch.tensor([[[1.0], [0.0]], [[0.0], [2.0]]])
        >>> matching_distance(gradients, torch.tensor([[[3.0], [0.0]], [[1.0], [0.0]]]), torch.ones(2))
        tensor(1.0000)
    """
    lengths = torch.linalg.vector_norm(found, dim=1) * torch.linalg.vector_norm(wanted, dim=1)
    cosine = (found * wanted).sum(1) / (lengths + _TINY)
    return ((1 - cosine).sum(-1) * importance).sum()
