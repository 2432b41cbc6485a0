"""A ranking of edges refined: compared with one that is cut down from all edges, and improved by moves."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain._elimination import eliminate
from gragr_explain.explain._exchanges import improve_sets
from gragr_explain.explain._moves import better, improve, num_counting
from gragr_explain.explain._worth import Ranking, Trials, look, ranks


def refine(trials: Trials, factor: Tensor, place: Tensor, *, classes: bool, length: int, shortlist: int) -> Ranking:
    """Refine the rankings of several parts.

    An edge that does nothing alone, as those of motifs mostly do, is not found by adding edges to none: it is found by
    removing edges from all of them. Each part goes on with the better of both rankings, and improves it by moves and
    by exchanges.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        place: A ranking of each part's edges, places from 1, or 0, ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: How many edges to rank.
        shortlist: How many edges of each part to try; in parts of more, gradients choose them.
    """
    longest = min(length, int(torch.bincount(trials.edge_part).max()))
    stays = eliminate(trials, factor, classes=classes, length=longest, shortlist=shortlist)
    start = better(trials, place, stays.where(stays <= longest, 0), classes=classes, length=longest)
    wanted = stays
    if bool((stays > shortlist).any()):
        wanted = ranks(_promise(trials, factor, start, classes), trials.edge_part, trials.num_parts) + 1
    candidates = (start > 0) | (wanted <= shortlist)
    found = improve(trials, start, candidates, classes=classes, length=longest)
    found = improve_sets(trials, factor, found, candidates, classes=classes, length=longest)
    count = num_counting(trials, found, classes=classes, length=longest)
    rest = torch.zeros_like(found, dtype=trials.dtype)
    if bool((count == length).any()):
        rest = _promise(trials, factor, found, classes).clamp(min=0).to(trials.dtype)
    return Ranking(found, count, rest)


def _promise(trials: Trials, factor: Tensor, place: Tensor, classes: bool) -> Tensor:
    """What the edges beside those of a ranking promise, ``[num_edges]``; negative infinity for those in it."""
    promise = look(trials, (place > 0).unsqueeze(0), classes).promise[0] * factor
    return promise.masked_fill(place > 0, -torch.inf)
