from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gragr_explain.errors import GragrError, InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.field import (
    GraphOperator,
    alignment,
    conjugate_gradient_smooth,
    detect_conflicts,
    gradient_attention,
    jacobi_smooth,
    neighbour_mean,
    neighbour_sum,
    project_conflicts,
    task_conflict_energy,
)

EDGES = torch.tensor([[0, 1], [1, 2]])
FIELD = torch.ones(3, 2)
WEIGHT = torch.ones(2)

TABLE: dict[str, tuple[Callable[[], Any], type[GragrError], str]] = {
    "norms in a column": (
        lambda: detect_conflicts(FIELD, FIELD, norm=torch.ones(3, 1)),
        InvalidGraphError,
        r"norms of shape \[3\], got \[3, 1\]",
    ),
    "edges as a list": (lambda: GraphOperator([[0], [1]], 2), InvalidTypeError, "torch.int64, got list"),
    "edges as floats": (lambda: GraphOperator(EDGES.float(), 3), InvalidTypeError, "got torch.float32"),
    "edges as int32": (lambda: GraphOperator(EDGES.int(), 3), InvalidTypeError, "got torch.int32"),
    "edges as a sparse matrix": (
        lambda: GraphOperator(torch.eye(3).to_sparse_csr(), 3),
        InvalidTypeError,
        "got a sparse adjacency matrix",
    ),
    "edges in rows": (
        lambda: GraphOperator(EDGES.new_zeros(5, 2), 3),
        InvalidGraphError,
        r"\[2, num_edges\], got \[5, 2\]",
    ),
    "edges without a dimension": (lambda: GraphOperator(EDGES[0], 3), InvalidGraphError, r"got \[2\]"),
    "end that is no node": (lambda: GraphOperator(EDGES, 2), InvalidGraphError, r"\[0, 1\] in edge_index, got 0 to 2"),
    "negative end": (lambda: GraphOperator(-EDGES, 3), InvalidGraphError, "got -2 to 0"),
    "edge without nodes": (lambda: GraphOperator(EDGES, 0), InvalidGraphError, "got 0 to 2"),
    "weights as a list": (lambda: GraphOperator(EDGES, 3, [1.0, 1.0]), InvalidTypeError, "got list"),
    "weights as integers": (lambda: GraphOperator(EDGES, 3, WEIGHT.long()), InvalidTypeError, "got torch.int64"),
    "too few weights": (lambda: GraphOperator(EDGES, 3, WEIGHT[:1]), InvalidGraphError, r"shape \[2\], got \[1\]"),
    "weights as a column": (lambda: GraphOperator(EDGES, 3, WEIGHT[:, None]), InvalidGraphError, r"got \[2, 1\]"),
    "negative weight": (lambda: GraphOperator(EDGES, 3, -WEIGHT), InvalidGraphError, "negative or non-finite"),
    "weight NaN": (lambda: GraphOperator(EDGES, 3, WEIGHT * torch.nan), InvalidGraphError, "negative or non-finite"),
    "field as a list": (lambda: neighbour_sum([[1.0]], EDGES), InvalidTypeError, "got list"),
    "field of integers": (lambda: neighbour_sum(FIELD.long(), EDGES), InvalidTypeError, "got torch.int64"),
    "field of half precision": (lambda: neighbour_sum(FIELD.half(), EDGES), InvalidTypeError, "got torch.float16"),
    "field without channels": (lambda: neighbour_mean(FIELD[:, 0], EDGES), InvalidGraphError, r"got \[3\]"),
    "field of another graph": (
        lambda: neighbour_mean(FIELD, GraphOperator(EDGES, 4)),
        InvalidGraphError,
        "4 rows, got 3",
    ),
    "weights beside an operator": (
        lambda: neighbour_mean(FIELD, GraphOperator(EDGES, 3), WEIGHT),
        InvalidGraphError,
        "has its own weights",
    ),
    "context of another shape": (lambda: alignment(FIELD, FIELD[:2]), InvalidGraphError, r"\[3, 2\], got \[2, 2\]"),
    "conflicts of another shape": (lambda: detect_conflicts(FIELD, FIELD[:1]), InvalidGraphError, r"got \[1, 2\]"),
    "projection of another shape": (
        lambda: project_conflicts(FIELD, FIELD[:1], torch.ones(3).bool()),
        InvalidGraphError,
        r"got \[1, 2\]",
    ),
    "mask as a column": (
        lambda: project_conflicts(FIELD, FIELD, torch.ones(3, 1).bool()),
        InvalidGraphError,
        r"mask of shape \[3\], got \[3, 1\]",
    ),
    "negative tau_mag": (lambda: detect_conflicts(FIELD, FIELD, -0.1), InvalidArgumentError, "tau_mag"),
    "tau_mag NaN": (lambda: detect_conflicts(FIELD, FIELD, torch.nan), InvalidArgumentError, "tau_mag"),
    "tau_cos below -1": (lambda: detect_conflicts(FIELD, FIELD, 0.1, -1.1), InvalidArgumentError, "tau_cos"),
    "negative smoothing": (lambda: jacobi_smooth(FIELD, EDGES, -1.0), InvalidArgumentError, "lambda_smooth"),
    "smoothing NaN": (lambda: jacobi_smooth(FIELD, EDGES, torch.nan), InvalidArgumentError, "lambda_smooth"),
    "negative iterations": (lambda: jacobi_smooth(FIELD, EDGES, 1.0, -1), InvalidArgumentError, "iterations"),
    "negative smoothing, solved": (
        lambda: conjugate_gradient_smooth(FIELD, EDGES, -1.0),
        InvalidArgumentError,
        "lambda_smooth",
    ),
    "no tolerance": (lambda: conjugate_gradient_smooth(FIELD, EDGES, 1.0, 0.0), InvalidArgumentError, "tolerance"),
    "negative max_iterations": (
        lambda: conjugate_gradient_smooth(FIELD, EDGES, 1.0, max_iterations=-1),
        InvalidArgumentError,
        "max_iterations",
    ),
    "attention without channels": (lambda: gradient_attention(FIELD[:, 0], EDGES), InvalidGraphError, r"got \[3\]"),
    "attention without tasks": (
        lambda: gradient_attention(FIELD.new_zeros(0, 3, 2), EDGES),
        InvalidGraphError,
        r"got \[0, 3, 2\]",
    ),
    "tasks without channels": (lambda: task_conflict_energy(FIELD[:, 0]), InvalidGraphError, r"got \[3\]"),
}


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_named(name: str) -> None:
    call, error, message = TABLE[name]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("num_nodes", [0, 1, 3])
def test_a_graph_without_edges_is_no_error(num_nodes: int) -> None:
    field, none = torch.ones(num_nodes, 2), torch.zeros(2, 0, dtype=torch.long)
    assert torch.equal(neighbour_mean(field, none), torch.zeros_like(field))
    assert torch.equal(jacobi_smooth(field, none), field)
    assert torch.equal(conjugate_gradient_smooth(field, none), field)
    assert not bool(detect_conflicts(field, neighbour_mean(field, none)).any())
    assert gradient_attention(field, none).shape == (0,)
