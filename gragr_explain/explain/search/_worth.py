"""How good sets of edges are as explanations, and which edges gradients would add to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SUFFICIENCY = 0.75
"""How much it counts, as long as sets of edges grow, that they suffice, beside 1 for their being needed (chosen on
validation nodes): small sets suffice for little."""

GAIN = 1e-3
"""By how much a ranking, or a set, must be better to be taken instead, in units of what worths are measured in."""

SAME = 1e-6
"""Worths that differ by less are the same: the first is taken, whatever the rounding."""

NO_ANSWER = -(2.0**100)
"""What a set of edges is worth for which a model's answer is no number."""

_CHOSEN, _BELOW_HALF = 0.1, 0.49  # of masks: how far the chosen edges are apart, and the strongest of the others
_BY_SCORE = 1e-3  # how much the logarithm of a score counts beside a probability, which hardly changes near 0 and 1
_MASKS, _NUMBERS = 256, 2**23  # how many sets are judged together, at most, and how many numbers they have
_ROUNDING = 1e-4  # promises that differ by less, beside the largest of a part, are the same: the first edge goes first


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

    @property
    def at_once(self) -> int:
        """How many masks a pass may take."""

    def scores(self, masks: Tensor) -> Tensor:
        """How strongly each prediction stands under masks ``[num_masks, num_edges]``, ``[num_masks, num_parts]``."""

    def only(self, parts: Tensor) -> Trials:
        """Some of the parts, ``[num_kept]`` in ascending order, with their edges in the same order."""


@torch.no_grad()
def values(trials: Trials, kept: Tensor, classes: bool) -> tuple[Tensor, Tensor]:
    r"""What sets of edges are worth, :math:`J(S) = \tfrac34\, p(S) - p(E \setminus S)`.

    Args:
        trials: The predictions.
        kept: The sets, ``[num_sets, num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.

    Returns:
        The worth of each set to each part, ``[num_sets, num_parts]``, and the same in scores, which tell apart what
        probabilities near 0 or 1 do not.
    """
    return _judged(_scores(trials, kept), classes, SUFFICIENCY)


@torch.no_grad()
def fine_values(trials: Trials, kept: Tensor, classes: bool) -> Tensor:
    r"""What sets of edges are worth, :math:`J(S) = p(S) - p(E \setminus S)`, ``[num_sets, num_parts]``.

    With a little of the score, which tells apart what probabilities near 0 or 1 do not; and
    :data:`NO_ANSWER`, where a model's answer is no number.

    Args:
        trials: The predictions.
        kept: The sets, ``[num_sets, num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.
    """
    worth, score = _judged(_scores(trials, kept), classes, 1)
    worth = worth + _BY_SCORE * score.sign() * score.abs().log1p()
    return worth.where(worth.isfinite(), NO_ANSWER)


def fine_values_of(trials: Trials, make: Callable[..., Tensor], *of_sets: Tensor, classes: bool) -> Tensor:
    """What sets are worth that are made some at a time, since all together would take too much memory.

    Args:
        trials: The predictions.
        make: From what some sets are made of to the sets, ``[num_some, num_edges]``.
        *of_sets: What each set is made of, all ``[num_sets, *]``.
        classes: Whether scores are log-odds.

    Returns:
        As :func:`fine_values`, ``[num_sets, num_parts]``.
    """
    num_edges, device = trials.edge_part.numel(), trials.edge_part.device
    at_once, worth = max(1, min(_MASKS, _NUMBERS // num_edges)), [torch.zeros(0, trials.num_parts, device=device)]
    for start in range(0, len(of_sets[0]), at_once):
        sets = make(*(each[start : start + at_once] for each in of_sets))
        worth.append(fine_values(trials, sets, classes))
    return torch.cat(worth)


def unit_of(trials: Trials, classes: bool) -> Tensor:
    """What worths are measured in: 1; for regression, what is explained, ``[num_parts]``."""
    part = trials.edge_part
    if classes:
        return torch.ones(trials.num_parts, dtype=torch.double, device=part.device)
    none_and_all = torch.tensor([[0.0], [1.0]], dtype=trials.dtype, device=part.device).expand(2, part.numel())
    with torch.no_grad():
        return trials.scores(none_and_all).double().nan_to_num(0, 0, 0).abs().max(0).values


def _scores(trials: Trials, kept: Tensor) -> Tensor:
    """The scores of sets, and then of all but them."""
    masks = kept.to(trials.dtype)
    return trials.scores(torch.cat([masks, 1 - masks]))


@dataclass(frozen=True)
class Seen:
    """What sets of edges are worth, and by how much each edge promises to raise that.

    Attributes:
        worth: The worth of each set to each part, ``[num_sets, num_parts]``.
        height: The same in scores.
        others: What all edges but those of the set are worth, ``[num_sets, num_parts]``.
        promise: The promises of the edges, in scores, ``[num_sets, num_edges]``.
    """

    worth: Tensor
    height: Tensor
    others: Tensor
    promise: Tensor


def look(trials: Trials, kept: Tensor, classes: bool) -> Seen:
    """What sets of edges are worth, and by how much each edge promises to raise that.

    The gradients are those at the kept edges and at the removed ones, which know what was chosen before, as those at
    the whole graph do not.

    Args:
        trials: The predictions.
        kept: The sets, ``[num_sets, num_edges]``.
        classes: Whether scores are log-odds.
    """
    seen, promise = [], []
    for some in kept.split(max(1, trials.at_once // 2)):
        scores, gradients = slopes(trials, torch.cat([some, ~some]).to(trials.dtype))
        seen.append(scores)
        promise.append(SUFFICIENCY * gradients[: len(some)] + gradients[len(some) :])
    on, off = (torch.cat(each) for each in zip(*(scores.chunk(2) for scores in seen), strict=True))
    worth, height = _judged(torch.cat([on, off]), classes, SUFFICIENCY)
    return Seen(worth, height, _judged(torch.cat([off, on]), classes, SUFFICIENCY)[0], torch.cat(promise))


def slopes(trials: Trials, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The scores under masks, ``[num_masks, num_parts]``, and their gradients, ``[num_masks, num_edges]``."""
    with torch.enable_grad():
        masks = masks.detach().requires_grad_()
        scores = trials.scores(masks)
        # the sum with nothing of the masks has a gradient even where a model uses none of its edges
        (gradients,) = torch.autograd.grad(scores.sum() + 0 * masks.sum(), masks)
    return scores.detach(), gradients


def promise_beside(trials: Trials, factor: Tensor, chosen: Tensor, classes: bool) -> Tensor:
    """What the edges beside chosen ones promise, times a factor, ``[num_edges]``; negative infinity for the chosen."""
    promise = look(trials, chosen.unsqueeze(0), classes).promise[0] * factor
    return promise.masked_fill(chosen, -torch.inf)


def _judged(scores: Tensor, classes: bool, sufficiency: float) -> tuple[Tensor, Tensor]:
    """The worth of sets and the same in scores, from the scores of the sets and then of all but them."""
    on, off = scores.chunk(2)
    height = (sufficiency * on - off).double()
    if classes:
        on, off = on.sigmoid(), off.sigmoid()
    return (sufficiency * on - off).double(), height


def ranks(promise: Tensor, part: Tensor, num_parts: int) -> Tensor:
    """The place of each edge among those of its part, from 0 for the most promising, ``[num_edges]``."""
    largest = promise.new_zeros(num_parts).scatter_reduce_(0, part, promise.abs().where(promise.isfinite(), 0), "amax")
    grain = (_ROUNDING * largest).clamp(min=torch.finfo(promise.dtype).tiny)[part]
    beyond = 2 / _ROUNDING  # where infinity counts, and twice as far out what is not a number: a whole one for all
    grains = (promise / grain).round().clamp(-beyond, beyond).nan_to_num(nan=2 * beyond).long()
    order = torch.argsort(part * int(4 * beyond) - grains, stable=True)
    begin = torch.searchsorted(part[order], torch.arange(num_parts, device=part.device))
    found = torch.empty_like(part)
    found[order] = torch.arange(part.numel(), device=part.device) - begin[part[order]]
    return found


def numbers(part: Tensor, num_parts: int) -> Tensor:
    """The number of each edge among those of its part, from 0, in the order they have, ``[num_edges]``."""
    return ranks(torch.zeros_like(part, dtype=torch.double), part, num_parts)


def by_part(chosen: Tensor, part: Tensor, num_parts: int) -> Tensor:
    """The chosen edges, a mask ``[num_edges]``, part by part, ``[num_parts, most]``; -1 where a part has fewer."""
    edges = chosen.nonzero().view(-1)
    most = int(torch.bincount(part[edges], minlength=num_parts).max())
    found = torch.full((num_parts, most), -1, device=part.device)
    found[part[edges], numbers(part[edges], num_parts)] = edges
    return found


@dataclass(frozen=True)
class Ranking:
    """Which edges of each part were chosen, in which order.

    Attributes:
        place: The place at which each edge was chosen, from 1, or 0, ``[num_edges]``.
        length: How many of the chosen edges of each part count, ``[num_parts]``.
        rest: What is promised of the other edges, not negative, ``[num_edges]``.
    """

    place: Tensor
    length: Tensor
    rest: Tensor

    @classmethod
    def of(cls, trials: Trials, factor: Tensor, place: Tensor, count: Tensor, *, classes: bool, length: int) -> Ranking:
        """The ranking of chosen edges and, where ``length`` edges of a part count, of what is promised beside them.

        Args:
            trials: The predictions.
            factor: What the gradients of edges are multiplied with, ``[num_edges]``.
            place: The place of each chosen edge, from 1, or 0, ``[num_edges]``.
            count: How many of the chosen edges of each part count, ``[num_parts]``.
            classes: Whether scores are log-odds.
            length: How many edges a part may have chosen.
        """
        rest = torch.zeros_like(place, dtype=trials.dtype)
        if bool((count == length).any()):
            chosen = (place > 0) & (place <= count[trials.edge_part])
            rest = promise_beside(trials, factor, chosen, classes).clamp(min=0).to(trials.dtype)
        return cls(place, count, rest)

    def mask(self, part: Tensor, most: int) -> Tensor:
        """A mask in ``[0, 1]`` that ranks edges, ``[num_edges]``.

        As factors of messages, such masks are also those that predictions need and that suffice for them: a chosen edge
        counts nearly whole, from 1 in equal steps down to above 0.9, since a prediction needs all of them. What is
        promised of the others counts by its square root, below 0.5.

        Args:
            part: The part that each edge belongs to, ``[num_edges]``.
            most: How many edges a part may have chosen; only where all of these count, others do, too.
        """
        num_parts, length = self.length.numel(), self.length[part]
        rest = torch.where(length == most, self.rest, 0)
        strongest = rest.new_zeros(num_parts).scatter_reduce_(0, part, rest, "amax")[part]
        rest = torch.where(strongest > 0, (rest / strongest).sqrt(), 0) * _BELOW_HALF
        order = 1 - _CHOSEN * (self.place - 1) / length.clamp(min=1)
        return torch.where((self.place > 0) & (self.place <= length), order.to(rest.dtype), rest)
