from __future__ import annotations

import math

import pytest
import torch
from graph_cases import Case, assert_close, cases, cosine, dot, length
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.field import alignment, detect_conflicts, neighbour_mean, project_conflicts

thresholds = st.tuples(st.sampled_from([0.0, 0.1, 0.6, 1.3]), st.sampled_from([-0.93, -0.41, -0.1, 0.13, 0.81]))


@given(cases())
def test_alignment_is_the_cosine_with_the_neighbours_mean(case: Case) -> None:
    found = alignment(case.field, neighbour_mean(case.field, case.graph))
    expected = [cosine(case.rows[node], case.mean_of_neighbours(node)) for node in case.nodes]
    assert_close(found, expected, case)
    assert bool((found.isnan() | (found.abs() <= 1)).all())


@given(cases(), thresholds)
def test_conflicts_are_those_of_equation_1(case: Case, threshold: tuple[float, float]) -> None:
    tau_mag, tau_cos = threshold
    context, norm = neighbour_mean(case.field, case.graph), torch.linalg.vector_norm(case.field, dim=-1)
    found = detect_conflicts(case.field, context, tau_mag, tau_cos)
    assert torch.equal(found, detect_conflicts(case.field, context, tau_mag, tau_cos, norm=norm))
    for node in case.nodes:
        agreement = cosine(case.rows[node], case.mean_of_neighbours(node))
        expected = length(case.rows[node]) > tau_mag and not math.isnan(agreement) and agreement < tau_cos
        assert bool(found[node]) == expected


@given(cases())
def test_projection_is_that_of_equation_3(case: Case) -> None:
    context = neighbour_mean(case.field, case.graph)
    conflict = detect_conflicts(case.field, context)
    expected = []
    for node, row in enumerate(case.rows):
        if bool(conflict[node]):
            around = case.mean_of_neighbours(node)
            part = dot(row, around) / dot(around, around)
            row = [value - part * other for value, other in zip(row, around, strict=True)]
        expected.append(row)
    assert_close(project_conflicts(case.field, context, conflict), expected, case)


@given(cases())
def test_projection_leaves_no_part_along_the_context(case: Case) -> None:
    """Lemma 1."""
    context = neighbour_mean(case.field, case.graph)
    conflict = detect_conflicts(case.field, context, tau_mag=0, tau_cos=0)
    projected = project_conflicts(case.field, context, conflict)
    assert_close((projected * context).sum(-1)[conflict], torch.zeros(int(conflict.sum())), case)
    again = detect_conflicts(projected, context, tau_mag=1e-3, tau_cos=-1e-3)
    assert not bool(again.any())


@given(cases())
def test_gradients_that_are_not_in_conflict_stay_bit_by_bit(case: Case) -> None:
    context = neighbour_mean(case.field, case.graph)
    conflict = detect_conflicts(case.field, context)
    projected = project_conflicts(case.field, context, conflict)
    assert torch.equal(projected[~conflict], case.field[~conflict])


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_the_unit_of_a_gradient_does_not_matter(scale: float) -> None:
    field, context = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
    expected = alignment(field, context)
    torch.testing.assert_close(alignment(field * scale, context / scale), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(alignment(field * scale, context * scale), expected, rtol=0, atol=1e-6)


def test_a_field_without_conflict_has_none() -> None:
    field = torch.ones(4, 2)
    ring = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    assert not bool(detect_conflicts(field, neighbour_mean(field, ring)).any())
    assert bool(detect_conflicts(field, -neighbour_mean(field, ring)).all())


def test_both_thresholds_are_strict() -> None:
    field, context = torch.tensor([[0.5, 0.0]]), torch.tensor([[-1.0, 0.0]])
    assert bool(detect_conflicts(field, context, tau_mag=0.49, tau_cos=-0.99))
    assert not bool(detect_conflicts(field, context, tau_mag=0.5, tau_cos=-0.99))
    assert not bool(detect_conflicts(field, context, tau_mag=0.49, tau_cos=-1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_does_not_leave_the_range_of_a_cosine(dtype: torch.dtype) -> None:
    field = torch.randn(1000, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for sign in (1, -1):
        found = alignment(field, sign * field)
        assert float(found.abs().max()) <= 1
        torch.testing.assert_close(found, torch.full_like(found, sign))
