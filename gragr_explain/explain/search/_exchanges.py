"""Rankings, improved where moves cannot: edges of the whole set are exchanged for others, and it is ordered anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gragr_explain.explain.search._elimination import eliminate
from gragr_explain.explain.search._moves import better, improve
from gragr_explain.explain.search._worth import GAIN, SAME, Trials, by_part, fine_values, fine_values_of, unit_of

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
        chosen, _ = exchanged(trials, place > 0, candidates, classes=classes)
        going = torch.zeros(trials.num_parts, dtype=torch.bool, device=place.device)
        going[trials.edge_part[chosen != (place > 0)]] = True
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


def exchanged(
    trials: Trials, chosen: Tensor, candidates: Tensor, *, classes: bool, gain: float = GAIN, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Improve the set of edges of each part by exchanges of one edge, until none helps, 16 times at most.

    Args:
        trials: The predictions.
        chosen: The sets, a mask ``[num_edges]``.
        candidates: Which edges may be in them, a mask ``[num_edges]``.
        classes: Whether scores are log-odds.
        gain: By how much an exchange must raise what a set is worth, in units of what worths are measured in.
        most: Up to which size an edge may be added to a set, or one removed from it, as well; by default, sizes stay.

    Returns:
        The sets, a mask ``[num_edges]``, and what they are worth, ``[num_parts]``.
    """
    found, edges = chosen.clone(), torch.arange(chosen.numel(), device=chosen.device)
    worths = fine_values(trials, chosen.unsqueeze(0), classes)[0]
    unit, worth, parts = unit_of(trials, classes), worths.clone(), torch.arange(trials.num_parts, device=chosen.device)
    for _ in range(_EXCHANGES):
        gone, come = _steps(trials, chosen, candidates & ~chosen, most)
        tried = _without_and_with(trials, chosen, gone, come, classes)
        top = torch.cat([tried, worth.unsqueeze(0)]).max(0).values
        improved = top > worth + gain * unit
        if not bool(improved.any()):
            break
        row = (tried >= top - SAME * unit).long().argmax(0, keepdim=True)
        leaving, joining = (each.gather(0, row)[0].where(improved, -1)[trials.edge_part] for each in (gone, come))
        own = torch.arange(chosen.numel(), device=chosen.device)
        chosen = chosen & (own != leaving) | (own == joining)
        found[edges], worths[parts[improved]] = chosen, top[improved]
        trials, edges, chosen, candidates = _only(trials, improved, edges, chosen, candidates)
        unit, worth, parts = unit[improved], top[improved], parts[improved]
    return found, worths


def _steps(trials: Trials, chosen: Tensor, others: Tensor, most: int | None) -> tuple[Tensor, Tensor]:
    """Which edge leaves the set of each part and which one joins it, -1 for none, both ``[num_steps, num_parts]``."""
    gone, come = (by_part(each, trials.edge_part, trials.num_parts) for each in (chosen, others))
    size = (gone >= 0).sum(1).view(-1, 1, 1)
    if most is not None:
        gone, come = (torch.cat([each, each.new_full((len(each), 1), -1)], 1) for each in (gone, come))
    gone, come = gone.unsqueeze(2).expand(-1, -1, come.size(1)), come.unsqueeze(1).expand(-1, gone.size(1), -1)
    allowed = (gone >= 0) & (come >= 0)
    if most is not None:
        allowed |= (gone >= 0) | (size < most)
    gone, come = (each.where(allowed, -1).flatten(1).T for each in (gone, come))
    return gone, come


def _without_and_with(trials: Trials, chosen: Tensor, gone: Tensor, come: Tensor, classes: bool) -> Tensor:
    """What sets are worth without some edge and with another, ``[num_pairs, num_parts]``."""
    part, own = trials.edge_part, torch.arange(chosen.numel(), device=chosen.device)

    def changed(leaving: Tensor, joining: Tensor) -> Tensor:
        return chosen & (own != leaving[:, part]) | (own == joining[:, part])

    return fine_values_of(trials, changed, gone, come, classes=classes)
