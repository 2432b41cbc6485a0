"""The structure of a condensed graph, as a function of its features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LearnedAdjacency(nn.Module):
    r"""Edges from features: :math:`A'_{ij} = \sigma\left(\tfrac12 (m(x_i, x_j) + m(x_j, x_i))\right)`.

    GCond (Jin et al., 2022), eq. 10: :math:`m` is a multilayer perceptron of three layers with batch normalisation
    over all pairs. A node has no edge to itself.

    Args:
        channels: The number of features.
        hidden_channels: The width of the perceptron.
    """

    def __init__(self, channels: int, hidden_channels: int = 128) -> None:
        super().__init__()
        self.source = nn.Linear(channels, hidden_channels)
        self.target = nn.Linear(channels, hidden_channels, bias=False)
        self.hidden = nn.Linear(hidden_channels, hidden_channels)
        self.out = nn.Linear(hidden_channels, 1)
        self.first_norm, self.second_norm = (
            nn.BatchNorm1d(hidden_channels, track_running_stats=False) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The symmetric adjacency of shape ``[num_nodes, num_nodes]``, with values in ``[0, 1]``."""
        pairs = (self.source(x)[:, None] + self.target(x)[None]).flatten(0, 1)  # one layer on concatenated pairs
        pairs = F.relu(self.first_norm(pairs))
        pairs = F.relu(self.second_norm(self.hidden(pairs)))
        scores = self.out(pairs).view(x.size(0), x.size(0))
        one_way = torch.sigmoid((scores + scores.t()) / 2).triu(1)
        return one_way + one_way.t()  # to the bit, which a sigmoid of equal numbers need not be


def propagate_densely(x: Tensor, adjacency: Tensor, hops: int) -> Tensor:
    r"""Features after propagation by a dense adjacency, :math:`\hat{A}^{hops} X`, normalised as GCN does."""
    adjacency = adjacency + torch.eye(x.size(0), dtype=x.dtype, device=x.device)
    root = adjacency.sum(1).rsqrt()
    adjacency = root[:, None] * adjacency * root[None]
    for _ in range(hops):
        x = adjacency @ x
    return x
