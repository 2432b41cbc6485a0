"""Models and explainers that the tests share."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import Explainer, Explanation
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphSAGE, MessagePassing, global_add_pool
from torch_geometric.utils import add_self_loops, remove_self_loops

from gragr_explain import GradientContextExplainer

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def explainer_for(
    model: nn.Module,
    algorithm: Any = None,
    *,
    kind: str = "model",
    nodes: str | None = "attributes",
    edges: str | None = "object",
    mode: str = "multiclass_classification",
    level: str = "node",
    returns: str = "raw",
    **more: Any,
) -> Explainer:
    return Explainer(
        model=model,
        algorithm=GradientContextExplainer() if algorithm is None else algorithm,
        explanation_type=kind,
        node_mask_type=nodes,
        edge_mask_type=edges,
        model_config={"mode": mode, "task_level": level, "return_type": returns},
        **more,
    )


def supporting(explainer: Explainer, explanation: Explanation) -> Tensor:
    """What of an edge mask speaks for the output."""
    is_use = explainer.algorithm.evidence == "uses"
    return explanation.edge_mask * (explanation.edge_evidence > 0) if is_use else explanation.edge_mask


class Net(nn.Module):
    """Two layers and a head, for every task level, mode and return type."""

    def __init__(self, mode: str, level: str, returns: str, num_features: int = 3, num_classes: int = 4):
        super().__init__()
        self.mode, self.level, self.returns = mode, level, returns
        self.first, self.second = GCNConv(num_features, 8), GCNConv(8, 8)
        self.head = nn.Linear(8, num_classes if mode == "multiclass_classification" else 1)
        self.dropout = nn.Dropout(0.5)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_label_index: Tensor | None = None,
    ) -> Tensor:
        h = self.dropout(self.first(x, edge_index, edge_weight)).relu()
        h = self.second(h, edge_index, edge_weight).relu()
        if self.level == "graph":
            h = global_add_pool(h, batch)
        if self.level == "edge":
            h = h[edge_label_index[0]] * h[edge_label_index[1]]
        out = self.head(h)
        if self.mode == "binary_classification":
            return out.sigmoid() if self.returns == "probs" else out
        if self.mode == "multiclass_classification" and self.returns != "raw":
            return out.softmax(-1) if self.returns == "probs" else out.log_softmax(-1)
        return out


class OwnLoops(MessagePassing):
    """Sums over neighbours and, as GCN and GAT do, replaces self-loops by its own, which come last."""

    def __init__(self) -> None:
        super().__init__(aggr="sum")

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edge_index, _ = add_self_loops(remove_self_loops(edge_index)[0], num_nodes=x.size(0))
        return self.propagate(edge_index, x=x)

    def message(self, x_j: Tensor) -> Tensor:
        return x_j


class Embedded(nn.Module):
    """A model of integer features."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.gnn = GCN(5, 8, num_layers=2, out_channels=3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.gnn(self.embedding(x.view(-1)), edge_index)


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything that hangs on the modules of a model, tensors copied."""

    def frozen(value: Any) -> Any:
        if isinstance(value, Tensor):
            return (id(value), value.detach().clone())
        if isinstance(value, dict):
            return {key: frozen(entry) for key, entry in value.items() if not isinstance(entry, nn.Module)}
        return value if isinstance(value, int | float | str | bool | None) else repr(type(value))

    return {
        f"{name}.{key}": frozen(value) for name, module in model.named_modules() for key, value in vars(module).items()
    } | {f"{name}.grad": None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def assert_same_state(first: Any, second: Any, path: str = "") -> None:
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same_state(first[key], second[key], f"{path}/{key}")
    elif isinstance(first, tuple):
        assert first[0] == second[0], f"{path}: another tensor"
        assert torch.equal(first[1], second[1]), path
    elif isinstance(first, Tensor):
        assert torch.equal(first, second), path
    else:
        assert first == second, path


def assert_same_edges(named, edge_mask, messages, tolerance, about):
    """That the named edges have the weights of a mask, the strongest first, and that no other edge of it has one."""
    expected, got = defaultdict(list), defaultdict(list)
    for (source, end), weight in zip(messages.t().tolist(), edge_mask.tolist(), strict=True):
        expected[source, end].append(weight)
    for source, end, weight in named:
        got[source, end].append(weight)
    assert got.keys() <= expected.keys()
    for ends, weights in expected.items():
        padded = sorted(got[ends] + [0.0] * (len(weights) - len(got[ends])))
        assert padded == pytest.approx(sorted(weights), abs=tolerance), (about, ends)
    weights = [weight for _, _, weight in named]
    assert weights == sorted(weights, reverse=True)
