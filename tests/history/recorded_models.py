"""The models whose training is recorded, the graph that they learn, and the loop that anybody would write."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, PNA, GraphSAGE, MessagePassing, global_mean_pool
from torch_geometric.utils import degree

CHANNELS, HIDDEN, CLASSES = 5, 8, 3


def make_graph(num_nodes: int = 24, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(num_nodes, (2, 3 * num_nodes), generator=generator)
    y = torch.randint(CLASSES, (num_nodes,), generator=generator)
    x = torch.randn(num_nodes, CHANNELS, generator=generator)
    x[:, :CLASSES] += F.one_hot(y, CLASSES)
    train_mask = torch.rand(num_nodes, generator=generator) < 0.5
    return Data(x=x, edge_index=torch.cat([edge_index, edge_index.flip(0)], dim=1), y=y, train_mask=train_mask)


class Averaging(MessagePassing):
    """A layer of somebody's own: a gated mean of the neighbours."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(aggr="mean")
        self.gate, self.linear = nn.Linear(2 * channels, 1), nn.Linear(channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.linear(x + self.propagate(edge_index, x=x))

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(torch.cat([x_i, x_j], dim=-1))) * x_j


class HandWritten(nn.Module):
    """Dropout, batch normalisation, an activation in place, layers in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Averaging(CHANNELS, HIDDEN), Averaging(HIDDEN, HIDDEN)])
        self.norm, self.head = nn.BatchNorm1d(HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.relu(self.norm(self.layers[0](x, edge_index)), inplace=True)
        x = self.layers[1](F.dropout(x, 0.4, self.training), edge_index)
        return self.head(F.elu_(x))


class GraphLevel(nn.Module):
    """One output per graph; of shape ``[]`` where ``flat``."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        self.gnn, self.head, self.flat = GCN(CHANNELS, HIDDEN, 2), nn.Linear(HIDDEN, 1 if flat else CLASSES), flat

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        output = self.head(global_mean_pool(self.gnn(x, edge_index).relu(), None))
        return output.squeeze() if self.flat else output


class EdgeLevel(nn.Module):
    """One score per edge."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GraphSAGE(CHANNELS, HIDDEN, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.gnn(x, edge_index)
        return (hidden[edge_index[0]] * hidden[edge_index[1]]).sum(-1)


def _pna() -> nn.Module:
    graph = make_graph()
    counts = degree(graph.edge_index[1], graph.num_nodes).long().bincount()
    return PNA(CHANNELS, HIDDEN, 2, CLASSES, aggregators=["mean", "max"], scalers=["identity"], deg=counts, dropout=0.3)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "GCN": lambda: GCN(CHANNELS, HIDDEN, 3, CLASSES, dropout=0.5, norm="BatchNorm"),
    "GAT": lambda: GAT(CHANNELS, HIDDEN, 2, CLASSES, heads=2, dropout=0.5),
    "GATv2": lambda: GAT(CHANNELS, HIDDEN, 2, CLASSES, v2=True, dropout=0.3, norm="BatchNorm"),
    "GIN": lambda: GIN(CHANNELS, HIDDEN, 2, CLASSES, dropout=0.2),
    "GraphSAGE": lambda: GraphSAGE(CHANNELS, HIDDEN, 2, CLASSES, dropout=0.5, jk="cat"),
    "PNA": _pna,
    "hand-written": HandWritten,
}
"""Node classifiers."""

ALL_MODELS: dict[str, Callable[[], nn.Module]] = MODELS | {
    "one layer": lambda: GCN(CHANNELS, CLASSES, 1),
    "a bare layer": lambda: Averaging(CHANNELS, CLASSES),
    "graph level": GraphLevel,
    "graph level, one number": lambda: GraphLevel(flat=True),
    "edge level": EdgeLevel,
}


def make_model(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ALL_MODELS[name]().train()


def loss_of(output: Tensor, data: Data) -> Tensor:
    if output.dim() == 2 and output.size(0) == data.num_nodes:
        return F.cross_entropy(output[data.train_mask], data.y[data.train_mask])
    return output.square().mean()


def steps(model: nn.Module, data: Data, epochs: int, seed: int = 0) -> Iterator[Tensor]:
    """Train, and pause after each step's backward and optimiser step; validation passes come in between."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(epochs):
            model.train()
            optimizer.zero_grad()
            loss = loss_of(model(data.x, data.edge_index), data)
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                model(data.x, data.edge_index)
            yield loss.detach()
        model.train()


def train(model: nn.Module, data: Data, epochs: int, seed: int = 0) -> list[float]:
    return [float(loss) for loss in steps(model, data, epochs, seed)]


def count_hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
