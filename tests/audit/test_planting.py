"""Planted labels: how many, where, and which."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.audit._labels import count_plantings
from gragr_explain.audit._planting import KINDS, RATE, plant
from gragr_explain.field import GraphOperator

CLASSES = 4


def drawn(seed, count):
    """Labels of which class 3 is nowhere known, and one unknown label is of no class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (count,), generator=generator)
    known = torch.rand(count, generator=generator) < 0.7
    known[:2], y[0], y[1] = True, 0, 1
    known[-1], y[-1] = False, 17
    graph = GraphOperator(torch.randint(count, (2, 2 * count), generator=generator), count)
    return y, known, graph, torch.rand(count, CLASSES, generator=generator).softmax(-1)


@given(st.integers(0, 10_000), st.integers(4, 60), st.sampled_from(KINDS))
def test_a_tenth_of_the_known_labels_is_another_known_class(seed, count, kind):
    y, known, graph, expected = drawn(seed, count)
    before = y.clone()
    planted = plant(y, known, expected, graph, kind, torch.Generator().manual_seed(seed))
    assert torch.equal(y, before)
    changed = planted != y
    assert int(changed.sum()) == max(1, round(RATE * int(known.sum())))
    assert bool(known[changed].all())
    assert set(planted[changed].tolist()) <= set(y[known].tolist())
    again = plant(y, known, expected, graph, kind, torch.Generator().manual_seed(seed))
    assert torch.equal(planted, again)


def test_labels_of_neighbours_are_planted_where_there_are_some():
    """Every node of class 0 has neighbours of class 2 alone, so nearly all that is planted there is 2."""
    y = torch.tensor([0] * 50 + [1] * 50 + [2] * 50)
    edges = torch.stack([torch.arange(50), torch.arange(100, 150)])
    graph, known = GraphOperator(edges, 150), torch.ones(150, dtype=torch.bool)
    expected = torch.full((150, 3), 1 / 3)
    found = []
    for seed in range(20):
        planted = plant(y, known, expected, graph, "neighbour", torch.Generator().manual_seed(seed))
        found += planted[:50][planted[:50] != 0].tolist()
    assert len(found) > 50
    assert found.count(2) == len(found)


def test_classes_that_are_mistaken_for_each_other_are_planted():
    y = torch.arange(150) % 3
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])[y]
    graph = GraphOperator(torch.empty(2, 0, dtype=torch.long), 150)
    planted = plant(
        y, torch.ones(150, dtype=torch.bool), expected, graph, "confusable", torch.Generator().manual_seed(0)
    )
    changed = planted != y
    assert torch.equal(planted[changed], (y[changed] + 1) % 3)


@pytest.mark.parametrize(("known", "count"), [(20, 9), (100, 9), (600, 6), (1000, 3), (100_000, 3)])
def test_few_labels_are_planted_more_often(known, count):
    assert count_plantings(known) == count
