"""Explanations made up for the report to show: every shape that a batch can have, no training needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.context import GradientContext
from gragr_explain.explain import NodeExplanations
from gragr_explain.rationale import ChangeFact, Rationale, Reliability, ValidationFact

NUM_FEATURES = 6


def make_data(num_nodes: int = 40, *, edges: bool = True, seed: int = 0) -> Data:
    """A ring with chords, both directions of every edge; the last node has no neighbour."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.arange(max(num_nodes - 1, 0))
    ring = torch.stack([source, (source + 1) % max(num_nodes - 1, 1)])
    chord = torch.stack([source, (source + 5) % max(num_nodes - 1, 1)])
    forward = torch.cat([ring, chord], dim=1) if edges else torch.empty(2, 0, dtype=torch.long)
    return Data(
        x=torch.rand(num_nodes, NUM_FEATURES, generator=generator), edge_index=torch.cat([forward, forward.flip(0)], 1)
    )


def make_explanations(
    data: Data,
    *,
    nodes: Sequence[int] | None = None,
    num_classes: int = 3,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    node_names: Sequence[str] | None = None,
    labels: bool = True,
    regression: bool = False,
    flat: bool = False,
    texts: Callable[[int], str] = "Node {} is what it is.".format,
    changes: Callable[[int], ChangeFact | None] = lambda _: None,
    seed: int = 0,
) -> NodeExplanations:
    """Explanations of some nodes of a graph; ``flat``: no gradient anywhere, so that no psi is defined."""
    generator = torch.Generator().manual_seed(seed)
    num_nodes = data.num_nodes
    index = torch.arange(num_nodes) if nodes is None else torch.tensor(nodes, dtype=torch.long)
    hidden = torch.randn(num_nodes, 4, generator=generator)
    field = torch.zeros(num_nodes, 4) if flat else torch.randn(num_nodes, 4, generator=generator)
    confidence = torch.rand(num_nodes, generator=generator)
    predictions: Tensor = torch.randint(num_classes, (num_nodes,), generator=generator)
    label = torch.where(torch.rand(num_nodes, generator=generator) < 0.7, predictions, (predictions + 1) % num_classes)
    label[::7] = -1
    if regression:
        predictions, label = torch.randn(num_nodes, generator=generator), torch.randn(num_nodes, generator=generator)
        confidence = torch.full((num_nodes,), torch.nan)
    heard = _heard(data)
    return NodeExplanations(
        index=index,
        prediction=predictions[index],
        confidence=confidence[index],
        label=label[index] if labels else None,
        context=GradientContext.from_field(field, data.edge_index, "self", None if regression else confidence),
        all_predictions=predictions,
        embedding=torch.zeros(len(index), 2),
        hidden=hidden,
        edges=[[(u, v, 1 / (1 + i)) for i, u in enumerate(heard[v][:4])] for v in index.tolist()],
        features=[[(v % NUM_FEATURES, 1.0), ((v + 1) % NUM_FEATURES, 0.25)] for v in index.tolist()],
        changes=[changes(v) for v in index.tolist()],
        rationales=[_rationale(v, texts(v)) for v in index.tolist()],
        reliability=[_reliability(v) for v in index.tolist()],
        class_names=class_names,
        feature_names=feature_names,
        node_names=node_names,
    )


def _heard(data: Data) -> list[list[int]]:
    """The nodes that each node hears."""
    heard: list[list[int]] = [[] for _ in range(data.num_nodes)]
    for source, target in data.edge_index.T.tolist():
        heard[target].append(source)
    return heard


def _rationale(node: int, text: str) -> Rationale:
    if node % 3 == 0:
        return Rationale(text, "template", True, ("the number 12 is not in the context",))
    return Rationale(text, "llm" if node % 3 == 1 else "template", False, ())


def _reliability(node: int) -> Reliability:
    level = (None, "low", "medium", "high")[node % 4]
    doubts = ("conflict",) if level == "medium" else ()
    return Reliability(level, doubts, ValidationFact(node % 31, 30) if level else None)
