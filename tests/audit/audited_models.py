"""A graph of three classes with wrong training labels, models trained on it, and what they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain import GraGR

GNNS = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
EPOCHS = 30


def three_classes(num_nodes: int = 150, rate: float = 0.1) -> Data:
    """A graph whose right labels are in ``clean``; a share of the training labels is wrong."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.arange(num_nodes) % 3
    edges = torch.randint(num_nodes, (2, 3 * num_nodes), generator=generator)
    edges[1, :-30] = edges[0, :-30] % 3 + edges[1, :-30] // 3 * 3  # all but a few within a class
    x = F.one_hot(clean, 8) + 0.7 * torch.randn(num_nodes, 8, generator=generator)
    data = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1), y=clean.clone(), clean=clean)
    part = torch.rand(num_nodes, generator=generator)
    data.train_mask, data.val_mask, data.test_mask = part < 0.6, (part >= 0.6) & (part < 0.75), part >= 0.75
    known = data.train_mask.nonzero().view(-1)
    chosen = known[torch.randperm(known.numel(), generator=generator)[: round(rate * known.numel())]]
    data.y[chosen] = (clean[chosen] + 1 + torch.arange(chosen.numel()) % 2) % 3
    return data


def trained(name: str, data: Data, **switches: object) -> GraGR:
    torch.manual_seed(0)
    model = GNNS[name](data.num_features, 16, num_layers=2, out_channels=3, dropout=0.3)
    return GraGR(model, **switches).fit(data, EPOCHS, progress=False)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    state |= {
        f"gradient of {name}": value.grad.clone() for name, value in model.named_parameters() if value.grad is not None
    }
    return state


def assert_same(before: dict[str, torch.Tensor], model: nn.Module) -> None:
    after = state_of(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
