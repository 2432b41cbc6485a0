from __future__ import annotations

import math

import numpy as np
import torch
from graph_cases import Case, assert_close, cases, cosine, dot, fields
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.field import conflict_energy, conflict_loss, dirichlet_energy, task_conflict_energy


def hinge(value: float) -> float:
    return 0.0 if math.isnan(value) else max(0.0, value)


@given(cases())
def test_conflict_loss_is_that_of_equation_2(case: Case) -> None:
    expected = sum(weight * hinge(-dot(case.rows[i], case.rows[j])) for (i, j), weight in case.pairs.items())
    assert_close(conflict_loss(case.field, case.graph), expected, case)


@given(cases())
def test_conflict_energy_is_the_mean_over_linked_pairs(case: Case) -> None:
    total = sum(case.pairs.values())
    energy = sum(weight * hinge(-cosine(case.rows[i], case.rows[j])) for (i, j), weight in case.pairs.items())
    found = conflict_energy(case.field, case.graph)
    assert_close(found, energy / total if total else 0.0, case)
    assert 0 <= float(found) <= 1


@given(st.integers(1, 4).flatmap(lambda tasks: fields(3 * tasks, 2, torch.float64)))
def test_task_conflict_energy_is_that_of_equation_27(stacked: torch.Tensor) -> None:
    tasks = stacked.view(-1, 3, 2)
    for node in range(3):
        rows = tasks[:, node].tolist()
        expected = sum(hinge(-cosine(rows[i], rows[j])) for i in range(len(rows)) for j in range(i + 1, len(rows)))
        torch.testing.assert_close(task_conflict_energy(tasks)[node], torch.tensor(expected, dtype=torch.float64))
        assert torch.equal(task_conflict_energy(tasks[:, node]), task_conflict_energy(tasks)[node])


@given(cases())
def test_dirichlet_energy_is_the_trace_and_the_sum(case: Case) -> None:
    field = case.field.double().numpy()
    trace = np.trace(field.T @ case.laplacian @ field)
    by_pair = sum(weight * ((field[i] - field[j]) ** 2).sum() for (i, j), weight in case.pairs.items())
    assert_close(dirichlet_energy(case.field, case.graph), trace, case)
    assert_close(dirichlet_energy(case.field, case.graph), by_pair, case)


@given(cases())
def test_normalized_dirichlet_energy_is_that_of_the_normalized_laplacian(case: Case) -> None:
    strength = np.diag(case.laplacian)
    root = np.diag([1 / math.sqrt(value) if value else 0.0 for value in strength])
    field = case.field.double().numpy()
    expected = np.trace(field.T @ root @ case.laplacian @ root @ field)
    assert_close(dirichlet_energy(case.field, case.graph, normalized=True), expected, case)


@given(cases(), st.integers(0, 5))
def test_directions_do_not_matter_to_energies(case: Case, turned: int) -> None:
    if case.weight is not None:
        return
    edge_index = case.edge_index.clone()
    edge_index[:, turned:] = edge_index[:, turned:].flip(0)
    for energy in (conflict_loss, conflict_energy, dirichlet_energy):
        torch.testing.assert_close(energy(case.field, edge_index), energy(case.field, case.edge_index))
