"""Rankings cut down from all edges and improved by moves, against plain code that does the same, and brute force."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import Broken, Pairs, Parts, problem
from torch import Tensor

from gragr_explain.explain.search import Where, _worth, search
from gragr_explain.explain.search._elimination import eliminate
from gragr_explain.explain.search._exchanges import improve_sets
from gragr_explain.explain.search._moves import better, improve, num_counting
from gragr_explain.explain.search._refine import refine
from gragr_explain.explain.search._worth import fine_values


def worth_of(trials: Pairs, edges: list[int]) -> float:
    kept = torch.zeros(1, trials.weight.size(1), dtype=torch.bool)
    kept[0, edges] = True
    return float(fine_values(trials, kept, classes=True))


def total(trials: Pairs, order: list[int]) -> tuple[float, int]:
    """What the first 1, 2, ... edges of an order are worth, added up, where those after some edge are left out."""
    worth = [worth_of(trials, order[:count]) for count in range(len(order) + 1)]
    totals = [sum(worth[1 : count + 1]) + (len(order) - count) * worth[count] for count in range(len(order) + 1)]
    best = max(totals)
    return best, next(count for count, each in enumerate(totals) if each >= best - 1e-5)


def order_of(place: Tensor) -> list[int]:
    return [int((place == count).nonzero()) for count in range(1, int(place.max()) + 1)]


def places(order: list[int], num_edges: int) -> Tensor:
    place = torch.zeros(num_edges, dtype=torch.long)
    place[order] = torch.arange(1, len(order) + 1)
    return place


def moves(order: list[int], num_edges: int) -> list[list[int]]:
    found = []
    for edge in range(num_edges):
        before = order.index(edge) if edge in order else len(order)
        for to in range(before):
            rest = [other for other in order if other != edge]
            found.append([*rest[:to], edge, *rest[to:]][: len(order)])
    return found


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_a_ranking_is_improved_until_no_move_improves_it(seed: int, length: int, num_edges: int) -> None:
    trials = problem(seed, num_edges=num_edges, interaction=2.0)
    length = min(length, num_edges)
    start = torch.randperm(num_edges, generator=torch.Generator().manual_seed(seed))[:length].tolist()
    everything = torch.ones(num_edges, dtype=torch.bool)
    found = improve(trials, places(start, num_edges), everything, classes=True, length=length)
    order = order_of(found)
    assert sorted(found.tolist()) == [0] * (num_edges - length) + list(range(1, length + 1))
    assert total(trials, order)[0] >= total(trials, start)[0] - 1e-5
    assert max(total(trials, other)[0] for other in [order, *moves(order, num_edges)]) <= total(trials, order)[0] + 2e-3
    count = num_counting(trials, found, classes=True, length=length)
    assert count.tolist() == [total(trials, order)[1]]


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_best_of_all_moves_is_made_first(seed: int) -> None:
    trials = problem(seed, interaction=2.0)
    order = [0, 1, 2]
    while True:
        best = max(moves(order, 6), key=lambda other: round(total(trials, other)[0], 5))
        if total(trials, best)[0] <= total(trials, order)[0] + 1e-3:
            break
        order = best
    found = improve(trials, places([0, 1, 2], 6), torch.ones(6, dtype=torch.bool), classes=True, length=3)
    assert total(trials, order_of(found))[0] == pytest.approx(total(trials, order)[0], abs=1e-4)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 7))
@settings(max_examples=40, deadline=None)
def test_exchanges_of_the_whole_set_never_make_a_ranking_worse(seed: int, length: int, num_edges: int) -> None:
    trials = problem(seed, num_edges=num_edges, interaction=2.0)
    length, everything = min(length, num_edges), torch.ones(num_edges, dtype=torch.bool)
    start = torch.randperm(num_edges, generator=torch.Generator().manual_seed(seed))[:length].tolist()
    moved = improve(trials, places(start, num_edges), everything, classes=True, length=length)
    found = improve_sets(trials, torch.ones(num_edges), moved, everything, classes=True, length=length)
    order, before = order_of(found), order_of(moved)
    assert len(order) == length
    if found.equal(
        moved
    ):  # then the set that elimination finds among the best exchanges is no better, or there is none
        return
    assert total(trials, order)[0] > total(trials, before)[0]


def test_a_whole_set_is_found_that_moves_do_not_find() -> None:
    gaps = {"moves": 0.0, "exchanges": 0.0}
    everything, ones = torch.ones(7, dtype=torch.bool), torch.ones(7)
    for seed in range(60):
        trials = problem(seed, num_edges=7, interaction=2.0)
        best = max(worth_of(trials, list(each)) for each in combinations(range(7), 3))
        moved = improve(trials, places([0, 1, 2], 7), everything, classes=True, length=3)
        found = improve_sets(trials, ones, moved, everything, classes=True, length=3)
        gaps["moves"] += best - worth_of(trials, order_of(moved))
        gaps["exchanges"] += best - worth_of(trials, order_of(found))
    assert gaps["exchanges"] < 0.8 * gaps["moves"]


def test_nothing_can_be_exchanged_where_a_ranking_has_all_edges() -> None:
    trials = problem(2, num_edges=3)
    place = improve_sets(
        trials, torch.ones(3), torch.tensor([2, 1, 3]), torch.ones(3, dtype=torch.bool), classes=True, length=3
    )
    assert place.tolist() == [2, 1, 3]


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_edges_go_that_are_missed_least(seed: int, num_edges: int, length: int) -> None:
    trials = problem(seed, num_edges=num_edges, interaction=2.0)
    left, order = list(range(num_edges)), []
    while len(left) > 1:
        without = {edge: worth_of(trials, [other for other in left if other != edge]) for edge in left}
        most = max(without.values())
        gone = next(edge for edge in left if without[edge] >= most - 1e-6)
        order.insert(0, gone)
        left.remove(gone)
    found = eliminate(trials, torch.ones(num_edges), classes=True, length=length, shortlist=64)
    assert sorted(found.tolist()) == list(range(1, num_edges + 1))
    mine, plain = ([*left, *order], order_of(found))
    sums = [sum(worth_of(trials, each[:count]) for count in range(1, num_edges)) for each in (mine, plain)]
    assert sums[1] == pytest.approx(sums[0], abs=0.01 * num_edges)  # among nearly equal ones the first goes


def test_gradients_choose_what_is_tried_of_many_edges() -> None:
    weight = torch.cat([torch.full((90,), -0.01), torch.linspace(0.5, 1.4, 10)])[torch.randperm(100)]
    trials = Pairs(weight.unsqueeze(0), torch.zeros(1, 100, 100), torch.tensor([-4.0]))
    place = eliminate(trials, torch.ones(100), classes=True, length=5, shortlist=10)
    assert sorted(place.tolist()) == list(range(1, 101))
    assert set((place <= 10).nonzero().view(-1).tolist()) == set(weight.topk(10).indices.tolist())
    nothing = torch.zeros(100, dtype=torch.long)
    found = refine(trials, torch.ones(100), nothing, place, classes=True, length=5, shortlist=10)
    assert order_of(found.place) == weight.topk(5).indices.tolist()
    assert (found.rest[found.place == 0] >= 0).all()
    assert found.rest.argmax() == weight.topk(6).indices[-1]


def test_refined_rankings_are_nearly_the_best_there_are() -> None:
    gaps = dict.fromkeys((Where.NOWHERE, Where.EVERYWHERE), 0.0)
    for seed in range(40):
        trials = problem(seed, interaction=2.0)
        best = max(total(trials, list(order))[0] for order in permutations(range(6), 3))
        for where in gaps:
            mask = search(trials, length=3, where=where)
            order = [edge for edge in mask.argsort(descending=True, stable=True).tolist() if mask[edge] > 0.5]
            shown = [order[: min(count, len(order))] for count in range(1, 4)]
            gaps[where] += best - sum(worth_of(trials, each) for each in shown)
    assert gaps[Where.EVERYWHERE] < 0.02 * 40
    assert gaps[Where.EVERYWHERE] < 0.2 * gaps[Where.NOWHERE]


def test_edges_that_only_work_all_together_are_found() -> None:
    pairs = torch.zeros(1, 6, 6)
    pairs[0, [0, 0, 1], [1, 2, 2]] = 5.0
    trials = Pairs(torch.tensor([[-4.0, -4.0, -4.0, 0.5, 0.4, 0.3]]), pairs, torch.tensor([-3.0]))
    assert (search(trials, length=3, where=Where.EVERYWHERE) > 0.5).tolist() == [True] * 3 + [False] * 3


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_parts_do_not_know_of_each_other(seed: int, length: int) -> None:
    sizes = torch.tensor([1, 2, 5, 70, 3, 6])
    trials = Parts([problem(seed + size, num_edges=size, interaction=0.5) for size in sizes.tolist()])
    together = search(trials, length=length, where=Where.EVERYWHERE).split(sizes.tolist())
    for alone, mask in zip(trials.parts, together, strict=True):
        torch.testing.assert_close(search(alone, length=length, where=Where.EVERYWHERE), mask, atol=1e-5, rtol=0)


def test_the_better_of_two_rankings_and_the_first_of_equal_ones() -> None:
    trials = problem(3, num_parts=2, interaction=0.0)
    good = torch.stack([places(weight.topk(2).indices.tolist(), 6) for weight in trials.weight]).view(-1)
    bad = torch.stack([places((-weight).topk(2).indices.tolist(), 6) for weight in trials.weight]).view(-1)
    for first, second in ((good, bad), (bad, good)):
        assert torch.equal(better(trials, first, second, classes=True, length=2), good)
    flat = Pairs(torch.zeros(2, 6), torch.zeros(2, 6, 6), torch.zeros(2))
    assert torch.equal(better(flat, bad, good, classes=True, length=2), bad)


def test_a_set_to_which_a_model_has_no_answer_is_worth_less_than_all_others() -> None:
    trials = Broken(torch.tensor([[5.0, -1.0, 3.0, 2.0]]), torch.zeros(1, 4, 4), torch.tensor([-4.0]))
    sets = torch.tensor([[True, False, False, False], [False, True, False, False]])
    answers = fine_values(trials, sets, classes=True)[:, 0]
    assert answers.isfinite().all()
    assert answers[0] < -1e6 < answers[1]


class Unanswered(Pairs):
    """Has no answer where its last edge is removed and most others are left."""

    def scores(self, masks: Tensor) -> Tensor:
        broken = (masks[:, -1] == 0) & (masks.sum(1) >= 4)
        return super().scores(masks).masked_fill(broken.unsqueeze(1), torch.nan)


def test_one_set_without_an_answer_says_nothing_of_the_others() -> None:
    weight = torch.tensor([[3.0, 2.0, 1.5, -1.0, -2.0, -3.0]])
    for kind in (Pairs, Unanswered):
        trials = kind(weight, torch.zeros(1, 6, 6), torch.zeros(1))
        place = eliminate(trials, torch.ones(6), classes=True, length=3, shortlist=64)
        assert place[:3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0, 1e6, 1e15])
@pytest.mark.parametrize("bias", [0.0, 0.5, -3.0])
def test_regression_of_any_scale(scale: float, bias: float) -> None:
    weight = torch.tensor([[5.0, 3.0, 1.0, -1.0, -2.0, -6.0]])  # all together do what none do
    trials = Pairs(scale * weight, torch.zeros(1, 6, 6), torch.tensor([scale * bias]))
    mask = search(trials, classes=False, length=3, where=Where.EVERYWHERE)
    assert mask.argsort(descending=True)[:3].tolist() == [0, 1, 2]
    assert (mask > 0.5).sum() == 3


def test_no_more_is_tried_where_more_edges_are_asked_for_than_there_are() -> None:
    tried = {}
    for length in (6, 1000):
        trials = Counted(*vars(problem(1, interaction=2.0)).values())
        Counted.seen.clear()
        mask = search(trials, length=length, where=Where.EVERYWHERE)
        tried[length] = (sum(Counted.seen), mask.gt(0.5).tolist())
    assert tried[6] == tried[1000]


def test_few_sets_of_many_edges_are_judged_together(monkeypatch) -> None:
    trials = Counted(*vars(problem(1, num_parts=4, interaction=2.0)).values())
    expected = search(trials, length=4, where=Where.EVERYWHERE)
    monkeypatch.setattr(_worth, "_NUMBERS", 3 * 24)
    start = torch.tensor([1, 2, 3, 4, 0, 0] * 4)
    Counted.seen.clear()
    improve(trials, start, torch.ones(24, dtype=torch.bool), classes=True, length=4)
    assert max(Counted.seen) == 2 * 3  # with what is left without each
    assert torch.equal(search(trials, length=4, where=Where.EVERYWHERE), expected)


class Counted(Pairs):
    """Notes how many masks are handed over at once."""

    seen: ClassVar[list[int]] = []

    def scores(self, masks: Tensor) -> Tensor:
        self.seen.append(len(masks))
        return super().scores(masks)
