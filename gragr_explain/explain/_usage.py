"""What structure predictions depend on, whether it speaks for them or against."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.explain._masks import support_mask
from gragr_explain.explain.search import Trials, slopes

_POINTS = 5
_GOES_ON = 0.5  # the share of what a node counts that is handed on to its senders
_STEPS = 20  # 0.5**20 < 1e-6: more change nothing that a mask shows
_ROUNDING = 32  # units in the last place of the largest magnitude of a part, below which predictions do not depend


def usage(trials: Trials) -> Tensor:
    """The magnitude of the gradient of each edge, its mean while all edges grow from a fifth of their weight to all.

    Along the way and not at its end alone, because where a prediction is certain, or a unit is off, the gradient at the
    whole graph is small for edges that the model would miss.

    Args:
        trials: The predictions.

    Returns:
        Numbers that are not negative, ``[num_edges]``.

    Example:
        >>> class Product:  # of two edges
        ...     edge_part, num_parts, dtype, at_once = torch.tensor([0, 0]), 1, torch.float32, 8
        ...     def scores(self, masks): return masks.prod(1, keepdim=True)
        >>> usage(Product())
        tensor([0.6000, 0.6000])
    """
    growth = torch.linspace(1 / _POINTS, 1, _POINTS, dtype=trials.dtype, device=trials.edge_part.device)
    total = torch.zeros(trials.edge_part.shape, dtype=trials.dtype, device=growth.device)
    for some in growth.split(trials.at_once):
        total += slopes(trials, some.unsqueeze(1).repeat(1, total.numel()))[1].abs().sum(0)
    return total / _POINTS


def use_mask(magnitude: Tensor, messages: Tensor, part: Tensor | None = None) -> Tensor:
    r"""The structure that predictions depend on, from how much they depend on each edge.

    Where messages are summed, all edges into a node have the same gradient, those from a hub as those from a motif.
    What tells them apart is what arrives at their senders in turn. So a node counts as much as the mean message into
    it, and hands half of what it counts on to the senders of its messages, to each in proportion to how much the
    predictions depend on its message:

    .. math:: c_u = \bar a_u + \tfrac12 \sum_{u \to v} \frac{a_{uv}}{\sum_w a_{wv}} \, c_v

    This is PageRank (Page et al., 1999) of walks against the messages, which gradients lead and which may start anew at
    any node that messages arrive at. An edge counts as much as the end that counts less, since a structure holds both
    ends of its edges.

    Args:
        magnitude: How much predictions depend on each edge, :math:`a`, not negative, ``[num_edges]``.
        messages: The sender and the receiver of each edge's message, ``[2, num_edges]``.
        part: The part that each edge belongs to, where they belong to several outputs, ``[num_edges]``.

    Returns:
        A mask in ``[0, 1]``, ``[num_edges]``: a share of the largest of each part, and zero for edges that predictions
        do not depend on, or whose gradient is no finite number. Both directions of an edge have the same, where
        predictions depend on both.

    Example:
        Three messages arrive at node 0. Nodes 1 and 2 are in a triangle with it, node 3 is a hub.

        >>> messages = torch.tensor([[1, 2, 3, 2, 1, 4, 5, 6], [0, 0, 0, 1, 2, 3, 3, 3]])
        >>> use_mask(torch.tensor([2.0, 2.0, 2.0, 1.0, 1.0, 0.1, 0.1, 0.1]), messages)
        tensor([0.7500, 0.7500, 0.1625, 1.0000, 1.0000, 0.0271, 0.0271, 0.0271])
    """
    sender, receiver = messages
    num_nodes = int(messages.max()) + 1 if messages.numel() else 0
    is_used = support_mask(magnitude, part) > _ROUNDING * torch.finfo(magnitude.dtype).eps
    magnitude = torch.where(is_used, magnitude, 0)
    arriving = magnitude.new_zeros(num_nodes).index_add_(0, receiver, magnitude)
    own = arriving / torch.bincount(receiver, minlength=num_nodes).clamp(min=1)
    share = torch.where(is_used, magnitude / arriving[receiver], 0)
    counts = own
    for _ in range(_STEPS):
        counts = own.index_add(0, sender, _GOES_ON * share * counts[receiver])
    return support_mask(torch.where(is_used, torch.minimum(counts[sender], counts[receiver]), 0), part)
