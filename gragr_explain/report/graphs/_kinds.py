"""Kinds of nodes, such as atoms, and which of them supports which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.explain import GraphExplanations
from gragr_explain.report._findings import FEW

_CHOSEN = 0.5  # of masks: what a search chose weighs more
_MOST = 5


@dataclass(frozen=True)
class Kinds:
    """The kinds that the nodes of graphs are of.

    Attributes:
        names: What they are called.
        of: For each graph, by its number, the kind of each node, ``[num_nodes]``.
    """

    names: list[str]
    of: Mapping[int, Tensor]


@dataclass(frozen=True)
class Pattern:
    """An edge between two kinds of nodes that supports a class.

    Attributes:
        kinds: What it is called.
        support: Its share of the edges that support the class, where it is explained.
        everywhere: Its share of all edges of the same graphs.
        graphs: In how many graphs it supports the class.
    """

    kinds: str
    support: float
    everywhere: float
    graphs: int

    @property
    def lift(self) -> float:
        """How many times as often it is among what supports the class as anywhere."""
        return self.support / self.everywhere


def kinds_of(graphs: Mapping[int, Data], names: Sequence[str] | None) -> Kinds | None:
    """The kinds of nodes, where features say nothing else: each node has a one in one column, and zeros."""
    if not graphs or any(graph.x.dim() != 2 or not _one_hot(graph.x) for graph in graphs.values()):
        return None
    of = {number: graph.x.argmax(1).cpu() for number, graph in graphs.items()}
    count = next(iter(graphs.values())).x.size(1)
    called = [f"kind {kind}" if names is None else str(names[kind]) for kind in range(count)]
    return Kinds(called, of) if count > 1 else None


def _one_hot(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all()) and bool((x.sum(1) == 1).all())


def patterns(
    explanations: GraphExplanations, graphs: Mapping[int, Data], kinds: Kinds | None
) -> dict[int, list[Pattern]]:
    """Which edges support each explained class more often than they occur, the most telling first.

    Args:
        explanations: The explanations.
        graphs: The graphs, by their number.
        kinds: The kinds of their nodes.
    """
    if kinds is None or explanations.prediction.is_floating_point():
        return {}
    found = {}
    classes = explanations.explained.tolist()
    for label in sorted(set(classes)):
        support, everywhere, where = Counter[tuple[int, int]](), Counter[tuple[int, int]](), Counter[tuple[int, int]]()
        for row, number in enumerate(explanations.index.tolist()):
            if classes[row] != label:
                continue
            own = kinds.of[number]
            chosen = [edge[:2] for edge in explanations.edges[row] if edge[2] > _CHOSEN]
            pairs = _pairs(own, torch.tensor(chosen, dtype=torch.long).view(-1, 2).t())
            support.update(pairs)
            where.update(set(pairs))
            everywhere.update(_pairs(own, graphs[number].edge_index.cpu()))
        total, whole = sum(support.values()), sum(everywhere.values())
        names = kinds.names
        each = [
            Pattern(f"{names[one]} – {names[other]}", count / total, everywhere[one, other] / whole, where[one, other])
            for (one, other), count in support.items()
            if where[one, other] >= FEW and everywhere[one, other]
        ]
        telling = sorted((item for item in each if item.lift > 1), key=lambda item: item.everywhere - item.support)
        if telling:
            found[label] = telling[:_MOST]
    return found


def _pairs(kind: Tensor, edge_index: Tensor) -> list[tuple[int, int]]:
    """The kinds at both ends of each edge, the lower first; self-loops are left out."""
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    both = kind[edge_index].sort(dim=0).values
    return [(one, other) for one, other in both.t().tolist()]
