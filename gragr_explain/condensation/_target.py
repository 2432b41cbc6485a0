"""What a condensed graph has to match: the gradients of a real graph's training nodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.condensation._damping import smooth_features
from gragr_explain.condensation._matching import class_gradients, logit_field, propagate


@dataclass(frozen=True)
class Target:
    r"""The training nodes of a graph, as the matching model sees them.

    The gradient of the model's weight is :math:`X^\top G`. If the field :math:`G` is damped before,
    :math:`X^\top (I + \lambda L)^{-1} G = ((I + \lambda L)^{-1} X)^\top G`: the damped features are computed once.

    Attributes:
        x: Propagated features of the training nodes, class after class, ``[num_training, channels]``.
        damped: Their damped features; the same as ``x`` without damping.
        y: Their labels, sorted.
        sizes: The number of them in each class.
        batch_size: The most nodes of a class whose gradient is taken at once.
    """

    x: Tensor
    damped: Tensor
    y: Tensor
    sizes: list[int]
    batch_size: int

    def gradients(self, weight: Tensor, bias: Tensor, generator: torch.Generator) -> Tensor:
        """The gradients of each class's mean loss on a batch of its nodes, ``[num_classes, channels, num_classes]``."""
        x, damped, y, sizes = self.x, self.damped, self.y, self.sizes
        if max(sizes) > self.batch_size:
            rows = self._draw(generator).to(x.device)
            x, damped, y = x[rows], damped[rows], y[rows]
            sizes = [min(size, self.batch_size) for size in sizes]
        return class_gradients(damped, logit_field(x, y, weight, bias), sizes)

    def _draw(self, generator: torch.Generator) -> Tensor:
        """Rows of a batch, class after class; all of a class that fits."""
        rows, start = [], 0
        for size in self.sizes:
            if size > self.batch_size:
                rows.append(start + torch.randperm(size, generator=generator, device="cpu")[: self.batch_size])
            else:
                rows.append(torch.arange(start, start + size))
            start += size
        return torch.cat(rows)


def make_target(data: Data, x: Tensor, hops: int, batch_size: int, damping: float) -> Target:
    """Propagate, and damp, a graph's features once and for all.

    Args:
        data: The graph.
        x: Its features, as its modalities lay them out.
        hops: How often the matching model propagates.
        batch_size: The most nodes of a class whose gradient is taken at once.
        damping: The strength of damping; 0 for none.
    """
    edge_weight = data.get("edge_weight")
    nodes = data.train_mask.nonzero().view(-1)
    nodes = nodes[torch.argsort(data.y[nodes], stable=True)]
    propagated = propagate(x, data.edge_index, edge_weight, hops)
    damped = smooth_features(data, propagated, damping)
    y = data.y[nodes]
    return Target(propagated[nodes], damped[nodes], y, torch.bincount(y).tolist(), batch_size)
