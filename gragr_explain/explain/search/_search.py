"""Which few edges a prediction needs, and which suffice for it: a search that gradients guide."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

import torch
from torch import Tensor

from gragr_explain.explain.search._best_set import best_set
from gragr_explain.explain.search._elimination import eliminate
from gragr_explain.explain.search._greedy import greedy_search
from gragr_explain.explain.search._refine import refine
from gragr_explain.explain.search._worth import Ranking, Trials

_MOST = 64
"""How many edges of a part are tried for each place of its ranking, at most,"""
_MESSAGES = 8192
"""and as many as send so many messages together; gradients choose them;"""
_FEWEST = 10
"""but so many beside those of a ranking as long as all are, at least."""
_LARGEST = 1024
"""The edges of the largest parts in which rankings are refined."""


class Where(Enum):
    """Which rankings are refined."""

    NOWHERE = auto()
    FAILED = auto()
    EVERYWHERE = auto()


def search(
    trials: Trials,
    factor: Tensor | None = None,
    *,
    classes: bool = True,
    length: int = 10,
    where: Where = Where.NOWHERE,
    ranked: bool = True,
) -> Tensor:
    r"""Rank the edges that predictions need and that suffice for them.

    A set of edges is good in so far as the probability is low without it and high with nothing else, which GraphFramEx
    (Amara et al., 2022) scores as fidelity+ and fidelity-:

    .. math:: J(S) = p(S) - p(E \setminus S)

    A greedy search adds one edge after another. As long as gradients foretell what happens then, as they mostly do on
    citation graphs, it is fast and leaves little to find. Where they mislead, as they mostly do for models that have
    learned motifs, it leaves much, and its ranking is refined.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.
        length: How many edges to choose for each prediction, at most.
        where: Which rankings to refine: none; those where the greedy search has failed, in parts of up to 64 edges; or
            those of all parts of up to 1,024 edges, of which fewer are tried in larger parts.
        ranked: Whether the first few of the chosen edges are to explain well, too; otherwise rankings that are refined
            become the best sets of at most ``length`` edges.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``: the chosen edges in their order, from 1 in equal steps down to above 0.9;
        below 0.5, where all ``length`` were chosen, what else the last gradients speak for; and 0.
    """
    part = trials.edge_part
    size = torch.bincount(part, minlength=trials.num_parts)
    if not part.numel():
        return torch.zeros(0, dtype=trials.dtype, device=part.device)
    factor = torch.ones_like(part, dtype=trials.dtype) if factor is None else factor
    found, has_failed = greedy_search(trials, factor, classes=classes, length=length)
    room = 2 ** torch.ceil(torch.log2(size.clamp(min=1).double())).long()  # parts of like size are refined together
    if where is Where.FAILED:
        again = has_failed & (room <= _MOST)
    else:
        again = (size > 0) & (room <= _LARGEST) & (where is Where.EVERYWHERE)
    for edges_each in room[again].unique().tolist():
        parts = (again & (room == edges_each)).nonzero().view(-1)
        edges = torch.isin(part, parts).nonzero().view(-1)
        shortlist = max(length + _FEWEST, min(_MESSAGES // edges_each, _MOST))
        some, own, place = trials.only(parts), factor[edges], found.place[edges]
        stays = eliminate(some, own, classes=classes, length=length, shortlist=shortlist)
        refined = refine(some, own, place, stays, classes=classes, length=length, shortlist=shortlist)
        if not ranked:
            starts = place > 0, (refined.place > 0) & (refined.place <= refined.length[some.edge_part])
            refined = best_set(some, own, starts, stays <= shortlist, classes=classes, length=length)
        found = _with(found, edges, parts, refined)
    return found.mask(part, length)


def _with(found: Ranking, edges: Tensor, parts: Tensor, refined: Ranking) -> Ranking:
    """Rankings with those of some parts in their stead."""
    return replace(
        found,
        place=found.place.index_copy(0, edges, refined.place),
        length=found.length.index_copy(0, parts, refined.length),
        rest=found.rest.index_copy(0, edges, refined.rest),
    )
