"""Which few edges a prediction needs, and which suffice for it: a greedy search that gradients guide."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

SUFFICIENCY = 0.5
"""How much it counts that edges suffice, beside 1 for their being needed (chosen on validation nodes)."""

_TRUSTED = 0.8  # a gradient is trusted while it foretells a change to within this factor
_MOST_AT_ONCE = 8
_ROUNDING = 1e-4  # promises that differ by less, beside the largest of a part, are the same: the first edge goes first
_CLEARLY = 0.02  # by how much a trial must be better than the most promising edge to be preferred: for stable rankings
_SLACK = 0.002  # how far J may fall below its best before edges that gradients speak for are left out
_GAIN = 1e-6


class Trials(Protocol):
    """Several predictions, each of a part of one graph, that can be made with factors on its edges."""

    @property
    def edge_part(self) -> Tensor:
        """Which part each edge belongs to, ``[num_edges]``."""

    @property
    def num_parts(self) -> int:
        """The number of predictions."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers of masks."""

    def scores(self, masks: Tensor) -> Tensor:
        """How strongly each prediction stands under masks ``[num_masks, num_edges]``, ``[num_masks, num_parts]``."""

    def only(self, parts: Tensor) -> Trials:
        """Some of the parts, ``[num_kept]`` in ascending order, with their edges in the same order."""


def search(
    trials: Trials, factor: Tensor | None = None, *, classes: bool = True, length: int = 10, width: int = 4
) -> Tensor:
    r"""Rank the edges that predictions need and that suffice for them.

    A set of edges is good in so far as the probability is low without it and high with nothing else, which GraphFramEx
    (Amara et al., 2022) scores as fidelity+ and fidelity-. For each prediction, the search maximises

    .. math:: J(S) = \tfrac12 \, p(S) - p(E \setminus S)

    one edge after another. Each step takes the gradients at the kept edges and at the removed ones, which know what was
    chosen before, as those at the whole graph do not; tries the edges that they promise most; and adds the most
    promising one, unless another is clearly better, so that rankings stay stable. In parts of many edges, gradients
    are trusted without trials, and with more edges at once, for as long as they foretell what happens. In the end,
    edges after which :math:`J` has fallen are left out again.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.
        length: How many edges to choose for each prediction, at most.
        width: How many edges to try in each step.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``: the chosen edges in their order, from 1 in equal steps down to above 0.5;
        below 0.5, where all ``length`` were chosen, what else the last gradients speak for; and 0.
    """
    part, num_parts = trials.edge_part, trials.num_parts
    sizes = torch.bincount(part, minlength=num_parts)
    limit, many = sizes.clamp(max=length), sizes >= 2 * length
    edges, parts = torch.arange(part.numel(), device=part.device), torch.arange(num_parts, device=part.device)
    place, rest = torch.zeros_like(part), torch.zeros_like(part, dtype=trials.dtype)
    chosen, best_length = torch.zeros_like(limit), torch.zeros_like(limit)
    best = torch.full_like(limit, -torch.inf, dtype=torch.double)
    foretold = torch.zeros_like(best)
    at_once, trusted = torch.ones_like(limit), many.clone()
    before, unit = None, best
    while parts.numel():
        value, height, promise = _look(trials, place[edges] > 0, classes)
        promise = promise if factor is None else promise * factor[edges]
        if before is None:
            before = torch.zeros_like(best)
            unit = torch.ones_like(best) if classes else value.abs()  # what p and J are measured in
        else:
            change, hoped = height - before[parts], foretold[parts]
            as_hoped = (change > _TRUSTED * hoped) & (hoped > _TRUSTED * change)
            trusted[parts] = as_hoped & many[parts]
            at_once[parts] = torch.where(trusted[parts], 2 * at_once[parts], 1).clamp(max=_MOST_AT_ONCE)
        before[parts] = height
        lost = best[parts] - value
        better = (lost < -_GAIN * unit[parts]) | ((lost < _SLACK * unit[parts]) & (foretold[parts] > 0))
        best_length[parts[better]] = chosen[parts[better]]
        best[parts] = torch.maximum(best[parts], value)

        free = place[edges] == 0
        going = chosen[parts] < limit[parts]
        full = chosen[parts] == length
        rest[edges] = torch.where(free & full[trials.edge_part], promise.clamp(min=0).to(rest.dtype), rest[edges])
        if not bool(going.all()):
            kept_edges = going[trials.edge_part]
            edges, parts, promise, free = edges[kept_edges], parts[going], promise[kept_edges], free[kept_edges]
            trials = trials.only(going.nonzero().view(-1)) if parts.numel() else trials
            if not parts.numel():
                break

        own = trials.edge_part
        rank = _ranks(torch.where(free, promise, -torch.inf), own, parts.numel())
        hopeful = torch.bincount(own[free & (promise > 0)], minlength=parts.numel())
        count = torch.minimum(torch.minimum(at_once[parts], hopeful), limit[parts] - chosen[parts])
        alone = ~trusted[parts] | (count == 0)
        added = free & (rank < torch.where(alone, 0, count)[own])
        if bool(alone.any()):
            added |= _tried(trials, alone, free, rank, place[edges] > 0, width, classes, _CLEARLY * unit[parts])
        place[edges[added]] = (chosen[parts][own] + 1 + torch.where(alone[own], 0, rank))[added]
        chosen[parts] += torch.bincount(own[added], minlength=parts.numel())
        foretold[parts] = height.new_zeros(parts.numel()).index_add_(0, own[added], promise[added].double())

    strongest = rest.new_zeros(num_parts).scatter_reduce_(0, part, rest, "amax")[part]
    rest = torch.where(strongest > 0, rest / (2 * strongest), 0) * (1 - 1 / (length + 1))
    order = 1 - (place - 1) / (2 * best_length.clamp(min=1)[part])
    return torch.where((place > 0) & (place <= best_length[part]), order.to(rest.dtype), rest)


def _look(trials: Trials, kept: Tensor, classes: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The value of each part's kept edges, its height in scores, and by how much each edge promises to raise that."""
    masks = torch.stack([kept, ~kept]).to(trials.dtype).requires_grad_()
    with torch.enable_grad():
        scores = trials.scores(masks)
        # the sum with nothing of the masks has a gradient even where a model uses none of its edges
        (gradients,) = torch.autograd.grad(scores.sum() + 0 * masks.sum(), masks)
    scores = scores.detach()
    return (
        _value(scores[:1], scores[1:], classes)[0],
        (SUFFICIENCY * scores[0] - scores[1]).double(),
        SUFFICIENCY * gradients[0] + gradients[1],
    )


def _value(kept: Tensor, removed: Tensor, classes: bool) -> Tensor:
    if classes:
        kept, removed = kept.sigmoid(), removed.sigmoid()
    return (SUFFICIENCY * kept - removed).double()


def _ranks(promise: Tensor, part: Tensor, num_parts: int) -> Tensor:
    """The place of each edge among those of its part, from 0 for the most promising."""
    finite = promise.isfinite()
    largest = promise.new_zeros(num_parts).scatter_reduce_(0, part, promise.abs().where(finite, 0), "amax")
    grain = (_ROUNDING * largest).clamp(min=torch.finfo(promise.dtype).tiny)[part]
    order = torch.argsort(torch.where(finite, (promise / grain).round(), promise), descending=True, stable=True)
    order = order[torch.argsort(part[order], stable=True)]
    begin = torch.searchsorted(part[order], torch.arange(num_parts, device=part.device))
    ranks = torch.empty_like(part)
    ranks[order] = torch.arange(part.numel(), device=part.device) - begin[part[order]]
    return ranks


@torch.no_grad()
def _tried(
    trials: Trials,
    alone: Tensor,
    free: Tensor,
    rank: Tensor,
    kept: Tensor,
    width: int,
    classes: bool,
    clearly: Tensor,
) -> Tensor:
    """For some parts the best of the most promising edges, as a mask of all edges.

    That is the most promising one, unless another is better by more than ``clearly``, ``[num_parts]``.
    """
    chosen = torch.zeros_like(free)
    inside = alone[trials.edge_part].nonzero().view(-1)
    trials = trials.only(alone.nonzero().view(-1))
    part, free, rank, kept = trials.edge_part, free[inside], rank[inside], kept[inside]
    tries = torch.arange(width, device=rank.device).unsqueeze(1)
    candidate = free & (rank == tries)
    masks = (kept | candidate).to(trials.dtype)
    scores = trials.scores(torch.cat([masks, 1 - masks]))
    value = _value(scores[:width], scores[width:], classes)
    there = torch.bincount(part[free], minlength=trials.num_parts) > tries
    value = value.where(there, -torch.inf)
    winner = torch.where(value.max(0).values > value[0] + clearly[alone], value.argmax(0), 0)
    chosen[inside[candidate.gather(0, winner[part].unsqueeze(0)).squeeze(0)]] = True
    return chosen
