"""What supports one prediction, as far as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from gragr_explain.explain import Edge, Feature
from gragr_explain.history import along_flow

if TYPE_CHECKING:
    from torch_geometric.explain import Explanation

    from gragr_explain.explain import NodeExplanations

MOST_EDGES, MOST_FEATURES = 14, 12
"""How many edges and features of a full explanation a card shows."""


class Evidence(NamedTuple):
    """What supports one prediction: edges, features, and the weight of every feature where it is known."""

    edges: list[Edge]
    features: list[Feature]
    dense: Tensor | None


def evidence_of(explanations: NodeExplanations, row: int, explanation: Explanation | None) -> Evidence:
    """The evidence of the full explanation where there is one, else that of the batch."""
    edges, features, dense = explanations.edges[row], explanations.features[row], None
    edge_mask = explanation.get("edge_mask") if explanation is not None else None
    node_mask = explanation.get("node_mask") if explanation is not None else None
    if explanation is not None and edge_mask is not None and _peak(edge_mask) > 0:
        weight = edge_mask.detach().cpu() / _peak(edge_mask)
        strongest = weight.argsort(descending=True, stable=True)[:MOST_EDGES]
        strongest = strongest[weight[strongest] > 0]
        messages = along_flow(explanation.edge_index, explanations.flow)
        source, target = messages[:, strongest.to(messages.device)].tolist()
        edges = list(zip(source, target, weight[strongest].tolist(), strict=True))
    if node_mask is not None and node_mask.size(-1) > 1:
        node = int(explanations.index[row])
        own = node_mask[node if node_mask.size(0) > 1 else 0].detach().cpu().float()
        if _peak(own) > 0:
            dense = own / _peak(own)
            strongest = dense.argsort(descending=True, stable=True)[:MOST_FEATURES]
            strongest = strongest[dense[strongest] > 0]
            features = list(zip(strongest.tolist(), dense[strongest].tolist(), strict=True))
    return Evidence(edges, features, dense)


def _peak(mask: Tensor) -> float:
    return float(mask.max()) if mask.numel() else 0.0


def ends(edges: Sequence[Edge]) -> set[int]:
    """The nodes at the ends of edges."""
    return {node for source, target, _ in edges for node in (source, target)}
