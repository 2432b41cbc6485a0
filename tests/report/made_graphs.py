"""Explanations of graphs, made up for the report to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch_geometric.data import Data

from gragr_explain.explain import GraphExplanations
from gragr_explain.rationale import ChangeFact, Rationale, Reliability

KINDS = 4


def make_graphs(count: int = 30, *, seed: int = 0, one_hot: bool = True) -> list[Data]:
    """Rings with a tail and a node alone; every third goes one way only, and the fourth has no edge."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for number in range(count):
        size = 5 + number % 6
        ends = torch.arange(size)
        ring = torch.stack([ends, (ends + 1) % size])
        tail = torch.tensor([[0, size], [size, size + 1]])
        edges = torch.cat([ring, tail], 1)
        edges = edges if number % 3 == 2 else torch.cat([edges, edges.flip(0)], 1)
        edges = edges[:, :0] if number == 4 else edges
        x = (
            torch.eye(KINDS)[torch.arange(size + 3) % KINDS]
            if one_hot
            else torch.rand(size + 3, KINDS, generator=generator)
        )
        graphs.append(Data(x=x, edge_index=edges, y=torch.tensor([number % 2])))
    return graphs


def make_graph_explanations(
    graphs: Sequence[Data],
    *,
    index: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    labels: bool = True,
    regression: bool = False,
    texts: Callable[[int], str] = "Graph {} is what it is.".format,
    changes: Callable[[int], ChangeFact | None] = lambda _: None,
) -> GraphExplanations:
    """Explanations of some graphs; of one in five, the prediction is wrong."""
    numbers = list(range(len(graphs))) if index is None else list(index)
    confidence = torch.linspace(0.5, 1, len(graphs))[numbers]
    label = torch.tensor([int(graphs[number].y) for number in numbers])
    prediction = torch.tensor([int(graphs[n].y) if n % 5 else 1 - int(graphs[n].y) for n in numbers])
    strongest = [graphs[number].edge_index.t()[:4].tolist() for number in numbers]
    return GraphExplanations(
        index=torch.tensor(numbers, dtype=torch.long),
        prediction=torch.linspace(-1, 1, len(numbers)) if regression else prediction,
        confidence=torch.full((len(numbers),), torch.nan) if regression else confidence,
        label=label if labels and not regression else None,
        edges=[[(u, v, 1 - place / 50) for place, (u, v) in enumerate(edges)] for edges in strongest],
        features=[[(number % KINDS, 1.0), ((number + 1) % KINDS, 0.5)] for number in numbers],
        changes=[changes(number) for number in numbers],
        rationales=[_rationale(number, texts(number)) for number in numbers],
        reliability=[Reliability(("low", "medium", "high")[number % 3]) for number in numbers],
        class_names=class_names,
        feature_names=feature_names,
        num_graphs=len(graphs),
    )


def _rationale(number: int, text: str) -> Rationale:
    if number % 3 == 0:
        return Rationale(text, "template", True, ("the number 12 is not in the context",))
    return Rationale(text, "llm" if number % 3 == 1 else "template", False, ())
