"""Which few edges a prediction needs, and which suffice for it: a search that gradients guide."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain._beam import beam_search
from gragr_explain.explain._greedy import greedy_search
from gragr_explain.explain._worth import Trials

_MESSAGES = 8192
"""How many messages the sets that are followed may send; those that a step tries, 4 or more times as many."""


def search(
    trials: Trials, factor: Tensor | None = None, *, classes: bool = True, length: int = 10, width: int = 1
) -> Tensor:
    r"""Rank the edges that predictions need and that suffice for them.

    A set of edges is good in so far as the probability is low without it and high with nothing else, which GraphFramEx
    (Amara et al., 2022) scores as fidelity+ and fidelity-. For each prediction, the search maximises

    .. math:: J(S) = \tfrac34 \, p(S) - p(E \setminus S)

    one edge after another: greedily, with one set of edges, or as a beam search, with several. As parts grow, the beam
    becomes narrower.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.
        length: How many edges to choose for each prediction, at most.
        width: How many sets of edges to follow, at most.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``: the chosen edges in their order, from 1 in equal steps down to above 0.9;
        below 0.5, where all ``length`` were chosen, what else the last gradients speak for; and 0.
    """
    part = trials.edge_part
    size = torch.bincount(part, minlength=trials.num_parts)
    room = 2 ** torch.ceil(torch.log2(size.clamp(min=1).double())).long()  # parts of like size are searched together
    room = room.where(_MESSAGES // room > 1, 0) if width > 1 else torch.zeros_like(room)
    mask = torch.zeros(part.shape, dtype=trials.dtype, device=part.device)
    factor = torch.ones_like(mask) if factor is None else factor
    for most in room[size > 0].unique().tolist():
        chosen = (room == most) & (size > 0)
        edges = chosen[part].nonzero().view(-1)
        some = trials.only(chosen.nonzero().view(-1))
        weight = factor[edges]
        if most == 0:
            mask[edges] = greedy_search(some, weight, classes=classes, length=length)
        else:
            sets, tries = min(width, _MESSAGES // most), max(_MESSAGES // (2 * most), 4)
            mask[edges] = beam_search(some, weight, classes=classes, length=length, width=sets, tries=tries)
    return mask
