"""The accuracy of predictions that an edit was not asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.labels import classes_of, mask_of


def known_labels(data: Data) -> Tensor:
    """The class labels of a graph, -1 where unknown, ``[num_nodes]``: everywhere, where there is none for each node."""
    classes = classes_of(data.get("y"), data.x.size(0))
    return torch.full(data.x.shape[:1], -1, device=data.x.device) if classes is None else classes.to(data.x.device)


def counted_nodes(data: Data, mask_name: str, targets: Tensor) -> Tensor:
    """The nodes of a mask whose labels are known, without the targets, ``[num_counted]``; none without such a mask.

    Raises:
        InvalidTypeError: If it is no boolean tensor.
        InvalidGraphError: If it does not fit the graph, for example because it holds many splits.
    """
    mask, y = mask_of(data, mask_name), known_labels(data)
    if mask is None:
        return targets[:0]
    counted = mask.to(y.device) & (y >= 0)
    counted[targets] = False
    return counted.nonzero().view(-1)


def accuracy(data: Data, prediction: Tensor, nodes: Tensor) -> float | None:
    """The percentage of some nodes that are predicted as they are labelled; ``None`` of no node."""
    right = (prediction == known_labels(data))[nodes]
    return 100 * float(right.double().mean()) if right.numel() else None
