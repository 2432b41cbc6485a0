"""A model that draws at random whenever it is called is explained, and it is said what that means."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from gnns import explainer_for
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, global_mean_pool

from gragr_explain import explain_many


class Drawing(nn.Module):
    """Dropout as it is often written, which does not know of evaluation."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.always = GCNConv(3, 8), GCNConv(8, 3), always

    def forward(self, x, edge_index, batch=None):
        h = F.dropout(self.first(x, edge_index).relu(), training=self.training or self.always)
        h = self.second(h, edge_index)
        return h if batch is None else global_mean_pool(h, batch)


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("level", ["node", "graph"])
def test_it_is_noticed(level, always, graph):
    explainer = explainer_for(Drawing(always), level=level)
    data = Data(x=graph.x, edge_index=graph.edge_index)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = explain_many(explainer, data if level == "node" else [data, data], progress=False)
        if level == "node":
            explainer(data.x, data.edge_index, index=1)
    assert len(found) == (10 if level == "node" else 2)
    said = [str(each.message) for each in caught if "each time it is called" in str(each.message)]
    assert bool(said) == always
    assert all("F.dropout(x) without training=self.training" in text for text in said)
