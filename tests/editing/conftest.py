"""A small graph of three classes, and models trained on it."""

from __future__ import annotations

import pytest
import torch
from edited_models import GNNS, three_classes, trained
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, MLP


@pytest.fixture
def data() -> Data:
    return three_classes()


@pytest.fixture(params=[*GNNS, "MLP", "Sequential"])
def any_model(request, data) -> nn.Module:
    torch.manual_seed(0)
    if request.param == "MLP":
        model: nn.Module = MLP([8, 16, 3], norm=None)
    elif request.param == "Sequential":
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    else:
        model = GNNS[request.param](8, 16, num_layers=2, out_channels=3, norm="batch_norm", dropout=0.3)
    return trained(model, data)


@pytest.fixture
def gcn(data) -> nn.Module:
    torch.manual_seed(0)
    return trained(GCN(8, 16, num_layers=2, out_channels=3), data)


@pytest.fixture
def wrong(gcn, data) -> list[int]:
    """Wrongly predicted nodes that are no training nodes."""
    with torch.no_grad():
        prediction = gcn(data.x, data.edge_index).argmax(-1)
    found = ((prediction != data.y) & ~data.train_mask).nonzero().view(-1).tolist()
    assert len(found) >= 4
    return found
