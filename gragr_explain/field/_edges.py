"""What lies between the two ends of each edge, without a tensor of edges times channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_NUMBERS_AT_ONCE = 1 << 22


def edge_dot(field: Tensor, ends: Tensor) -> Tensor:
    """The inner product of the rows at both ends of each edge.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        ends: Edges of shape ``[2, num_edges]``.

    Returns:
        Inner products of shape ``[num_edges]``.
    """
    return _in_pieces(torch.linalg.vecdot, field, ends)


def edge_distance(field: Tensor, ends: Tensor) -> Tensor:
    """The squared Euclidean distance of the rows at both ends of each edge.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        ends: Edges of shape ``[2, num_edges]``.

    Returns:
        Squared distances of shape ``[num_edges]``.
    """
    return _in_pieces(lambda first, second: (first - second).square().sum(-1), field, ends)


def _in_pieces(function: Callable[[Tensor, Tensor], Tensor], field: Tensor, ends: Tensor) -> Tensor:
    size = max(1, _NUMBERS_AT_ONCE // max(field.size(-1), 1))
    # as field[first], but that an embedding copies whole rows
    pieces = [function(F.embedding(first, field), F.embedding(second, field)) for first, second in ends.split(size, 1)]
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]
