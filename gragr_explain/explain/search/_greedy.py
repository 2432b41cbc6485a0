"""A ranking of the edges that predictions need and that suffice for them, one edge after another."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain.search._worth import Ranking, Seen, Trials, look, ranks, values

_TRUSTED = 0.8  # a gradient is trusted while it foretells a change to within this factor
_MOST_AT_ONCE = 8
_TRIES = 4
_CLEARLY = 0.02  # by how much a trial must be better than the most promising edge to be preferred: for stable rankings
_GAIN = 1e-6  # by how much a set must be better to count as better
_SLACK = 0.002  # how far J may fall below its best before edges that gradients speak for are left out
# Chosen on validation nodes, of real graphs and of motifs:
_AMISS = 0.2  # a search goes wrong where what happens is farther than this share from what gradients promised,
_AMISS_BY = 2  # and than this many log-odds (regression: times what is explained), over all steps;
_ENOUGH = 0.7  # or where the chosen edges gain less than this share of what all edges do,
_AT_STAKE = 0.1  # if that is more than this


def greedy_search(trials: Trials, factor: Tensor, *, classes: bool, length: int) -> tuple[Ranking, Tensor]:
    """Rank edges by adding one after another.

    Each step tries the edges that gradients promise most, and adds the most promising one, unless another is clearly
    better, so that rankings stay stable. In parts of many edges, gradients are trusted without trials, and with more
    edges at once, for as long as they foretell what happens. In the end, edges after which the worth has fallen are
    left out again.

    Takes what :func:`~gragr_explain.explain.search.search` does, and returns the ranking, and in which parts the search
    has failed, ``[num_parts]``: gradients misled it, or the chosen edges do little of what all edges do.
    """
    state = _State(trials, factor, length)
    while state.parts.numel():
        seen = look(state.trials, state.kept.unsqueeze(0), classes)
        state.judge(seen, classes)
        promise = state.retire(seen.promise[0])
        if state.parts.numel():
            state.extend(promise, classes)
    return Ranking(state.place, state.best_length, state.rest), state.has_failed()


class _State:
    """How far a search has come.

    Attributes:
        trials: The predictions whose search goes on.
        parts: Which of all they are.
        edges: Which of all edges are theirs.
        factor: How much what is promised of each of all edges counts when edges are chosen.

    Of every edge are kept the ``place`` at which it was chosen, from 1, or 0, and the ``rest``, what the last gradients
    promised of it where it was not; of every part the rest. Summed over the steps, ``amiss`` is how far what happened
    was from what was ``foretold``, and ``moved`` the larger of the two.
    """

    def __init__(self, trials: Trials, factor: Tensor, length: int) -> None:
        part, num_parts = trials.edge_part, trials.num_parts
        self.trials, self.part, self.factor, self.length = trials, part, factor, length
        self.parts, self.edges = (torch.arange(size, device=part.device) for size in (num_parts, part.numel()))
        self.place, self.rest = torch.zeros_like(part), torch.zeros_like(part, dtype=trials.dtype)

        sizes = torch.bincount(part, minlength=num_parts)
        self.limit, self.is_large = sizes.clamp(max=length), sizes >= 2 * length
        self.num_chosen = torch.zeros_like(sizes)
        self.best, self.best_length = torch.full_like(sizes, -torch.inf, dtype=torch.double), torch.zeros_like(sizes)
        self.at_once, self.trusted = torch.ones_like(sizes), self.is_large.clone()
        self.foretold = torch.zeros_like(self.best)
        self.amiss, self.moved = torch.zeros_like(self.best), torch.zeros_like(self.best)
        self.height: Tensor | None = None
        self.nothing = self.all = self.best  # what no edge and all edges are worth
        self.unit = torch.ones_like(self.best)  # what J is measured in

    @property
    def kept(self) -> Tensor:
        """Which of the edges at hand are chosen."""
        return self.place[self.edges] > 0

    def judge(self, seen: Seen, classes: bool) -> None:
        """Take note of how good the chosen edges are, and of whether gradients foretold it."""
        parts, foretold = self.parts, self.foretold[self.parts]
        worth, height = seen.worth[0], seen.height[0]
        if self.height is None:
            self.height = torch.zeros_like(self.best)
            self.nothing, self.all = worth, seen.others[0]
            if not classes:
                self.unit = worth.abs()
        else:
            change = height - self.height[parts]
            as_hoped = (change > _TRUSTED * foretold) & (foretold > _TRUSTED * change)
            self.trusted[parts] = as_hoped & self.is_large[parts]
            self.at_once[parts] = torch.where(self.trusted[parts], 2 * self.at_once[parts], 1).clamp(max=_MOST_AT_ONCE)
            self.amiss[parts] += (change - foretold).abs()
            self.moved[parts] += torch.maximum(change.abs(), foretold.abs())
        self.height[parts] = height
        lost, unit = self.best[parts] - worth, self.unit[parts]
        better = (lost < -_GAIN * unit) | ((lost < _SLACK * unit) & (foretold > 0))
        self.best_length[parts[better]] = self.num_chosen[parts[better]]
        self.best[parts] = torch.maximum(self.best[parts], worth)

    def retire(self, promise: Tensor) -> Tensor:
        """Let go of the parts that have as many edges as they may; returns the promises of those that go on."""
        part, num_chosen = self.trials.edge_part, self.num_chosen[self.parts]
        full = (num_chosen == self.length)[part] & ~self.kept
        rest = promise * self.factor[self.edges]
        self.rest[self.edges[full]] = rest[full].clamp(min=0).to(self.rest.dtype)
        going = num_chosen < self.limit[self.parts]
        if bool(going.all()):
            return promise
        here = going[part]
        self.edges, self.parts = self.edges[here], self.parts[going]
        if self.parts.numel():
            self.trials = self.trials.only(going.nonzero().view(-1))
        return promise[here]

    def extend(self, promise: Tensor, classes: bool) -> None:
        """Choose the next edges of every part: the most promising, where gradients are trusted, else one by trial."""
        part, parts, kept = self.trials.edge_part, self.parts, self.kept
        wanted = promise * self.factor[self.edges]
        rank = ranks(torch.where(kept, -torch.inf, wanted), part, parts.numel())
        hopeful = torch.bincount(part[~kept & (wanted > 0)], minlength=parts.numel())
        room = self.limit[parts] - self.num_chosen[parts]
        count = torch.minimum(torch.minimum(self.at_once[parts], hopeful), room)
        alone = ~self.trusted[parts] | (count == 0)
        added = ~kept & (rank < torch.where(alone, 0, count)[part])
        if bool(alone.any()):
            added |= _tried(self.trials, alone, rank, kept, classes, _CLEARLY * self.unit[parts])
        self.place[self.edges[added]] = (self.num_chosen[parts][part] + 1 + torch.where(alone[part], 0, rank))[added]
        self.num_chosen[parts] += torch.bincount(part[added], minlength=parts.numel())
        hoped = self.foretold.new_zeros(parts.numel())
        self.foretold[parts] = hoped.index_add_(0, part[added], promise[added].double())

    def has_failed(self) -> Tensor:
        """In which parts gradients foretold wrongly what happened, or led to little, ``[num_parts]``."""
        is_misled = (self.amiss > _AMISS * self.moved) & (self.amiss > _AMISS_BY * self.unit)
        gain, most = self.best - self.nothing, self.all - self.nothing
        return is_misled | ((gain < _ENOUGH * most) & (most > _AT_STAKE * self.unit))


@torch.no_grad()
def _tried(trials: Trials, alone: Tensor, rank: Tensor, kept: Tensor, classes: bool, clearly: Tensor) -> Tensor:
    """For some parts the best of the most promising edges, as a mask of all edges.

    That is the most promising one, unless another is better by more than ``clearly``, ``[num_parts]``.
    """
    chosen = torch.zeros_like(kept)
    inside = alone[trials.edge_part].nonzero().view(-1)
    trials = trials.only(alone.nonzero().view(-1))
    part, rank, kept = trials.edge_part, rank[inside], kept[inside]
    tries = torch.arange(_TRIES, device=rank.device).unsqueeze(1)
    candidate = ~kept & (rank == tries)
    there = torch.bincount(part[~kept], minlength=trials.num_parts) > tries
    worth = values(trials, kept | candidate, classes)[0].where(there, -torch.inf)
    winner = torch.where(worth.max(0).values > worth[0] + clearly[alone], worth.argmax(0), 0)
    chosen[inside[candidate.gather(0, winner[part].unsqueeze(0)).squeeze(0)]] = True
    return chosen
