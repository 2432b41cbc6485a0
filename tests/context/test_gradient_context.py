from __future__ import annotations

import pytest
import torch
from graph_cases import Case, cases
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.context import FEATURES, ROLES, GradientContext, psi_features, quantile_ranks
from gragr_explain.field import alignment, neighbour_mean


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=12))
def test_ranks_count_the_valid_values_below(entries: list[tuple[int, bool]]) -> None:
    psi = torch.tensor([[float(value)] for value, _ in entries], dtype=torch.float64).view(-1, 1)
    valid = torch.tensor([[known] for _, known in entries], dtype=torch.bool).view(-1, 1)
    values = [value for value, known in entries if known]
    for (value, known), rank in zip(entries, quantile_ranks(psi, valid).view(-1).tolist(), strict=True):
        if known:
            below, ties = sum(other < value for other in values), values.count(value)
            assert rank == pytest.approx((below + ties / 2) / len(values))
            assert 0 <= rank <= 1
        else:
            assert rank != rank


@given(cases(), st.data())
def test_shares_count_what_is_smaller_and_larger(case: Case, data: st.DataObject) -> None:
    """Brute force, with entries that are alike; the shares and those of equal entries add up to all."""
    field = case.field.round()
    context = GradientContext.from_field(field, case.graph, "self")
    nodes = data.draw(st.lists(st.integers(0, case.num_nodes - 1), max_size=4))
    below, above = context.shares(torch.tensor(nodes, dtype=torch.long))
    assert below.shape == above.shape == (len(nodes), len(FEATURES))
    for row, node in enumerate(nodes):
        for column in range(len(FEATURES)):
            known = context.psi[context.valid[:, column], column].tolist()
            if not bool(context.valid[node, column]):
                assert bool(below[row, column].isnan())
                assert bool(above[row, column].isnan())
                continue
            own = float(context.psi[node, column])
            assert float(below[row, column]) == pytest.approx(
                sum(other < own for other in known) / len(known), abs=1e-6
            )
            assert float(above[row, column]) == pytest.approx(
                sum(other > own for other in known) / len(known), abs=1e-6
            )


@given(cases())
def test_a_context_holds_what_the_functions_say(case: Case) -> None:
    confidence = torch.linspace(0.3, 1, case.num_nodes)
    context = GradientContext.from_field(case.field, case.graph, "self", confidence)
    psi, valid = psi_features(case.field, case.graph, confidence)
    assert torch.equal(context.psi, psi)
    assert torch.equal(context.valid, valid)
    assert torch.equal(context.rank.isnan(), ~valid)
    assert torch.equal(context.norm, case.field.norm(dim=-1))
    cosine = alignment(case.field, neighbour_mean(case.field, case.graph))
    assert torch.equal(context.alignment.nan_to_num(9), cosine.nan_to_num(9))
    assert context.num_nodes == case.num_nodes
    for node in case.nodes:
        known, score = bool(valid[node, 4]), float(psi[node, 4])
        assert context.role(node) == (ROLES[score] if known else None)


@given(cases())
def test_ranks_order_nodes_as_psi_does(case: Case) -> None:
    context = GradientContext.from_field(case.field, case.graph, "training")
    for column in range(len(FEATURES)):
        known = context.valid[:, column]
        psi, rank = context.psi[known, column], context.rank[known, column]
        assert torch.equal(psi.unsqueeze(0) < psi.unsqueeze(1), rank.unsqueeze(0) < rank.unsqueeze(1))


def test_scope_reaches_psi() -> None:
    field, edges = torch.arange(6.0).view(3, 2), torch.tensor([[0, 1], [1, 0]])
    confidence = torch.tensor([0.2, 0.9, 0.4])
    by_graph = GradientContext.from_field(field, edges, "post hoc", confidence, scope="graph").psi[:, 3]
    by_ego = GradientContext.from_field(field, edges, "post hoc", confidence).psi[:, 3]
    assert by_graph.unique().numel() == 1
    assert by_ego.unique().numel() > 1
