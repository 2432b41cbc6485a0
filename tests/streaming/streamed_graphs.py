"""Small models and graphs to export, the same ones in every process."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain import GradientContextExplainer

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def make_data(num_nodes: int = 40, *, degree: int = 3, labels: bool = True, seed: int = 0) -> Data:
    """A random graph, the last node of which has no neighbour."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(num_nodes - 1, (2, degree * num_nodes // 2), generator=generator)
    data = Data(x=torch.randn(num_nodes, 5, generator=generator), edge_index=torch.cat([ends, ends.flip(0)], dim=1))
    if labels:
        data.y = torch.randint(-1, 3, (num_nodes,), generator=generator)
    return data


def make_explainer(
    backbone: str = "GCN", *, seed: int = 0, regression: bool = False, explains: str = "model", **options: object
) -> Explainer:
    """An explainer of a model that was never trained."""
    torch.manual_seed(seed)
    return Explainer(
        model=BACKBONES[backbone](5, 8, num_layers=2, out_channels=1 if regression else 3),
        algorithm=GradientContextExplainer(**options),
        explanation_type=explains,
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "regression" if regression else "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
