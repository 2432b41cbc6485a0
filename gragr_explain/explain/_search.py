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
    state = _State(trials, length)
    while state.parts.numel():
        value, height, promise = _look(state.trials, state.kept, classes)
        state.judge(value, height, classes)
        promise = state.retire(promise if factor is None else promise * factor[state.edges])
        if state.parts.numel():
            state.extend(promise, width, classes)
    return state.mask()


class _State:
    """How far a search has come.

    Attributes:
        trials: The predictions whose search goes on.
        parts: Which of all they are.
        edges: Which of all edges are theirs.

    Of every edge are kept the ``place`` at which it was chosen, from 1, or 0, and the ``rest``, what the last gradients
    promised of it where it was not; of every part the rest.
    """

    def __init__(self, trials: Trials, length: int) -> None:
        part, num_parts = trials.edge_part, trials.num_parts
        self.trials, self.part, self.length = trials, part, length
        self.parts, self.edges = (torch.arange(size, device=part.device) for size in (num_parts, part.numel()))
        self.place, self.rest = torch.zeros_like(part), torch.zeros_like(part, dtype=trials.dtype)

        sizes = torch.bincount(part, minlength=num_parts)
        self.limit, self.is_large = sizes.clamp(max=length), sizes >= 2 * length
        self.num_chosen = torch.zeros_like(sizes)
        self.best, self.best_length = torch.full_like(sizes, -torch.inf, dtype=torch.double), torch.zeros_like(sizes)
        self.at_once, self.trusted = torch.ones_like(sizes), self.is_large.clone()
        self.foretold = torch.zeros_like(self.best)
        self.height: Tensor | None = None
        self.unit = torch.ones_like(self.best)  # what J is measured in

    @property
    def kept(self) -> Tensor:
        """Which of the edges at hand are chosen."""
        return self.place[self.edges] > 0

    def judge(self, value: Tensor, height: Tensor, classes: bool) -> None:
        """Take note of how good the chosen edges are, and of whether gradients foretold it."""
        parts, foretold = self.parts, self.foretold[self.parts]
        if self.height is None:
            self.height = torch.zeros_like(self.best)
            if not classes:
                self.unit = value.abs()
        else:
            change = height - self.height[parts]
            as_hoped = (change > _TRUSTED * foretold) & (foretold > _TRUSTED * change)
            self.trusted[parts] = as_hoped & self.is_large[parts]
            self.at_once[parts] = torch.where(self.trusted[parts], 2 * self.at_once[parts], 1).clamp(max=_MOST_AT_ONCE)
        self.height[parts] = height
        lost, unit = self.best[parts] - value, self.unit[parts]
        better = (lost < -_GAIN * unit) | ((lost < _SLACK * unit) & (foretold > 0))
        self.best_length[parts[better]] = self.num_chosen[parts[better]]
        self.best[parts] = torch.maximum(self.best[parts], value)

    def retire(self, promise: Tensor) -> Tensor:
        """Let go of the parts that have as many edges as they may; returns the promises of those that go on."""
        part, num_chosen = self.trials.edge_part, self.num_chosen[self.parts]
        full = (num_chosen == self.length)[part] & ~self.kept
        self.rest[self.edges[full]] = promise[full].clamp(min=0).to(self.rest.dtype)
        going = num_chosen < self.limit[self.parts]
        if bool(going.all()):
            return promise
        here = going[part]
        self.edges, self.parts = self.edges[here], self.parts[going]
        if self.parts.numel():
            self.trials = self.trials.only(going.nonzero().view(-1))
        return promise[here]

    def extend(self, promise: Tensor, width: int, classes: bool) -> None:
        """Choose the next edges of every part: the most promising, where gradients are trusted, else one by trial."""
        part, parts, kept = self.trials.edge_part, self.parts, self.kept
        rank = _ranks(torch.where(kept, -torch.inf, promise), part, parts.numel())
        hopeful = torch.bincount(part[~kept & (promise > 0)], minlength=parts.numel())
        room = self.limit[parts] - self.num_chosen[parts]
        count = torch.minimum(torch.minimum(self.at_once[parts], hopeful), room)
        alone = ~self.trusted[parts] | (count == 0)
        added = ~kept & (rank < torch.where(alone, 0, count)[part])
        if bool(alone.any()):
            added |= _tried(self.trials, alone, rank, kept, width, classes, _CLEARLY * self.unit[parts])
        self.place[self.edges[added]] = (self.num_chosen[parts][part] + 1 + torch.where(alone[part], 0, rank))[added]
        self.num_chosen[parts] += torch.bincount(part[added], minlength=parts.numel())
        hoped = self.foretold.new_zeros(parts.numel())
        self.foretold[parts] = hoped.index_add_(0, part[added], promise[added].double())

    def mask(self) -> Tensor:
        """The mask that :func:`search` returns."""
        place, part, length = self.place, self.part, self.best_length[self.part]
        strongest = self.rest.new_zeros(self.limit.numel()).scatter_reduce_(0, part, self.rest, "amax")[part]
        rest = torch.where(strongest > 0, self.rest / (2 * strongest), 0) * (1 - 1 / (self.length + 1))
        order = 1 - (place - 1) / (2 * length.clamp(min=1))
        return torch.where((place > 0) & (place <= length), order.to(rest.dtype), rest)


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
    rank: Tensor,
    kept: Tensor,
    width: int,
    classes: bool,
    clearly: Tensor,
) -> Tensor:
    """For some parts the best of the most promising edges, as a mask of all edges.

    That is the most promising one, unless another is better by more than ``clearly``, ``[num_parts]``.
    """
    chosen = torch.zeros_like(kept)
    inside = alone[trials.edge_part].nonzero().view(-1)
    trials = trials.only(alone.nonzero().view(-1))
    part, rank, kept = trials.edge_part, rank[inside], kept[inside]
    tries = torch.arange(width, device=rank.device).unsqueeze(1)
    candidate = ~kept & (rank == tries)
    masks = (kept | candidate).to(trials.dtype)
    scores = trials.scores(torch.cat([masks, 1 - masks]))
    value = _value(scores[:width], scores[width:], classes)
    there = torch.bincount(part[~kept], minlength=trials.num_parts) > tries
    value = value.where(there, -torch.inf)
    winner = torch.where(value.max(0).values > value[0] + clearly[alone], value.argmax(0), 0)
    chosen[inside[candidate.gather(0, winner[part].unsqueeze(0)).squeeze(0)]] = True
    return chosen
