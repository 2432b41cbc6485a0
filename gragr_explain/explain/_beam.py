"""A ranking of the edges that predictions need and that suffice for them, by beam search."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain._worth import Trials, look, ranking_mask, ranks, values

_BY_SCORE = 1e-3  # how much the logarithm of a score counts beside a probability, which hardly changes near 0 and 1
_SAME = 1e-6  # worths that differ by less are the same: the first set goes first, whatever the rounding


def beam_search(trials: Trials, factor: Tensor, *, classes: bool, length: int, width: int, tries: int) -> Tensor:
    """Follow several sets of edges of each part.

    Each step tries to add to each set the edges that gradients promise most, or all of them where there are few, and
    goes on with the best of the sets that this makes. In the end, of the orders in which edges were added, that is
    taken whose sets were worth most on the way, up to its best set.

    Takes and returns what :func:`~gragr_explain.explain._search.search` does; ``tries`` is how many edges to try with
    each set.
    """
    beam = _Beam(trials, classes)
    last = beam.size.clamp(max=length)
    place, best_length = torch.zeros_like(beam.part), torch.zeros_like(last)
    for step in range(1, int(last.max()) + 1):
        beam.extend(step, beam.candidates(step, factor, tries), width)
        found, found_length = beam.winner()
        best_length = torch.where(last == step, found_length, best_length)
        place = torch.where((last == step)[beam.part], found, place)
    rest = torch.zeros_like(place, dtype=trials.dtype)
    if bool((best_length == length).any()):
        promise = look(trials, (place > 0).unsqueeze(0), classes).promise[0] * factor
        rest = promise.masked_fill(place > 0, 0).clamp(min=0)
    return ranking_mask(place, beam.part, best_length, rest, length)


class _Beam:
    """The sets of edges that are followed, all of one size.

    Attributes:
        trials: The predictions.
        part: Which of them each edge belongs to, ``[num_edges]``.
        size: How many edges each has, ``[num_parts]``.
        place: The place at which each set chose each edge, from 1, or 0, ``[num_sets, num_edges]``.
        worth: What each set is worth, negative infinity where there is none, ``[num_sets, num_parts]``.
        best: The largest worth on the way to each set, ``[num_sets, num_parts]``.
        best_length: The number of edges there.
        total: The sum over the steps of the largest worth until then.
        code: By what sets are told apart: the sum of numbers that stand for edges.
    """

    def __init__(self, trials: Trials, classes: bool) -> None:
        self.trials, self.classes, self.part = trials, classes, trials.edge_part
        self.size = torch.bincount(self.part, minlength=trials.num_parts)
        self.place = self.part.new_zeros(1, self.part.numel())
        self.worth = self.best = self._worth(self.place > 0)
        self.total, self.best_length = torch.zeros_like(self.worth), torch.zeros_like(self.worth, dtype=torch.long)
        self.code = self.best_length
        numbers = torch.randint(2**62, self.part.shape, generator=torch.Generator().manual_seed(0))
        self._numbers = numbers.to(self.part.device)
        self._same = _SAME * (torch.ones_like(self.worth[0]) if classes else self.worth[0].nan_to_num(0, 0, 0).abs())

    def candidates(self, step: int, factor: Tensor, tries: int) -> Tensor:
        """Which edges to add to each set, the most promising first, or -1, ``[num_sets, num_tries, num_parts]``."""
        kept, num_parts, largest = self.place > 0, self.size.numel(), int(self.size.max())
        promise = torch.zeros_like(self.place, dtype=self.trials.dtype)
        if tries < largest:
            promise = look(self.trials, kept, self.classes).promise * factor
        promise = promise.masked_fill(kept, -torch.inf)
        each = self.part + num_parts * torch.arange(len(kept), device=kept.device).unsqueeze(1)
        rank = ranks(promise.view(-1), each.view(-1), num_parts * len(kept)).view_as(kept)
        found = self.part.new_full((len(kept), min(tries, largest - step + 1), num_parts), -1)
        tried = ~kept & (rank < found.size(1)) & (self.worth > -torch.inf)[:, self.part]
        row, edge = tried.nonzero().unbind(1)
        found[row, rank[row, edge], self.part[edge]] = edge
        return found

    def extend(self, step: int, edge: Tensor, width: int) -> None:
        """Go on with the best sets that edges ``[num_sets, num_tries, num_parts]`` make, at most ``width``."""
        tries = edge.size(1)
        place = self.place.repeat_interleave(tries, 0)
        code = (self.code.unsqueeze(1) + self._numbers[edge]).flatten(0, 1)
        edge = edge.flatten(0, 1)
        row, part = (edge >= 0).nonzero().unbind(1)
        place[row, edge[row, part]] = step
        worth = left = self._worth(place > 0).where(edge >= 0, -torch.inf)
        total = self.total.repeat_interleave(tries, 0)

        chosen, there = [], []
        for _ in range(min(width, len(left))):
            best = _first(left, self._same)
            there.append(left.gather(0, best) > -torch.inf)
            alike = (code == code.gather(0, best)) & (left > -torch.inf)
            chosen.append(_first(total.where(alike, -torch.inf), self._same))  # of the ways to a set, the best
            left = left.masked_fill(alike, -torch.inf)
        child = torch.cat(chosen)
        parent = child // tries
        self.worth = worth.gather(0, child).where(torch.cat(there), -torch.inf)
        self.place, self.code = place.gather(0, child[:, self.part]), code.gather(0, child)
        before, length = self.best.gather(0, parent), self.best_length.gather(0, parent)
        self.best = torch.maximum(before, self.worth)
        self.best_length = torch.where(self.worth > before + self._same, step, length)
        self.total = self.total.gather(0, parent) + self.best

    def winner(self) -> tuple[Tensor, Tensor]:
        """The order of edges, as places, whose sets were worth most on the way, and the size of its best set."""
        row = _first(self.total.where(self.worth > -torch.inf, -torch.inf), self._same)
        return self.place.gather(0, row[:, self.part])[0], self.best_length.gather(0, row)[0]

    def _worth(self, kept: Tensor) -> Tensor:
        """What sets ``[num_sets, num_edges]`` are worth; nothing, where a model's answer to them is no number."""
        worth, score = values(self.trials, kept, self.classes)
        worth = worth + _BY_SCORE * score.sign() * score.abs().log1p()
        return worth.where(worth.isfinite(), -torch.inf)


def _first(worth: Tensor, tolerance: Tensor) -> Tensor:
    """The first row with the largest number, ``[1, num_parts]``, or one that is less by no more than a tolerance."""
    return (worth >= worth.max(0).values - tolerance).long().argmax(0, keepdim=True)
