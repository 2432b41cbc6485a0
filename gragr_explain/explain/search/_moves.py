"""Rankings of edges, improved by moves of one edge at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain.search._worth import GAIN, SAME, Trials, by_part, fine_values, fine_values_of, unit_of

_MOVES = 64  # the most moves of a ranking


def better(trials: Trials, first: Tensor, second: Tensor, *, classes: bool, length: int) -> Tensor:
    """Of two rankings of the edges of each part, places from 1 or 0, ``[num_edges]``, the better one."""
    last, unit = _last(trials, length), unit_of(trials, classes)
    totals = [_totals(prefixes(trials, place, classes, length), last).max(1).values for place in (first, second)]
    return torch.where(_exceeds(totals[1], totals[0], unit)[trials.edge_part], second, first)


def num_counting(trials: Trials, place: Tensor, *, classes: bool, length: int) -> Tensor:
    """How many edges of the ranking of each part count, ``[num_parts]``."""
    totals = _totals(prefixes(trials, place, classes, length), _last(trials, length))
    best = totals.max(1, keepdim=True).values
    return (~_exceeds(best, totals, unit_of(trials, classes).unsqueeze(1))).long().argmax(1)


def improve(trials: Trials, place: Tensor, candidates: Tensor, *, classes: bool, length: int) -> Tensor:
    r"""Improve a ranking of the edges of each part, until no move does, 64 times at most.

    A ranking of :math:`L` edges is as good as the sets are that it shows: with :math:`S_k` its first :math:`k` edges,

    .. math:: \max_l \; \sum_{k \le l} J(S_k) + (L - l) \, J(S_l),

    where the edges after the :math:`l`-th are left out. A move puts an edge to an earlier place, from outside or from
    within; the edges from there on move back by one, and the last drops out. The best of all moves is made, if it
    raises the sum by more than 0.001; for regression, by more than that share of what is explained.

    Args:
        trials: The predictions.
        place: The ranking: the places of its ``length`` edges from 1, as many as a part has; else 0, ``[num_edges]``.
        candidates: Which edges may be moved, those of the ranking among them, ``[num_edges]``.
        classes: Whether scores are log-odds.
        length: How many edges a ranking has, or all of a part that has fewer.

    Returns:
        The places.
    """
    found, edges = place.clone(), torch.arange(place.numel(), device=place.device)
    state = _State(trials, place, candidates, classes, length)
    for _ in range(_MOVES):
        state.judge()
        moving = state.move()
        found[edges] = state.place
        if not bool(moving.any()):
            break
        if not bool(moving.all()):
            edges = edges[moving[state.part]]
            state.keep(moving)
    return found


class _State:
    """The rankings that go on.

    Attributes:
        trials: The predictions.
        part: The part of each edge, ``[num_edges]``.
        place: The place of each edge from 1, or 0, ``[num_edges]``.
        edge: The candidates of each part, or -1, ``[num_parts, num_candidates]``.
        last: How long each ranking is, ``[num_parts]``.
        nothing: What no edges are worth, ``[num_parts]``.
        unit: What worths are measured in, ``[num_parts]``.
        table: What the first edges of each ranking, none to all but one, are worth with each candidate,
            ``[num_parts, length, num_candidates]``.
        stale: Between which numbers of first edges the table is to be made, each ``[num_parts]``.
    """

    def __init__(self, trials: Trials, place: Tensor, candidates: Tensor, classes: bool, length: int) -> None:
        self.trials, self.part, self.classes = trials, trials.edge_part, classes
        self.place, self.last = place.clone(), _last(trials, length)
        self.edge = by_part(candidates, self.part, trials.num_parts)
        self.nothing = fine_values(trials, torch.zeros_like(candidates).unsqueeze(0), classes)[0]
        self.unit = unit_of(trials, classes)
        self.table = self.nothing.new_zeros(trials.num_parts, length, self.edge.size(1))
        self.stale = torch.zeros_like(self.last), self.last

    @property
    def places(self) -> Tensor:
        """The place of each candidate, one after the last where it has none, ``[num_parts, num_candidates]``."""
        place = self.place[self.edge]
        return torch.where(place > 0, place, self.last.unsqueeze(1) + 1)

    def judge(self) -> None:
        """Make the table anew where rankings have changed."""
        first, end = (each.view(-1, 1, 1) for each in self.stale)
        row = torch.arange(self.table.size(1), device=first.device).view(1, -1, 1)
        todo = (row >= first) & (row < end) & (row < self.places.unsqueeze(1)) & (self.edge >= 0).unsqueeze(1)
        if not bool(todo.any()):
            return
        part, kept, column = todo.nonzero().unbind(1)
        number = (todo.flatten(1).cumsum(1) - 1).view_as(todo)[todo]
        rows = kept.new_full((int(number.max()) + 1, self.last.numel()), -1)
        edges = rows.clone()
        rows[number, part], edges[number, part] = kept, self.edge[part, column]
        own, ranked = torch.arange(self.part.numel(), device=part.device), self.place > 0

        def with_one(first: Tensor, added: Tensor) -> Tensor:
            return ranked & (self.place <= first[:, self.part]) | (own == added[:, self.part])

        worth = fine_values_of(self.trials, with_one, rows, edges, classes=self.classes)
        self.table[todo] = worth[number, part]

    def move(self) -> Tensor:
        """Make the best move of each ranking; returns which were improved, ``[num_parts]``."""
        places, length = self.places.unsqueeze(1), self.table.size(1)
        worth = self.nothing.unsqueeze(1).repeat(1, length + 1)
        part, column = ((self.edge >= 0) & (self.places <= self.last.unsqueeze(1))).nonzero().unbind(1)
        place = self.places[part, column]
        worth[part, place] = self.table[part, place - 1, column]
        total = _totals(worth, self.last).max(1).values

        count = torch.arange(1, length + 1, device=part.device)
        gain = []
        for to in count.tolist():  # the place that a candidate is put to
            changed = (count >= to) & (count <= places.transpose(1, 2))
            moved = torch.where(changed, self.table.transpose(1, 2), worth[:, None, 1:])
            whole = torch.cat([worth[:, None, :1].expand(-1, moved.size(1), 1), moved], 2)
            allowed = (self.edge >= 0) & (to < self.places) & (to <= self.last).unsqueeze(1)
            own = _totals(whole, self.last.unsqueeze(1)).max(2).values - total.unsqueeze(1)
            gain.append(own.where(allowed, -torch.inf))
        gains = torch.stack(gain, 1).flatten(1)
        if not gains.size(1):
            return torch.zeros_like(self.last, dtype=torch.bool)
        most = gains.max(1).values
        improved = most > GAIN * self.unit
        choice = (gains >= (most - SAME * self.unit).unsqueeze(1)).long().argmax(1)
        to, column = choice // self.edge.size(1) + 1, choice % self.edge.size(1)
        row = torch.arange(self.last.numel(), device=part.device)
        self._put(self.edge[row, column], to, self.places[row, column], improved)
        return improved

    def _put(self, edge: Tensor, to: Tensor, before: Tensor, improved: Tensor) -> None:
        first, end = to[self.part], before[self.part]
        back = improved[self.part] & (self.place >= first) & (self.place < end)
        self.place = torch.where(back, self.place + 1, self.place)
        self.place[self.place > self.last[self.part]] = 0
        self.place[edge[improved]] = to[improved]
        self.stale = to, torch.minimum(before, self.last)

    def keep(self, parts: Tensor) -> None:
        """Let go of all but some parts, a mask ``[num_parts]``."""
        edges = parts[self.part]
        number = edges.cumsum(0) - 1
        self.trials = self.trials.only(parts.nonzero().view(-1))
        self.part, self.place = self.trials.edge_part, self.place[edges]
        self.edge = torch.where(self.edge >= 0, number[self.edge], -1)[parts]
        self.last, self.nothing, self.unit, self.table = (
            each[parts] for each in (self.last, self.nothing, self.unit, self.table)
        )
        self.stale = self.stale[0][parts], self.stale[1][parts]


def _last(trials: Trials, length: int) -> Tensor:
    """How many edges a ranking of each part has, ``[num_parts]``."""
    return torch.bincount(trials.edge_part, minlength=trials.num_parts).clamp(max=length)


def prefixes(trials: Trials, place: Tensor, classes: bool, length: int) -> Tensor:
    """What the first edges of each ranking are worth, none to all of them, ``[num_parts, length + 1]``."""
    count = torch.arange(length + 1, device=place.device).unsqueeze(1)
    return fine_values(trials, (place > 0) & (place <= count), classes).T


def _totals(worth: Tensor, last: Tensor) -> Tensor:
    """What rankings are worth where so many of their edges count, none to all, ``[*, length + 1]``.

    Args:
        worth: What their first edges are worth, none to all of them, ``[*, length + 1]``.
        last: How long they are, ``[*]``; for more edges, the result is negative infinity.
    """
    count = torch.arange(worth.size(-1), device=worth.device)
    ahead = last.unsqueeze(-1) - count
    summed = torch.cat([torch.zeros_like(worth[..., :1]), worth[..., 1:].cumsum(-1)], -1)
    return (summed + ahead * worth).where(ahead >= 0, -torch.inf)


def _exceeds(total: Tensor, other: Tensor, unit: Tensor) -> Tensor:
    """Whether totals exceed others by more than rounding."""
    return total > other + SAME * torch.maximum(other.abs(), unit)
