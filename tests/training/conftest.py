from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph


@pytest.fixture
def make_data() -> Callable[..., Data]:
    """A random graph with noisy labels, the same for the same arguments."""

    def make(num_nodes: int = 30, seed: int = 0, dtype: torch.dtype = torch.float32, directed: bool = False) -> Data:
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            edge_index = erdos_renyi_graph(num_nodes, 0.15, directed=directed)
        y = torch.randint(0, 3, (num_nodes,), generator=generator)
        x = torch.randn(num_nodes, 5, generator=generator, dtype=dtype)
        x[:, :3] += torch.nn.functional.one_hot(y, 3)
        order = torch.randperm(num_nodes, generator=generator)
        train_mask, val_mask = torch.zeros(2, num_nodes, dtype=torch.bool)
        train_mask[order[: num_nodes // 2]] = True
        val_mask[order[num_nodes // 2 :]] = True
        return Data(x=x, edge_index=edge_index, y=y, train_mask=train_mask, val_mask=val_mask)

    return make


@pytest.fixture
def data(make_data: Callable[..., Data]) -> Data:
    return make_data()
