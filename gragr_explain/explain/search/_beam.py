"""Sets of edges that are cut down from many, edge by edge, several at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain.search._worth import SAME, Trials, by_part, fine_values, fine_values_of, unit_of

_WIDTH = 16  # how many sets of each size go on


def cut_down(trials: Trials, start: Tensor, *, classes: bool, most: int) -> Tensor:
    """Remove one edge after another from a set of edges of each part: a beam search, in which the 16 best sets go on.

    What edges do together, as those of motifs, is seen for as long as all of them are there; and where the best removal
    leads astray, others are followed, too.

    Args:
        trials: The predictions.
        start: The sets to begin with, a mask ``[num_edges]``.
        classes: Whether scores are log-odds.
        most: How many edges a set may have in the end.

    Returns:
        The best set of each part that was met and is no larger, a mask ``[num_edges]``; of none, if nothing is better.
    """
    part, unit = trials.edge_part, unit_of(trials, classes)
    size = torch.bincount(part[start], minlength=trials.num_parts)
    best = start & (size <= most)[part]
    worth = fine_values(trials, torch.stack([torch.zeros_like(best), best]), classes)
    is_better = worth[1] > worth[0] + SAME * unit
    best, worth = best & is_better[part], worth.max(0).values
    sets = start.unsqueeze(0)
    while bool(sets.any()):
        sets, worths = _without_one(trials, sets, unit, classes)
        size = size - 1
        is_better = (size <= most) & (worths > worth + SAME * unit)
        best, worth = torch.where(is_better[part], sets[0], best), torch.where(is_better, worths, worth)
    return best


def _without_one(trials: Trials, sets: Tensor, unit: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    """The best different sets that are left of some when an edge is removed.

    Args:
        trials: The predictions.
        sets: The sets, ``[num_sets, num_edges]``; a part with fewer different ones has empty ones, too.
        unit: What worths are measured in, ``[num_parts]``.
        classes: Whether scores are log-odds.

    Returns:
        Up to 16 sets, the best first, ``[num_left, num_edges]``, and what the first is worth, ``[num_parts]``; negative
        infinity, where there is none.
    """
    part, num_parts, num_edges = trials.edge_part, trials.num_parts, trials.edge_part.numel()
    each = torch.arange(len(sets), device=part.device).unsqueeze(1)
    gone = by_part(sets.flatten(), (each * num_parts + part).flatten(), len(sets) * num_parts)
    gone = torch.where(gone >= 0, gone % num_edges, -1).view(len(sets), num_parts, -1).transpose(1, 2)
    before = each.expand(-1, gone.size(1)).flatten()  # which set is left without it
    gone = gone.flatten(0, 1)
    own = torch.arange(num_edges, device=part.device)

    def without(some: Tensor, leaving: Tensor) -> Tensor:
        return sets[some] & (own != leaving[:, part])

    tried = fine_values_of(trials, without, before, gone, classes=classes).masked_fill(gone < 0, -torch.inf)
    found, worths = [], []
    for _ in range(min(_WIDTH, len(tried))):
        top = tried.max(0).values
        row = (tried >= top - SAME * unit).long().argmax(0)
        left = sets.gather(0, before[row][part].unsqueeze(0))[0] & (own != gone.gather(0, row.unsqueeze(0))[0][part])
        left &= (top > -torch.inf)[part]
        found.append(left)
        worths.append(top)
        # the same set may be left of several: of all that contain it
        lacking = torch.zeros(len(sets), num_parts, device=part.device).index_add_(1, part, (left & ~sets).float())
        again = (lacking[before] == 0) & ~left[gone]
        tried = tried.masked_fill(again, -torch.inf)
    return torch.stack(found), worths[0]
