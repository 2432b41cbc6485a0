"""Which edges are missed least, one after another: rankings that are cut down from all edges."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain.search._worth import NO_ANSWER, Trials, fine_values, look, numbers, ranks

_SHARE = 0.1  # of the edges that are left, how many go at once


def eliminate(
    trials: Trials, factor: Tensor, *, classes: bool, length: int, shortlist: int, among: Tensor | None = None
) -> Tensor:
    """Rank the edges of each part by how long they stay when those are removed that are missed least.

    What is missed least is found by trying the removal of each edge that is left; while these are many, by gradients.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: From which number of edges on they go one by one.
        shortlist: From which number of edges on removals are tried.
        among: The edges to rank, some of each part, a mask ``[num_edges]``; by default all.

    Returns:
        The place of each edge in its part, from 1 for the last that is left, ``[num_edges]``; 0 for those not ranked.
    """
    part = trials.edge_part
    place, alive = torch.zeros_like(part), torch.ones_like(part, dtype=torch.bool) if among is None else among.clone()
    left = torch.bincount(part[alive], minlength=trials.num_parts)

    def remove(needless: Tensor, going: Tensor, least: int) -> None:
        """Let go of the most needless edges of some parts, down to so many at once, then one by one."""
        edges = alive.nonzero().view(-1)
        rank = ranks(needless[edges], part[edges], trials.num_parts)
        count = torch.minimum((_SHARE * left).long(), left - least).clamp(min=1) * going
        gone = rank < count[part[edges]]
        place[edges[gone]] = (left[part[edges]] - rank)[gone]
        alive[edges[gone]] = False
        left.sub_(count)

    while bool((many := left > shortlist).any()):
        remove(-look(trials, alive.unsqueeze(0), classes).promise[0] * factor, many, shortlist)
    while bool((several := left > 1).any()):
        remove(_without_each(trials, alive, int(left.max()), classes), several, length)
    return place.where(~alive, 1)


@torch.no_grad()
def _without_each(trials: Trials, alive: Tensor, most: int, classes: bool) -> Tensor:
    """What the edges that are left are worth without each of them, ``[num_edges]``; 0 for the others."""
    edges, part = alive.nonzero().view(-1), trials.edge_part
    number = torch.full_like(part, -1)
    number[edges] = numbers(part[edges], trials.num_parts)
    worth = fine_values(trials, alive & (number != torch.arange(most, device=part.device).unsqueeze(1)), classes)
    worth = worth.masked_fill(worth <= NO_ANSWER, -torch.inf)
    return torch.where(alive, worth[number, part], 0)
