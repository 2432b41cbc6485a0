from __future__ import annotations

import os

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain.datasets import load_dataset


@pytest.fixture
def graph() -> Data:
    """Two components of nodes in both directions, an isolated node, a one-way edge."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4), (6, 7), (7, 8)]
    edges = [*edges, *[(target, source) for source, target in edges], (2, 5)]
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(10, 3, generator=generator)
    return Data(x=x, edge_index=torch.tensor(edges).t().contiguous())


@pytest.fixture
def gcn() -> GCN:
    torch.manual_seed(0)
    return GCN(3, 8, num_layers=2, out_channels=3, dropout=0.5)


def real_data(name: str) -> Data:
    if "GRAGR_DATA" not in os.environ:
        pytest.skip("GRAGR_DATA names no folder of data sets")
    return load_dataset(name).data


@pytest.fixture(scope="session")
def cora() -> Data:
    """Cora with its 256 most frequent words, which is enough to learn from, and fast."""
    data = real_data("Cora")
    data.x = data.x[:, data.x.sum(0).topk(256).indices.sort().values].contiguous()
    return data


@pytest.fixture(scope="session")
def texas() -> Data:
    return real_data("Texas")
