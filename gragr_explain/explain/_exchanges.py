"""Rankings, improved where moves cannot: edges of the whole set are exchanged for others, and it is ordered anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gragr_explain.explain._elimination import eliminate
from gragr_explain.explain._moves import better, improve
from gragr_explain.explain._worth import GAIN, SAME, Trials, by_part, fine_values, sets_at_once, unit_of

_ROUNDS = 4  # how often a ranking is ordered anew, at most
_EXCHANGES = 16  # the most exchanges in a round


def improve_sets(
    trials: Trials, factor: Tensor, place: Tensor, candidates: Tensor, *, classes: bool, length: int
) -> Tensor:
    """Improve rankings of the edges of each part that no move improves.

    A move to an earlier place drops the last edge; which one would be missed least it does not ask. So one edge after
    another of the whole set is exchanged for one that is not in it, as long as that makes the set worth more; it is
    ordered by how long its edges stay when those go that are missed least; and moves improve this ranking. The better
    of both is kept, and tried again.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        place: The ranking: the places of its ``length`` edges from 1, as many as a part has; else 0, ``[num_edges]``.
        candidates: Which edges may be in it, those of the ranking among them, ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: How many edges a ranking has, or all of a part that has fewer.

    Returns:
        The places.
    """
    found, edges = place.clone(), torch.arange(place.numel(), device=place.device)
    for _ in range(_ROUNDS):
        chosen, going = _exchanged(trials, place > 0, candidates, classes)
        if not bool(going.any()):
            break
        each = edges, factor, place, candidates, chosen
        trials, edges, factor, place, candidates, chosen = _only(trials, going, *each)
        anew = eliminate(trials, factor, classes=classes, length=length, shortlist=length, among=chosen)
        anew = improve(trials, anew, candidates, classes=classes, length=length)
        found[edges] = anew = better(trials, place, anew, classes=classes, length=length)
        going = torch.zeros_like(going[: trials.num_parts])
        going[trials.edge_part[anew != place]] = True
        if not bool(going.any()):
            break
        trials, edges, factor, place, candidates = _only(trials, going, edges, factor, anew, candidates)
    return found


def _only(trials: Trials, parts: Tensor, *of_edges: Tensor) -> tuple[Any, ...]:
    """The predictions of some parts, a mask ``[num_parts]``, and what is known of their edges."""
    inside = parts[trials.edge_part]
    return trials.only(parts.nonzero().view(-1)), *(each[inside] for each in of_edges)


def _exchanged(trials: Trials, chosen: Tensor, candidates: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    """Sets after their best exchanges, a mask ``[num_edges]``, and which have changed, ``[num_parts]``."""
    unit, worth = unit_of(trials, classes), fine_values(trials, chosen.unsqueeze(0), classes)[0]
    changed = torch.zeros_like(worth, dtype=torch.bool)
    for _ in range(_EXCHANGES):
        gone, come = _pairs(trials, chosen, candidates & ~chosen)
        tried = _without_and_with(trials, chosen, gone, come, classes)
        most = torch.cat([tried, worth.unsqueeze(0)]).max(0).values
        improved = most > worth + GAIN * unit
        if not bool(improved.any()):
            break
        changed |= improved
        row = (tried >= most - SAME * unit).long().argmax(0)
        parts = improved.nonzero().view(-1)
        chosen = chosen.clone()
        chosen[gone[row[parts], parts]], chosen[come[row[parts], parts]] = False, True
        worth = torch.where(improved, most, worth)
    return chosen, changed


def _pairs(trials: Trials, chosen: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of a chosen and another edge of each part, both ``[num_pairs, num_parts]``; -1 beyond a part's."""
    gone, come = (by_part(each, trials.edge_part, trials.num_parts) for each in (chosen, others))
    pairs = [gone.unsqueeze(2).expand(-1, -1, come.size(1)), come.unsqueeze(1).expand(-1, gone.size(1), -1)]
    both = (pairs[0] >= 0) & (pairs[1] >= 0)
    gone, come = (each.where(both, -1).flatten(1).T for each in pairs)
    return gone, come


def _without_and_with(trials: Trials, chosen: Tensor, gone: Tensor, come: Tensor, classes: bool) -> Tensor:
    """What sets are worth without some edge and with another, ``[num_pairs, num_parts]``."""
    part, own = trials.edge_part, torch.arange(chosen.numel(), device=chosen.device)
    at_once, worth = sets_at_once(part.numel()), [torch.zeros(0, trials.num_parts, device=part.device)]
    for start in range(0, len(gone), at_once):
        leaving, joining = gone[start : start + at_once], come[start : start + at_once]
        sets = chosen & (own != leaving[:, part]) | (own == joining[:, part])
        worth.append(fine_values(trials, sets, classes))
    return torch.cat(worth)
