"""Small random graphs with a field, drawn by hypothesis, and the loops and dense matrices they stand for.

Values and weights are multiples of a quarter: their sums are exact, so that zero gradients, cancelling neighbours,
equal norms and other ties happen often and mean the same to the package and to a transcription.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from gragr_explain.field import GraphOperator

DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Case:
    edge_index: Tensor
    num_nodes: int
    weight: Tensor | None
    field: Tensor

    @property
    def graph(self) -> GraphOperator:
        return GraphOperator(self.edge_index, self.num_nodes, self.weight)

    @property
    def nodes(self) -> range:
        return range(self.num_nodes)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """The edges as they are given, (source, target)."""
        return [(source, target) for source, target in self.edge_index.t().tolist()]

    @property
    def links(self) -> dict[tuple[int, int], float]:
        """Distinct edges (source, target) without self-loops, and their weights added up."""
        weights = [1.0] * len(self.edges) if self.weight is None else self.weight.tolist()
        links: dict[tuple[int, int], float] = {}
        for (source, target), weight in zip(self.edges, weights, strict=True):
            if source != target:
                links[source, target] = weight + (0 if self.weight is None else links.get((source, target), 0))
        return links

    def neighbours(self, node: int) -> list[int]:
        return [source for source, target in self.links if target == node]

    @property
    def adjacency(self) -> np.ndarray:
        """The dense matrix of which row v holds the weights of the neighbours of v."""
        matrix = np.zeros((self.num_nodes, self.num_nodes))
        for (source, target), weight in self.links.items():
            matrix[target, source] = weight
        return matrix

    @property
    def pairs(self) -> dict[tuple[int, int], float]:
        """Linked pairs i < j, with the mean of the weights of the directions that are given."""
        given: dict[tuple[int, int], list[float]] = {}
        for (source, target), weight in self.links.items():
            given.setdefault((min(source, target), max(source, target)), []).append(weight)
        return {pair: sum(weights) / len(weights) for pair, weights in given.items()}

    @property
    def laplacian(self) -> np.ndarray:
        """The dense combinatorial Laplacian of the graph without directions."""
        matrix = np.zeros((self.num_nodes, self.num_nodes))
        for (i, j), weight in self.pairs.items():
            matrix[i, j] = matrix[j, i] = weight
        return np.diag(matrix.sum(1)) - matrix

    @property
    def rows(self) -> list[list[float]]:
        return self.field.tolist()

    def mean_of_neighbours(self, node: int) -> list[float]:
        around = [(self.rows[source], weight) for (source, target), weight in self.links.items() if target == node]
        total = sum(weight for _, weight in around)
        if total == 0:
            return [0.0] * self.field.size(1)
        return [sum(weight * row[channel] for row, weight in around) / total for channel in range(self.field.size(1))]

    @property
    def tolerance(self) -> dict[str, float]:
        return {"rtol": 1e-4, "atol": 1e-5} if self.field.dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}


def dot(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def length(row: list[float]) -> float:
    return math.sqrt(dot(row, row))


def cosine(first: list[float], second: list[float]) -> float:
    """NaN where one of the two is zero."""
    if length(first) == 0 or length(second) == 0:
        return math.nan
    return dot(first, second) / (length(first) * length(second))


def assert_close(found: Tensor, expected: object, case: Case) -> None:
    expected = torch.as_tensor(np.asarray(expected), dtype=found.dtype)
    torch.testing.assert_close(found.detach(), expected, equal_nan=True, **case.tolerance)


@st.composite
def cases(draw: st.DrawFn, max_nodes: int = 6, max_edges: int = 18, dtypes: tuple[torch.dtype, ...] = DTYPES) -> Case:
    """Directed and undirected graphs with self-loops, duplicates, isolated nodes, weights, no edges, one node."""
    num_nodes = draw(st.integers(1, max_nodes))
    node = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=max_edges))
    weights = draw(st.lists(st.integers(0, 12), min_size=len(edges), max_size=len(edges)))
    if draw(st.booleans()):
        edges, weights = edges + [(target, source) for source, target in edges], weights * 2
    dtype = draw(st.sampled_from(dtypes))
    weight = torch.tensor(weights, dtype=dtype) / 4 if draw(st.booleans()) else None
    channels = draw(st.integers(1, 3))
    return Case(
        edge_index=torch.tensor(edges, dtype=torch.long).view(-1, 2).t().contiguous(),
        num_nodes=num_nodes,
        weight=weight,
        field=draw(fields(num_nodes, channels, dtype)),
    )


@st.composite
def fields(draw: st.DrawFn, num_nodes: int, channels: int, dtype: torch.dtype) -> Tensor:
    size = num_nodes * channels
    values = draw(st.lists(st.integers(-8, 8), min_size=size, max_size=size))
    return torch.tensor(values, dtype=dtype).view(num_nodes, channels) / 4
