from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from graph_cases import Case, assert_close, cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gragr_explain.errors import InvalidGraphError, InvalidTypeError
from gragr_explain.field import (
    GraphOperator,
    dirichlet_energy,
    harmonic_energy,
    largest_frequency,
    normalized_neighbour_sum,
    rayleigh_quotient,
)

DOUBLE = (torch.float64,)
EDGES = torch.tensor([[0, 1], [1, 2]])


def normalized_laplacian(case: Case) -> np.ndarray:
    """Dense, zero at nodes without neighbours."""
    strength = np.diag(case.laplacian)
    root = np.diag([1 / math.sqrt(value) if value else 0.0 for value in strength])
    return root @ case.laplacian @ root


def linked(case: Case) -> np.ndarray:
    return np.diag(case.laplacian) > 0


@given(cases())
def test_neighbours_are_summed_with_the_roots_of_the_degrees(case: Case) -> None:
    expected = (np.diag(linked(case)) - normalized_laplacian(case)) @ case.field.double().numpy()
    assert_close(normalized_neighbour_sum(case.field, case.edge_index, case.weight), expected, case)


@given(cases())
def test_the_mean_frequency_is_that_of_the_dense_laplacian(case: Case) -> None:
    field = case.field.double().numpy()
    size = (field[linked(case)] ** 2).sum()
    expected = np.trace(field.T @ normalized_laplacian(case) @ field) / size if size else math.nan
    assert_close(rayleigh_quotient(case.field, case.edge_index, case.weight), expected, case)


@given(cases(dtypes=DOUBLE), st.integers(0, 1000))
def test_the_mean_frequency_lies_between_the_frequencies_and_reaches_them(case: Case, seed: int) -> None:
    assume(linked(case).any())
    values, vectors = np.linalg.eigh(normalized_laplacian(case)[np.ix_(linked(case), linked(case))])
    assert largest_frequency(case.graph) == pytest.approx(values[-1], abs=1e-12)
    for value, vector in ((values[0], vectors[:, 0]), (values[-1], vectors[:, -1])):
        field = torch.zeros(case.num_nodes, 1, dtype=torch.float64)
        field[torch.from_numpy(linked(case))] = torch.from_numpy(vector).unsqueeze(-1)
        assert float(rayleigh_quotient(field, case.graph)) == pytest.approx(value, abs=1e-9)
    field = torch.randn(case.num_nodes, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert -1e-12 <= float(rayleigh_quotient(field, case.graph)) <= values[-1] + 1e-9


@given(cases(dtypes=DOUBLE), st.integers(1, 3), st.integers(0, 1000))
def test_harmonic_energy_is_the_trace_in_its_metric(case: Case, rows: int, seed: int) -> None:
    w = torch.randn(rows, case.field.size(1), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    field = case.field.numpy()
    metric = (w.t() @ w).numpy()
    expected = np.trace(field.T @ normalized_laplacian(case) @ field @ metric) / 2
    assert_close(harmonic_energy(case.field, case.graph, w), expected, case)
    assert_close(
        harmonic_energy(case.field, case.graph),
        float(dirichlet_energy(case.field, case.graph, normalized=True)) / 2,
        case,
    )


def test_random_rows_have_frequency_one() -> None:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(50, (2, 200), generator=generator)
    field = torch.randn(50, 20000, generator=generator)
    assert float(rayleigh_quotient(field, edge_index)) == pytest.approx(1, abs=0.01)


def test_the_scale_of_a_field_does_not_matter() -> None:
    field = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    expected = rayleigh_quotient(field, EDGES)
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(rayleigh_quotient(scale * field, EDGES), expected)


@pytest.mark.parametrize("num_nodes", [40, 200])
def test_largest_frequency_of_known_graphs(num_nodes: int) -> None:
    ring = torch.stack([torch.arange(num_nodes), (torch.arange(num_nodes) + 1) % num_nodes])
    assert largest_frequency(GraphOperator(ring, num_nodes)) == pytest.approx(2, abs=1e-9)
    pairs = torch.combinations(torch.arange(num_nodes)).t()
    assert largest_frequency(GraphOperator(pairs, num_nodes)) == pytest.approx(num_nodes / (num_nodes - 1), abs=1e-9)


def test_lanczos_finds_what_a_dense_solver_does() -> None:
    generator = torch.Generator().manual_seed(1)
    edge_index = torch.randint(150, (2, 500), generator=generator)
    graph = GraphOperator(edge_index, 150, torch.rand(500, generator=generator)).undirected
    adjacency = graph.matrix(torch.float64).to_dense()
    root = graph.strength.double().rsqrt().nan_to_num(posinf=0)
    lowest = torch.linalg.eigvalsh(root[:, None] * adjacency * root)[0]
    assert largest_frequency(graph) == pytest.approx(1 - float(lowest), abs=1e-6)


@given(st.integers(65, 90), st.integers(0, 10_000), st.booleans())
@settings(max_examples=20)
def test_it_is_two_where_a_component_is_bipartite_and_less_elsewhere(num_nodes: int, seed: int, odd: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    child = torch.arange(1, num_nodes)
    tree = torch.stack([(torch.rand(num_nodes - 1, generator=generator) * child).long(), child])
    triangle = torch.tensor([[0, 1, 0], [1, 2, 2]])
    edges = torch.cat([tree, triangle], 1) if odd else torch.cat([tree, triangle + num_nodes], 1)
    found = largest_frequency(GraphOperator(edges, num_nodes + 3))
    assert found == 2 if not odd else 1 < found < 2


def test_a_long_path_takes_no_time() -> None:
    path = torch.stack([torch.arange(99_999), torch.arange(1, 100_000)])
    assert largest_frequency(GraphOperator(path, 100_000)) == 2


def test_graphs_without_edges_have_no_frequency() -> None:
    nothing = torch.empty(2, 0, dtype=torch.long)
    assert largest_frequency(GraphOperator(nothing, 3)) == largest_frequency(GraphOperator(nothing, 0)) == 0
    assert rayleigh_quotient(torch.ones(3, 2), nothing).isnan()
    assert rayleigh_quotient(torch.ones(0, 2), nothing).isnan()
    assert harmonic_energy(torch.ones(3, 2), nothing) == 0
    assert not normalized_neighbour_sum(torch.ones(3, 2), nothing).any()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidGraphError, match=r"\[any, 2\], got \[2, 3\]"):
        harmonic_energy(torch.ones(3, 2), EDGES, torch.ones(2, 3))
    for function in (harmonic_energy, rayleigh_quotient, normalized_neighbour_sum):
        with pytest.raises(InvalidTypeError, match=r"got torch\.int64"):
            function(torch.ones(3, 2).long(), EDGES)
        with pytest.raises(InvalidGraphError, match=r"in edge_index, got 0 to 2"):
            function(torch.ones(2, 2), EDGES)
