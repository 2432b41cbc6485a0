"""A small graph of three classes, models trained on it, and what their state is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, MLP, GraphSAGE

from gragr_explain.inputs import forward_arguments

GNNS = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def three_classes(num_nodes: int = 90) -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(num_nodes) % 3
    edges = torch.randint(num_nodes, (2, 2 * num_nodes), generator=generator)
    edges[1, :num_nodes] = edges[0, :num_nodes] % 3 + edges[1, :num_nodes] // 3 * 3  # half of them within a class
    noise = torch.randn(num_nodes, 8, generator=generator)
    data = Data(x=F.one_hot(y, 8) + noise, edge_index=torch.cat([edges, edges.flip(0)], dim=1), y=y)
    part = torch.rand(num_nodes, generator=generator)
    data.train_mask, data.val_mask, data.test_mask = part < 0.5, (part >= 0.5) & (part < 0.7), part >= 0.7
    return data


def trained(model: nn.Module, data: Data, epochs: int = 60) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(scores(model, data)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def scores(model: nn.Module, data: Data) -> torch.Tensor:
    if isinstance(model, nn.Sequential | MLP):
        return model(data.x)
    return model(data.x, data.edge_index, **forward_arguments(model, data))


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    tensors = {f"parameter {name}": value for name, value in model.named_parameters()}
    tensors |= {f"buffer {name}": value for name, value in model.named_buffers()}
    tensors |= {f"gradient {name}": value.grad for name, value in model.named_parameters() if value.grad is not None}
    return {name: value.detach().clone() for name, value in tensors.items()}


def assert_same(before: dict[str, torch.Tensor], model: nn.Module) -> None:
    after = state_of(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def other_class(model: nn.Module, data, node: int) -> int:
    return int(scores(model, data)[node].argsort(descending=True)[1])
