"""A ranking of edges refined: compared with one that is cut down from all edges, and improved by moves."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain.search._exchanges import improve_sets
from gragr_explain.explain.search._moves import better, improve, num_counting
from gragr_explain.explain.search._worth import Ranking, Trials, promise_beside, ranks


def refine(
    trials: Trials, factor: Tensor, place: Tensor, stays: Tensor, *, classes: bool, length: int, shortlist: int
) -> Ranking:
    """Refine the rankings of several parts.

    An edge that does nothing alone, as those of motifs mostly do, is not found by adding edges to none: it is found by
    removing edges from all of them. Each part goes on with the better of both rankings, and improves it by moves and
    by exchanges.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        place: A ranking of each part's edges, places from 1, or 0, ``[num_edges]``.
        stays: A ranking of all edges, by how long they stay when those go that are missed least, from 1,
            ``[num_edges]``; see :func:`~gragr_explain.explain.search._elimination.eliminate`.
        classes: Whether scores are log-odds.
        length: How many edges to rank.
        shortlist: How many edges of each part to try; in parts of more, gradients choose them.
    """
    longest = min(length, int(torch.bincount(trials.edge_part).max()))
    start = better(trials, place, stays.where(stays <= longest, 0), classes=classes, length=longest)
    wanted = stays
    if bool((stays > shortlist).any()):
        wanted = ranks(promise_beside(trials, factor, start > 0, classes), trials.edge_part, trials.num_parts) + 1
    candidates = (start > 0) | (wanted <= shortlist)
    found = improve(trials, start, candidates, classes=classes, length=longest)
    found = improve_sets(trials, factor, found, candidates, classes=classes, length=longest)
    count = num_counting(trials, found, classes=classes, length=longest)
    return Ranking.of(trials, factor, found, count, classes=classes, length=length)
