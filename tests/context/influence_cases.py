"""Small graphs, and models whose training on them was recorded."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain.history import GradientRecorder, class_log_probs

MODELS = {
    "GCN": lambda: GCN(5, 6, num_layers=2, out_channels=3),
    "GAT": lambda: GAT(5, 6, num_layers=2, out_channels=3, heads=2),
    "GIN": lambda: GIN(5, 6, num_layers=2, out_channels=3),
    "GraphSAGE": lambda: GraphSAGE(5, 6, num_layers=2, out_channels=3, norm="batch_norm"),
    "jumping": lambda: GCN(5, 6, num_layers=3, out_channels=3, jk="cat"),
    "one layer": lambda: GCN(5, 6, num_layers=1, out_channels=3),
    "one score": lambda: GCN(5, 6, num_layers=2, out_channels=1),
}


def graph(num_nodes: int = 30, num_classes: int = 3, edges: int = 60) -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(num_nodes) % num_classes
    x = F.one_hot(y, 5) + 0.7 * torch.randn(num_nodes, 5, generator=generator)
    ends = torch.randint(num_nodes, (2, edges), generator=generator)
    mask = torch.rand(num_nodes, generator=generator) < 0.5
    return Data(x=x, edge_index=torch.cat([ends, ends.flip(0)], dim=1), y=y, train_mask=mask)


def recorded(model: nn.Module, data: Data, epochs: int = 20) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    with GradientRecorder(model, data):
        for _ in range(epochs):
            optimizer.zero_grad()
            log_probs = class_log_probs(model(data.x, data.edge_index))
            F.nll_loss(log_probs[data.train_mask], data.y[data.train_mask]).backward()
            optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def node_gradient(model: nn.Module, data: Data, names: list[str], node: int, label: int) -> Tensor:
    """The gradient of one node's loss at the model's own weights."""
    loss = -class_log_probs(model(data.x, data.edge_index))[node, label]
    own = dict(model.named_parameters())
    found = torch.autograd.grad(loss, [own[name] for name in names])
    return torch.cat([part.reshape(-1) for part in found])
