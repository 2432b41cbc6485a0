"""The strongest edges and features of each of several predictions."""

from __future__ import annotations

import torch
from torch import Tensor

Edge = tuple[int, int, float]
"""An edge that supports an output: source, target, and weight in ``(0, 1]``."""

Feature = tuple[int, float]
"""A feature that supports an output: its column, and weight in ``(0, 1]``."""


def strongest_edges(mask: Tensor, messages: Tensor, part: Tensor, num_parts: int, count: int) -> list[list[Edge]]:
    """The edges that weigh most for each prediction; of equal ones, the first.

    Args:
        mask: The weights of edges, ``[num_edges]``.
        messages: Sender and receiver of each edge, ``[2, num_edges]``.
        part: The prediction that each edge belongs to, ``[num_edges]``.
        num_parts: The number of predictions.
        count: How many edges to name, at most.

    Returns:
        For each prediction the edges of positive weight, strongest first.

    Example:
        >>> mask, part = torch.tensor([0.5, 1.0, 0.0, 0.75]), torch.tensor([0, 0, 1, 1])
        >>> strongest_edges(mask, torch.tensor([[0, 1, 5, 6], [1, 2, 6, 5]]), part, num_parts=2, count=10)
        [[(1, 2, 1.0), (0, 1, 0.5)], [(6, 5, 0.75)]]
    """
    edge, rank = _in_order(mask, part, num_parts)
    edge = edge[rank < count]
    found: list[list[Edge]] = [[] for _ in range(num_parts)]
    ends_and_weights = zip(*messages[:, edge].tolist(), mask[edge].tolist(), strict=True)
    for row, named in zip(part[edge].tolist(), ends_and_weights, strict=True):
        found[row].append(named)
    return found


def among_strongest(mask: Tensor, part: Tensor, num_parts: int, counts: Tensor) -> Tensor:
    """Which edges are among those that :func:`strongest_edges` names.

    Args:
        mask: The weights of edges, ``[num_edges]``.
        part: The prediction that each edge belongs to, ``[num_edges]``.
        num_parts: The number of predictions.
        counts: How many edges to name, ``[num_counts]``.

    Returns:
        For each count, whether an edge is named, ``[num_counts, num_edges]``.

    Example:
        >>> mask, part = torch.tensor([0.5, 1.0, 0.0, 0.75]), torch.tensor([0, 0, 1, 1])
        >>> among_strongest(mask, part, num_parts=2, counts=torch.tensor([1, 2]))
        tensor([[False,  True, False,  True],
                [ True,  True, False,  True]])
    """
    edge, rank = _in_order(mask, part, num_parts)
    return mask.new_zeros(counts.numel(), mask.numel(), dtype=torch.bool).index_copy_(
        1, edge, rank < counts.unsqueeze(1)
    )


def _in_order(mask: Tensor, part: Tensor, num_parts: int) -> tuple[Tensor, Tensor]:
    """The edges of positive weight, each prediction's from the strongest on, and their places there, from 0."""
    edge = (mask > 0).nonzero().view(-1)
    edge = edge[torch.argsort(mask[edge], descending=True, stable=True)]
    edge = edge[torch.argsort(part[edge], stable=True)]
    begin = torch.searchsorted(part[edge], torch.arange(num_parts, device=edge.device))
    return edge, torch.arange(edge.numel(), device=edge.device) - begin[part[edge]]


def strongest_features(evidence: Tensor, count: int) -> list[list[Feature]]:
    """The features that speak most for each prediction; of equal ones, the first.

    Args:
        evidence: Signed evidence of shape ``[num_parts, num_features]``; what is no finite number is none.
        count: How many features to name, at most.

    Returns:
        For each prediction its features, with weights relative to the strongest, which comes first.

    Example:
        >>> strongest_features(torch.tensor([[1.0, 2.0, 0.0], [-1.0, -2.0, 0.0]]), count=10)
        [[(1, 1.0), (0, 0.5)], []]
    """
    weights, columns = evidence.nan_to_num(0, 0, 0).clamp(min=0).sort(descending=True, stable=True)
    weights, columns = weights[:, :count], columns[:, :count]
    weights = weights / torch.where(weights[:, :1] > 0, weights[:, :1], 1)
    return [
        [feature for feature in zip(row, values, strict=True) if feature[1] > 0]
        for row, values in zip(columns.tolist(), weights.tolist(), strict=True)
    ]
