"""Labels made wrong in three ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.field import GraphOperator, neighbour_sum

KINDS = {
    "symmetric": "any other class",
    "pair": "the next class, always the same for a class",
    "neighbour": "a class of its neighbours, more often where they disagree",
}


def add_noise(data: Data, kind: str, rate: float, num_classes: int, seed: int) -> Tensor:
    """Labels of which a share is wrong among the training nodes, and the same share among the validation nodes.

    ``"neighbour"`` draws nodes by the share of their neighbours that have another label, and their labels among those.

    Args:
        data: The graph with right labels.
        kind: One of :data:`KINDS`.
        rate: The share of wrong labels.
        num_classes: The number of classes.
        seed: What is drawn by.

    Returns:
        Labels of shape ``[num_nodes]``.
    """
    generator = torch.Generator().manual_seed(seed)
    own = F.one_hot(data.y, num_classes).float()
    graph = GraphOperator(data.edge_index, data.num_nodes).undirected.unweighted
    others = neighbour_sum(own, graph) * (1 - own)
    doubt = others.sum(-1) / graph.degree.clamp(min=1)
    noisy = data.y.clone()
    for mask in (data.train_mask, data.val_mask):
        known = mask.nonzero().view(-1)
        count = round(rate * known.numel())
        if count == 0:
            continue
        if kind == "neighbour":
            chosen = known[torch.multinomial(doubt[known] + 1e-6, count, generator=generator)]
            likely = others[chosen] + 1e-6 * (1 - own[chosen])
            noisy[chosen] = torch.multinomial(likely, 1, generator=generator).view(-1)
            continue
        chosen = known[torch.randperm(known.numel(), generator=generator)[:count]]
        by = torch.randint(1, num_classes, (count,), generator=generator) if kind == "symmetric" else 1
        noisy[chosen] = (data.y[chosen] + by) % num_classes
    return noisy
