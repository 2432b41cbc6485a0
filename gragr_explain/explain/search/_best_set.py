"""The set of a few edges that explains best together, whatever fewer of them do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gragr_explain.explain.search._beam import cut_down
from gragr_explain.explain.search._elimination import eliminate
from gragr_explain.explain.search._exchanges import exchanged
from gragr_explain.explain.search._moves import prefixes
from gragr_explain.explain.search._worth import SAME, Ranking, Trials, fine_values, ranks, slopes, unit_of

_GAIN = 1e-4  # by how much a step must raise what a set is worth, in units of what worths are measured in


def best_set(
    trials: Trials, factor: Tensor, starts: Sequence[Tensor], candidates: Tensor, *, classes: bool, length: int
) -> Ranking:
    """Choose at most so many edges of each part that explain best together.

    A ranking answers for every number of edges at once, and the best ten edges need not contain the best three. Where
    the number is known, the set of that many is all that counts. Several sets are improved by exchanging, adding and
    removing one edge, as :func:`~gragr_explain.explain.search._exchanges.exchanged` does: those given, the one that
    :func:`~gragr_explain.explain.search._beam.cut_down` leaves of the candidates, and those of the largest gradients at
    no edges, at all of them, and at both. The best one is ordered by how long its edges stay; of these, the last ones
    that it is as good without do not count.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        starts: Sets of at most ``length`` edges of each part to improve, masks ``[num_edges]``.
        candidates: Which edges to try beside those of a set, a mask ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: How many edges to choose, at most.
    """
    part, num_parts = trials.edge_part, trials.num_parts
    longest = min(length, int(torch.bincount(part).max()))
    none = torch.zeros_like(part, dtype=torch.bool)
    none_and_all = torch.stack([none, ~none]).to(trials.dtype)
    at_none, at_all = slopes(trials, none_and_all)[1] * factor
    steepest = [ranks(slope, part, num_parts) < longest for slope in (at_none, at_all, at_none + at_all)]
    left = cut_down(trials, candidates, classes=classes, most=longest)
    unit, best, most = unit_of(trials, classes), none, fine_values(trials, none.unsqueeze(0), classes)[0]
    for start in (*starts, *steepest, left):
        found, worth = exchanged(trials, start, candidates | start, classes=classes, gain=_GAIN, most=longest)
        better = worth > most + SAME * unit
        best, most = torch.where(better[part], found, best), torch.where(better, worth, most)
    place = eliminate(trials, factor, classes=classes, length=longest, shortlist=longest, among=best)
    worths = prefixes(trials, place, classes, longest)
    count = (worths >= worths.max(1, keepdim=True).values - SAME * unit.unsqueeze(1)).long().argmax(1)
    return Ranking.of(trials, factor, place, count, classes=classes, length=length)
