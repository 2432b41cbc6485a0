"""Wrong labels, planted among those of the training nodes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gragr_explain.field import GraphOperator, neighbour_sum

KINDS = ("symmetric", "confusable", "neighbour")
"""What a planted label is drawn by: nothing, the classes that are mistaken for each other, the neighbours' labels."""

RATE = 0.1
_LITTLE = 1e-3


def plant(
    y: Tensor, known: Tensor, expected: Tensor, graph: GraphOperator, kind: str, generator: torch.Generator
) -> Tensor:
    """Give a tenth of the nodes with known labels another one.

    Args:
        y: Class labels of shape ``[num_nodes]``.
        known: Which of them are known, ``[num_nodes]``.
        expected: The probabilities that models give to nodes on which they were not trained,
            ``[num_nodes, num_classes]``.
        graph: The graph, prepared.
        kind: One of :data:`KINDS`.
        generator: What the nodes and their labels are drawn by.

    Returns:
        Labels of shape ``[num_nodes]``, of which at least one differs.
    """
    index = known.nonzero().view(-1)
    count = max(1, round(RATE * index.numel()))
    chosen = index[torch.randperm(index.numel(), generator=generator, device="cpu")[:count].to(index.device)]
    own = F.one_hot(torch.where(known, y, 0), expected.size(1)).to(expected.dtype) * known.unsqueeze(-1)
    likely = _weights(own, chosen, expected, graph, kind)
    likely = (likely + 1e-6) * (1 - own[chosen]) * own.any(0)
    planted = y.clone()
    planted[chosen] = torch.multinomial(likely.cpu(), 1, generator=generator).view(-1).to(y.device)
    return planted


def _weights(own: Tensor, chosen: Tensor, expected: Tensor, graph: GraphOperator, kind: str) -> Tensor:
    """How likely each class is to be planted in each chosen node, up to a factor, ``[num_chosen, num_classes]``."""
    if kind == "symmetric":
        return torch.ones_like(own[chosen])
    if kind == "confusable":
        return own[chosen] @ (own.t() @ expected)
    return neighbour_sum(own, graph.undirected.unweighted)[chosen] + _LITTLE * expected[chosen]
