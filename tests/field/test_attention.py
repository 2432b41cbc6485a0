from __future__ import annotations

import math

import torch
from graph_cases import Case, assert_close, cases, dot
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.field import gradient_attention

sharpness = st.sampled_from([0.0, 0.3, 1.0, 4.0])


def attention_by_loops(case: Case, fields: list[list[list[float]]], beta: float) -> list[float]:
    """Eq. 5 for each given edge; links of weight zero are none, copies of an edge share."""
    neighbours = {
        node: [other for other in case.neighbours(node) if case.links[other, node] > 0] for node in case.nodes
    }

    def agreement(u: int, v: int) -> float:
        return math.exp(beta * sum(dot(rows[u], rows[v]) for rows in fields))

    found = []
    for v, u in case.edges:
        if v == u or v not in neighbours[u]:
            found.append(0.0)
            continue
        share = agreement(u, v) / sum(agreement(u, w) for w in neighbours[u])
        found.append(share / case.edges.count((v, u)))
    return found


@given(cases(), sharpness)
def test_attention_is_that_of_equation_5(case: Case, beta: float) -> None:
    found = gradient_attention(case.field, case.graph, beta)
    assert_close(found, attention_by_loops(case, [case.rows], beta), case)


@given(cases(), sharpness)
def test_several_tasks_add_up_their_agreement(case: Case, beta: float) -> None:
    tasks = torch.stack([case.field, case.field.roll(1, 0), -case.field / 2])
    expected = attention_by_loops(case, tasks.tolist(), beta)
    assert_close(gradient_attention(tasks, case.graph, beta), expected, case)


@given(cases(), sharpness)
def test_attention_is_a_distribution_over_neighbours(case: Case, beta: float) -> None:
    """Theorem 1."""
    found = gradient_attention(case.field, case.graph, beta)
    assert bool((found >= 0).all())
    total = found.new_zeros(case.num_nodes).index_add_(0, case.edge_index[1], found)
    expected = [float(any(case.links[other, node] > 0 for other in case.neighbours(node))) for node in case.nodes]
    assert_close(total, expected, case)


@given(cases())
def test_without_sharpness_attention_is_uniform(case: Case) -> None:
    if case.weight is None:
        for share, (v, u) in zip(gradient_attention(case.field, case.graph, 0.0), case.edges, strict=True):
            expected = 0 if u == v else 1 / len(case.neighbours(u)) / case.edges.count((v, u))
            assert math.isclose(float(share), expected, rel_tol=1e-6)


def test_large_agreement_does_not_overflow() -> None:
    field = torch.tensor([[300.0], [300.0], [-300.0]])
    found = gradient_attention(field, torch.tensor([[1, 2], [0, 0]]), beta=10.0)
    assert found.tolist() == [1.0, 0.0]


def test_a_node_with_weightless_links_only_has_a_zero_derivative() -> None:
    field = torch.ones(3, 2, requires_grad=True)
    found = gradient_attention(field, torch.tensor([[0, 1, 2], [1, 2, 1]]), 1.0, torch.tensor([1.0, 0.0, 0.0]))
    assert found.tolist() == [1.0, 0.0, 0.0]
    (gradient,) = torch.autograd.grad((found * torch.arange(3.0)).sum(), field)
    assert bool(gradient.isfinite().all())
