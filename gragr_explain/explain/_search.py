"""Which few edges a prediction needs, and which suffice for it: a search that gradients guide."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain._beam import beam_search
from gragr_explain.explain._greedy import greedy_search
from gragr_explain.explain._worth import Trials

_MESSAGES = 8192
"""How many messages the sets that are followed may send; those that a step tries, 4 or more times as many."""
_SMALL = 64
"""The most edges that are searched again where that has failed: of these, a step tries all with each set."""


def search(
    trials: Trials,
    factor: Tensor | None = None,
    *,
    classes: bool = True,
    length: int = 10,
    width: int = 1,
    greedy_first: bool = False,
) -> Tensor:
    r"""Rank the edges that predictions need and that suffice for them.

    A set of edges is good in so far as the probability is low without it and high with nothing else, which GraphFramEx
    (Amara et al., 2022) scores as fidelity+ and fidelity-. For each prediction, the search maximises

    .. math:: J(S) = \tfrac34 \, p(S) - p(E \setminus S)

    one edge after another: greedily, with one set of edges, or as a beam search, with several. As parts grow, the beam
    becomes narrower.

    As long as gradients foretell what happens when edges are added, as they mostly do on citation graphs, a greedy
    search is fast, and a beam search finds little more. Where they mislead, as they mostly do for models that have
    learned motifs, it finds much more. With ``greedy_first``, it begins where the greedy search has failed.

    Args:
        trials: The predictions.
        factor: What the gradients of edges are multiplied with, ``[num_edges]``.
        classes: Whether scores are log-odds; otherwise :math:`p` is the score itself.
        length: How many edges to choose for each prediction, at most.
        width: How many sets of edges to follow, at most.
        greedy_first: Whether to follow one set at first, and several only where that has failed, in parts of up to 64
            edges.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``: the chosen edges in their order, from 1 in equal steps down to above 0.9;
        below 0.5, where all ``length`` were chosen, what else the last gradients speak for; and 0.
    """
    part = trials.edge_part
    size = torch.bincount(part, minlength=trials.num_parts)
    room = 2 ** torch.ceil(torch.log2(size.clamp(min=1).double())).long()  # parts of like size are searched together
    most = 0 if width == 1 else _SMALL if greedy_first else _MESSAGES // 2
    wide = (size > 0) & (room <= most)
    narrow = (size > 0) if greedy_first else (size > 0) & ~wide
    mask = torch.zeros(part.shape, dtype=trials.dtype, device=part.device)
    factor = torch.ones_like(mask) if factor is None else factor
    if bool(narrow.any()):
        edges, some = _some(trials, narrow)
        mask[edges], has_failed = greedy_search(some, factor[edges], classes=classes, length=length)
        wide[narrow] &= has_failed
    for edges_each in room[wide].unique().tolist():
        edges, some = _some(trials, wide & (room == edges_each))
        sets, tries = min(width, _MESSAGES // edges_each), max(_MESSAGES // (2 * edges_each), 4)
        mask[edges] = beam_search(some, factor[edges], classes=classes, length=length, width=sets, tries=tries)
    return mask


def _some(trials: Trials, parts: Tensor) -> tuple[Tensor, Trials]:
    """The edges of some parts, a mask ``[num_parts]``, and their predictions."""
    return parts[trials.edge_part].nonzero().view(-1), trials.only(parts.nonzero().view(-1))
