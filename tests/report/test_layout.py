import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.report._layout import radial

edges_of_few_nodes = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.floats(0.01, 1)), max_size=30, unique_by=lambda edge: edge[:2]
)


@given(edges_of_few_nodes)
def test_every_node_once_inside_the_disc(edges):
    layout = radial(0, edges)
    ends = {node for edge in edges if edge[0] != edge[1] for node in edge[:2]}
    assert sorted(layout.nodes) == sorted(ends | {0})
    assert (layout.nodes[0], layout.positions[0]) == (0, (0.0, 0.0))
    assert all(math.hypot(x, y) <= 1.01 for x, y in layout.positions)
    assert len(set(layout.positions)) == len(layout.nodes)


@given(edges_of_few_nodes)
def test_edges_keep_their_ends_weights_and_order(edges):
    layout = radial(0, edges)
    named = [(layout.nodes[source], layout.nodes[target], weight) for source, target, weight in layout.edges]
    assert named == [edge for edge in edges if edge[0] != edge[1]]


def test_neighbours_lie_on_the_inner_ring_and_theirs_on_the_outer_one():
    layout = radial(9, [(1, 9, 1.0), (2, 9, 0.9), (3, 1, 0.5)])
    radius = {node: math.hypot(*place) for node, place in zip(layout.nodes, layout.positions, strict=True)}
    assert radius[9] == 0
    assert radius[1] == pytest.approx(radius[2], abs=2e-3)
    assert radius[1] < radius[3] == pytest.approx(1, abs=2e-3)
