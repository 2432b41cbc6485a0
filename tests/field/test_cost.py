"""The graph is sorted once, and nothing is dense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gragr_explain.field import (
    GraphOperator,
    alignment,
    conflict_energy,
    conflict_loss,
    conjugate_gradient_smooth,
    detect_conflicts,
    dirichlet_energy,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
    neighbour_sum,
    project_conflicts,
)

SORTING = ("sort", "unique", "topk", "kthvalue")


def correct(field: Tensor, graph: GraphOperator) -> Tensor:
    context = neighbour_mean(field, graph)
    projected = project_conflicts(field, context, detect_conflicts(field, context))
    return projected * alignment(field, context).nan_to_num().unsqueeze(-1)


FUNCTIONS: list[Callable[[Tensor, GraphOperator], Tensor]] = [
    neighbour_sum,
    neighbour_mean,
    correct,
    conflict_loss,
    conflict_energy,
    dirichlet_energy,
    jacobi_smooth,
    conjugate_gradient_smooth,
    gradient_attention,
]


class Watch(TorchDispatchMode):
    """Sees every operation of a computation and of its backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.names.add(str(function))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                self.largest = max(self.largest, leaf.numel())
        return result


def random_graph(num_nodes: int, num_edges: int, weighted: bool = False, undirected: bool = False) -> GraphOperator:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator)
    if undirected:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    weight = torch.rand(edge_index.size(1), generator=generator) if weighted else None
    return GraphOperator(edge_index, num_nodes, weight)


def run(function: Callable[[Tensor, GraphOperator], Tensor], graph: GraphOperator, channels: int) -> None:
    field = torch.randn(graph.num_nodes, channels, generator=torch.Generator().manual_seed(1)).requires_grad_()
    function(field, graph).square().sum().backward()
    assert field.grad is not None


def test_the_watch_sees_sorting() -> None:
    with Watch() as watch:
        random_graph(5, 9)
    assert any(word in name for name in watch.names for word in SORTING)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_prepared_graph_is_not_sorted_again(
    function: Callable[[Tensor, GraphOperator], Tensor], weighted: bool
) -> None:
    graph = random_graph(30, 100, weighted)
    run(function, graph, channels=3)
    with Watch() as watch:
        run(function, graph, channels=3)
    assert not [name for name in watch.names if any(word in name for word in SORTING)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_graph_of_200000_nodes_needs_no_large_tensor(function: Callable[[Tensor, GraphOperator], Tensor]) -> None:
    with Watch() as watch:
        run(function, random_graph(200_000, 600_000, undirected=True), channels=8)
    assert watch.largest < 5_000_000  # 25 times a node and channel, where a dense matrix would take 40 billion
