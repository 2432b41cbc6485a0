"""Labels around a node against loops over its neighbours."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.audit._votes import nearest_labels, neighbour_labels
from gragr_explain.field import GraphOperator

CLASSES = 3


@st.composite
def labelled_graphs(draw):
    """Edges of either direction with self-loops and duplicates, labels, and which of them are known, at least two."""
    count = draw(st.integers(2, 7))
    node = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=16))
    y = draw(st.lists(st.integers(0, CLASSES - 1), min_size=count, max_size=count))
    known = draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(lambda mask: sum(mask) >= 2))
    return edges, y, known


@given(labelled_graphs())
def test_labels_one_and_two_steps_away_against_loops(drawn):
    edges, y, known = drawn
    nodes = range(len(y))
    around = {v: sorted({a if b == v else b for a, b in edges if (a == v) != (b == v)}) for v in nodes}
    labels = [y[v] for v in nodes if known[v]]
    spread = [labels.count(label) / len(labels) for label in range(CLASSES)]
    graph = GraphOperator(torch.tensor(edges, dtype=torch.long).view(-1, 2).t(), len(y))
    near, far = neighbour_labels(torch.tensor(y), torch.tensor(known), CLASSES, graph)
    for v in nodes:
        one = [y[u] for u in around[v] if known[u]]
        two = [y[w] for u in around[v] for w in around[u] if w != v and known[w]]
        for found, votes in ((near, one), (far, two)):
            expected = [(votes.count(label) + spread[label]) / (len(votes) + 1) for label in range(CLASSES)]
            torch.testing.assert_close(found[v], torch.tensor(expected), rtol=1e-5, atol=1e-6)


@given(labelled_graphs())
def test_a_label_has_no_vote_about_its_own_node(drawn):
    edges, y, known = drawn
    graph = GraphOperator(torch.tensor(edges, dtype=torch.long).view(-1, 2).t(), len(y))
    mask, v = torch.tensor(known), known.index(True)
    other = torch.tensor(y)
    other[v] = (other[v] + 1) % CLASSES
    before, after = (neighbour_labels(labels, mask, CLASSES, graph) for labels in (torch.tensor(y), other))
    count = mask.sum()
    moved = torch.zeros(CLASSES)
    moved[y[v]], moved[other[v]] = -1 / count, 1 / count  # only through how all labels are spread
    for step, (first, second) in enumerate(zip(before, after, strict=True)):
        total = 1 + sum(known[u] for u in _walks(edges, v, step + 1, len(y)))
        torch.testing.assert_close(second[v] - first[v], moved / total, rtol=1e-5, atol=1e-6)


def _walks(edges, v, steps, count):
    """The ends of all walks of so many steps that do not end where they began."""
    around = {u: sorted({a if b == u else b for a, b in edges if (a == u) != (b == u)}) for u in range(count)}
    ends = [v]
    for _ in range(steps):
        ends = [w for u in ends for w in around[u]]
    return [u for u in ends if u != v]


@given(
    st.integers(2, 30).flatmap(
        lambda count: st.tuples(
            st.lists(st.integers(0, CLASSES - 1), min_size=count, max_size=count),
            st.lists(st.booleans(), min_size=count, max_size=count).filter(lambda mask: sum(mask) >= 2),
            st.integers(0, 1000),
        )
    )
)
def test_labels_of_the_nearest_against_loops(drawn):
    y, known, seed = drawn
    count = len(y)
    hidden = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shares = nearest_labels(hidden, torch.tensor(y), torch.tensor(known), CLASSES)
    train = [v for v in range(count) if known[v]]
    centre = hidden[train].mean(0)
    spread = [sum(y[u] == label for u in train) / len(train) for label in range(CLASSES)]
    for v in range(count):
        cosines = sorted(((_cosine(hidden[v] - centre, hidden[u] - centre), u) for u in train if u != v), reverse=True)
        nearest = cosines[: min(10, len(train) - 1)]
        votes = [sum(max(value, 1e-3) for value, u in nearest if y[u] == label) for label in range(CLASSES)]
        expected = [(votes[label] + 0.5 * spread[label]) / (sum(votes) + 0.5) for label in range(CLASSES)]
        torch.testing.assert_close(shares[v], torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def _cosine(first, second):
    length = math.sqrt(float(first @ first)) * math.sqrt(float(second @ second))
    return float(first @ second) / length if length else 0.0


def test_many_nodes_are_compared_in_parts(monkeypatch):
    from gragr_explain.audit import _votes

    torch.manual_seed(0)
    hidden, y, known = torch.randn(50, 4), torch.randint(3, (50,)), torch.rand(50) < 0.6
    whole = nearest_labels(hidden, y, known, 3)
    monkeypatch.setattr(_votes, "_MOST_ENTRIES", 64)
    torch.testing.assert_close(nearest_labels(hidden, y, known, 3), whole)
