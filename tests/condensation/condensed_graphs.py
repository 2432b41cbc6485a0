"""A small graph of three classes with two modalities, and its condensation in a second."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from gragr_explain.condensation import CondensationSettings, condense

CLASSES, CHANNELS = 3, 8
PARTS = {"first": slice(0, 5), "second": [5, 7, 6]}
QUICK = CondensationSettings(outer_steps=3, inner_steps=2, lr_feat=0.01, lr_adj=0.01)


def make_graph(num_nodes: int = 60, seed: int = 0, dtype: torch.dtype = torch.float32) -> Data:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(num_nodes) % CLASSES
    x = torch.rand(num_nodes, CHANNELS, generator=generator, dtype=dtype) + F.one_hot(y, CHANNELS)
    ends = torch.randint(num_nodes, (2, 6 * num_nodes), generator=generator)
    kept = (y[ends[0]] == y[ends[1]]) | (torch.rand(ends.size(1), generator=generator) < 0.2)
    edge_index = torch.cat([ends[:, kept], ends[:, kept].flip(0)], dim=1)
    train_mask = torch.rand(num_nodes, generator=generator) < 0.5
    return Data(x=x, edge_index=edge_index, y=y, train_mask=train_mask)


def quickly(data: Data, ratio: float = 0.15, **arguments: Any) -> Data:
    return condense(data, ratio, **{"epochs": 2, "settings": QUICK, "progress": False, **arguments})
