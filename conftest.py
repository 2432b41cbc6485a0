"""What the examples in docstrings may start from, so that not each of them has to train and explain a model first."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _given(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace.update(copy.deepcopy(_names()))  # an edit changes its model


@cache
def _names() -> dict[str, Any]:
    """Six nodes in a row, of two classes, and a model that was trained on them; two such rows as graphs."""
    import torch
    from torch_geometric.data import Data
    from torch_geometric.explain import Explainer
    from torch_geometric.nn import GCN, global_add_pool

    from gragr_explain import GradientContextExplainer, GraGR, explain_many

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nodes = GCN(6, 8, num_layers=2, out_channels=2)

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
            return global_add_pool(self.nodes(x, edge_index), batch)

    def explainer(model: torch.nn.Module, level: str) -> Explainer:
        return Explainer(
            model=model,
            algorithm=GradientContextExplainer(),
            explanation_type="model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": level, "return_type": "raw"},
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        row = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4, 4, 5], [1, 0, 2, 1, 3, 2, 4, 3, 5, 4]])
        data = Data(x=torch.eye(6), edge_index=row, y=torch.tensor([0, 0, 0, 1, 1, 1]))
        data.train_mask = torch.tensor([True, False, False, False, False, True])
        data.val_mask = torch.tensor([False, True, False, False, True, False])
        graphs = [Data(x=torch.eye(6), edge_index=row, y=torch.tensor(label)) for label in (0, 1)]
        trained = GraGR(GCN(6, 8, num_layers=2, out_channels=2)).fit(data, epochs=30, progress=False)
        pooled = Pooled().eval()
    return {
        "data": data,
        "graphs": graphs,
        "trained": trained,
        "explainer": explainer(trained, "node"),
        "graph_explainer": explainer(pooled, "graph"),
        "explain_many": explain_many,
    }
