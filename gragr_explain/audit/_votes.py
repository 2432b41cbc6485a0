"""What the labels around a node say about its class, its own left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gragr_explain.field import GraphOperator, neighbour_sum

_NEAREST = 10
_DOUBT = 0.5  # labels that are thought to be there beside the nearest, spread as all are
_MOST_ENTRIES = 2**24


def neighbour_labels(y: Tensor, known: Tensor, num_classes: int, graph: GraphOperator) -> tuple[Tensor, Tensor]:
    """The known labels one and two steps away, along edges of either direction, as shares.

    One label is added, spread as all known labels are, so that a node with few known neighbours is close to that. A
    node's own label, which comes back on every walk of two steps, is taken out.

    Args:
        y: Class labels of shape ``[num_nodes]``.
        known: Which of them to count, ``[num_nodes]``.
        num_classes: The number of classes.
        graph: The graph, prepared.

    Returns:
        Shares of the classes one and two steps away, each of shape ``[num_nodes, num_classes]``.

    Example:
        >>> graph = GraphOperator(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
        >>> near, far = neighbour_labels(torch.tensor([0, 1, 1]), torch.ones(3, dtype=torch.bool), 2, graph)
        >>> near[1], far[0]
        (tensor([0.4444, 0.5556]), tensor([0.1667, 0.8333]))
    """
    graph = graph.undirected.unweighted
    own = torch.zeros(y.numel(), num_classes, device=y.device)
    own[known, y[known]] = 1
    spread = own.sum(0) / own.sum()
    one = neighbour_sum(own, graph)
    two = neighbour_sum(one, graph) - graph.degree.unsqueeze(-1) * own
    near, far = ((votes + spread) / (votes.sum(-1, keepdim=True) + 1) for votes in (one, two))
    return near, far


def nearest_labels(hidden: Tensor, y: Tensor, known: Tensor, num_classes: int) -> Tensor:
    """The labels of the ten nodes with known labels whose centred representations are most alike, as shares.

    They are weighed by their cosines; a node is not among its own.

    Args:
        hidden: Representations of shape ``[num_nodes, channels]``.
        y: Class labels of shape ``[num_nodes]``.
        known: Which of them to count, ``[num_nodes]``.
        num_classes: The number of classes.

    Returns:
        Shares of the classes, of shape ``[num_nodes, num_classes]``.

    Example:
        >>> hidden = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [-0.9, -0.1]])
        >>> shares = nearest_labels(hidden, torch.tensor([0, 1, 0, 0]), torch.ones(4, dtype=torch.bool), 2)
        >>> shares.argmax(-1)
        tensor([1, 0, 0, 0])
    """
    index = known.nonzero().view(-1)
    labels = F.one_hot(y[index], num_classes).to(hidden.dtype)
    spread = labels.mean(0)
    centred = F.normalize(hidden - hidden[index].mean(0), dim=-1)
    place = torch.full_like(y, -1)
    place[index] = torch.arange(index.numel(), device=y.device)
    count = min(_NEAREST, index.numel() - 1)
    found = []
    for rows in torch.arange(y.numel(), device=y.device).split(max(1, _MOST_ENTRIES // index.numel())):
        alike = centred[rows] @ centred[index].t()
        mine = (place[rows] >= 0).nonzero().view(-1)
        alike[mine, place[rows[mine]]] = -torch.inf
        weight, nearest = alike.topk(count, dim=-1)
        votes = (weight.clamp(min=1e-3).unsqueeze(-1) * labels[nearest]).sum(1)
        found.append((votes + _DOUBT * spread) / (votes.sum(-1, keepdim=True) + _DOUBT))
    return torch.cat(found)
