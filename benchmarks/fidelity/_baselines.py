"""What can be said of edges without looking at the model."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.fidelity._instance import Instance, Problem

_STEPS = 100


def pagerank(problem: Problem, instance: Instance, *, restart: float = 0.15, of_weaker_end: bool = False) -> Tensor:
    """The personalised PageRank of an edge's ends, of walks against the messages, scaled to ``[0, 1]``.

    Walks start, and start again with some probability, at the explained node; at any node of an explained graph. The
    ranks of both ends are added up, or only that of the weaker end counts.

    Returns:
        Shape ``[num_edges]``.
    """
    sender, receiver = instance.edge_index
    num_nodes = instance.x.size(0)
    if problem.level == "node":
        start = torch.zeros(num_nodes)
        start[instance.index] = 1
    else:
        start = torch.full((num_nodes,), 1 / num_nodes)
    degree = torch.bincount(receiver, minlength=num_nodes).clamp(min=1)
    rank = start
    for _ in range(_STEPS):
        walked = torch.zeros(num_nodes).index_add_(0, sender, (rank / degree)[receiver])
        rank = (1 - restart) * walked
        rank = rank + (1 - rank.sum()) * start  # what restarts, and what has nowhere to go
    score = torch.minimum(rank[sender], rank[receiver]) if of_weaker_end else rank[sender] + rank[receiver]
    return score / score.max()


def distance(instance: Instance) -> Tensor:
    """One over one plus how many hops an edge is from the explained node, ``[num_edges]``."""
    sender, receiver = instance.edge_index
    hops = torch.full((instance.x.size(0),), torch.inf)
    hops[instance.index] = 0
    hop = 0
    while bool((found := sender[(hops[receiver] == hop) & hops[sender].isinf()]).numel()):
        hop += 1
        hops[found] = hop
    return 1 / (1 + hops[receiver])
