"""Each of the six features against its equation, written out with loops over nodes and over pairs of neighbours."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from graph_cases import Case, cases, cosine, length
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gragr_explain.context import FEATURES, psi_features

UNDEFINED = math.nan


def norms(case: Case) -> list[float]:
    return [length(row) for row in case.rows]


def agreement(case: Case, node: int) -> float:
    return cosine(case.rows[node], case.mean_of_neighbours(node))


def min_max(case: Case) -> list[float]:
    """Eq. 24."""
    low, high = min(norms(case)), max(norms(case))
    return [UNDEFINED if low == high else (norm - low) / (high - low) for norm in norms(case)]


def conflict(case: Case, node: int) -> float:
    """Eq. 18."""
    return sum(norms(case)) / case.num_nodes * norms(case)[node] * (1 - agreement(case, node))


def stability(case: Case, node: int) -> float:
    """Eq. 19, over the neighbours that have a gradient."""
    pulling = [case.rows[other] for other in case.neighbours(node) if norms(case)[other] > 0]
    cosines = [cosine(first, second) for first, second in combinations(pulling, 2)]
    return sum(cosines) / len(cosines) if cosines else UNDEFINED


def influence(case: Case, node: int) -> float:
    """Eq. 20."""
    adjacency, norm = case.adjacency, np.array(norms(case))
    if not case.neighbours(node) or not norm.any():
        return UNDEFINED
    strength = adjacency @ adjacency @ norm + 0.5 * (adjacency @ adjacency @ adjacency @ norm)
    return strength[node] / (len(case.neighbours(node)) + 1)


def confidence(case: Case, confidences: list[float], among: list[int]) -> float:
    """Eq. 21."""
    level = min_max(case)
    if math.isnan(level[0]):
        return UNDEFINED
    return -cosine([confidences[node] for node in among], [level[node] for node in among])


def role(case: Case, node: int) -> float:
    """Eq. 22."""
    degrees = [len(case.neighbours(other)) for other in case.nodes]
    degree, cos = degrees[node], agreement(case, node)
    if degree > np.percentile(degrees, 80) and norms(case)[node] > np.percentile(norms(case), 70):
        return 2.0
    if math.isnan(cos):
        return UNDEFINED
    if np.percentile(degrees, 40) < degree <= np.percentile(degrees, 80) and cos < 0.5:
        return 1.5
    return 1.0 if cos > 0.7 else 0.5


def receptiveness(case: Case, node: int) -> float:
    """Eqs. 23 to 26."""
    around = [norms(case)[other] for other in case.neighbours(node)]
    variance = np.var(around) if around else UNDEFINED
    return 0.4 * min_max(case)[node] + 0.35 * (1 - agreement(case, node)) + 0.25 * variance


def assert_column(name: str, found: tuple[Tensor, Tensor], expected: list[float], case: Case) -> None:
    column = FEATURES.index(name)
    psi, valid = found[0][:, column], found[1][:, column]
    known = [not math.isnan(value) for value in expected]
    assert valid.tolist() == known
    wanted = torch.tensor([value if ok else 0.0 for value, ok in zip(expected, known, strict=True)], dtype=psi.dtype)
    torch.testing.assert_close(psi, wanted, **case.tolerance)


@pytest.mark.parametrize("equation", [conflict, stability, influence, receptiveness], ids=lambda e: e.__name__)
@given(case=cases())
def test_feature_is_that_of_its_equation(equation, case: Case) -> None:
    expected = [equation(case, node) for node in case.nodes]
    assert_column(equation.__name__, psi_features(case.field, case.graph), expected, case)


@given(cases())
def test_role_is_the_first_that_applies(case: Case) -> None:
    psi, valid = psi_features(case.field, case.graph)
    column = FEATURES.index("role")
    for node in case.nodes:
        if any(abs(agreement(case, node) - threshold) < 1e-5 for threshold in (0.5, 0.7)):
            continue  # on the threshold, either side is right
        expected = role(case, node)
        assert bool(valid[node, column]) == (not math.isnan(expected))
        assert float(psi[node, column]) == (0 if math.isnan(expected) else expected)


@st.composite
def cases_with_confidence(draw: st.DrawFn) -> tuple[Case, list[float]]:
    case = draw(cases())
    values = draw(st.lists(st.integers(0, 8), min_size=case.num_nodes, max_size=case.num_nodes))
    return case, [value / 8 for value in values]


@given(cases_with_confidence())
def test_confidence_of_a_graph_is_one_number(drawn: tuple[Case, list[float]]) -> None:
    case, confidences = drawn
    found = psi_features(case.field, case.graph, torch.tensor(confidences), scope="graph")
    expected = [confidence(case, confidences, list(case.nodes))] * case.num_nodes
    assert_column("confidence", found, expected, case)


@given(cases_with_confidence())
def test_confidence_of_an_ego_is_that_of_a_node_and_its_neighbours(drawn: tuple[Case, list[float]]) -> None:
    case, confidences = drawn
    found = psi_features(case.field, case.graph, torch.tensor(confidences))
    around = {node: case.neighbours(node) for node in case.nodes}
    expected = [confidence(case, confidences, [node, *near]) if near else UNDEFINED for node, near in around.items()]
    assert_column("confidence", found, expected, case)


@given(cases())
def test_without_confidences_the_feature_is_nowhere_valid(case: Case) -> None:
    assert_column("confidence", psi_features(case.field, case.graph), [UNDEFINED] * case.num_nodes, case)


@given(cases_with_confidence())
def test_psi_is_finite_and_zero_where_it_means_nothing(drawn: tuple[Case, list[float]]) -> None:
    case, confidences = drawn
    psi, valid = psi_features(case.field, case.graph, torch.tensor(confidences))
    assert psi.shape == valid.shape == (case.num_nodes, 6)
    assert psi.dtype == case.field.dtype
    assert valid.dtype == torch.bool
    assert bool(psi.isfinite().all())
    assert not bool(psi[~valid].any())


@given(cases(), st.sampled_from([0.25, 2.0, 16.0]))
def test_features_without_a_unit_do_not_depend_on_it(case: Case, scale: float) -> None:
    psi, valid = psi_features(case.field, case.graph)
    scaled, still_valid = psi_features(case.field * scale, case.graph)
    for name, power in {"conflict": 2, "stability": 0, "influence": 1, "role": 0}.items():
        column = FEATURES.index(name)
        torch.testing.assert_close(scaled[:, column], psi[:, column] * scale**power, **case.tolerance)
    assert torch.equal(valid, still_valid)


@given(cases(max_nodes=5), st.randoms(use_true_random=False))
def test_the_names_of_the_nodes_do_not_matter(case: Case, random) -> None:
    order = list(case.nodes)
    random.shuffle(order)
    place = torch.tensor(order)
    renamed = replace(case, edge_index=place[case.edge_index], field=case.field[place.argsort()])
    psi, valid = psi_features(case.field, case.graph)
    other, other_valid = psi_features(renamed.field, renamed.graph)
    known = other_valid[place] & valid
    torch.testing.assert_close(other[place] * known, psi * known, **case.tolerance)


@pytest.mark.parametrize("seed", range(3))
def test_large_neighbourhoods_keep_their_precision(seed: int) -> None:
    """A star of 2,000 leaves: single precision against the loops' double precision."""
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn(2001, 4, generator=generator) + 1
    leaves = torch.arange(1, 2001)
    edges = torch.stack([leaves, torch.zeros_like(leaves)])
    psi, _ = psi_features(field, edges)
    exact, _ = psi_features(field.double(), edges)
    unit = field[1:].double() / field[1:].double().norm(dim=-1, keepdim=True)
    cosines = unit @ unit.t()
    by_pair = float(cosines[torch.triu(torch.ones_like(cosines, dtype=torch.bool), diagonal=1)].mean())
    assert float(exact[0, 1]) == pytest.approx(by_pair, rel=1e-9)
    torch.testing.assert_close(psi[0], exact[0].float(), rtol=1e-4, atol=1e-5)
