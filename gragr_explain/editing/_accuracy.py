"""The accuracy of predictions that an edit was not asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data


def known_labels(data: Data) -> Tensor:
    """The class labels of a graph, -1 where unknown, ``[num_nodes]``: everywhere, where there is none for each node."""
    y, unknown = data.get("y"), torch.full(data.x.shape[:1], -1, device=data.x.device)
    usable = isinstance(y, Tensor) and y.shape == unknown.shape and not y.is_floating_point()
    return y.to(unknown.device) if usable else unknown


def counted_nodes(data: Data, mask_name: str, targets: Tensor) -> Tensor:
    """The nodes of a mask whose labels are known, without the targets, ``[num_counted]``; none without such a mask."""
    mask, y = data.get(mask_name), known_labels(data)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != y.shape:
        return targets[:0]
    counted = mask.to(y.device) & (y >= 0)
    counted[targets] = False
    return counted.nonzero().view(-1)


def accuracy(data: Data, prediction: Tensor, nodes: Tensor) -> float | None:
    """The percentage of some nodes that are predicted as they are labelled; ``None`` of no node."""
    right = (prediction == known_labels(data))[nodes]
    return 100 * float(right.double().mean()) if right.numel() else None
