"""GRE and GRE+ against dense solvers, brute force and finite differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import qpsolvers
import torch
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.editing import _rewiring as rewiring
from gragr_explain.editing import gre, gre_plus, node_subsets
from gragr_explain.errors import EditingError


@st.composite
def problems(draw, max_subsets: int = 6):
    """Gradients of small integers: dependent, opposite, equal and zero ones come up often."""
    size = draw(st.integers(1, 8))
    number = st.integers(-3, 3)
    row = st.lists(number, min_size=size, max_size=size)
    rows = draw(st.lists(row, min_size=1, max_size=max_subsets))
    return torch.tensor(draw(row), dtype=torch.double), torch.tensor(rows, dtype=torch.double)


@given(problems(max_subsets=1))
def test_gre_is_the_nearest_gradient_that_does_not_oppose(problem):
    gradient, anchors = problem
    found = gre(gradient, anchors[0])
    assert float(found @ anchors[0]) >= -1e-9
    # the nearest of many points of the half-space is no nearer
    generator = torch.Generator().manual_seed(0)
    points = gradient + 3 * torch.randn(2000, gradient.numel(), generator=generator, dtype=torch.double)
    inside = points[points @ anchors[0] >= 0]
    if inside.numel():
        assert float((inside - gradient).norm(dim=1).min()) >= float((found - gradient).norm()) - 1e-9
    if float(gradient @ anchors[0]) < 0:
        assert abs(float(found @ anchors[0])) < 1e-9
    else:
        assert torch.equal(found, gradient)


@given(problems())
def test_gre_plus_solves_the_program_as_a_dense_solver_does(problem):
    gradient, anchors = problem
    found = gre_plus(gradient, anchors)
    size = gradient.numel()
    expected = qpsolvers.solve_qp(
        np.eye(size), -gradient.numpy(), G=-anchors.numpy(), h=np.zeros(len(anchors)), solver="clarabel"
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)
    assert float((anchors @ found).min()) >= -1e-8
    assert float(found @ gradient) >= -1e-8  # a step along it does not raise the target's loss


@given(problems())
def test_gre_plus_is_optimal(problem):
    """The conditions of Karush, Kuhn and Tucker: what is taken away is a non-negative sum of active anchors."""
    gradient, anchors = problem
    found = gre_plus(gradient, anchors)
    assert abs(float((found - gradient) @ found)) <= 1e-7
    again = gre_plus(found, anchors)
    torch.testing.assert_close(again, found, atol=1e-7, rtol=0)


@given(problems(max_subsets=1))
def test_one_subset_is_gre(problem):
    gradient, anchors = problem
    torch.testing.assert_close(gre_plus(gradient, anchors), gre(gradient, anchors[0]), atol=1e-9, rtol=1e-9)


@given(problems(), st.floats(0.1, 10), st.lists(st.floats(0.01, 100), min_size=6, max_size=6))
def test_lengths_of_anchors_do_not_matter(problem, scale, lengths):
    gradient, anchors = problem
    stretched = anchors * torch.tensor(lengths[: len(anchors)], dtype=torch.double).unsqueeze(1)
    torch.testing.assert_close(
        gre_plus(scale * gradient, stretched), scale * gre_plus(gradient, anchors), atol=1e-6, rtol=1e-6
    )


def test_more_parameters_than_subsets_in_single_precision():
    generator = torch.Generator().manual_seed(0)
    gradient, anchors = torch.randn(5000, generator=generator), torch.randn(10, 5000, generator=generator)
    found = gre_plus(gradient, anchors)
    assert found.dtype == torch.float32
    assert float((anchors @ found).min()) >= -1e-3
    dense = qpsolvers.solve_qp(
        (anchors @ anchors.t()).double().numpy(),
        (anchors @ gradient).double().numpy(),
        lb=np.zeros(10),
        solver="quadprog",
    )
    expected = gradient + torch.from_numpy(dense).float() @ anchors
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_opposite_anchors_leave_nothing():
    anchors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert float(gre_plus(torch.tensor([2.0, -1.0]), anchors).norm()) < 1e-9


def test_a_program_without_solution_is_named(monkeypatch):
    def fails(*_args):
        raise RuntimeError("Maximum number of iterations reached")

    monkeypatch.setattr(rewiring, "nnls", fails)
    with pytest.raises(EditingError, match="2 training subsets has no solution: Maximum number"):
        gre_plus(torch.ones(3), torch.ones(2, 3))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.data())
def test_subsets_are_disjoint_equal_and_in_the_order_of_classes(labels, drawn):
    y = torch.tensor(labels)
    nodes = torch.tensor(drawn.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1, unique=True)))
    count = drawn.draw(st.integers(1, len(nodes)))
    parts = node_subsets(y, nodes, count)
    assert sorted(torch.cat(parts).tolist()) == sorted(nodes.tolist())
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for first, second in pairwise(parts):
        assert int(y[first].max()) <= int(y[second].min())
    assert all(torch.equal(a, b) for a, b in zip(parts, node_subsets(y, nodes, count), strict=True))
