"""The set of a few edges that explains best together, whatever fewer of them do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gragr_explain.explain._elimination import eliminate
from gragr_explain.explain._exchanges import exchanged
from gragr_explain.explain._moves import prefixes
from gragr_explain.explain._worth import SAME, Ranking, Trials, fine_values, look, ranks, unit_of

_GAIN = 1e-4  # by how much a step must raise what a set is worth, in units of what worths are measured in


def best_set(
    trials: Trials, factor: Tensor, starts: Sequence[Tensor], *, classes: bool, length: int, shortlist: int
) -> Ranking:
    """Choose at most so many edges of each part that explain best together.

    A ranking answers for every number of edges at once, and the best ten edges need not contain the best three. Where
    the number is known, the set of that many is all that counts. Several sets are improved by exchanging, adding and
    removing one edge, as :func:`~gragr_explain.explain._exchanges.exchanged` does: those given, that of the edges which
    stay when those go that are missed least, and those of the largest gradients at no edges, at all of them, and at
    both. The best one is ordered by how long its edges stay; of these, the last ones that it is as good without do not
    count.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        starts: Sets of at most ``length`` edges of each part to improve, masks ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: How many edges to choose, at most.
        shortlist: How many edges of each part to try; in parts of more, gradients choose them.
    """
    part, num_parts = trials.edge_part, trials.num_parts
    longest = min(length, int(torch.bincount(part).max()))
    stays = eliminate(trials, factor, classes=classes, length=longest, shortlist=shortlist)
    at_none, at_all = (_slope(trials, value) * factor for value in (0.0, 1.0))
    steepest = [ranks(slope, part, num_parts) < longest for slope in (at_none, at_all, at_none + at_all)]
    none = torch.zeros_like(part, dtype=torch.bool)
    unit, best, most = unit_of(trials, classes), none, fine_values(trials, none.unsqueeze(0), classes)[0]
    for start in (*starts, stays <= longest, *steepest):
        candidates = start | (stays <= shortlist)
        found, worth = exchanged(trials, start, candidates, classes=classes, gain=_GAIN, most=longest)
        better = worth > most + SAME * unit
        best, most = torch.where(better[part], found, best), torch.where(better, worth, most)
    place = eliminate(trials, factor, classes=classes, length=longest, shortlist=longest, among=best)
    worths = prefixes(trials, place, classes, longest)
    count = (worths >= worths.max(1, keepdim=True).values - SAME * unit.unsqueeze(1)).long().argmax(1)
    chosen = (place > 0) & (place <= count[part])
    rest = torch.zeros_like(place, dtype=trials.dtype)
    if bool((count == length).any()):
        promise = look(trials, chosen.unsqueeze(0), classes).promise[0] * factor
        rest = promise.masked_fill(chosen, 0).clamp(min=0).to(trials.dtype)
    return Ranking(place, count, rest)


def _slope(trials: Trials, value: float) -> Tensor:
    """The gradient of the scores where all edges have one factor, ``[num_edges]``."""
    mask = torch.full((1, trials.edge_part.numel()), value, dtype=trials.dtype, device=trials.edge_part.device)
    with torch.enable_grad():
        mask.requires_grad_()
        # the sum with nothing of the mask has a gradient even where a model uses none of its edges
        (gradient,) = torch.autograd.grad(trials.scores(mask).sum() + 0 * mask.sum(), mask)
    return gradient[0]
