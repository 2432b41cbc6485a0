from __future__ import annotations

import torch
from graph_cases import Case, assert_close, cases
from hypothesis import given

from gragr_explain.field import GraphOperator, neighbour_mean, neighbour_sum


@given(cases())
def test_sum_is_the_adjacency_times_the_field(case: Case) -> None:
    assert_close(neighbour_sum(case.field, case.graph), case.adjacency @ case.field.double().numpy(), case)


@given(cases())
def test_mean_is_the_mean_over_the_neighbours(case: Case) -> None:
    expected = [case.mean_of_neighbours(node) for node in case.nodes]
    assert_close(neighbour_mean(case.field, case.graph), expected, case)


@given(cases())
def test_an_edge_index_does_as_well_as_a_prepared_graph(case: Case) -> None:
    prepared = neighbour_mean(case.field, case.graph)
    assert torch.equal(neighbour_mean(case.field, case.edge_index, case.weight), prepared)
    assert prepared.dtype == case.field.dtype


@given(cases())
def test_the_operator_counts_what_the_loops_count(case: Case) -> None:
    graph = case.graph
    assert graph.num_edges == len(case.links)
    assert graph.degree.tolist() == [len(case.neighbours(node)) for node in case.nodes]
    assert graph.strength.tolist() == case.adjacency.sum(1).tolist()
    assert graph.is_undirected == bool(
        all((target, source) in case.links for source, target in case.links)
        and (case.adjacency == case.adjacency.T).all()
    )
    pairs = {
        (i, j): weight for (i, j), weight in zip(graph.pairs.t().tolist(), graph.pair_weight.tolist(), strict=True)
    }
    assert pairs == case.pairs


@given(cases())
def test_each_given_edge_knows_its_place(case: Case) -> None:
    graph = case.graph
    for (source, target), slot in zip(case.edges, graph.edge_slot.tolist(), strict=True):
        if source == target:
            assert slot == -1
        else:
            assert (int(graph.col[slot]), int(graph.row[slot])) == (source, target)
            assert int(graph.multiplicity[slot]) == case.edges.count((source, target))


@given(cases())
def test_the_order_of_the_edges_does_not_matter(case: Case) -> None:
    order = torch.arange(case.edge_index.size(1)).flip(0)
    weight = None if case.weight is None else case.weight[order]
    turned = neighbour_sum(case.field, case.edge_index[:, order], weight)
    assert torch.equal(turned, neighbour_sum(case.field, case.graph))


@given(cases())
def test_an_undirected_graph_is_its_own_undirected_graph(case: Case) -> None:
    undirected = case.graph.undirected
    assert undirected.is_undirected
    assert undirected.undirected is undirected


def test_memory_layouts_do_not_matter() -> None:
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    field = torch.randn(3, 4).t()
    assert not field.is_contiguous()
    assert torch.equal(neighbour_sum(field, edge_index), field[[3, 0, 1, 2]])
    row = torch.tensor([[1.0, 2.0]]).expand(4, 2)
    assert torch.equal(neighbour_mean(row, edge_index), row)


def test_edge_weights_may_be_of_another_precision() -> None:
    graph = GraphOperator(torch.tensor([[0], [1]]), 2, torch.tensor([0.5], dtype=torch.float64))
    assert neighbour_sum(torch.ones(2, 1), graph).dtype == torch.float32
    assert neighbour_sum(torch.ones(2, 1, dtype=torch.float64), graph).view(-1).tolist() == [0, 0.5]
