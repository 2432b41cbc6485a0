"""Sets that are cut down from many edges, several at a time, against brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import Broken, Pairs, Parts, best_by_brute_force, problem, subset, worth_of
from torch import Tensor

from gragr_explain.explain.search import _beam
from gragr_explain.explain.search._beam import _without_one, cut_down


def everything(trials: Pairs) -> Tensor:
    return torch.ones(trials.weight.size(1), dtype=torch.bool)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_the_best_set_is_found_where_there_are_at_most_16_of_each_size(seed: int, num_edges: int, most: int) -> None:
    trials = problem(seed, num_edges=num_edges, interaction=3.0)  # of five edges, at most ten sets of a size
    found = cut_down(trials, everything(trials), classes=True, most=most)
    assert int(found.sum()) <= most
    assert worth_of(trials, found) == pytest.approx(best_by_brute_force(trials, most), abs=2e-6)


@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=7, max_size=7))
@settings(max_examples=40, deadline=None)
def test_only_edges_of_the_start_are_left(seed: int, inside: list[bool]) -> None:
    trials, start = problem(seed, num_edges=7, interaction=2.0), torch.tensor(inside)
    found = cut_down(trials, start, classes=True, most=3)
    assert not (found & ~start).any()
    assert worth_of(trials, found) <= best_by_brute_force(trials, 3, start) + 1e-6
    if sum(inside) <= 5:
        assert worth_of(trials, found) == pytest.approx(best_by_brute_force(trials, 3, start), abs=2e-6)


def test_more_sets_at_a_time_find_what_one_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {}
    for width in (1, 16):
        monkeypatch.setattr(_beam, "_WIDTH", width)
        problems = [problem(seed, num_edges=8, interaction=3.0) for seed in range(40)]
        found = [worth_of(each, cut_down(each, everything(each), classes=True, most=3)) for each in problems]
        most = [best_by_brute_force(each, 3) for each in problems]
        lost[width] = sum(most) - sum(found)
    assert lost[16] < 0.001 * 40
    assert lost[16] < 0.2 * lost[1]


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_parts_of_other_sizes_change_nothing(seed: int, most: int) -> None:
    sizes = [1, 7, 2, 5, 12]
    each = [problem(seed + size, num_edges=size, interaction=1.0) for size in sizes]
    start = torch.ones(sum(sizes), dtype=torch.bool)
    together = cut_down(Parts(each), start, classes=True, most=most).split(sizes)
    for alone, found in zip(each, together, strict=True):
        assert cut_down(alone, everything(alone), classes=True, most=most).tolist() == found.tolist()


def test_nothing_is_left_where_nothing_helps_or_nothing_is_there() -> None:
    harmful = Pairs(torch.full((1, 6), -1.0), torch.zeros(1, 6, 6), torch.zeros(1))
    assert not cut_down(harmful, everything(harmful), classes=True, most=6).any()
    useless = Pairs(torch.zeros(1, 6), torch.zeros(1, 6, 6), torch.zeros(1))
    assert not cut_down(useless, everything(useless), classes=True, most=2).any()
    useful = Pairs(torch.ones(1, 6), torch.zeros(1, 6, 6), torch.zeros(1))
    assert not cut_down(useful, torch.zeros(6, dtype=torch.bool), classes=True, most=2).any()


def test_sets_to_which_a_model_has_no_answer_are_not_left() -> None:
    trials = Broken(torch.tensor([[9.0, 3.0, 1.0, 1.0]]), torch.zeros(1, 4, 4), torch.tensor([-4.0]))
    found = cut_down(trials, everything(trials), classes=True, most=1)  # the first edge alone would be best
    assert found.tolist() == [False, True, False, False]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6, 1e15])
def test_numbers_of_any_scale(scale: float) -> None:
    weight = torch.tensor([[5.0, 3.0, 1.0, -1.0, -2.0, -6.0]])
    trials = Pairs(scale * weight, torch.zeros(1, 6, 6), torch.zeros(1))
    found = cut_down(trials, everything(trials), classes=False, most=3)
    assert found.nonzero().view(-1).tolist() == [0, 1, 2]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_best_16_different_sets_go_on(seed: int) -> None:
    trials = problem(seed, num_edges=8, interaction=3.0)
    sets, edges = everything(trials).unsqueeze(0), range(8)
    for size in (7, 6, 5):  # of 8, 28 and 56 sets
        sets, worth = _without_one(trials, sets, torch.ones(1), classes=True)
        found = [tuple(kept.nonzero().view(-1).tolist()) for kept in sets if kept.any()]
        assert len(found) == len(set(found)) == min(16, len(list(combinations(edges, size))))
        assert {len(kept) for kept in found} == {size}
        assert float(worth) == pytest.approx(worth_of(trials, sets[0]))
        if size > 5:  # for the last, what goes on may not contain the best
            ordered = sorted((worth_of(trials, subset(kept, 8)) for kept in combinations(edges, size)), reverse=True)
            assert [worth_of(trials, subset(kept, 8)) for kept in found] == pytest.approx(
                ordered[: len(found)], abs=2e-6
            )


def test_of_sets_that_are_worth_the_same_the_first_goes_on() -> None:
    trials = Pairs(torch.tensor([[1.000001, 1.0]]), torch.zeros(1, 2, 2), torch.zeros(1))
    assert 0 < worth_of(trials, subset((0,), 2)) - worth_of(trials, subset((1,), 2)) < 1e-6
    found, _ = _without_one(trials, torch.ones(1, 2, dtype=torch.bool), torch.ones(1), classes=True)
    assert found.tolist() == [[False, True], [True, False]]
