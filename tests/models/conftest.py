from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data


@pytest.fixture
def graph() -> Data:
    """Two components in both directions and an isolated node, with labels to learn."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4), (0, 2), (6, 7), (7, 8)]
    edges = [*edges, *[(target, source) for source, target in edges]]
    x = torch.randn(10, 5, generator=torch.Generator().manual_seed(7))
    y = torch.arange(10) % 3
    mask = torch.arange(10) < 7
    return Data(x=x, edge_index=torch.tensor(edges).t().contiguous(), y=y, train_mask=mask, val_mask=~mask)
